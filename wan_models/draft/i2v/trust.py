"""Which pixels of a backward map are worth showing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .opencv import cv2

if TYPE_CHECKING:
    from .fill import Picture
    from .motion import Mask, Plane

_RING = np.ones((3, 3), np.uint8)
_WIDE = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
_ISLAND = np.ones((7, 7), np.uint8)
NEARER = 1.04  # times 1/depth: what stands in front of an uncovered surface
SPECK = 2  # of 9 pixels: fewer unknown ones are noise of the visibility test, not something uncovered
STRETCHED = 0.4  # of the usual: a character's pixels that share so little of sample 0 are smeared


def trusted(known: Mask, mask: Mask, inverse: Plane | None = None) -> Mask:
    """``known`` less two pixels around what was uncovered, and less small islands in it: there the picture holds a mix
    with what stood in front, which would stay behind as a ghost outline. Only on the same mask value, and where
    1/depth is given not on what is nearer than the hole, so that the rims of characters and things in front stay
    whole."""
    holes = cv2.bitwise_not(known)
    speck = cv2.boxFilter(holes >> 7, -1, (3, 3), normalize=False, borderType=cv2.BORDER_REPLICATE)
    large = cv2.bitwise_and(holes, cv2.compare(speck, SPECK, cv2.CMP_GT))
    grown = np.zeros_like(known)
    for value in np.flatnonzero(cv2.calcHist([mask], [0], large, [256], [0, 256]).ravel()).tolist():
        same = cv2.inRange(mask, value, value)
        holes_here = cv2.bitwise_and(large, same)
        near = _around(holes_here, same, _WIDE, inverse)
        if inverse is not None and not value:
            rest = cv2.bitwise_and(known, cv2.bitwise_not(near))
            islands = cv2.bitwise_and(rest, cv2.bitwise_not(cv2.morphologyEx(rest, cv2.MORPH_OPEN, _ISLAND)))
            far = _around(holes_here, same, np.ones((13, 13), np.uint8), inverse)
            near = cv2.bitwise_or(near, cv2.bitwise_and(islands, far))
        cv2.bitwise_or(grown, near, dst=grown)
    return np.asarray(cv2.bitwise_and(known, cv2.bitwise_not(grown)), np.uint8)


def _around(holes: Mask, same: Mask, reach: Mask, inverse: Plane | None) -> Mask:
    """What is within ``reach`` of holes and not nearer than they."""
    near: Mask = cv2.bitwise_and(cv2.dilate(holes, reach), same)
    if inverse is None:
        return near
    level = cv2.dilate(cv2.copyTo(inverse, holes), reach)
    return np.asarray(cv2.bitwise_and(near, cv2.compare(inverse, level * np.float32(NEARER), cv2.CMP_LE)), np.uint8)


def clean_rims(picture: Picture, mask: Mask) -> Picture:
    """``picture`` (h,w,3) with the outermost pixels of each character in the colours next to them further in: there the
    renderer has mixed them with what is behind, which shows as an outline once they move apart."""
    out = picture.copy()
    for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist():
        if not value:
            continue
        own = cv2.inRange(mask, value, value)
        inner = cv2.erode(own, _RING)
        weight = cv2.boxFilter((inner >> 7).astype(np.float32), -1, (3, 3), normalize=False)
        total = cv2.boxFilter(cv2.copyTo(picture, inner).astype(np.float32), -1, (3, 3), normalize=False)
        rim = (own != 0) & (inner == 0) & (weight > 0)
        out[rim] = np.rint(total[rim] / weight[rim, None]).astype(np.uint8)
    return out


def smeared(where: Plane, known: Mask, mask: Mask, value: int) -> Mask:
    """255 (h,w) on a character's known pixels that share too little of sample 0, into which ``where`` (h,w,2) leads."""
    out = np.zeros_like(known)
    own = cv2.inRange(mask, value, value)
    left, top, wide, high = cv2.boundingRect(own)
    if wide < 3 or high < 3:
        return out
    box = (slice(top, top + high), slice(left, left + wide))
    there, here = np.ascontiguousarray(where[box]), cv2.bitwise_and(own, known)[box]
    across, down = np.zeros_like(there), np.zeros_like(there)
    across[:, :-1], down[:-1] = there[:, 1:] - there[:, :-1], there[1:] - there[:-1]
    area = across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]
    area = cv2.medianBlur(area.astype(np.float32), 3)
    seen = area[here != 0]
    if not len(seen):
        return out
    usual = float(np.median(seen))
    bad = (here != 0) & ((area < STRETCHED * usual) | (area > 4 * usual))
    bad[[-1], :] = bad[:, [-1]] = False
    out[box][bad] = 255
    return out
