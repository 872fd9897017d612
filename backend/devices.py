"""Where workers run: device names, and the graphics cards of this machine, found without importing torch."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .settings import SettingsProblem

MAX_WORKERS = 64
ASK_WITHIN_S = 10.0  # a driver that is not kept loaded takes seconds
_QUERY = ["--query-gpu=index,name,memory.total,memory.free", "--format=csv,noheader,nounits"]


@dataclass(frozen=True)
class Card:
    """One graphics card as the driver's tool names it; memory in MiB."""

    index: int
    name: str
    total_mib: int
    free_mib: int


def parse_workers(text: str) -> tuple[str, ...]:
    """One device name a worker: ``cuda:0,cpu:2`` gives ("cuda:0", "cpu:0", "cpu:1"), ``auto`` every card and one CPU
    worker. Raises SettingsProblem.
    """
    if text == "auto":
        return (*(f"cuda:{index}" for index in range(usable_cards())), "cpu:0")
    cards: list[str] = []
    cpus = 0
    for item in text.split(","):
        kind, _, number = item.strip().partition(":")
        if kind == "cuda" and number.isdecimal() and item not in cards:
            cards.append(f"cuda:{int(number)}")
        elif kind == "cpu" and (number or "1").isdecimal() and int(number or "1"):
            cpus += int(number or "1")
        else:
            cpus = MAX_WORKERS + 1
    if len(cards) + cpus > MAX_WORKERS or len(set(cards)) < len(cards):
        problem = (
            f"--workers is {text}: give a list of cpu:N (N worker processes) and cuda:I (one on card I, each once), "
            f"at most {MAX_WORKERS} in all, for example cuda:0,cpu:1; or auto"
        )
        raise SettingsProblem(problem)
    return (*cards, *(f"cpu:{index}" for index in range(cpus)))


def usable_cards() -> int:
    """How many cards torch would find: none when it is not installed or was built without CUDA."""
    if not torch_cuda():
        return 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = len(cards())
    return found if visible is None else min(found, len(_visible(visible)))


def card_of(device: str, found: Sequence[Card]) -> Card | None:
    """The card that a worker's ``cuda:I`` means: torch counts those that CUDA_VISIBLE_DEVICES lets it see."""
    index = int(device.partition(":")[2] or 0)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = _visible(visible)
        if index >= len(names) or not names[index].isdecimal():  # by its UUID: which of them is not told
            return found[0] if len(found) == 1 else None
        index = int(names[index])
    return next((card for card in found if card.index == index), None)


def _visible(text: str) -> Sequence[str]:
    """The devices that CUDA_VISIBLE_DEVICES allows: those before the first one that is none (as CUDA reads it)."""
    names = [name.strip() for name in text.split(",")]
    ends = (i for i, name in enumerate(names) if not name or name.startswith("-"))
    return names[: next(ends, len(names))]


def torch_cuda() -> str:
    """The CUDA version that the installed torch was built for, from its ``version.py``; empty when there is none."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return ""
    path = Path(spec.origin).with_name("version.py")
    found = (
        re.search(r"^cuda\b.*=\s*['\"]([\d.]+)['\"]", path.read_text("utf-8"), re.MULTILINE) if path.exists() else None
    )
    return found[1] if found else ""


def cards() -> tuple[Card, ...]:
    """What ``nvidia-smi`` lists; nothing when there is no such tool or it fails."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        said = subprocess.run([tool, *_QUERY], capture_output=True, text=True, timeout=ASK_WITHIN_S, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(filter(None, map(_card, said.splitlines())))


def _card(line: str) -> Card | None:
    """A line such as ``0, NVIDIA H100 80GB HBM3, 81559, 80995``; memory may be ``[N/A]``."""
    fields = [field.strip() for field in line.rsplit(",", 2)]
    index, _, name = fields[0].partition(",")
    if len(fields) < 3 or not index.isdecimal():
        return None
    total, free = (int(field) if field.isdecimal() else 0 for field in fields[1:])
    return Card(int(index), name.strip(), total, free)
