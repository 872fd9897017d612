"""A model of the released shapes with random numbers, for benchmarks: nothing is read from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from wan_models.rows import ModelRow, PartName

from .networks import tensor_shapes
from .numbers import number
from .tokens import small_tokenizer


class RandomCheckpoint:
    """Implements contracts.Checkpoint. Tensors are made on ``device``, one at a time: bfloat16, the VAE's float32.

    The same ``seed`` and device give the same numbers, in any order of reading.
    """

    def __init__(self, row: ModelRow, device: torch.device | str, seed: int = 0) -> None:
        self.row = row
        self.device = torch.device(device)
        self.seed = seed
        self.identity = f"random {row.name} {self.device.type} {seed}"

    def config(self, part: PartName) -> Mapping[str, Any]:
        """The released one."""
        return self.row.parts[part].config

    def tensors(self, part: PartName) -> Iterator[tuple[str, Tensor]]:
        """Every tensor of the part by its name; a tied one once."""
        config, dtype = self.config(part), _dtype(part)
        # Both experts, and the parts that models share, get numbers of their own.
        seed = self.seed + 1 + sum(map(ord, f"{self.row.name} {part}"))
        for name, shape in tensor_shapes(self.row.parts[part].cls, config).items():
            yield name, number(name, shape, config, seed=seed, dtype=dtype, device=self.device)

    def nbytes(self, part: PartName) -> int:
        """What the part would take on disk in these types."""
        return self.row.parts[part].params * _dtype(part).itemsize

    def tokenizer(self) -> Any:  # noqa: ANN401 - as the contract says
        """A small one; its tokens are within the text encoder's vocabulary."""
        return small_tokenizer()


def _dtype(part: PartName) -> torch.dtype:
    return torch.float32 if part == "vae" else torch.bfloat16
