"""The backend that this add-on installs: the wheel that its zip carries, or the checkout that it runs from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from . import record
from .problems import SetupProblem
from .said import Said

HERE = Path(__file__).resolve().parent
CHOICES = {"draft": "", "wan": "[wan]"}


@dataclass(frozen=True)
class Payload:
    """``source``: a wheel, or a checkout's folder; ``constraints``: the versions it is tested with."""

    source: Path
    constraints: Path
    version: str
    digest: str

    def requirement(self, choice: str) -> str:
        """For pip."""
        return f"{self.source}{CHOICES[choice]}"


def find(folder: Path = HERE) -> Payload:
    """What ``folder/payload`` has, else the checkout around ``folder``. SetupProblem when there is neither."""
    wheels = sorted((folder / "payload").glob("wanstage-*.whl"))
    if wheels:
        constraints = folder / "payload" / "constraints.txt"
        return Payload(wheels[-1], constraints, wheels[-1].name.split("-")[1], record.digest(wheels[-1], constraints))
    root = folder.parents[1]
    constraints = root / "requirements" / "constraints.txt"
    if (root / "pyproject.toml").is_file() and (root / "backend").is_dir() and constraints.is_file():
        sources = (root / "pyproject.toml", constraints, root / "backend", root / "protocol", root / "wan_models")
        return Payload(root, constraints, "checkout", record.digest(*sources))
    problem = Said(
        "The backend's wheel is missing from {folder}: install the add-on's zip again", folder=folder / "payload"
    )
    raise SetupProblem(problem)
