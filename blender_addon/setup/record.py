"""What a setup has done so far, in a file, so that it goes on where it was stopped; and that only one runs."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .problems import SetupProblem
from .said import Said, apart, whole

NAME, LOG, LOCK = "setup.json", "setup.log", "lock"
ENVIRONMENT, WHEELS, CACHE = "env", "wheels", "cache"
OURS = (ENVIRONMENT, WHEELS, CACHE, NAME, LOG, LOCK, f"{NAME}.new")


@dataclass
class Record:
    """``steps``: name -> ``begun`` or ``done``; ``plans``: step -> what is to be fetched for it."""

    choice: str = ""
    payload: str = ""  # sha256 of the backend's wheel and the constraints
    version: str = ""
    maker: str = ""
    torch: str = ""  # its label
    torch_index: str = ""
    finished: bool = False
    steps: dict[str, str] = field(default_factory=dict)
    plans: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)

    def is_done(self, step: str) -> bool:
        """Whether nothing is left to do for it."""
        return self.steps.get(step) == "done"

    def was_interrupted(self, step: str) -> bool:
        """Whether it began and did not end."""
        return self.steps.get(step) == "begun"

    def save(self, root: Path) -> None:
        """Written beside and moved into place, so that a kill leaves the old one or the new one."""
        new = root / f"{NAME}.new"
        new.write_text(json.dumps(apart(asdict(self)), indent=1), encoding="utf-8")
        new.replace(root / NAME)


def load(root: Path) -> Record | None:
    """The record of a folder; None when there is none or it is not ours."""
    try:
        told = whole(json.loads((root / NAME).read_text(encoding="utf-8")))
        return Record(**told)
    except (OSError, ValueError, TypeError):
        return None


def digest(*parts: Path) -> str:
    """sha256 of files, and of the sources of folders (a checkout)."""
    found = hashlib.sha256()
    for part in parts:
        files = [part] if part.is_file() else sorted(part.glob("*/**/*.py"))
        for file in files:
            found.update(file.read_bytes())
    return found.hexdigest()


def lock(root: Path) -> BinaryIO:
    """Held while the file is open; the system lets go when the process ends, however it ends. SetupProblem when
    another setup works in the folder."""
    handle = (root / LOCK).open("a+b")
    try:
        if sys.platform == "win32":
            import msvcrt

            handle.seek(0)
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        handle.close()
        problem = Said("Another setup works in {folder}: wait until it has ended, or cancel it first", folder=root)
        raise SetupProblem(problem) from error
    os.set_inheritable(handle.fileno(), False)
    return handle
