"""What Animate-2 is shown of a shot: segments of the raw camera render, the reference, and their masks.

Source: ``pipelines/wan_animate_2_pipeline.py`` of Wan-Video/Wan-Animate-2 ("official") and diffusers'
``modular_pipelines/wan_animate_2`` ("diffusers"). Latents are (1, z, t, h, w) float32, t = (T - 1) / 4 + 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from wan_models.requests import Character, Maps, Request

from . import pictures
from .animate_inputs import on_black
from .contracts import to_pixels

STRIDE = 4  # frames a latent frame, and mask channels
OVERLAP = 1  # frames that a segment takes over from the one before; a constant of the official code
SHORTEST = 28  # the last segment has at least so many frames after its overlap, as officially

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Segment:
    """``frames``: the clip's frame shown at each of its places; the first ``overlap`` are made already; ``first``: the
    number of the first new frame; ``fresh``: how many new ones are kept (the rest is padding).
    """

    number: int
    frames: tuple[int, ...]
    overlap: int
    first: int
    fresh: int


def padding(count: int, length: int, official: bool) -> int:
    """How many frames are added to a clip of ``count``, so that it falls into segments of ``length``.

    Official: the last segment may be shorter, 4n + 1 and at least 29 frames (``get_padding_len``; a whole segment of
    padding, which it adds to clips that need none, is left out: nothing of it is kept). diffusers: whole segments.
    """
    step = length - OVERLAP
    rest = (count - OVERLAP) % step
    if rest == 0 and count > OVERLAP:
        return 0
    if not official:
        return step - rest
    shortest = min(SHORTEST, step)
    return shortest - rest if rest < shortest else min(STRIDE - rest % STRIDE, step - rest)


def shown(place: int, count: int, official: bool) -> int:
    """The clip's frame at ``place``, which may lie in the padding: official 0 1 2 3 | 2 1 0 1 .., diffusers
    0 1 2 3 | 3 2 1 0 (which cannot pad by more than the clip has; here it then bounces on).
    """
    period = max(2 * (count - 1), 1) if official else 2 * count
    place %= period
    return place if place < count else period - place - (0 if official else 1)


def segments(count: int, length: int, official: bool = True, made: int = 0) -> Iterator[Segment]:
    """A clip of ``count`` frames in segments of up to ``length``; ``made``: whether its first ``OVERLAP`` ones are
    there already (0 or ``OVERLAP``), so that the first segment goes on from them.

    Raises ValueError unless length = 4n + 1 > 1.
    """
    if count < 1 or length % STRIDE != 1 or length <= OVERLAP:
        msg = f"At least 1 frame and segments of 4n + 1 frames are needed, not {count} and {length}."
        raise ValueError(msg)
    total = count + padding(count, length, official)
    for number, start in enumerate(range(0, total - OVERLAP, length - OVERLAP)):
        over = OVERLAP if number or made else 0
        stop = min(start + length, total)
        frames = tuple(shown(place, count, official) for place in range(start, stop))
        yield Segment(number, frames, over, start + over, min(count, stop) - start - over)


def content_box(width: int, height: int, frame: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width, height of a ``width`` x ``height`` picture within a letterboxed ``frame`` (width, height)."""
    tall = frame[0] / frame[1] < width / height
    columns = frame[0] if tall else max(width * frame[1] // height, 1)
    rows = max(height * frame[0] // width, 1) if tall else frame[1]
    return (frame[0] - columns) // 2, (frame[1] - rows) // 2, columns, rows


def letterbox(image: Picture, frame: tuple[int, int], resample: Image.Resampling) -> Picture:
    """RGB (h, w, 3) fitted into the middle of a black ``frame`` (width, height), as ``WanAnimate2VideoProcessor``."""
    left, top, columns, rows = content_box(image.shape[1], image.shape[0], frame)
    if (columns, rows) == (image.shape[1], image.shape[0]) == frame:
        return image.copy()  # the map may be read-only
    canvas = np.zeros((frame[1], frame[0], 3), np.uint8)
    canvas[top : top + rows, left : left + columns] = np.asarray(
        Image.fromarray(np.ascontiguousarray(image)).resize((columns, rows), resample)
    )
    return canvas


def driving_pixels(maps: Maps, frames: Sequence[int], frame: tuple[int, int]) -> Tensor:
    """(1, 3, T, H, W) in [-1, 1]: the camera render's ``frames``, each read once however often it is shown."""
    read: dict[int, Picture] = {}
    for index in frames:
        if index not in read:
            read[index] = letterbox(np.asarray(maps[index]), frame, Image.Resampling.BILINEAR)
    return to_pixels(np.stack([read[index] for index in frames]))


def reference_pixels(image: Picture, frame: tuple[int, int]) -> Tensor:
    """(1, 3, 1, H, W) in [-1, 1]: the character's picture, letterboxed."""
    return to_pixels(letterbox(on_black(image), frame, Image.Resampling.BICUBIC))


def clip_pixels(pixels: Tensor) -> Tensor:
    """Frame 0 of (1, 3, T, H, W) for CLIP: squashed to 224 x 224 (bicubic, not anti-aliased), (1, 3, 224, 224)."""
    return pictures.clip_pixels(pixels[:, :, 0])


def with_mask(latents: Tensor, known: int) -> Tensor:
    """(1, 4 + z, t, h, w): latents with the four mask channels before them, 1 in the first ``known`` frames."""
    _, _, t, h, w = latents.shape
    mask = latents.new_zeros(STRIDE * t)  # frame 0 counts four times
    mask[: known + STRIDE - 1 if known else 0] = 1.0
    spread = mask.view(1, t, STRIDE, 1, 1).transpose(1, 2).expand(1, STRIDE, t, h, w)
    return torch.cat([spread, latents], dim=1)


def reference_of(request: Request) -> Picture | None:
    """The character's picture: the request's image, else the first reference in the pack."""
    if request.image is not None or request.pack is None:
        return request.image
    driven = driven_character(request.pack.characters)
    return None if driven is None or driven.reference is None else driven.reference.image


def driven_character(characters: Sequence[Character]) -> Character | None:
    """The first character that has a reference, else the first."""
    return next((one for one in characters if one.reference is not None), next(iter(characters), None))
