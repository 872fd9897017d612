"""The worker against a server that is this test: what it says in which order, and that a cancel costs one frame."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from backend import worker_messages as wm
from backend.supervisor import bound_endpoint
from backend.worker import Worker
from protocol.specs import JobSpec, Output

WAIT_MS = 20_000


class Boss:
    """The server's end; ``heard`` is all that was said, without pixels."""

    def __init__(self, folder: Path) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self.context.socket(zmq.PAIR)
        self.socket.bind("tcp://127.0.0.1:0")
        self.heard: list[wm.ToServer] = []
        config = wm.WorkerConfig(bound_endpoint(self.socket), str(folder), threads=1)
        self.thread = threading.Thread(target=lambda: Worker(config).serve())
        self.thread.start()

    def until(self, kind: type, count: int = 1) -> list[Any]:
        while sum(isinstance(each, kind) for each in self.heard) < count:
            assert self.socket.poll(WAIT_MS), self.heard
            self.heard.append(wm.decode_for_server(self.socket.recv_multipart()))
        return [each for each in self.heard if isinstance(each, kind)]

    def run(self, frames: int, **knobs: Any) -> None:
        spec = JobSpec(
            "t2v", 64, 64, frames, 16.0, engine="test", model="test", prompt=json.dumps(knobs), output=Output("raw")
        )
        self.socket.send(wm.encode(wm.RunJob("job", 1, spec)))


@pytest.fixture
def boss(tmp_path: Path) -> Iterator[Boss]:
    made = Boss(tmp_path)
    yield made
    made.socket.send(wm.encode(wm.Quit()))
    made.thread.join(WAIT_MS / 1000)
    assert not made.thread.is_alive()
    made.context.destroy(linger=0)


def test_everything_is_said_in_order(boss: Boss) -> None:
    boss.run(3, warn="look", note_at=1, preview_side=16)
    (ended,) = boss.until(wm.RunEnded)
    assert ended.outcome == "finished"
    kinds = [type(each).__name__ for each in boss.heard]
    one = ["PreviewMade", "FrameMade", "StepMade"]
    assert kinds == ["WorkerReady", "RunStarted", "StageBegan", "Caution", *one * 3, "RunEnded"]
    frames = boss.until(wm.FrameMade)
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [bool(frame.note) for frame in frames] == [False, True, False]


def test_a_cancel_costs_no_frame_more(boss: Boss, tmp_path: Path) -> None:
    """The engine is at frame 2 when it is told; nothing of frame 2 is ever said."""
    boss.run(50, wait_for=str(tmp_path / "never"), wait_at=2)
    boss.until(wm.FrameMade, 2)
    boss.socket.send(wm.encode(wm.CancelRun("job")))
    (ended,) = boss.until(wm.RunEnded)
    assert (ended.outcome, len(boss.until(wm.FrameMade))) == ("cancelled", 2)


def test_a_server_that_takes_nothing_can_cancel(boss: Boss) -> None:
    """The engine is ahead by the socket's queues and the outbox, not by the whole job."""
    boss.run(2000, delay_s=0.0)
    boss.until(wm.FrameMade, 1)
    boss.socket.send(wm.encode(wm.CancelRun("job")))
    (ended,) = boss.until(wm.RunEnded)
    assert ended.outcome == "cancelled"
    assert len(boss.until(wm.FrameMade)) < 2000


def test_frames_before_a_failure_arrive(boss: Boss) -> None:
    boss.run(9, fail_at=4)
    (ended,) = boss.until(wm.RunEnded)
    assert ended.outcome == "failed"
    assert "told to fail at frame 4" in ended.error
    assert len(boss.until(wm.FrameMade)) == 4
    boss.run(2)
    assert boss.until(wm.RunEnded, 2)[1].outcome == "finished"
