"""``python -m setup plan|install|repair|remove [--root DIR] [--choice draft|wan]``; see report.py for its output.

Exit status: 0 done, 1 a problem (its sentence is the last line), 2 wrong use, 130 cancelled.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from . import installer, machine, record, removal
from .payload import CHOICES
from .problems import Cancelled, SetupProblem
from .report import Reporter
from .said import Said


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="setup", description="Set the Wanstage backend up in an environment of its own")
    top.add_argument("command", choices=("plan", "install", "repair", "remove"))
    top.add_argument("--root", type=Path, metavar="DIR", help="default: setup in the user's data folder of Wanstage")
    top.add_argument("--choice", choices=tuple(CHOICES), default="draft", help="draft, or wan for the Wan models too")
    top.add_argument("--python", default="", metavar="PATH", help="the Python to make the environment with")
    top.add_argument("--no-uv", action="store_true", help="use venv also where uv is")
    top.add_argument("--cancel-file", type=Path, metavar="PATH", help="stop when this file appears")
    top.add_argument("--apart", action="store_true", help="tell sentences and their values apart, to be translated")
    top.add_argument("--stop", type=int, default=0, metavar="PID", help="a backend to end before remove")
    return top


def act(told: argparse.Namespace, reporter: Reporter) -> dict[str, Any]:
    """Do the command; what the last line says. SetupProblem, Cancelled, OSError."""
    root = (told.root or machine.default_root()).absolute()
    if told.command == "plan":
        return installer.make_plan(root, told.choice, told.python, not told.no_uv).told()
    if told.command == "remove":
        return _remove(root, told.stop, reporter)
    plan = installer.make_plan(root, told.choice, told.python, not told.no_uv)
    reporter.line("plan", **plan.told())
    machine.check_folder(root)
    with record.lock(root):
        reporter.open_log(root / record.LOG)
        setup = installer.Installer(plan, reporter)
        return setup.repair() if told.command == "repair" else setup.install()


def _remove(root: Path, stop: int, reporter: Reporter) -> dict[str, Any]:
    if record.load(root) is None:
        raise SetupProblem(removal.nothing(root))
    with record.lock(root):
        result = removal.remove(root, reporter, stop)
    return {**result, "left": removal.finish(root)}


def _of_system(error: OSError) -> Said:
    reason = error.strerror or str(error)
    if not error.filename:
        return Said("{reason}; make room or choose another folder", reason=reason)
    return Said("{path}: {reason}; make room or choose another folder", path=error.filename, reason=reason)


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise Cancelled


def main(words: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    told = parser().parse_args(words)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _on_signal)
    reporter = Reporter(sys.stdout, told.cancel_file, told.apart)
    reporter.line("start", command=told.command, process=os.getpid())
    try:
        result = act(told, reporter)
        reporter.line("done", command=told.command, result=result)
    except Cancelled:
        reporter.line("cancelled", sentence=Said("Cancelled: what was loaded is kept, Set Up goes on from there"))
        return 130
    except SetupProblem as problem:
        reporter.line("problem", sentence=problem.sentence)
        return 1
    except OSError as error:
        reporter.line("problem", sentence=_of_system(error))
        return 1
    finally:
        reporter.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
