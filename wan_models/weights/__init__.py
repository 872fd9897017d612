"""Where networks' numbers come from: checkpoints in every layout that artists have, random ones, tiny ones."""

from __future__ import annotations

from .checkpoint import open_checkpoint
from .random_checkpoint import RandomCheckpoint

__all__ = ["RandomCheckpoint", "open_checkpoint"]
