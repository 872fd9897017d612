"""What goes wrong: cancels in every state, dying workers, refused keys and messages, a full disk."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from backend.outbox import encode_frame
from protocol import codec, connection, errors
from protocol import messages as m
from protocol.connection import Connection
from protocol.events import Connected, JobsListed, Refused, RequestDone, RequestFailed
from protocol.specs import ImageRef, Lora, Output
from tests.e2e.conftest import ROOT, Seen, Served, job_spec, until
from tests.e2e.test_stream import expected

Serve = Callable[..., Served]
Join = Callable[..., Seen]


@contextmanager
def raw_dealer(to: Connection) -> Iterator[zmq.Socket[bytes]]:
    """A socket with valid keys, for messages that the client would never send."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.curve_serverkey = to.server_key.encode()
    socket.curve_publickey = to.client_key.encode()
    socket.curve_secretkey = to.client_secret.encode()
    socket.rcvtimeo = 20_000
    socket.connect(to.endpoint)
    yield socket
    context.destroy(linger=0)


def hello(socket: zmq.Socket[bytes]) -> m.Welcome:
    socket.send_multipart(codec.encode(m.Hello("cd" * 16, "raw 1", request=1)))
    message, _ = codec.decode_server(socket.recv_multipart())
    assert isinstance(message, m.Welcome)
    return message


def ask(socket: zmq.Socket[bytes], parts: list[bytes]) -> m.Message:
    socket.send_multipart(parts)
    return codec.decode_server(socket.recv_multipart())[0]


# ---- cancel -----------------------------------------------------------------------------------------


def test_cancel_in_every_state(serve: Serve, join: Join, tmp_path: Path) -> None:
    seen = join(serve().connection)
    gate = str(tmp_path / "gate")
    running = seen.submit(job_spec(9, wait_for=gate, wait_at=2))
    seen.wait_frames(running, 2)
    queued = seen.submit(job_spec(3))
    assert seen.wait_state(queued, "queued").position == 1
    seen.client.cancel(queued)
    assert seen.wait_state(queued, "cancelled").progress.frames_done == 0
    assert seen.states(queued) == ["queued", "cancelled"]

    seen.client.cancel(running)
    seen.client.cancel(running)  # cancelling again is no error
    assert seen.wait_state(running, "cancelled").progress.frames_done == 2
    seen.until(lambda: sum(isinstance(e, RequestDone) and e.job_id == running for e in seen.events) == 2)

    loading = seen.submit(job_spec(3, load_s=0.5))
    seen.wait_state(loading, "loading")
    seen.client.cancel(loading)
    seen.wait_state(loading, "cancelled")
    assert "running" not in seen.states(loading)

    finished = seen.submit(job_spec(1))
    seen.wait_state(finished, "finished")
    seen.client.cancel(finished)
    seen.until(lambda: any(isinstance(e, RequestDone) and e.job_id == finished for e in seen.events))
    assert seen.state(finished).state == "finished"


def test_worker_that_ignores_a_cancel_is_killed(serve: Serve, join: Join, tmp_path: Path) -> None:
    served = serve("--cancel-grace", "0.2")
    seen = join(served.connection)
    job = seen.submit(job_spec(5, ignore_cancel=True, wait_for=str(tmp_path / "never"), wait_at=1))
    seen.wait_frames(job, 1)
    before = served.worker().pid
    seen.client.cancel(job)
    seen.wait_state(job, "cancelled")
    after = seen.submit(job_spec(2))
    assert seen.wait_frames(after, 2) == expected(2)
    assert served.worker().pid != before


# ---- workers ----------------------------------------------------------------------------------------


def test_killed_worker_job_goes_on(serve: Serve, join: Join, tmp_path: Path) -> None:
    """The same frames once each, attempt 2, the client notices nothing but the state."""
    served = serve()
    seen = join(served.connection)
    gate = tmp_path / "gate"
    job = seen.submit(job_spec(12, wait_for=str(gate), wait_at=5))
    seen.wait_frames(job, 5)
    os.kill(served.worker().pid, signal.SIGKILL)
    seen.wait_state(job, "queued")
    gate.touch()
    assert seen.wait_frames(job, 12) == expected(12)
    assert seen.wait_state(job, "finished").attempt == 2


def test_job_that_always_kills_its_worker_fails(serve: Serve, join: Join) -> None:
    seen = join(serve().connection)
    job = seen.submit(job_spec(4, crash_at=2))
    update = seen.wait_state(job, "failed")
    assert update.attempt == 3
    assert "worker process ended" in update.error
    after = seen.submit(job_spec(1))
    seen.wait_state(after, "finished")


def test_a_broken_card_gets_a_new_process(serve: Serve, join: Join) -> None:
    """Frames before the fault stay; a job that always breaks the card fails with a sentence, and the next one runs."""
    served = serve()
    seen = join(served.connection)
    before = served.worker().pid
    job = seen.submit(job_spec(4, card_at=2))
    update = seen.wait_state(job, "failed")
    assert (update.attempt, update.progress.frames_done) == (3, 2)
    assert "the graphics card failed" in update.error
    after = seen.submit(job_spec(2))
    assert seen.wait_frames(after, 2) == expected(2)
    assert served.worker().pid != before


