"""Colours of a segment matched to those of the one before, on the frames that both have made.

As the frames are the same moments of the clip, what differs between them is drift; frames carried on are matched ones,
so every segment has the first one's colours. How: ``wan_models.colors``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_models.colors import ColorMatch, Pixels


def match_seam(chunks: Iterator[Tensor], wanted: Tensor, inside: NDArray[np.bool_] | None) -> Iterator[Tensor]:
    """A segment's decoded ``chunks`` (1, 3, n, H, W) in [-1, 1], matched by their first frames, on the host.

    ``wanted`` (1, 3, r, H, W): the same frames as the segment before has them; ``inside`` (r, H, W): pixels that count.
    Nothing is given before r frames are there, then each chunk at once.
    """
    waiting: list[Tensor] = []
    match: ColorMatch | None = None
    for chunk in chunks:
        waiting.append(chunk.cpu())
        if match is None:
            made = torch.cat(waiting, dim=2)[:, :, : wanted.shape[2]]
            if made.shape[2] < wanted.shape[2]:
                continue
            match = ColorMatch(_pictures(made), _pictures(wanted), inside)
        for each in waiting:
            matched = torch.from_numpy(match(_pictures(each)))
            yield (matched * 2.0 - 1.0).permute(3, 0, 1, 2)[None]
        waiting = []


def _pictures(pixels: Tensor) -> Pixels:
    """(1, 3, n, H, W) in [-1, 1] -> (n, H, W, 3) in 0..1."""
    return np.ascontiguousarray(((pixels[0].float() + 1.0) * 0.5).clamp(0, 1).permute(1, 2, 3, 0).cpu().numpy())
