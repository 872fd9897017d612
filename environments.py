"""The Pythons of this machine, and the environments that run.py makes with them. Standard library only."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVS = Path(os.environ.get("WANSTAGE_ENVS", ROOT / ".envs"))
REQUIREMENTS = ROOT / "requirements"
BPY_FOR_PYTHON = {(3, 11): "5.0", (3, 13): "5.2"}


class Problem(Exception):
    """Something the person at the keyboard can act on, in one sentence."""


@dataclass(frozen=True)
class Interpreter:
    """A Python to make environments with."""

    path: Path
    version: tuple[int, int]


def interpreter(path: Path) -> Interpreter:
    """Ask the Python at ``path`` for its version; Problem when it is none."""
    asked = [str(path), "-c", "import sys; print(*sys.version_info[:2])"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
        major, minor = answer.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        sentence = f"{path} is not a Python that runs here ({error}); give --python the path of Python 3.11 or 3.13"
        raise Problem(sentence) from error
    return Interpreter(path, (int(major), int(minor)))


def chosen_interpreter(path: str | None) -> Interpreter:
    """The Python of ``--python``, else the one that runs this file; only versions with bpy wheels."""
    found = interpreter(Path(path)) if path else Interpreter(Path(sys.executable), sys.version_info[:2])
    if found.version not in BPY_FOR_PYTHON:
        given = ".".join(map(str, found.version))
        sentence = f"Blender's bpy wheels exist for Python 3.11 and 3.13, this is {given}: give --python PATH to one"
        raise Problem(sentence)
    return found


def all_interpreters(first: Interpreter) -> list[Interpreter]:
    """``first`` and, for the other version that has bpy wheels, any that can be found."""
    others = [version for version in BPY_FOR_PYTHON if version != first.version]
    found = [first]
    for major, minor in others:
        for candidate in _candidates(f"{major}.{minor}"):
            try:
                other = interpreter(candidate)
            except Problem:
                continue
            if other.version == (major, minor):
                found.append(other)
                break
    return found


def _candidates(version: str) -> Iterator[Path]:
    named = shutil.which(f"python{version}")
    if named:
        yield Path(named)
    for root in (Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python"):
        for folder in sorted(root.glob(f"*{version}.*")):
            yield folder / "bin" / "python"
    if os.name == "nt" and shutil.which("py"):
        asked = subprocess.run(
            [shutil.which("py") or "py", f"-{version}", "-c", "import sys; print(sys.executable)"],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode == 0:
            yield Path(asked.stdout.strip())


def _with_included(requirements: Path) -> Iterator[bytes]:
    """The file, and those that its ``-r`` lines name."""
    text = requirements.read_text(encoding="utf-8")
    yield text.encode()
    for line in text.splitlines():
        if line.startswith("-r "):
            yield from _with_included(requirements.parent / line[3:].strip())


@dataclass(frozen=True)
class Environment:
    """A virtual environment made from ``requirements/NAME.txt``."""

    name: str
    base: Interpreter

    @property
    def folder(self) -> Path:
        return ENVS / self.name

    @property
    def scripts(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin")

    @property
    def python(self) -> Path:
        return self.scripts / ("python.exe" if os.name == "nt" else "python")

    @property
    def requirements(self) -> Path:
        return REQUIREMENTS / f"{self.name}.txt"

    def stamp(self) -> str:
        """What the environment was made of: any change makes it anew."""
        parts = [*_with_included(self.requirements), (REQUIREMENTS / "constraints.txt").read_bytes()]
        parts.append(repr((self.base.version, str(self.folder))).encode())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()

    def is_ready(self) -> bool:
        stamp = self.folder / "wanstage.stamp"
        return self.python.exists() and stamp.exists() and stamp.read_text() == self.stamp()

    def variables(self) -> dict[str, str]:
        """The process environment for a command inside it: the checkout is importable, nothing else leaks in."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        path = os.pathsep.join([str(self.scripts), kept.get("PATH", "")])
        return {**kept, "PATH": path, "VIRTUAL_ENV": str(self.folder), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


class Status:
    """One line that says what is going on, rewritten in place on a terminal, printed on change elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._lines: dict[str, str] = {}
        self._live = sys.stdout.isatty()

    def say(self, name: str, text: str) -> None:
        with self._lock:
            if self._lines.get(name) == text:
                return
            self._lines[name] = text
            seconds = time.monotonic() - self._started
            if self._live:
                joined = "   ".join(f"{key}: {value}" for key, value in self._lines.items())
                width = shutil.get_terminal_size().columns - 1
                print(f"\r{f'[{seconds:4.0f} s] {joined}'[:width]:<{width}}", end="", flush=True)
            elif not text.startswith("found "):
                print(f"[{seconds:4.0f} s] {name}: {text}", flush=True)

    def end(self) -> None:
        if self._live and self._lines:
            print()


def make_environments(environments: Sequence[Environment]) -> float:
    """Make those that are not ready, side by side; seconds taken (0.0 when there was nothing to do)."""
    wanted = [environment for environment in environments if not environment.is_ready()]
    if not wanted:
        return 0.0
    print(f"Installing {', '.join(e.name for e in wanted)} under {ENVS} (once; the downloads take a few minutes)")
    started, status, problems = time.monotonic(), Status(), []

    def make(environment: Environment) -> None:
        try:
            _make(environment, status)
        except Problem as problem:
            problems.append(problem)

    threads = [threading.Thread(target=make, args=[environment]) for environment in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    status.end()
    if problems:
        raise problems[0]
    return time.monotonic() - started


def _make(environment: Environment, status: Status) -> None:
    name = environment.name
    if environment.folder.exists():
        shutil.rmtree(environment.folder)
    status.say(name, "creating")
    ENVS.mkdir(parents=True, exist_ok=True)
    _install(environment, [str(environment.base.path), "-m", "venv", str(environment.folder)], status)
    constraints = ["-c", str(REQUIREMENTS / "constraints.txt")] if not name.startswith("blender") else []
    pip = [str(environment.python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    _install(environment, [*pip, *constraints, "-r", str(environment.requirements)], status)
    (environment.folder / "wanstage.stamp").write_text(environment.stamp())
    status.say(name, "ready")


def _install(environment: Environment, command: list[str], status: Status) -> None:
    """Run pip or venv, show what it does, keep its words in a log for when it fails."""
    log = ENVS / f"{environment.name}.log"
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    text = {"text": True, "encoding": "utf-8", "errors": "replace"}
    with log.open("a", encoding="utf-8") as file, subprocess.Popen(command, **pipes, **text) as process:
        for line in process.stdout or ():
            file.write(line)
            shown = _pip_progress(line)
            if shown:
                status.say(environment.name, shown)
    if process.returncode:
        last = [line for line in log.read_text(encoding="utf-8").splitlines() if line.strip()][-1:]
        reason = last[0].strip() if last else "no output"
        sentence = f"making the environment {environment.name} failed: {reason} (the whole log: {log})"
        raise Problem(sentence)


def _pip_progress(line: str) -> str:
    line = line.strip()
    fetched = re.match(r"(?:Downloading|Using cached) (\S+?)[ (]+([\d.]+ [kMG]?B)\)?", line)
    if fetched:
        return f"{Path(fetched[1]).name.split('-')[0]} {fetched[2]}"
    if line.startswith("Collecting "):
        return "found " + line.split()[1]
    return "installing packages" if line.startswith("Installing collected") else ""
