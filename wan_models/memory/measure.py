"""What memory is free here, and how large a checkpoint's networks really are."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

import torch

from wan_models.options import Options
from wan_models.pipelines.contracts import Checkpoint
from wan_models.rows import ModelRow, PartName

from .load import build
from .machine import GIB, host_for_plans, pinnable_share
from .plan import Free

if sys.platform == "linux":  # torch reads it before its first allocation: plans leave little room for fragments
    os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")
DRIVER = 256 * 2**20
"""Card memory that is left to the driver."""


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
    host = host_for_plans(options.host_gib)
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
