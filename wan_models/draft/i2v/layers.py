"""Characters over the moved background: for a picture that is the pack's own look."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .frames import FrameMaker
from .opencv import cv2
from .parts import PartColors
from .shadow import contact_shadows
from .trust import clean_rims

if TYPE_CHECKING:
    from wan_models.requests import DrivePack

    from .fill import Box, Picture, Surface
    from .motion import Mask, Plane
    from .samples import Samples

FADE = 10  # frames in which what characters cast on the set in sample 0 goes, and shadows that follow their feet come
AROUND = 16  # pixels around the characters that are looked at


class Layers:
    """``picture`` is sample 0 with everything, of the samples' size."""

    def __init__(self, samples: Samples, pack: DrivePack, picture: Picture) -> None:
        self._samples, self._pack, self._picture = samples, pack, picture
        self._maker = FrameMaker(clean_rims(picture, samples.mask(0)), samples.clay(0), samples.mask(0))
        self._parts = part_colors(samples, pack, picture)

    def frame(self, index: int, where: Plane, known: Mask) -> Picture:
        """uint8 (h,w,3) of a sample whose backward map is ``where``, ``known``."""
        mask = self._samples.mask(index)
        out = self._background(index, where, known, mask)
        left, top, wide, high = cv2.boundingRect(mask)
        if not wide:
            return out
        rows = slice(max(top - AROUND, 0), min(top + high + AROUND, mask.shape[0]))
        columns = slice(max(left - AROUND, 0), min(left + wide + AROUND, mask.shape[1]))
        box = (rows, columns)
        there = np.ascontiguousarray(mask[box])
        sure = cv2.bitwise_or(known[box], cv2.compare(there, 0, cv2.CMP_EQ))
        surfaces = part_surfaces(self._samples, self._pack, self._parts, index, box)
        clay = np.ascontiguousarray(self._samples.clay(index)[box])
        doubtful = self._samples.doubtful(index, where, known)[box]
        made = self._maker.make(np.ascontiguousarray(where[box]), sure, clay, there, None, surfaces, doubtful)
        _lay(out[box], made, there)
        return out

    def _background(self, index: int, where: Plane, known: Mask, mask: Mask) -> Picture:
        plate = self._samples.plate(index).copy()
        share = min(index / FADE, 1.0)
        if share < 1:
            moved = cv2.remap(self._picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            set_only = cv2.bitwise_and(known, cv2.compare(mask, 0, cv2.CMP_EQ))
            # less two pixels around what was uncovered, where the picture holds a mix with the character
            clean = cv2.erode(set_only, np.ones((7, 7), np.uint8))
            cv2.copyTo(cv2.addWeighted(plate, share, moved, 1 - share, 0), clean, plate)
        contact_shadows(plate, self._pack, index, share)
        return plate


def _lay(out: Picture, made: Picture, mask: Mask) -> None:
    """Characters over ``out``, in place, their one-pixel rims softened."""
    some = (mask != 0).astype(np.uint8)
    cv2.copyTo(made, some, out)
    ring = np.ones((3, 3), np.uint8)
    rim = cv2.subtract(cv2.dilate(some, ring), cv2.erode(some, ring))
    cv2.copyTo(cv2.GaussianBlur(out, (3, 3), 0.6), rim, out)


def part_colors(samples: Samples, pack: DrivePack, picture: Picture) -> dict[int, PartColors]:
    """The colours of every character that sample 0 shows and whose joints are known there."""
    views = {character.index: samples.view(character, 0) for character in pack.characters}
    return {value: PartColors(picture, view, value) for value, view in views.items() if view is not None}


def part_surfaces(
    samples: Samples, pack: DrivePack, parts: dict[int, PartColors], index: int, box: Box | None = None
) -> dict[int, Surface]:
    """By mask value, what gives the parts' colours in a sample; see ``fill.Frame``."""
    views = {c.index: samples.view(c, index, box) for c in pack.characters if c.index in parts}
    return {value: partial(parts[value].ratio, view) for value, view in views.items() if view is not None}
