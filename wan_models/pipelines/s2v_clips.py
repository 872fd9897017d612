"""A sound-driven shot in clips: which frames each one makes, and the frames that it carries on from.

Source: ``WanS2V.generate`` in ``wan/speech2video.py`` of Wan2.2. The network makes ``length`` frames at once, four a
latent frame. Where the model chooses the first frame itself, the first three of the first clip are not used: there the
VAE, which was given the reference's latent frame before them, still shows some of the reference.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from .decode import STRIDE

DROPPED = 3
MOTION_FRAMES = 73
"""Frames before a clip that it is shown: 19 latent frames."""
MOTION_LATENTS = (MOTION_FRAMES - 1) // STRIDE + 1
HELD = 6
"""So many of them are the reference where the first clip is to carry on from it; those before are grey."""


@dataclass(frozen=True)
class Clip:
    """``first``: the number of the shot's frame that is the clip's own frame ``skip``; from there ``fresh`` frames
    follow each other. ``heard``: the clip's own frame 0, counted over all clips.
    """

    number: int
    first: int
    skip: int
    fresh: int
    heard: int


def dropped(start_from_reference: bool) -> int:
    """How many of the first clip's frames are not used."""
    return 0 if start_from_reference else DROPPED


def clips(frames: int, length: int, drop: int) -> tuple[Clip, ...]:
    """A shot of ``frames`` in clips of ``length``, ``drop`` of the first one's not used; the last one is cut.

    Raises ValueError unless there are frames and ``length`` is 4n and above ``drop``.
    """
    if frames < 1 or length % STRIDE or length <= drop:
        msg = f"A shot of at least 1 frame in clips of 4n is needed, not {frames} frames in clips of {length}."
        raise ValueError(msg)
    count = -(-(frames + drop) // length)
    return tuple(_clip(number, frames, length, drop) for number in range(count))


def _clip(number: int, frames: int, length: int, drop: int) -> Clip:
    skip = 0 if number else drop
    heard = number * length
    first = heard + skip - drop
    return Clip(number, first, skip, min(length - skip, frames - first), heard)


class Carry:
    """The last frames that were made, on the host: what the next clip is shown. Pixels in [-1, 1], 0 is grey."""

    def __init__(self, reference: Tensor | None, height: int, width: int) -> None:
        """``reference`` (1, 3, 1, H, W): the frames before the shot end with it; None = all of them are grey."""
        grey = torch.zeros(1, 3, 1, 1, 1).expand(1, 3, 1, height, width)
        self._frames: deque[Tensor] = deque([grey] * MOTION_FRAMES, maxlen=MOTION_FRAMES)
        if reference is not None:
            self._frames.extend([reference.cpu()] * HELD)

    def add(self, pixels: Tensor) -> None:
        """(1, 3, n, H, W), any device: the next frames."""
        self._frames.extend(pixels.cpu().split(1, dim=2))

    def begin(self, before: Tensor) -> None:
        """(1, 3, n, H, W), any device: the frames right before the shot; few of them are held, as a reference is."""
        held = HELD - before.shape[2]
        if held > 0:
            self.add(before[:, :, :1].expand(-1, -1, held, -1, -1))
        self.add(before)

    def chunks(self) -> Iterator[Tensor]:
        """All of them as the VAE takes them: (1, 3, 1, H, W), then four each."""
        frames = list(self._frames)
        yield frames[0]
        for place in range(1, len(frames), STRIDE):
            yield torch.cat(frames[place : place + STRIDE], dim=2)
