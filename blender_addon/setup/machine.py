"""What this machine is: its cards, its folders, its disk."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .problems import SetupProblem
from .said import Said
from .torch_choice import Card, Machine

MIB = 1 << 20
ASK_CARDS = ("--query-gpu=name,driver_version,memory.total,compute_cap", "--query-gpu=name,driver_version,memory.total")
ASK_WITHIN_S = 20.0


def here() -> Machine:
    """This machine; a few hundred milliseconds where nvidia-smi is asked."""
    return Machine(platform.system(), platform.machine(), cards())


def cards() -> tuple[Card, ...]:
    """The NVIDIA cards that their driver names; none without a driver."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    for query in ASK_CARDS:  # drivers before 510 do not know compute_cap
        command = [tool, query, "--format=csv,noheader,nounits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=ASK_WITHIN_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ()
        if done.returncode == 0:
            return parse_cards(done.stdout)
    return ()


def parse_cards(text: str) -> tuple[Card, ...]:
    """nvidia-smi's lines such as ``NVIDIA GeForce RTX 4090, 581.29, 24564, 8.9``; others are left out."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        try:
            known = len(parts) > 3 and parts[3].replace(".", "", 1).isdigit()
            capability = float(parts[3]) if known else 0.0
            found.append(Card(parts[0], int(parts[1].split(".")[0]), capability, int(parts[2])))
        except (ValueError, IndexError):
            continue
    return tuple(found)


def default_root(
    system: str = sys.platform, environment: Mapping[str, str] = os.environ, home: Path | None = None
) -> Path:
    """Where the environment goes: ``$WANSTAGE_SETUP``, else ``setup`` in the platform's data folder of Wanstage."""
    own = environment.get("WANSTAGE_SETUP")
    if own:
        return Path(own)
    home = home or Path.home()
    if system == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif system == "darwin":
        base = home / "Library" / "Application Support"
    else:
        base = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    return base / "wanstage" / "setup"


def existing(path: Path) -> Path:
    """The folder or the nearest one above it that is there."""
    return next(each for each in (path, *path.parents) if each.exists())


def check_disk(root: Path, need_mib: int) -> None:
    """SetupProblem when less than ``need_mib`` is free."""
    free = shutil.disk_usage(existing(root)).free // MIB
    if free < need_mib:
        problem = Said(
            "{need} are needed in {folder}, {free} are free: make room, or set another folder",
            need=size(need_mib),
            folder=root,
            free=size(free),
        )
        raise SetupProblem(problem)


def check_folder(root: Path) -> None:
    """Make the folder and write into it. SetupProblem when that cannot be."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / "probe"
        probe.write_bytes(b"wanstage")
        probe.unlink()
    except OSError as error:
        problem = Said(
            "The folder {folder} cannot be written ({reason}): set another folder, or ask for the right to",
            folder=root,
            reason=error.strerror,
        )
        raise SetupProblem(problem) from error


def size(mib: float) -> str:
    """Such as ``300 MB`` or ``3.4 GB``."""
    return f"{mib / 1024:.1f} GB" if mib >= 1000 else f"{mib:.0f} MB"
