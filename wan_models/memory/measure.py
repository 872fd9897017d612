"""What memory is free here, and how large a checkpoint's networks really are."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from wan_models.options import Options
from wan_models.pipelines.contracts import Checkpoint
from wan_models.rows import ModelRow, PartName

from .load import build
from .plan import Free

GIB = 2**30
if sys.platform == "linux":  # torch reads it before its first allocation: plans leave little room for fragments
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
_CGROUP = Path("/sys/fs/cgroup")
DRIVER = 256 * 2**20
"""Card memory that is left to the driver."""
_HOST_SHARE = 0.9
"""Of the free host memory plans use this much at most."""


def actual_row(checkpoint: Checkpoint) -> ModelRow:
    """The checkpoint's row with the sizes that its networks really have (tiny ones differ from the released)."""
    row = checkpoint.row
    parts = dict(row.parts)
    for name, part in row.parts.items():
        config = checkpoint.config(name)
        if any(config.get(key, value) != value for key, value in part.config.items()):
            parts[name] = replace(part, config=config, params=_count(part.cls, checkpoint, name))
    return replace(row, parts=parts)


def _count(cls: str, checkpoint: Checkpoint, name: PartName) -> int:
    return sum(tensor.numel() for tensor in build(cls, checkpoint.config(name)).parameters())


def free(options: Options) -> Free:
    """Free bytes, no more than the owner allows."""
    host = int(free_host() * _HOST_SHARE)
    if options.host_gib is not None:
        host = min(host, int(options.host_gib * GIB))
    card = free_card(options.device) if options.device.startswith("cuda") else host
    if options.card_gib is not None:
        card = min(card, int(options.card_gib * GIB))
    if options.device.startswith("cuda"):
        _limit(options, card)
    return Free(card, host, int(host * pinnable_share()))


def _limit(options: Options, card: int) -> None:
    """torch may take no more than ``card`` bytes, less what the driver needs for kernels that it reads later: else what
    torch keeps for its next tensors could be all there is.
    """
    total = torch.cuda.get_device_properties(options.device).total_memory
    spare = 0 if options.card_gib is not None and card == int(options.card_gib * GIB) else DRIVER
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(card - spare, 0) / total), options.device)


def expandable() -> bool:
    """Whether torch can use cached memory for tensors of any size (no fixed blocks)."""
    told = os.environ.get("PYTORCH_ALLOC_CONF") or os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "")
    return sys.platform == "linux" and "expandable_segments:True" in told


def free_card(device: str) -> int:
    """Free bytes of the card, with what this process keeps but does not use."""
    available, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(available + unused)


def free_host() -> int:
    """Free bytes of the machine or of this container, whichever is less."""
    return min(psutil.virtual_memory().available, _container_free())


def pinnable_share() -> float:
    """How much of it may be pinned. WSL and Windows give half; elsewhere the rest of the system needs some."""
    half = sys.platform == "win32" or "microsoft" in os.uname().release.lower()
    return 0.5 if half else 0.8


def _container_free() -> int:
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - int(used))
