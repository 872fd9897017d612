#!/usr/bin/env python3
"""One command for each thing a person wants of a checkout: demo, test, extension, exec.

Standard library only. Every command makes the environments it needs with venv and pip, once, under
``.envs`` (or ``$WANSTAGE_ENVS``), and makes them again when their requirements change.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rings import Ledger, Part, Problem, side_by_side, step

ROOT = Path(__file__).resolve().parent
ENVS = Path(os.environ.get("WANSTAGE_ENVS", ROOT / ".envs"))
REQUIREMENTS = ROOT / "requirements"
BPY_FOR_PYTHON = {(3, 11): "5.0", (3, 13): "5.2"}
TOGETHER = (("style",), ("unit", "e2e", "bpy"), ("gui",), ("examples",))
"""Rings whose parts run side by side; the window's tests click at a moving picture and have the machine alone."""
PICTURES = ("install", "shot", "panels", "models", "panel", "takes", "timeline", "talking", "check", "follow")
GUI_TOOLS = ("blender", "Xvfb", "xdotool", "ffmpeg")
BLENDERS_FOR_PYTHON = {(3, 11): ("4.2", "4.5", "5.0"), (3, 13): ("5.2",)}


# ---- Python interpreters and environments -------------------------------------------------------


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


# ---- demo ---------------------------------------------------------------------------------------


def demo(arguments: argparse.Namespace) -> int:
    """The main job: a rigged character in Blender becomes frames on a plane, in DIR."""
    base = chosen_interpreter(arguments.python)
    out = Path(arguments.out).resolve()
    blender = Environment(f"blender-{BPY_FOR_PYTHON[base.version]}", base)
    backend = Environment("backend", base)
    install_s = make_environments([blender, backend])
    out.mkdir(parents=True, exist_ok=True)
    script = [str(blender.python), str(ROOT / "examples" / "demo.py"), "--out", str(out)]
    script += ["--backend-python", str(backend.python)]
    if subprocess.run(script, env=blender.variables(), check=False).returncode:
        sentence = f"the demo stopped; the sentence above says why, and the backend's log is in {out / 'log'}"
        raise Problem(sentence)
    pictures = [str(backend.python), str(ROOT / "examples" / "pictures.py"), str(out)]
    started = time.monotonic()
    if subprocess.run(pictures, env=backend.variables(), check=False).returncode:
        sentence = f"the pictures of {out} could not be made; the sentence above says why"
        raise Problem(sentence)
    report = _finish_report(out, install_s, time.monotonic() - started)
    _print_report(out, report)
    return 0