def test_engine_errors_are_sentences(serve: Serve, join: Join) -> None:
    seen = join(serve().connection)
    for knobs, part, code in (
        ({"fail_at": 1}, "told to fail at frame 1", "job_failed"),
        ({"memory_at": 1}, "not enough memory", "job_failed"),
        ({"refuse": True}, "told to refuse", "invalid_job"),
    ):
        update = seen.wait_state(seen.submit(job_spec(3, **knobs)), "failed")
        assert part in update.error
        assert update.error_code == code


def test_worker_leaves_with_its_server(serve: Serve) -> None:
    served = serve()
    worker = served.worker()
    served.kill()
    worker.wait(10)


# ---- who may do what --------------------------------------------------------------------------------


def test_wrong_key_is_refused(serve: Serve, join: Join) -> None:
    served = serve()
    public, secret = zmq.curve_keypair()
    stranger = msgspec.structs.replace(served.connection, client_key=public.decode(), client_secret=secret.decode())
    seen = join(stranger)
    assert isinstance(seen.wait_error(), errors.KeyRefused)
    assert any(isinstance(event, Refused) for event in seen.events)


def test_another_key_sees_no_job_of_mine(serve: Serve, join: Join) -> None:
    served = serve("--new-client", "studio")
    other_file = Path(served.ready["other_connection_files"][0])
    assert other_file.stat().st_mode & 0o777 == 0o600 or sys.platform == "win32"
    mine, theirs = join(served.connection), join(connection.read(other_file))
    job = mine.submit(job_spec(1))
    mine.wait_state(job, "finished")
    for act in (theirs.client.attach, theirs.client.cancel, theirs.client.get_spec, theirs.client.remove):
        act(job)
        assert isinstance(theirs.wait_error(), errors.UnknownJob)
        theirs.events.clear()
    theirs.client.list_jobs()
    assert theirs.until(lambda: next((e for e in theirs.events if isinstance(e, JobsListed)), None)).jobs == ()
    theirs.client.submit(job, job_spec(1), theirs.folder)
    assert "in use" in str(theirs.wait_error())
    mine.client.remove(job)
    mine.until(lambda: any(isinstance(e, RequestDone) and e.request == "remove" for e in mine.events))
    assert not (served.data / "frames" / job).exists()


def test_hello_comes_first_and_versions_are_explained(serve: Serve) -> None:
    served = serve()
    with raw_dealer(served.connection) as socket:
        answer = ask(socket, codec.encode(m.ListJobs(request=7)))
        assert isinstance(answer, m.ErrorReply)
        assert (answer.code, answer.reply_to) == ("hello_required", 7)
        other = [b"WAN\x63", codec.encode(m.Hello("cd" * 16, "future 99"))[1]]
        answer = ask(socket, other)
        assert isinstance(answer, m.ErrorReply)
        assert answer.code == "version_mismatch"
        assert "99" in answer.message
        assert "update the older" in answer.message


def test_bad_messages_are_answered_and_harmless(serve: Serve) -> None:
    served = serve()
    with raw_dealer(served.connection) as socket:
        hello(socket)
        unknown = [codec.MAGIC, msgspec.msgpack.encode({"type": "teleport", "request": 5})]
        answer = ask(socket, unknown)
        assert isinstance(answer, m.ErrorReply)
        assert (answer.code, answer.reply_to) == ("unsupported", 5)
        for parts in ([codec.MAGIC, b"\xc1"], [codec.MAGIC, b"x" * (2 << 20)], [b"GET / HTTP"], [codec.MAGIC] * 40):
            answer = ask(socket, parts)
            assert isinstance(answer, m.ErrorReply)
            assert answer.code == "protocol"
        assert isinstance(ask(socket, codec.encode(m.Ping(request=9))), m.Pong)


def test_oversized_part_costs_the_connection_only(serve: Serve) -> None:
    """ZeroMQ drops the connection; the socket reconnects by itself and must say hello again."""
    served = serve()
    with raw_dealer(served.connection) as socket:
        hello(socket)
        socket.send_multipart([codec.MAGIC, codec.encode(m.Ping())[1], bytes((64 << 20) + 1)])
        monitor = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        assert monitor.poll(20_000)
        socket.disable_monitor()
        monitor.close(linger=0)
        answer = ask(socket, codec.encode(m.Ping(request=2)))
        assert isinstance(answer, m.ErrorReply)
        assert answer.code == "hello_required"
        hello(socket)


