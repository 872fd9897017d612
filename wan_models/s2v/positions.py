"""Where tokens are: rotary tables for the clip's own tokens, the reference picture and the motion before the clip.

Each token has a time and a place in the grid of 2 x 2 latent patches. The clip's latent frames are at times 0, 1, 2
and so on; the reference is at 30; the last latent frame before the clip is at -1, the two before that share -3, and the
sixteen before those are four groups at -19, -14, -9 and -4. Coarser tokens spread over the same grid: ``linspace`` from
its first to its last index, cut to whole numbers. (Wan-Video/Wan2.2, ``rope_precompute`` and ``FramePackMotioner``.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

REFERENCE_TIME = 30
_MOTION = ((2, (-1,)), (4, (-3,)), (8, (-19, -14, -9, -4)))
"""Latent pixels a token's side, and times; in the order of the tokens."""
_BASE = 10000.0


def tables(frames: int, size: tuple[int, int], width: int, *, motion: bool) -> Tensor:
    """Cosines and sines (1, tokens, 1, width / 2, 2) float32 for heads of ``width`` channels.

    Tokens: ``frames`` latent frames of ``size`` (height, width in latent pixels), the reference, and with ``motion``
    what came before. Computed in float64.
    """
    height, across = size
    grid = (_places(height, 2), _places(across, 2))
    groups = [_angles(range(frames), *grid, width), _angles([REFERENCE_TIME], *grid, width)]
    if motion:
        groups += [_angles(times, _places(height, side), _places(across, side), width) for side, times in _MOTION]
    angles = torch.cat(groups)
    return torch.stack([angles.cos(), angles.sin()], dim=-1).float()[None, :, None]


def motion_tokens(size: tuple[int, int]) -> int:
    """How many tokens the motion before a clip has."""
    return sum(len(times) * (size[0] // side) * (size[1] // side) for side, times in _MOTION)


def _places(length: int, side: int) -> Sequence[int]:
    """Rows or columns of the patch grid at which tokens of ``side`` latent pixels are; ``length`` in latent pixels."""
    places: list[int] = np.linspace(0, length // 2 - 1, length // side).astype(int).tolist()
    return places


def _angles(times: Sequence[int], rows: Sequence[int], columns: Sequence[int], width: int) -> Tensor:
    """(times * rows * columns, width / 2): a share of the channels for each of the three, float64."""
    pairs = width // 2
    third = pairs // 3
    shares = (pairs - 2 * third, third, third)
    each = [_share(values, pairs) for values, pairs in zip((times, rows, columns), shares, strict=True)]
    shape = (len(times), len(rows), len(columns), -1)
    spread = [
        each[0][:, None, None].expand(shape),
        each[1][None, :, None].expand(shape),
        each[2][None, None, :].expand(shape),
    ]
    return torch.cat(spread, dim=-1).flatten(0, 2)


def _share(values: Sequence[int], pairs: int) -> Tensor:
    rates = _BASE ** -(torch.arange(pairs, dtype=torch.float64) / pairs)
    return torch.outer(torch.tensor(values, dtype=torch.float64), rates)
