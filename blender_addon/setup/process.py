"""Runs a child to its end, its output read line by line, and stops it when the user cancels."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from .problems import SetupProblem
from .report import Reporter, clean_environment
from .said import Said

LOOK_S = 0.2
END_S = 5.0
TAIL = 40
NO_SPACE = ("no space left on device", "not enough space on the disk", "disk quota exceeded")
NO_NETWORK = (
    "could not connect",
    "failed to establish a new connection",
    "name resolution",
    "getaddrinfo failed",
    "network is unreachable",
    "nodename nor servname",
    "connection refused",
    "no address associated",
)


def run(
    command: Sequence[str],
    reporter: Reporter,
    what: str,
    *,
    on_line: Callable[[str], None] | None = None,
    cwd: str = "",
    codes: tuple[int, ...] = (0,),
) -> list[str]:
    """Its output's lines. SetupProblem with ``what`` failed when its exit status is none of ``codes``, Cancelled when
    the user cancels."""
    reporter.log("$ " + " ".join(command))
    code, lines = _follow(_start(command, what, cwd), reporter, on_line)
    if code not in codes:
        raise SetupProblem(explain(what, code, lines[-TAIL:]))
    return lines


def _start(command: Sequence[str], what: str, cwd: str) -> subprocess.Popen[str]:
    group = {"creationflags": 0x08000000} if sys.platform == "win32" else {"start_new_session": True}  # no console
    try:
        return subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd or None,
            text=True, encoding="utf-8", errors="replace", env=clean_environment(), **group,
        )  # fmt: skip
    except OSError as error:
        problem = Said(
            "{what} failed, {program} cannot be run ({reason}): press Repair",
            what=what,
            program=command[0],
            reason=error.strerror,
        )
        raise SetupProblem(problem) from error


def _follow(
    child: subprocess.Popen[str], reporter: Reporter, on_line: Callable[[str], None] | None
) -> tuple[int, list[str]]:
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    reader = threading.Thread(target=_read, args=[child, lines], daemon=True)
    reader.start()
    kept: deque[str] = deque(maxlen=4000)
    try:
        while (line := _next(lines, reporter)) is not None:
            if on_line is None or not line.startswith("Progress "):
                reporter.log(line)
                kept.append(line)
            if on_line is not None:
                on_line(line)
        return child.wait(), list(kept)
    finally:
        stop(child)
        reader.join(END_S)
        if child.stdout is not None:
            child.stdout.close()


def _next(lines: queue.SimpleQueue[str | None], reporter: Reporter) -> str | None:
    while True:
        reporter.check_cancelled()
        try:
            return lines.get(timeout=LOOK_S)
        except queue.Empty:
            continue


def _read(child: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    if child.stdout is not None:
        for line in child.stdout:
            lines.put(line.rstrip("\r\n"))
    lines.put(None)


def stop(child: subprocess.Popen[str]) -> None:
    """End it and what it started; nothing when it has ended."""
    if child.poll() is not None:
        return
    if sys.platform == "win32":
        child.terminate()
    else:
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def explain(what: str, code: int, lines: Sequence[str]) -> str:
    """One sentence of a failed child's last lines."""
    text = "\n".join(lines).lower()
    if any(sign in text for sign in NO_SPACE):
        return Said("{what} failed, the disk is full: make room, then try again; what was loaded is kept", what=what)
    if any(sign in text for sign in NO_NETWORK):
        return Said("{what} failed, the package index cannot be reached: check the network, then try again", what=what)
    errors = [line.strip() for line in lines if line.lower().startswith("error")]
    last = errors[-1] if errors else next((line.strip() for line in reversed(lines) if line.strip()), "")
    reason = last[:200] or Said("it ended with {code} and said nothing", code=code)
    return Said("{what} failed ({reason}): try again, or copy the log and ask", what=what, reason=reason)


def scripts(environment: Path) -> Path:
    """Where an environment has its programs."""
    return environment / ("Scripts" if sys.platform == "win32" else "bin")


def python_of(environment: Path) -> Path:
    """An environment's Python."""
    return scripts(environment) / ("python.exe" if sys.platform == "win32" else "python")
