"""Finds installed packages of which files are missing or changed, as their own RECORD tells."""

from __future__ import annotations

import json
from pathlib import Path

from .process import python_of, run
from .report import Reporter
from .said import Said

CHECK = """
import base64, hashlib, json
from importlib.metadata import distributions
broken = {}
for found in distributions():
    name = found.metadata["Name"] or ""
    if not name:
        continue
    bad = found.read_text("RECORD") is None
    for file in found.files or []:
        path = found.locate_file(file)
        if bad or file.suffix == ".pyc":
            continue
        if not path.is_file():
            bad = True
        elif file.hash is not None:
            digest = hashlib.new(file.hash.mode)
            with open(path, "rb") as data:
                while chunk := data.read(1 << 20):
                    digest.update(chunk)
            bad = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=") != file.hash.value
    if bad:
        broken[name] = found.version
print(json.dumps(broken))
"""


def broken(environment: Path, reporter: Reporter) -> dict[str, str]:
    """Name -> version of what has to be installed again. SetupProblem when the environment's Python does not run."""
    lines = run([str(python_of(environment)), "-I", "-c", CHECK], reporter, Said("Checking the packages"))
    found: dict[str, str] = json.loads(lines[-1])
    return found


def runs(environment: Path, reporter: Reporter) -> bool:
    """Whether the environment has a Python with a pip that answers."""
    if not python_of(environment).exists():
        return False
    command = [str(python_of(environment)), "-I", "-m", "pip", "--version"]
    lines = run(command, reporter, Said("Asking pip"), codes=tuple(range(-64, 256)))
    return bool(lines) and lines[-1].startswith("pip ")
