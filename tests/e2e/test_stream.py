"""Frames from a real server process to the real client: complete, in order, resumable, bounded."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import psutil

from backend.outbox import encode_frame
from protocol.events import FrameArrived, PreviewArrived
from protocol.specs import Output
from tests.e2e.conftest import Seen, Served, job_spec, until
from wan_models.events import FramesDecoded
from wan_models.requests import Request
from wan_models.testing import TestEngine

Serve = Callable[..., Served]
Join = Callable[..., Seen]


def expected(frames: int, side: int = 64, seed: int = 0) -> list[bytes]:
    """What the test engine makes, without any backend."""
    request = Request("t2v", "test", side, side, frames, 16.0, seed)
    events = TestEngine().generate(request, lambda: False)
    return [event.frames[0].tobytes() for event in events if isinstance(event, FramesDecoded)]


def test_a_job_streams_to_its_end(serve: Serve, join: Join) -> None:
    served = serve()
    assert served.start_s < 2.0 or psutil.getloadavg()[0] > 2  # a loaded machine is no measure
    seen = join(served.connection)
    job = seen.submit(job_spec(6, seed=3, note_at=2, warn="look here"))
    assert seen.wait_frames(job, 6) == expected(6, seed=3)
    update = seen.wait_state(job, "finished")
    assert update.progress.frames_done == 6
    assert update.warnings == ("look here",)
    assert {"queue", "load", "test", "first_frame", "total"} <= set(update.timings)
    notes = [event.header.note for event in seen.events if isinstance(event, FrameArrived)]
    assert [bool(note) for note in notes] == [False, False, True, False, False, False]
    assert not list((served.data / "frames").rglob("*.tmp"))


def test_png_frames_are_whole_files(serve: Serve, join: Join) -> None:
    seen = join(serve().connection)
    spec = job_spec(2, output=Output("png", previews=False))
    job = seen.submit(spec)
    frames = seen.wait_frames(job, 2)
    pictures = [np.frombuffer(raw, np.uint8).reshape(64, 64, 3) for raw in expected(2)]
    assert frames == [encode_frame(picture, spec) for picture in pictures]


def test_resume_is_byte_identical(serve: Serve, join: Join) -> None:
    """A client that drops mid-way gets the rest, by the same session, from where it was."""
    served = serve()
    first = join(served.connection, session_id="ab" * 16)
    job = first.submit(job_spec(30, delay_s=0.02))
    part = list(first.wait_frames(job, 5))
    first.client.close()
    second = join(served.connection, session_id="ab" * 16)
    second.frames[job] = part
    second.client.attach(job, next_frame=len(part))
    assert second.wait_frames(job, 30) == expected(30)


def test_server_killed_and_started_again(serve: Serve, join: Join) -> None:
    """kill -9: the same client object goes on by itself; the job finishes; nothing is made twice or lost."""
    served = serve()
    seen = join(served.connection)
    job = seen.submit(job_spec(40, delay_s=0.02))
    waiting = seen.submit(job_spec(2, seed=9))
    seen.wait_frames(job, 5)
    worker = served.worker()
    served.kill()
    worker.wait(5)
    again = serve("--bind", f"tcp://127.0.0.1:{served.port}")
    assert again.ready["server_id"] != served.ready["server_id"]
    assert seen.wait_frames(job, 40) == expected(40)
    assert seen.wait_frames(waiting, 2) == expected(2, seed=9)
    assert seen.wait_state(job, "finished").attempt == 2


def test_a_clean_stop_does_not_count_as_an_attempt(serve: Serve, join: Join) -> None:
    served = serve()
    seen = join(served.connection)
    job = seen.submit(job_spec(20, delay_s=0.03))
    seen.wait_frames(job, 2)
    assert served.stop() == 0
    assert not (served.data / "connection.json").exists()
    assert not (served.data / "server.lock").exists()
    again = serve("--bind", f"tcp://127.0.0.1:{served.port}")
    assert again.ready
    assert seen.wait_frames(job, 20) == expected(20)
    assert seen.wait_state(job, "finished").attempt == 1


def test_slow_client_loses_nothing_and_costs_little(serve: Serve, join: Join) -> None:
    """400 frames (79 MB) for a client that consumes nothing until all are made, then 1 MiB at a time."""
    served = serve()
    seen = join(served.connection, window=1 << 20)
    process = psutil.Process(served.process.pid)
    seen.wait_frames(seen.submit(job_spec(8, 256, 256)), 8)
    before = process.memory_info().rss
    seen.consume = False
    job = seen.submit(job_spec(400, 256, 256))
    seen.until(lambda: _stored(served, job) == 400)
    frame = 256 * 256 * 3
    assert len(seen.frames[job]) <= (1 << 20) // frame + 1, "at most the window, overdrawn by one frame"
    grown = process.memory_info().rss - before
    seen.client.consumed(len(seen.frames[job]) * frame)
    seen.consume = True
    assert seen.wait_frames(job, 400) == expected(400, 256)
    grown = max(grown, process.memory_info().rss - before)
    assert grown < 24 * 1024 * 1024, f"the server grew by {grown >> 20} MiB"


def _stored(served: Served, job: str) -> int:
    return sum(1 for _ in (served.data / "frames" / job).glob("*.raw"))


def test_previews_are_latest_wins(serve: Serve, join: Join) -> None:
    """A client that does not read for a while gets few of 60 previews of 3 MB, the last among them."""
    served = serve()
    seen = join(served.connection)
    job = seen.submit(job_spec(60, preview_side=1024, output=Output("raw", previews=True)))
    seen.until((served.data / "frames" / job).exists)
    until(lambda: _stored(served, job) == 60, "60 stored frames")  # the client reads nothing meanwhile
    seen.wait_state(job, "finished")
    seen.wait_frames(job, 60)
    seen.until(lambda: any(isinstance(e, PreviewArrived) and e.header.index == 59 for e in seen.events))
    assert sum(isinstance(e, PreviewArrived) for e in seen.events) < 60
    assert psutil.Process(served.process.pid).memory_info().rss < 400 * 1024 * 1024


def test_two_clients_follow_one_job(serve: Serve, join: Join) -> None:
    served = serve()
    one, two = join(served.connection), join(served.connection)
    job = one.submit(job_spec(10, delay_s=0.02))
    one.wait_state(job, "running")
    two.client.attach(job)
    mine = one.submit(job_spec(3, seed=1))
    other = two.submit(job_spec(3, seed=2))
    assert one.wait_frames(job, 10) == two.wait_frames(job, 10) == expected(10)
    assert one.wait_frames(mine, 3) == expected(3, seed=1)
    assert two.wait_frames(other, 3) == expected(3, seed=2)
