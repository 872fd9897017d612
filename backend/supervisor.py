"""Worker processes: started ahead of the first job, watched, killed, started again (with a circuit breaker).

Each slot has a PAIR socket of its own: ipc in a private folder where there is ipc, else loopback TCP with CURVE
keys made for that one process. A new process gets a new socket, so nothing an old one said can arrive late.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal

import msgspec
import zmq

from wan_models.options import Options

from . import worker_messages as wm
from .zap import ZapHandler

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 5
FIRST_DELAY_S = 0.25
MAX_DELAY_S = 30.0
START_TIMEOUT_S = 300.0  # importing torch on a cold disk
RECEIVE_HWM = 8  # frames of a fast engine wait in the worker, which then waits too, not in the server
BATCH = 32  # messages taken from one worker before the loop looks elsewhere
ROOT = Path(__file__).resolve().parent.parent

State = Literal["off", "starting", "idle", "busy"]
Context = zmq.Context[zmq.Socket[bytes]]


@dataclass(frozen=True)
class Fleet:
    """What every worker is told. ``log_folder`` gets one log file a slot; ``threads`` and ``options`` see WorkerConfig.

    ``warm`` are engines to open before the first job; those of ``warm_on_card`` only in workers of a graphics card,
    which open no others ahead.
    """

    assets: Path
    log_folder: Path
    warm: tuple[str, ...]
    threads: int = 0
    warm_on_card: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)


def threads_each(workers: int, cores: int | None = None) -> int:
    """OpenCV threads for each of ``workers``: their share of the cores, less one for encoding and reading."""
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // workers - 1)


def bound_endpoint(socket: zmq.Socket[bytes]) -> str:
    """Where the socket listens, with the port it was given."""
    found = socket.getsockopt(zmq.LAST_ENDPOINT)
    text = found.decode() if isinstance(found, bytes) else str(found)
    return text.rstrip("\0")


class Slot:
    """One place for a worker process. ``job_id`` is what it works on."""

    def __init__(
        self, device: str, context: Context, zap: ZapHandler, folder: Path, fleet: Fleet, *, aside: bool = False
    ) -> None:
        """Nothing runs until ``start``; ``folder`` is private and its path short (ipc paths end at 104 characters).

        ``device`` is cpu:N or cuda:N. ``aside``: for the engines that have a process of their own, which starts only
        when it is ``wanted``.
        """
        self.device, self.aside, self.wanted = device, aside, not aside
        self.name = "aside" if aside else device.replace(":", "")
        self.state: State = "off"
        self.job_id = ""
        self.model = ""  # of the process's last job
        self.card: wm.Card = wm.NO_CARD  # MiB of its card: held by it, free, in all, as it last told
        self.kill_at: float | None = None
        self.start_at = 0.0
        self.failed_starts = 0
        self.socket: zmq.Socket[bytes] | None = None
        self._started = 0.0
        self._serial = 0
        self._context, self._zap, self._folder, self._fleet = context, zap, folder, fleet
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def on_card(self) -> bool:
        """True for a worker that has a graphics card."""
        return self.device.startswith("cuda")

    @property
    def pid(self) -> int:
        """The worker's process id, 0 when there is none."""
        return self._process.pid if self._process else 0

    @property
    def broken(self) -> bool:
        """True while so many starts have failed that jobs should hear of it."""
        return self.failed_starts >= MAX_FAILED_STARTS

    def start(self, now: float) -> None:
        """Bind a new socket and start a process for it."""
        self._serial += 1
        self._started = now
        self.state = "starting"
        self.socket = self._context.socket(zmq.PAIR)
        self.socket.linger = 0
        self.socket.rcvhwm = RECEIVE_HWM
        config = self._bind(self.socket)
        self._process = self._spawn()
        assert self._process.stdin is not None  # noqa: S101 - asked for just above; for the type checker
        # A worker that died at once shows as an exit status at the next tick.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(config.line())
            self._process.stdin.flush()

    def _bind(self, socket: zmq.Socket[bytes]) -> wm.WorkerConfig:
        fleet = self._fleet
        warm = fleet.warm_on_card if self.on_card else () if self.aside else fleet.warm
        options = replace(fleet.options, device=self.device if self.on_card else "cpu")
        plain = wm.WorkerConfig("", str(fleet.assets), warm=warm, threads=fleet.threads, options=options)
        if zmq.has("ipc"):
            endpoint = f"ipc://{self._folder}/{self.name}.{self._serial}"
            socket.bind(endpoint)
            return msgspec.structs.replace(plain, endpoint=endpoint)
        server_key, server_secret = zmq.curve_keypair()
        public, secret = zmq.curve_keypair()
        domain = f"worker-{self.name}".encode()
        self._zap.allow(domain, frozenset({public}))
        socket.curve_server = True
        socket.curve_secretkey = server_secret
        socket.zap_domain = domain
        socket.bind("tcp://127.0.0.1:*")
        keys = {"server_key": server_key.decode(), "public": public.decode(), "secret": secret.decode()}
        return msgspec.structs.replace(plain, endpoint=bound_endpoint(socket), **keys)

    def _spawn(self) -> subprocess.Popen[bytes]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        with self._log_file() as out:
            return subprocess.Popen(
                [sys.executable, "-m", "backend.worker"],
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=out,
                env=environment,
            )

    def _log_file(self) -> IO[bytes]:
        path = self._fleet.log_folder / f"worker-{self.name}.log"
        if path.exists() and path.stat().st_size > 8 * 1024 * 1024:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def send(self, message: wm.ToWorker) -> None:
        """Never blocks: a worker that does not read is dead or will be killed, and both are seen elsewhere."""
        assert self.socket is not None  # noqa: S101 - only slots with a process are sent anything
        with contextlib.suppress(zmq.Again):
            self.socket.send(wm.encode(message), zmq.NOBLOCK)

    def receive(self) -> Iterator[tuple[wm.ToServer, memoryview]]:
        """What the worker has said, at most BATCH messages, each with its pixels (empty when it has none)."""
        for _ in range(BATCH):
            if self.socket is None:
                return
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            yield wm.decode_for_server([parts[0].buffer]), parts[1].buffer if len(parts) > 1 else memoryview(b"")

    def overdue(self, now: float) -> bool:
        """True when the process should be killed: it ignored a cancel, or it never became ready."""
        starting_too_long = self.state == "starting" and now - self._started > START_TIMEOUT_S
        return starting_too_long or (self.kill_at is not None and now >= self.kill_at)

    def kill(self) -> None:
        """Kill the process; ``gone`` will say so."""
        if self._process:
            log.warning("killing worker %s (process %d)", self.name, self._process.pid)
            self._process.kill()

    def gone(self) -> int | None:
        """The exit status of a process that ended, else None."""
        return self._process.poll() if self._process else None

    def close(self) -> None:
        """Let go of an ended (or killed) process and its socket."""
        if self._process:
            assert self._process.stdin is not None  # noqa: S101 - as in start
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            self._process.wait()
            self._process = None
        if self.socket is not None:
            self.socket.close(linger=0)
            self.socket = None
        self.state, self.job_id, self.model, self.kill_at, self.card = "off", "", "", None, wm.NO_CARD