def _finish_report(out: Path, install_s: float, pictures_s: float) -> dict[str, object]:
    path = out / "report.json"
    report = json.loads(path.read_text(encoding="utf-8"))
    report["seconds"] = {"install": round(install_s, 2), **report["seconds"], "pictures": round(pictures_s, 2)}
    report["machine"] = {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return dict(report)


def _print_report(out: Path, report: dict[str, object]) -> None:
    print(f"\nDone. Everything is in {out}:")
    for name, what in (
        ("contact_sheet.png", "both shots at a glance"),
        ("shot.blend", "the scene, its takes on image planes; open it in Blender"),
        ("animate/take.mp4", "another person does the motion"),
        ("i2v/take.mp4", "the rendered first frame, moved by the scene"),
        ("drive_pack/", "what the scene sent: pose, clay, mask, depth"),
        ("report.json", "versions, seconds, bytes"),
    ):
        print(f"  {name:<20} {what}")
    seconds = report["seconds"]
    if isinstance(seconds, dict):
        print("Seconds: " + ", ".join(f"{key} {value}" for key, value in seconds.items()))


# ---- test ---------------------------------------------------------------------------------------


def test(arguments: argparse.Namespace) -> int:
    """The whole suite: style, types, layers, unit, e2e, bpy on every Blender found, extension, window, examples."""
    base = chosen_interpreter(arguments.python)
    tests = Environment("test", base)
    blenders = [
        Environment(f"blender-{version}", python)
        for python in all_interpreters(base)
        for version in BLENDERS_FOR_PYTHON[python.version]
    ]
    make_environments([tests])
    ledger = Ledger(scratch=ENVS / "reports")
    shutil.rmtree(ledger.scratch, ignore_errors=True)
    ledger.scratch.mkdir(parents=True)
    rings: dict[str, Callable[[], Sequence[Part]]] = {
        "style": lambda: _style(tests),
        "unit": lambda: _unit(tests),
        "e2e": lambda: _e2e(tests),
        "bpy": lambda: _bpy(tests, blenders, ledger),
        "gui": lambda: _gui(tests, ledger),
        "examples": lambda: _examples(tests, base),
    }
    wanted = arguments.ring or list(rings)
    try:
        for together in TOGETHER:
            side_by_side([part for ring in together if ring in wanted for part in rings[ring]()], ledger)
    finally:
        ledger.close()
    return 0


def _style(tests: Environment) -> tuple[()]:
    step("ruff format", ["ruff", "format", "--check", "."], tests)
    step("ruff check", ["ruff", "check", "."], tests)
    step("mypy", ["mypy"], tests)
    step("import-linter", ["lint-imports"], tests)
    return ()


def _mediapipe_models(tests: Environment) -> None:
    os.environ["WANSTAGE_MEDIAPIPE_MODELS"] = str(ENVS / "models")
    step("MediaPipe's models", [tests.python, "tests/fetch_models.py", ENVS / "models"], tests)


def _unit(tests: Environment) -> tuple[Part, ...]:
    _mediapipe_models(tests)
    return (Part("unit tests", [tests.python, "-m", "pytest", "tests/unit", "tests/golden", "-q"], tests),)


def _e2e(tests: Environment) -> tuple[Part, ...]:
    _mediapipe_models(tests)
    return (Part("e2e tests", [tests.python, "-m", "pytest", "tests/e2e", "-q"], tests),)


def _bpy(tests: Environment, blenders: Sequence[Environment], ledger: Ledger) -> tuple[Part, ...]:
    make_environments(blenders)
    step("extension build", [tests.python, "packaging/build_extension.py"], tests)
    os.environ["WANSTAGE_BACKEND_PYTHON"] = str(tests.python)
    missing = {"5.0", "5.2"} - {blender.name.removeprefix("blender-") for blender in blenders}
    for version in sorted(missing):
        ledger.skipped.append(f"bpy tests blender-{version}: no Python found that its wheel fits")
    return tuple(
        Part(f"bpy tests {blender.name}", [blender.python, "tests/bpy/run.py", "tests/bpy", "-q"], blender, 1)
        for blender in blenders
    )


def _gui(tests: Environment, ledger: Ledger) -> tuple[Part, ...]:
    lacking = [tool for tool in GUI_TOOLS if not shutil.which(tool)]
    if lacking:
        packages = "Debian packages blender, xvfb, xdotool, ffmpeg"
        ledger.skipped.append(f"window tests: {', '.join(lacking)} not found ({packages})")
        return ()
    return (Part("window tests", [tests.python, "-m", "pytest", "tests/gui", "-q"], tests),)


def _examples(tests: Environment, base: Interpreter) -> tuple[()]:
    out = ENVS / "reports" / "demo"
    words = [base.path, ROOT / "run.py", "demo", "--out", out, "--python", base.path]
    step("demo", words, tests)
    step("demo's results", [tests.python, "tests/e2e/check_demo.py", out], tests)
    blender = Environment(f"blender-{BPY_FOR_PYTHON[base.version]}", base)
    step("demo's .blend, moved", [blender.python, "tests/bpy/check_blend.py", out], blender)
    return ()


# ---- the rest -----------------------------------------------------------------------------------


def extension(arguments: argparse.Namespace) -> int:
    """Build the extension zips into dist/."""
    tests = Environment("test", chosen_interpreter(arguments.python))
    make_environments([tests])
    step("extension build", [tests.python, "packaging/build_extension.py", *arguments.words], tests)
    return 0


def pictures(arguments: argparse.Namespace) -> int:
    """Take the guide's pictures again, from real windows, into docs/images."""
    base = chosen_interpreter(arguments.python)
    lacking = [tool for tool in GUI_TOOLS if not shutil.which(tool)]
    if lacking:
        sentence = f"{', '.join(lacking)} not found: pictures need Debian's packages blender, xvfb, xdotool and ffmpeg"
        raise Problem(sentence)
    tests, blender = Environment("test", base), Environment(f"blender-{BPY_FOR_PYTHON[base.version]}", base)
    make_environments([tests, blender])
    hero = ENVS / "reports" / "hero.glb"
    hero.parent.mkdir(parents=True, exist_ok=True)
    step("the human for Blender 3.4", [blender.python, "tests/gui/export_hero.py", hero], blender)
    step("pictures", [tests.python, "tests/gui/pictures.py", hero, arguments.out, *arguments.part], tests)
    return 0


def execute(arguments: argparse.Namespace) -> int:
    """Run any command inside the test environment."""
    words = arguments.words[1:] if arguments.words[:1] == ["--"] else arguments.words
    if not words:
        sentence = "give a command after '--', for example: python3 run.py exec -- pytest tests/unit"
        raise Problem(sentence)
    tests = Environment("test", chosen_interpreter(arguments.python))
    make_environments([tests])
    found = shutil.which(words[0], path=tests.variables()["PATH"])
    if not found:
        sentence = f"there is no command '{words[0]}' in the test environment or on PATH"
        raise Problem(sentence)
    return subprocess.run([found, *words[1:]], env=tests.variables(), check=False).returncode


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="run.py", description=__doc__.splitlines()[0] if __doc__ else None)
    top.set_defaults(python=None)
    commands = top.add_subparsers(dest="command", required=True)
    python = {"metavar": "PATH", "help": "the Python 3.11 or 3.13 to use (default: the one that runs this)"}

    one = commands.add_parser("demo", help="a rigged character becomes two shots on image planes")
    one.add_argument("--out", metavar="DIR", default="demo_out", help="where the results go (default: demo_out)")
    one.add_argument("--python", **python)
    one.set_defaults(run=demo)

    two = commands.add_parser("test", help="everything CI runs")
    two.add_argument("--python", **python)
    rings = ("style", "unit", "e2e", "bpy", "gui", "examples")
    two.add_argument("--ring", action="append", choices=rings, help="only this ring; may be repeated")
    two.set_defaults(run=test)

    three = commands.add_parser("extension", help="build the Blender extension into dist/")
    three.add_argument("--python", **python)
    three.add_argument("words", nargs=argparse.REMAINDER)
    three.set_defaults(run=extension)

    five = commands.add_parser(
        "pictures", help="take the guide's pictures again, from real windows of Debian's Blender"
    )
    five.add_argument("--out", metavar="DIR", default=str(ROOT / "docs" / "images"), help="default: docs/images")
    five.add_argument(
        "--part",
        action="append",
        default=[],
        choices=PICTURES,
        help="only this part",
    )
    five.add_argument("--python", **python)
    five.set_defaults(run=pictures)

    four = commands.add_parser("exec", help="run a command inside the test environment: exec -- COMMAND ...")
    four.add_argument("words", nargs=argparse.REMAINDER)
    four.set_defaults(run=execute)
    return top


def main() -> int:
    arguments = parser().parse_args()
    try:
        return int(arguments.run(arguments))
    except Problem as problem:
        print(f"\n{problem}.", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\n{error.filename or 'A file'}: {error.strerror}; choose another folder or make room.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