def test_silent_client_expires_but_its_job_does_not(serve: Serve, join: Join) -> None:
    served = serve("--client-expiry", "0.5")
    with raw_dealer(served.connection) as socket:
        hello(socket)
        job = "ef" * 16
        answer = ask(socket, codec.encode(m.SubmitJob(job, job_spec(30, delay_s=0.04), request=2)))
        assert isinstance(answer, m.JobUpdate)
        socket.setsockopt(zmq.RCVTIMEO, 900)
        with pytest.raises(zmq.Again):
            socket.recv_multipart()  # silence on both sides: nothing was attached
        socket.setsockopt(zmq.RCVTIMEO, 20_000)
        answer = ask(socket, codec.encode(m.Ping(request=3)))
        assert isinstance(answer, m.ErrorReply)
        assert answer.code == "hello_required"
    seen = join(served.connection)
    seen.client.attach(job)
    assert seen.wait_frames(job, 30) == expected(30)


# ---- bad jobs ---------------------------------------------------------------------------------------


def test_impossible_jobs_are_refused(serve: Serve, join: Join) -> None:
    """Each with its sentence, before anything is queued."""
    seen = join(serve("--max-disk", "1000").connection)
    rubbish = ImageRef(seen.folder.add(b"\x89PNG\r\n\x1a\n" + b"rubbish" * 20), 64, 64)
    for change, kind, part in (
        ({"engine": "magic"}, errors.InvalidJob, "no engine magic"),
        ({"model": "wan9"}, errors.InvalidJob, "no model wan9"),
        ({"loras": (Lora("glow"),)}, errors.InvalidJob, "no LoRAs"),
        ({"engine": "draft", "model": "draft"}, errors.InvalidJob, "cannot do t2v"),
        ({"width": 4096, "height": 4096, "frames": 4096}, errors.QuotaExceeded, "disk full"),
        ({"image": rubbish, "task": "i2v"}, errors.InvalidJob, "first image cannot be decoded"),
    ):
        seen.submit(job_spec(**change))
        error = seen.wait_error()
        assert isinstance(error, kind)
        assert part in str(error)
        seen.events.clear()
    seen.client.list_jobs()
    assert seen.until(lambda: next((e for e in seen.events if isinstance(e, JobsListed)), None)).jobs == ()


def test_a_picture_that_is_cut_off_fails_its_job(serve: Serve, join: Join) -> None:
    """Its header is right, so the server takes the job; the worker that decodes it says what is wrong, and goes on."""
    seen = join(serve().connection)
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = encode_frame(pixels, job_spec(output=Output("png")))
    cut = ImageRef(seen.folder.add(whole[: len(whole) // 2]), 64, 64)
    update = seen.wait_state(seen.submit(job_spec(image=cut, task="i2v")), "failed")
    assert (update.error_code, update.attempt) == ("invalid_job", 1)
    assert "first image cannot be decoded" in update.error
    good = ImageRef(seen.folder.add(whole), 64, 64)
    assert len(seen.wait_frames(seen.submit(job_spec(2, image=good, task="i2v")), 2)) == 2


def test_disk_full_ends_the_job_with_a_sentence(serve: Serve, join: Join, tmp_path: Path) -> None:
    """Two jobs of 0.8 MB fit a quota of 1 MiB each, not both."""
    served = serve("--max-disk", "1")
    seen = join(served.connection)
    gate = tmp_path / "gate"
    first = seen.submit(job_spec(4, 256, 256, wait_for=str(gate)))
    second = seen.submit(job_spec(4, 256, 256))
    seen.wait_state(second, "queued")
    gate.touch()
    seen.wait_state(first, "finished")
    update = seen.wait_state(second, "failed")
    assert update.error_code == "quota"
    assert "disk full" in update.error
    assert seen.wait_frames(first, 4) == expected(4, 256)
    until(lambda: not (served.data / "frames" / second).exists(), "removal of the frames")
    assert not list((served.data / "frames").rglob("*.tmp"))
    seen.client.remove(first)
    again = seen.submit(job_spec(4, 256, 256))
    seen.wait_state(again, "finished")


# ---- the process ------------------------------------------------------------------------------------


def test_one_server_a_folder(serve: Serve) -> None:
    served = serve()
    second = subprocess.run(
        [sys.executable, "-m", "backend.cli", "serve", "--data", str(served.data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 5
    assert str(served.process.pid) in second.stderr
    assert served.connection.pid == served.process.pid


def test_never_open_without_keys(tmp_path: Path) -> None:
    exposed = ["--insecure-loopback", "--bind", "tcp://0.0.0.0:*"]
    second = subprocess.run(
        [sys.executable, "-m", "backend.cli", "serve", "--data", str(tmp_path / "d"), *exposed],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 2
    assert "127.0.0.1" in second.stderr


def test_idle_exit_waits_for_clients_and_jobs(serve: Serve, join: Join) -> None:
    served = serve("--idle-exit", "0.3")
    seen = join(served.connection)
    job = seen.submit(job_spec(20, delay_s=0.05))
    seen.wait_frames(job, 1)
    seen.client.close()
    assert served.wait() == 0
    again = serve()
    back = join(again.connection)
    back.client.attach(job)
    assert back.wait_frames(job, 20) == expected(20)
    assert back.wait_state(job, "finished").attempt == 1
    assert any(isinstance(event, Connected) for event in back.events)
    assert not any(isinstance(event, RequestFailed) for event in back.events)
