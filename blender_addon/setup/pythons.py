"""Finds what can make the environment: uv, or a Python that has venv and pip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .problems import SetupProblem
from .process import python_of
from .said import Said

OLDEST, NEWEST = (3, 11), (3, 13)  # the backend's wheels are tested from and to
UV_PYTHONS = ">=3.11,<3.14"  # uv takes one that is there, else loads the newest
ASK = (
    "import json, struct, sys\n"
    "from importlib.util import find_spec as has\n"
    "print(json.dumps([*sys.version_info[:2], struct.calcsize('P') * 8, bool(has('venv') and has('ensurepip'))]))"
)
ASK_WITHIN_S = 20.0
ADVICE = Said("install uv, or Python 3.11, 3.12 or 3.13, then try again")


@dataclass(frozen=True)
class Maker:
    """What makes the environment: ``uv`` set, or ``python`` by venv."""

    uv: str = ""
    python: str = ""
    version: str = ""

    @property
    def label(self) -> str:
        """For a sentence."""
        return "uv" if self.uv else f"Python {self.version}"

    def commands(self, environment: str) -> list[list[str]]:
        """What to run, one after the other."""
        if self.uv:
            own = str(python_of(Path(environment)))
            return [[self.uv, "venv", "--python", UV_PYTHONS, environment], [own, "-I", "-m", "ensurepip"]]
        return [[self.python, "-I", "-m", "venv", environment]]


def find(told: str = "", with_uv: bool = True) -> Maker:
    """``told`` alone if given, else uv, else the first Python that will do. SetupProblem when there is none."""
    if told:
        problem, version = judge(told)
        if problem:
            raise SetupProblem(problem)
        return Maker(python=told, version=version)
    uv = find_uv() if with_uv else ""
    if uv:
        return Maker(uv=uv)
    return first(candidates())


def first(paths: Iterable[str]) -> Maker:
    """The first Python that will do; SetupProblem with what was wrong with the first one asked."""
    problems = []
    for path in paths:
        problem, version = judge(path)
        if not problem:
            return Maker(python=path, version=version)
        problems.append(problem)
    raise SetupProblem(
        problems[0] if problems else Said("No Python was found on this machine: {advice}", advice=ADVICE)
    )


def find_uv() -> str:
    """uv's path, also where its installer puts it when PATH does not say (Blender started from a menu)."""
    name = "uv.exe" if os.name == "nt" else "uv"
    places = [Path.home() / folder / name for folder in (".local/bin", ".cargo/bin")]
    places += [Path("/opt/homebrew/bin/uv"), Path("/usr/local/bin/uv")]
    return shutil.which("uv") or next((str(path) for path in places if path.is_file()), "")


def candidates() -> Iterator[str]:
    """This Python (Blender's own, when Blender started us), then others of PATH, newest first."""
    yield sys.executable
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            yield found
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found:
            yield found


def judge(path: str) -> tuple[str, str]:
    """Why this Python will not do (empty when it does), and its version."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(
            [path, "-I", "-c", ASK], capture_output=True, text=True, timeout=ASK_WITHIN_S, check=True, env=environment
        )
        major, minor, bits, has_venv = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        kind = type(error).__name__
        return Said("{path} is not a Python that runs here ({kind}): {advice}", path=path, kind=kind, advice=ADVICE), ""
    version = f"{major}.{minor}"
    return _lack(path, (major, minor), bits, has_venv), version


def _lack(path: str, version: tuple[int, int], bits: int, has_venv: bool) -> str:
    """What this Python lacks, in a sentence; empty when nothing."""
    if not OLDEST <= version <= NEWEST:
        return Said(
            "{path} is Python {version}, the backend needs 3.11 to 3.13: {advice}",
            path=path,
            version=".".join(map(str, version)),
            advice=ADVICE,
        )
    if bits != 64:
        return Said("{path} is a 32-bit Python, the backend needs 64 bits: {advice}", path=path, advice=ADVICE)
    if not has_venv:
        return Said(
            "{path} has no venv or no {module} (Debian's package python3-venv): {advice}",
            path=path,
            module="ensurepip",
            advice=ADVICE,
        )
    return ""
