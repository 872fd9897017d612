"""Long token sequences worked through a part at a time and in place, so that no float32 copy of all of them exists.

At 1280 x 704 a clip has 79,200 tokens, 1.6 GB in float32. Parts have the same sizes in every memory plan, so frames do.
Where gradients are wanted, or torch.compile makes one kernel of many steps, everything goes at once and out of place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import torch
from torch import Tensor

from wan_models.memory import lean

Normed: TypeAlias = Callable[[Tensor], Tensor]


def in_place() -> bool:
    """Whether tokens may be changed where they are, a part at a time."""
    return not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def parts(start: int, stop: int) -> Iterator[slice]:
    """Parts of nearly one size, none longer than ``lean.CHUNK``, of tokens ``start`` to ``stop``."""
    count = -(-(stop - start) // lean.CHUNK)
    for number in range(count):
        yield slice(start + (stop - start) * number // count, start + (stop - start) * (number + 1) // count)


def modulated(normed: Tensor, scale: Tensor, shift: Tensor, dtype: torch.dtype) -> Tensor:
    """normed * (1 + scale) + shift, summed in float32, in ``dtype``; scale and shift: one row, or one a token."""
    if not in_place():
        return torch.addcmul(shift, normed, 1 + scale).to(dtype)
    out = torch.empty_like(normed, dtype=dtype)
    return torch.addcmul(shift, normed, 1 + scale, out=out)
