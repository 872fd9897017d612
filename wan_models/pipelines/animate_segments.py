"""A clip in segments: which frames each one makes, and the conditioning latents as Animate was trained to see them.

Source: ``WanAnimate.generate`` in ``wan/animate.py`` of Wan2.2. Latents are (1, z, t, h, w) float32; T frames are
t = (T - 1) / 4 + 1 latent ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

STRIDE = 4  # frames a latent frame, and mask channels


@dataclass(frozen=True)
class Segment:
    """``frames``: the clip's frame shown at each of its places; ``overlap``: how many at its beginning are the frames
    before, made already (0 in the first); ``first``: the number of the first new frame, ``fresh`` how many are new.
    """

    number: int
    frames: tuple[int, ...]
    overlap: int
    first: int
    fresh: int


def ping_pong(place: int, count: int) -> int:
    """The frame at ``place`` of a clip of ``count`` that runs forth and back for ever: 0 1 2 3 2 1 0 1 ..."""
    period = 2 * (count - 1) or 1
    place %= period
    return min(place, period - place) if count > 1 else 0


def segments(count: int, length: int, overlap: int, made: int = 0) -> Iterator[Segment]:
    """A clip of ``count`` frames in as many segments of ``length`` as it needs, each ``overlap`` into the one before.

    ``made``: so many frames at its beginning are there already, 0 or ``overlap``: the first segment goes on from them,
    as later ones do from the one before.

    The last one is padded by ping-pong. Officially a clip no longer than the overlap gives none; here it gives one.
    Raises ValueError unless 1 <= overlap < length = 4n + 1 and there are frames.
    """
    if not 1 <= overlap < length or length % STRIDE != 1 or count < 1 + made or made not in (0, overlap):
        msg = (
            f"A clip of at least 1 frame, segments of 4n + 1 and a smaller overlap are needed, not {count} frames, "
            f"{length} and {overlap}."
        )
        raise ValueError(msg)
    step = length - overlap
    number = 0
    while number == 0 or number * step + overlap < count:
        start, over = number * step, overlap if number or made else 0
        frames = tuple(ping_pong(place, count) for place in range(start, start + length))
        yield Segment(number, frames, over, start + over, min(count - start, length) - over)
        number += 1


def pack_mask(mask: Tensor) -> Tensor:
    """A mask of every frame (T, h, w) as four channels a latent frame (1, 4, t, h, w): frame 0 counts four times."""
    spread = torch.cat([mask[:1].expand(STRIDE, -1, -1), mask[1:]])
    return spread.reshape(-1, STRIDE, *mask.shape[1:]).transpose(0, 1)[None]


def condition(reference: Tensor, video: Tensor, mask: Tensor) -> Tensor:
    """The channels that go with the noise (1, 4 + z, t + 1, h, w): the reference, all known, then the segment.

    ``reference`` (1, z, 1, h, w) and ``video`` (1, z, t, h, w) are latents, ``mask`` (T, h, w) is 1 where the video is
    to be kept.
    """
    ones = torch.ones_like(reference[:, :STRIDE])
    before = torch.cat([ones, reference], dim=1)
    after = torch.cat([pack_mask(mask).to(video), video], dim=1)
    return torch.cat([before, after], dim=2)
