"""Runs the setup of a local backend from Blender: a process of its own, whose output file is read a little at a time.

No bpy; nothing here blocks. The process outlives Blender: a Blender that is started again finds it by its output file.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import launch
from .problems import UserProblem
from .setup import installer, machine, pythons, record
from .setup.said import Said, whole
from .words import tr

logger = logging.getLogger(__name__)

HERE = Path(__file__).resolve().parent
OUTPUT, CANCEL = "setup.jsonl", "setup.cancel"
READ_BYTES = 1 << 16  # a tick
ENDS = ("done", "problem", "cancelled")


@dataclass
class Progress:
    """The latest: ``done`` and ``total`` in bytes, ``rate`` in bytes a second, ``eta`` in seconds or None. ``text`` is
    drawn by ``spoken``."""

    stage: str = ""
    text: str = Said("Starting")
    done: int = 0
    total: int = 0
    rate: float = 0.0
    eta: float | None = None
    fraction: float = 0.0

    def words(self) -> str:
        """Such as ``120 of 180 MB, 24 MB/s, 3 s left``; empty when nothing is being loaded."""
        if not self.total and not self.done:
            return ""
        done, total = self.done >> 20, self.total >> 20
        parts = [tr("{done} of {total} MB", done=done, total=total) if self.total else tr("{done} MB", done=done)]
        if self.rate:
            parts.append(tr("{rate:.1f} MB/s", rate=self.rate / (1 << 20)))
        if self.eta is not None:
            parts.append(tr("{time} left", time=left(self.eta)))
        return ", ".join(parts)


def left(seconds: float) -> str:
    """Such as ``40 s`` or ``12 min``."""
    return tr("{seconds:.0f} s", seconds=seconds) if seconds < 90 else tr("{minutes:.0f} min", minutes=seconds / 60)


@dataclass
class Running:
    """A setup process. ``process`` is None for one that an earlier Blender started."""

    command: str
    folder: Path
    root: Path
    process: subprocess.Popen[bytes] | None
    number: int
    offset: int = 0
    rest: bytes = b""
    noise: str = ""
    over: bool = False
    progress: Progress = field(default_factory=Progress)
    end: dict[str, Any] | None = None

    def poll(self) -> bool:
        """Read what is new; True when there was something. ``over`` once it has ended and all is read."""
        gone = self.process.poll() is not None if self.process else not launch.process_exists(self.number)
        data = _read(self.folder / OUTPUT, self.offset)
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        self.over = gone and not data
        if self.over and self.end is None:
            said = (self.rest.decode(errors="replace") or self.noise).strip() or tr("it said nothing")
            self.end = {
                "type": "problem",
                "sentence": tr("The setup was ended from outside ({reason}): try again", reason=said[-120:]),
            }
        return bool(data)

    def _take(self, line: bytes) -> None:
        try:
            told = whole(json.loads(line))
            kind = told.pop("type")
        except (ValueError, KeyError, AttributeError):  # a traceback, or a warning of the Python
            self.noise = line.decode(errors="replace")
            logger.warning("setup: %s", self.noise)
            return
        if kind == "progress":
            self.progress = Progress(**told)
        elif kind in ENDS:
            self.end = {"type": kind, **told}

    def cancel(self) -> None:
        """Ask it to stop; it does within a second or so."""
        (self.folder / CANCEL).write_bytes(b"")


@dataclass
class Card:
    """What the panel shows, by ``spoken``: a plan to agree to, a setup that runs, how the last one ended."""

    running: Running | None = None
    plan: dict[str, Any] | None = None
    result: dict[str, Any] | None = None
    sentence: str = ""
    failed: bool = False  # whether the sentence says why the last one did not end well


card = Card()
_known: dict[Path, record.Record | None] = {}


def poll() -> bool:
    """One look at the running setup, if any; True when the panel has to be drawn again."""
    running = card.running
    if running is None:
        return False
    busy = running.poll()
    if running.over and running.end is not None:
        _finish(running, running.end)
        return True
    return busy


def _finish(running: Running, end: dict[str, Any]) -> None:
    card.running = None
    _known.clear()
    (running.folder / CANCEL).unlink(missing_ok=True)
    if end["type"] != "done":
        card.sentence, card.failed = end["sentence"], end["type"] == "problem"
        return
    card.sentence, result = "", end["result"]
    if running.command == "plan":
        card.plan = result
    elif running.command == "remove":
        card.result, card.sentence = None, tr("Removed: {mib} MB are free again", mib=result["freed"] >> 20)
        if result["left"]:
            names = ", ".join(result["left"][:3])
            card.sentence = tr("{said}; left, as it is not of the setup: {names}", said=card.sentence, names=names)
    else:
        card.result = result
        card.sentence = result.get("warning", "")
        card.failed = bool(card.sentence)


def start(command: str, folder: Path, root: Path, *options: str) -> Running:
    """Start ``command`` with its output in ``folder``. One that still runs is followed instead. Raises UserProblem."""
    found = running_in(folder, root)
    if found is not None:
        card.running = found
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CANCEL).unlink(missing_ok=True)
        with (folder / OUTPUT).open("wb") as output:
            words = ["-E", "-s", "-B", "-m", "setup", command, "--root", str(root), "--apart", "--cancel-file"]
            process = _spawn([*starter(), *words, str(folder / CANCEL), *options], output.fileno())
    except OSError as error:
        problem = tr(
            "The setup cannot be started ({path}: {reason})", path=error.filename or folder, reason=error.strerror
        )
        raise UserProblem(problem) from error
    card.plan = card.result = None
    card.failed = False
    card.sentence, card.running = "", Running(command, folder, root, process, process.pid)
    logger.info("setup %s started, process %d", command, process.pid)
    return card.running


def _spawn(command: list[str], output: int) -> subprocess.Popen[bytes]:
    """In a group of its own; its working folder is the add-on's, so that ``setup`` is found there."""
    group = {"creationflags": 0x08000200} if sys.platform == "win32" else {"start_new_session": True}
    return subprocess.Popen(
        command, cwd=HERE, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, close_fds=True, **group
    )


def starter() -> list[str]:
    """What runs the setup: Blender's own Python, else one of PATH, else uv's. Raises UserProblem."""
    own = sys.executable or ""
    if Path(own).name.lower().startswith("python"):
        return [own]
    found = shutil.which("python3") or shutil.which("python")
    if found:
        return [found]
    uv = pythons.find_uv()
    if uv:
        return [uv, "run", "--no-project", "python"]
    problem = tr("No Python was found to run the setup with: install uv or Python 3.11 to 3.13, then try again")
    raise UserProblem(problem)


def running_in(folder: Path, root: Path) -> Running | None:
    """The setup that an earlier Blender started and that still works, by its first and last lines."""
    try:
        lines = (folder / OUTPUT).read_bytes().splitlines()
        first = json.loads(lines[0])
        last = json.loads(lines[-1])
        number, command = int(first["process"]), str(first["command"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if last.get("type") in ENDS or not launch.process_exists(number):
        return None
    return Running(command, folder, root, None, number)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(READ_BYTES)
    except OSError:
        return b""


def known(root: Path | None = None) -> record.Record | None:
    """What is recorded of a folder's setup, looked up once until the next setup ends."""
    root = root or machine.default_root()
    if root not in _known:
        _known[root] = record.load(root)
    return _known[root]


def known_python() -> str:
    """The Python of the environment that a finished setup made, empty when there is none."""
    found = known()
    return str(found.result.get("python", "")) if found and found.finished else ""


def log(root: Path | None = None) -> str:
    """The setup's log, and what the last process said beside it."""
    return installer.read(root or machine.default_root())