class Supervisor:
    """All slots, kept running. ``lost(slot, job_id, status)`` is called after a worker ended with a job."""

    def __init__(
        self, context: Context, zap: ZapHandler, devices: Sequence[str], fleet: Fleet, *, aside: bool = False
    ) -> None:
        """One slot a device (cpu:N, cuda:N), and one more where engines want one ``aside``. Starts nothing yet."""
        self._folder = Path(tempfile.mkdtemp(prefix="wanstage-"))
        fleet.log_folder.mkdir(parents=True, exist_ok=True)
        self.slots = [Slot(device, context, zap, self._folder, fleet) for device in devices]
        if aside:
            self.slots.append(Slot("cpu:0", context, zap, self._folder, fleet, aside=True))

    @property
    def devices(self) -> tuple[str, ...]:
        """One name a slot, but for the one that is kept aside."""
        return tuple(slot.device for slot in self.slots if not slot.aside)

    def tick(self, now: float, lost: Callable[[Slot, str, int], None]) -> None:
        """Kill what is overdue, notice what ended, start what is due."""
        for slot in self.slots:
            if slot.overdue(now):
                slot.kill_at = None
                slot.kill()
            status = slot.gone()
            if status is not None:
                self._bury(slot, status, now, lost)
            if slot.state == "off" and slot.wanted and now >= slot.start_at:
                self._start(slot, now, lost)

    def _start(self, slot: Slot, now: float, lost: Callable[[Slot, str, int], None]) -> None:
        try:
            slot.start(now)
        except (OSError, zmq.ZMQError):  # no memory, no descriptors, no disk for its log: later, perhaps
            log.exception("worker %s could not be started", slot.name)
            slot.state = "starting"
            self._bury(slot, -1, now, lost)

    def _bury(self, slot: Slot, status: int, now: float, lost: Callable[[Slot, str, int], None]) -> None:
        job_id, was = slot.job_id, slot.state
        log.warning("worker %s ended with status %d while %s", slot.name, status, was)
        slot.close()
        slot.start_at = now
        if was == "starting":
            slot.failed_starts += 1
            slot.start_at = now + min(MAX_DELAY_S, FIRST_DELAY_S * 2.0**slot.failed_starts)
        if job_id:
            lost(slot, job_id, status)

    def stop(self, patience_s: float = 2.0) -> None:
        """Ask idle workers to quit, close the standard input of all (they exit at once), kill what is left."""
        deadline = time.monotonic() + patience_s
        for slot in self.slots:
            process = slot._process
            if process is None or process.stdin is None:
                continue
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                slot.kill()
        for slot in self.slots:
            slot.close()
        shutil.rmtree(self._folder, ignore_errors=True)
