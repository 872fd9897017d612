#!/usr/bin/env python3
"""One command for each thing a person wants of a checkout: demo, test, extension, exec.

Standard library only. Every command makes the environments it needs with venv and pip, once, under
``.envs`` (or ``$WANSTAGE_ENVS``), and makes them again when their requirements change.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from environments import (
    BPY_FOR_PYTHON,
    ENVS,
    ROOT,
    Environment,
    Interpreter,
    Problem,
    all_interpreters,
    chosen_interpreter,
    make_environments,
)
from rings import Ledger, Part, side_by_side, step

TOGETHER = (("style",), ("unit", "e2e", "bpy"), ("gui",), ("examples",))
"""Rings whose parts run side by side; the window's tests click at a moving picture and have the machine alone."""
PICTURES = ("install", "shot", "panels", "models", "panel", "takes", "timeline", "talking", "check", "follow", "live")
GUI_TOOLS = ("blender", "Xvfb", "xdotool", "ffmpeg")
BLENDERS_FOR_PYTHON = {(3, 11): ("4.2", "4.5", "5.0"), (3, 13): ("5.2",)}


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
