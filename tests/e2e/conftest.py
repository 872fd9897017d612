"""A real server process a test, and clients that wait for what they expect, with a deadline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol import connection
from protocol.assets import AssetFolder
from protocol.client import Client, new_id
from protocol.connection import Connection
from protocol.events import ClientEvent, FrameArrived, JobChanged, Refused, RequestFailed
from protocol.messages import JobUpdate
from protocol.specs import JobSpec, Output

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 30.0


def job_spec(frames: int = 4, width: int = 64, height: int = 64, **told: Any) -> JobSpec:
    """A job of the test engine; what JobSpec does not know are knobs of the engine."""
    own = {name: told.pop(name) for name in list(told) if name in JobSpec.__struct_fields__}
    own = {"engine": "test", "model": "test", "task": "t2v", "output": Output("raw", previews=False), **own}
    return JobSpec(width=width, height=height, frames=frames, fps=16.0, prompt=json.dumps(told), **own)


class Served:
    """One ``wanstage serve`` process; ``stop`` and ``kill`` wait for its end."""

    def __init__(self, data: Path, *options: str) -> None:
        """Start it and wait for the ready line."""
        command = [sys.executable, "-m", "backend.cli", "serve", "--data", str(data), "--test-engine"]
        command += ["--workers", "cpu:1", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        self.data = data
        self._errors = (data.parent / f"{data.name}.stderr").open("ab")
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._errors, env=environment)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.start_s = time.monotonic() - began
        self.ready: dict[str, Any] = json.loads(line) if line else {}

    @property
    def connection(self) -> Connection:
        return connection.read(Path(self.ready["connection_file"]))

    @property
    def port(self) -> str:
        return self.ready["endpoint"].rpartition(":")[2]

    def worker(self) -> psutil.Process:
        """The worker process, once it runs."""
        return until(lambda: next(iter(psutil.Process(self.process.pid).children()), None), "a worker process")

    def wait(self) -> int:
        code = self.process.wait(DEADLINE_S)
        self._close()
        return code

    def stop(self) -> int:
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        self.process.kill()
        self.wait()

    def _close(self) -> None:
        if self.process.stdout:
            self.process.stdout.close()
        self._errors.close()


def until(probe: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    """Ask until the answer is true."""
    end = time.monotonic() + deadline_s
    while not (found := probe()):
        assert time.monotonic() < end, f"no {what} within {deadline_s} s"
        time.sleep(0.01)  # the probe is of another process, which sends no event
    return found


@dataclass
class Seen:
    """A client and everything it was told."""

    client: Client
    folder: AssetFolder
    events: list[ClientEvent] = field(default_factory=list)
    frames: dict[str, list[bytes]] = field(default_factory=dict)
    consume: bool = True

    def until(self, done: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
        """Take events until ``done`` is true; frames are copied and consumed."""
        end = time.monotonic() + deadline_s
        while not (found := done()):
            assert time.monotonic() < end, f"still {self.client.state} {self.client.problem}; last: {self.events[-3:]}"
            for event in self.client.wait(0.2):
                self._take(event)
        return found

    def _take(self, event: ClientEvent) -> None:
        self.events.append(event)
        if isinstance(event, FrameArrived):
            mine = self.frames.setdefault(event.job_id, [])
            assert event.index == len(mine), "frames come in order, each once"
            mine.append(bytes(event.data))
            if self.consume:
                self.client.consumed(event)

    def submit(self, spec: JobSpec, follow: bool = True) -> str:
        job = new_id()
        self.client.submit(job, spec, self.folder)
        if follow:
            self.client.attach(job)
        return job

    def state(self, job: str) -> JobUpdate | None:
        found = [e.update for e in self.events if isinstance(e, JobChanged) and e.update.job_id == job]
        return found[-1] if found else None

    def states(self, job: str) -> list[str]:
        """The states the job went through, each once in a row."""
        found = [e.update.state for e in self.events if isinstance(e, JobChanged) and e.update.job_id == job]
        return [state for i, state in enumerate(found) if i == 0 or found[i - 1] != state]

    def wait_state(self, job: str, *states: str) -> JobUpdate:
        return self.until(lambda: (now := self.state(job)) is not None and now.state in states and now)

    def wait_frames(self, job: str, count: int) -> list[bytes]:
        self.until(lambda: len(self.frames.get(job, [])) >= count)
        return self.frames[job]

    def wait_error(self) -> Exception:
        kinds = (RequestFailed, Refused)
        return self.until(lambda: next((e for e in self.events if isinstance(e, kinds)), None)).error


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start servers; what still runs at the end is stopped, and must stop cleanly."""
    started: list[Served] = []

    def start(*options: str, data: str = "data") -> Served:
        served = Served(tmp_path / data, *options)
        assert served.ready, (tmp_path / f"{data}.stderr").read_text()
        started.append(served)
        return served

    yield start
    for served in started:
        if served.process.poll() is None:
            assert served.stop() == 0


@pytest.fixture
def join(tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Connect clients; they are closed at the end."""
    made: list[Seen] = []

    def connect(to: Connection, **told: Any) -> Seen:
        client = Client(to, client_name="e2e 1", **told)
        client.open()
        made.append(Seen(client, AssetFolder(tmp_path / "mine")))
        return made[-1]

    yield connect
    for seen in made:
        seen.client.close()


@contextmanager
def connected(served: Served, folder: Path) -> Iterator[Seen]:
    """A client of it, whose assets are in ``folder``."""
    client = Client(served.connection, client_name=f"e2e {folder.name}")
    client.open()
    try:
        yield Seen(client, AssetFolder(folder))
    finally:
        client.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the module; those that need other models or options make their own."""
    served = Served(tmp_path_factory.mktemp("served") / "data")
    assert served.ready, (served.data.parent / "data.stderr").read_text()
    yield served
    assert served.stop() == 0


@pytest.fixture
def seen(tmp_path: Path, served: Served) -> Iterator[Seen]:
    """A client for the test."""
    with connected(served, tmp_path / "mine") as client:
        yield client
