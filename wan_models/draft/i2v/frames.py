"""One frame of a draft: the picture moved by a backward map, the rest painted, seams softened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .fill import Frame, Picture, Recolor
from .opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Callable

    from .motion import Mask, Plane

_RING = np.ones((3, 3), np.uint8)
_WIDE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
NEARER = 1.04  # times 1/depth: what stands in front of an uncovered surface
SPECK = 2  # of 9 pixels: fewer unknown ones are noise of the visibility test, not something uncovered


class FrameMaker:
    """Moves one picture through a shot, given sample 0's clay and mask. All sizes agree with the picture's."""

    def __init__(self, picture: Picture, clay: Picture, mask: Mask) -> None:
        self._picture = picture
        self._recolor = Recolor(picture, clay, mask)

    def make(
        self, where: Plane, known: Mask, clay: Picture, mask: Mask, inverse: Callable[[], Plane] | None = None
    ) -> Picture:
        """uint8 (h,w,3): the picture sampled at ``where``; where not ``known``, the clay in the picture's colours.

        ``inverse`` gives 1/depth (h,w); it is asked only when there are holes to paint.
        """
        moved = cv2.remap(self._picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if cv2.countNonZero(known) == known.size:
            return np.asarray(moved, np.uint8)
        depth = inverse() if inverse is not None else None
        sure = trusted(known, mask, depth)
        holes = cv2.bitwise_not(sure)
        soft = cv2.blur(sure, (3, 3))
        cv2.bitwise_and(soft, sure, dst=soft)
        band = cv2.dilate(holes, _RING)
        now = Frame(moved, clay, sure, mask, depth)
        painted = self._recolor.paint(now, band)
        return _blend(moved, painted, soft, band)


def trusted(known: Mask, mask: Mask, inverse: Plane | None = None) -> Mask:
    """``known`` less two pixels around what was uncovered: there the picture holds a mix with what stood in front,
    which would stay behind as a ghost outline. Only on the same mask value, and where 1/depth is given not on what is
    nearer than the hole, so that the rims of characters and things in front stay whole."""
    holes = cv2.bitwise_not(known)
    speck = cv2.boxFilter(holes >> 7, -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    large = cv2.bitwise_and(holes, cv2.compare(speck, SPECK, cv2.CMP_GT))
    grown = np.zeros_like(known)
    for value in np.flatnonzero(cv2.calcHist([mask], [0], large, [256], [0, 256]).ravel()).tolist():
        same = cv2.inRange(mask, value, value)
        holes_here = cv2.bitwise_and(large, same)
        near = cv2.bitwise_and(cv2.dilate(holes_here, _WIDE), same)
        if inverse is not None:
            level = cv2.dilate(cv2.copyTo(inverse, holes_here), _WIDE)
            near = cv2.bitwise_and(near, cv2.compare(inverse, level * np.float32(NEARER), cv2.CMP_LE))
        cv2.bitwise_or(grown, near, dst=grown)
    return np.asarray(cv2.bitwise_and(known, cv2.bitwise_not(grown)), np.uint8)


def _blend(moved: Picture, painted: Picture, soft: Mask, band: Mask) -> Picture:
    """``moved`` where soft is 255, ``painted`` where 0; only ``band`` is looked at."""
    left, top, wide, high = cv2.boundingRect(band)
    box = (slice(top, top + high), slice(left, left + wide))
    out, paint, share = moved.copy(), painted[box], soft[box]
    cv2.copyTo(paint, band[box], out[box])
    rows, columns = np.nonzero((share != 0) & (band[box] != 0))  # the seam alone is mixed: a few pixels wide
    part = share[rows, columns, None].astype(np.float32) / np.float32(255)
    over, under = (a[rows, columns].astype(np.float32) for a in (moved[box], paint))
    out[box][rows, columns] = (under + (over - under) * part + np.float32(0.5)).astype(np.uint8)
    return out
