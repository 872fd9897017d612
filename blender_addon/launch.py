"""Start a local backend, or find the one that runs. No bpy; nothing here blocks.

The backend is a process of its own, outlives Blender until its jobs are done, and says that it is ready by
writing its connection file. Three failed starts within a minute end the trying until the user asks again.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import heard, wire
from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

ENDPOINT = re.compile(r"tcp://[^/:]+:\d{1,5}|tcp://\[[^/]+\]:\d{1,5}")
KEY_CHARS = 40  # a CURVE key as Z85 text
MAX_STARTS = 3
START_WINDOW_S = 60.0
START_TIMEOUT_S = 45.0
TAIL_LINES = 3

_starts: list[float] = []


@dataclass
class Launch:
    """A backend that is being started; ask ``poll`` until it answers."""

    process: subprocess.Popen[bytes]
    connection_file: Path
    log: Path
    began: float = field(default_factory=time.monotonic)

    def poll(self) -> wire.connection.Connection | None:
        """The connection once the backend is ready, None while it is not. Raises UserProblem."""
        if self.process.poll() is not None:
            problem = tr(
                "The backend ended with code {code}: {tail}", code=self.process.returncode, tail=tail(self.log)
            )
            raise UserProblem(problem)
        if self.connection_file.is_file():
            connection = read(self.connection_file)
            if alive(connection):
                _starts.clear()
                return connection
        if time.monotonic() - self.began > START_TIMEOUT_S:
            self.process.terminate()
            problem = tr(
                "The backend did not get ready within {seconds:.0f} seconds; its log is {log}",
                seconds=START_TIMEOUT_S,
                log=self.log,
            )
            raise UserProblem(problem)
        return None


def read(path: Path) -> wire.connection.Connection:
    """The connection file's content. Raises UserProblem."""
    try:
        found = wire.connection.read(path)
    except wire.connection.ConnectionProblem as error:
        raise UserProblem(heard.reason(error)) from error
    if not ENDPOINT.fullmatch(found.endpoint):
        problem = tr(
            "The connection file {path} names {endpoint!r}: it must be such as tcp://127.0.0.1:5555",
            path=path,
            endpoint=found.endpoint,
        )
        raise UserProblem(problem)
    if any(len(key) not in {0, KEY_CHARS} for key in (found.server_key, found.client_key, found.client_secret)):
        problem = tr(
            "A key in the connection file {path} is damaged: copy the file again from where the backend runs", path=path
        )
        raise UserProblem(problem)
    return found


def living(path: Path) -> wire.connection.Connection | None:
    """The backend that the connection file names, if it can be one that answers."""
    if not path.is_file():
        return None
    connection = read(path)
    return connection if alive(connection) else None


def is_loopback(endpoint: str) -> bool:
    """Whether an endpoint is on this machine; of names only "localhost" is, whatever others resolve to."""
    host = endpoint.removeprefix("tcp://").rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def alive(connection: wire.connection.Connection) -> bool:
    """False only for a local backend whose process or port is gone; a remote one is asked by connecting."""
    if not is_loopback(connection.endpoint):
        return True
    if connection.pid and not process_exists(connection.pid):
        return False
    host, port = connection.endpoint.removeprefix("tcp://").rsplit(":", 1)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=0.2):
            return True
    except OSError:
        return False


def process_exists(pid: int) -> bool:
    """Whether a process of this number runs. Windows must not be asked by a signal: that would end it."""
    if sys.platform == "win32":
        import ctypes

        handle = ctypes.windll.kernel32.OpenProcess(0x00100000, False, pid)  # SYNCHRONIZE
        if not handle:
            return False
        waiting = ctypes.windll.kernel32.WaitForSingleObject(handle, 0) == 0x102  # WAIT_TIMEOUT
        ctypes.windll.kernel32.CloseHandle(handle)
        return waiting
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def stop(pid: int, seconds: float) -> bool:
    """End a backend of this machine and wait until it is gone; False when it is not after so many seconds."""
    os.kill(pid, signal.SIGTERM)
    ended = time.monotonic() + seconds
    while not _gone(pid):
        if time.monotonic() > ended:
            return False
        time.sleep(0.05)
    return True


def _gone(pid: int) -> bool:
    """Whether the process has ended; one that we started is not gone before we asked how it ended."""
    if sys.platform == "win32":
        return not process_exists(pid)
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not process_exists(pid)


def start(python: str, folder: str, data: Path, connection_file: Path, idle_exit_s: float) -> Launch:
    """Start a backend of this machine. Raises UserProblem."""
    _break_circuit()
    if not python:
        problem = tr("No backend is running and no backend Python is set: choose one in the add-on's preferences")
        raise UserProblem(problem)
    command = [python, "-m", "backend.cli", "serve", "--data", str(data / "backend"),
               "--connection-file", str(connection_file), "--idle-exit", f"{idle_exit_s:g}"]  # fmt: skip
    log = data / "backend.log"
    try:
        data.mkdir(parents=True, exist_ok=True)
        connection_file.unlink(missing_ok=True)
        with log.open("wb") as output:
            process = _spawn(command, folder, output.fileno())
    except OSError as error:
        problem = tr(
            "The backend cannot be started with {python} ({reason}): check the add-on's preferences",
            python=python,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error
    logger.info("started a backend, process %d, log %s", process.pid, log)
    return Launch(process, connection_file, log)


def _spawn(command: list[str], folder: str, output: int) -> subprocess.Popen[bytes]:
    """In a group of its own, so that Ctrl-C in Blender's terminal does not end the user's jobs."""
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    if folder:
        environment["PYTHONPATH"] = folder
    group = {"creationflags": 0x200} if sys.platform == "win32" else {"start_new_session": True}
    return subprocess.Popen(
        command, cwd=folder or None, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **group
    )


def _break_circuit() -> None:
    now = time.monotonic()
    _starts[:] = [moment for moment in _starts if now - moment < START_WINDOW_S]
    if len(_starts) >= MAX_STARTS:
        problem = tr(
            "The backend was started {count} times within a minute and did not stay: read its log first",
            count=MAX_STARTS,
        )
        raise UserProblem(problem)
    _starts.append(now)


def tail(log: Path) -> str:
    """The last lines of the log as one sentence's end."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return " / ".join(line.strip() for line in lines[-TAIL_LINES:]) or f"its log {log} is empty"
