"""The worker against a server that is this test: what it says in which order, and that a cancel costs one frame."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq

from backend import worker
from backend import worker_messages as wm
from backend.supervisor import bound_endpoint
from backend.worker import Readings, Worker, card_broken, explain, free_card, out_of_memory, use_card
from protocol.errors import JobFailed
from protocol.specs import JobSpec, Output
from wan_models.engine import RequestRefused
from wan_models.events import WeightsRead

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


def test_what_is_read_is_said_while_the_engine_is_silent(boss: Boss, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    boss.run(1, weights_mib=8, wait_for=str(gate))
    (said,) = boss.until(wm.Reading)
    assert (said.what, said.done, said.total) == ("test weights", 4 << 20, 8 << 20)
    gate.touch()
    assert boss.until(wm.RunEnded)[0].outcome == "finished"


def test_few_of_many_reports_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first and the last of each network, and five a second between them."""
    now = [0.0]
    monkeypatch.setattr("backend.worker.time", SimpleNamespace(monotonic=lambda: now[0]))
    said: list[Any] = []
    readings = Readings("job", said.append)
    for what in ("transformer", "vae"):
        for done in range(1001):
            readings(WeightsRead(what, done, 1000))
            now[0] += 1 / 1024  # exact, so that 0.2 s are 205 of them
    whole = [0, 205, 410, 615, 820, 1000]
    assert [(each.what, each.done) for each in said] == [
        (what, done) for what in ("transformer", "vae") for done in whole
    ]


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


def test_an_engine_gives_its_memory_back_when_the_job_asks_for_it(boss: Boss, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is closed before the job ends, and opened again for the next."""
    said: list[str] = []
    open_real = worker.open_engine

    def open_it(name: str, options: Any) -> Any:
        said.append("open")
        engine = open_real(name, options)
        monkeypatch.setattr(engine, "close", lambda: said.append("close"), raising=False)
        return engine

    monkeypatch.setattr(worker, "open_engine", open_it)
    boss.until(wm.WorkerReady)
    said.clear()
    spec = JobSpec("t2v", 64, 64, 1, 16.0, engine="test", model="test", prompt="{}", output=Output("raw"), release=True)
    for count, wanted in ((1, ["open", "close"]), (2, ["open", "close"] * 2)):
        boss.socket.send(wm.encode(wm.RunJob("job", 1, spec)))
        ended = boss.until(wm.RunEnded, count)[-1]
        assert (ended.outcome, ended.card) == ("finished", wm.NO_CARD)
        assert said[-len(wanted) :] == wanted[-len(said) :]
    assert said.count("close") == 2


class OutOfMemoryError(RuntimeError):
    """Named as torch's is."""


@pytest.mark.parametrize(
    ("error", "memory", "broken", "part"),
    [
        (MemoryError(), True, False, "not enough memory for this job"),
        (OutOfMemoryError("CUDA out of memory. Tried to"), True, False, "not enough memory on the graphics card"),
        (RuntimeError("CUDA error: out of memory"), True, False, "not enough memory on the graphics card"),
        (RuntimeError("CUDA error: unspecified launch failure"), False, True, "the engine failed"),
        (RuntimeError("CUDA error: device-side assert triggered"), False, True, "the engine failed"),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False, "the engine failed (RuntimeError"),
        (ValueError("CUDA error is a word here"), False, False, "the engine failed"),
        (RequestRefused("a smaller plan is needed"), False, False, "a smaller plan is needed"),
    ],
)
def test_errors_are_told_apart(error: Exception, memory: bool, broken: bool, part: str) -> None:
    assert out_of_memory(error) is memory
    assert card_broken(error) is broken
    assert part in explain(error)[0]
    later = ValueError("while cleaning up")
    later.__cause__ = error
    assert card_broken(later) is broken


class Cuda(SimpleNamespace):
    """torch as far as the worker asks it."""

    def __init__(self, count: int) -> None:
        self.did: list[object] = []
        cuda = SimpleNamespace(is_available=lambda: count > 0, device_count=lambda: count, set_device=self.did.append)
        super().__init__(cuda=cuda, set_num_threads=self.did.append, __version__="2.13")


def test_torch_is_told_the_worker_s_card_and_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    use_card("cuda:0", 3)
    free_card()
    torch: Any = Cuda(2)
    monkeypatch.setitem(sys.modules, "torch", torch)
    use_card("cuda:1", 3)
    assert torch.did == [3, "cuda:1"]
    use_card("cpu", 0)
    assert torch.did == [3, "cuda:1"]
    with pytest.raises(JobFailed, match=r"for cuda:2, but PyTorch 2\.13 finds 2 cards"):
        use_card("cuda:2", 0)
