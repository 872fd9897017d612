"""Removes exactly what a setup made, and says how much that frees."""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from . import record
from .problems import SetupProblem
from .record import OURS
from .report import Reporter
from .said import Said

END_S = 10.0


def remove(root: Path, reporter: Reporter, stop: int = 0) -> dict[str, Any]:
    """Delete our entries of ``root`` and the folder when nothing else is in it. ``stop``: the process of a backend
    that runs from it. SetupProblem when the folder is none of ours, or a file cannot be deleted."""
    if record.load(root) is None:
        raise SetupProblem(nothing(root))
    if stop:
        end(stop)
    reporter.progress("remove", Said("Counting"), force=True)
    freed = sum(used(root / name) for name in OURS)
    reporter.progress("remove", Said("Removing {mib} MB", mib=freed >> 20), 0.2, force=True)
    reporter.close()  # the log is one of them
    for name in (item for item in OURS if item not in (record.LOCK, record.NAME)):
        _delete(root / name)
    _delete(root / record.NAME)  # the last, so that a removal that was stopped can be done again
    return {"freed": freed, "folder": str(root)}


def nothing(root: Path) -> Said:
    """That a folder is none of ours."""
    return Said("There is no setup of Wanstage in {folder}: nothing was removed", folder=root)


def finish(root: Path) -> list[str]:
    """After the lock was let go: the lock's file and the folder; what else is in it stays, and is named."""
    (root / record.LOCK).unlink(missing_ok=True)
    left = sorted(path.name for path in root.iterdir())
    if not left:
        root.rmdir()
    return left


def used(path: Path) -> int:
    """Bytes of a file or a folder; links are not followed."""
    if not path.is_dir() or path.is_symlink():
        return path.lstat().st_size if path.exists() else 0
    total = 0
    for folder, _, files in os.walk(path):
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in files)
    return total


def _delete(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        where = error.filename or path
        problem = Said(
            "{path} cannot be deleted ({reason}): end the backend that uses it, then remove again",
            path=where,
            reason=error.strerror,
        )
        raise SetupProblem(problem) from error


def end(process: int) -> None:
    """Stop a backend and wait for it."""
    try:
        os.kill(process, signal.SIGTERM)
    except OSError:
        return
    until = time.monotonic() + END_S
    while os.name != "nt" and time.monotonic() < until:  # asking by a signal would end it on Windows; there it is gone
        try:
            os.kill(process, 0)
        except OSError:
            return
        if _has_ended(process):
            return
        time.sleep(0.1)


def _has_ended(process: int) -> bool:
    """Whether it is over and only its parent (Blender) has not asked how it ended; Linux tells."""
    try:
        return Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z"
    except (OSError, IndexError):
        return False
