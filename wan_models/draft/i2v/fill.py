"""Colours for what sample 0 does not see: the clay render, times the local ratio of the picture to the clay.

The ratio is a normalised convolution: averaged over known pixels in cells, carried into the holes from coarser
and coarser cells (push-pull, Gortler et al. 1996, "The Lumigraph", section 3.4). Each mask value has a ratio of
its own, so a character's colours never leak into the set; where depth is known, pixels at a hole's own depth count
most, so that a pillar's colours stay out of the wall behind it. The clay keeps its shading edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .opencv import cv2
from .spread import pull, spread_ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .motion import Mask, Plane

Picture: TypeAlias = NDArray[np.uint8]
Box: TypeAlias = tuple[slice, slice]
Surface: TypeAlias = "Callable[[Mask], Callable[[Box], Plane]]"

STRIP = 104  # columns; holes are painted strip by strip, so that few pixels are looked at in vain
CELL = 4  # pixels; the finest cell of the ratio
FLOOR = 6.0  # of 255, added to both sides so that black clay does not make wild ratios
SCARCE = 0.05  # below this share of known pixels a character's colours come from sample 0
BODY_REACH = 6.0  # the same on a character, whose parts are small
REACH = 16.0  # pixels that a known pixel's own colour is carried, where surfaces are known
DEPTH_STEP = 0.06  # relative; depths further apart belong to different things
OTHER_DEPTH = 1e-5  # weight of pixels at other depths: far below spread.TRUST, for holes with no neighbour at theirs


@dataclass(frozen=True)
class Frame:
    """A frame so far: the moved picture and where it is ``known``; its clay, mask and, if captured, 1/depth.

    ``surfaces`` give, for the holes of a mask value, what gives its ratio (h,w,3) in a box for pixels that lie far from
    known ones, 0 where they have none.
    """

    picture: Picture
    clay: Picture
    known: Mask
    mask: Mask
    inverse: Plane | None = None
    surfaces: Mapping[int, Surface] = field(default_factory=dict)


class Recolor:
    """Learns picture/clay from a frame's known pixels and paints its holes.

    ``picture``, ``clay``, ``mask`` are sample 0's: what a character's colours are taken from, by its place in its
    bounding box, once hardly any of it is known. Nothing else is remembered: a frame's colours depend on it alone.
    """

    def __init__(self, picture: Picture, clay: Picture, mask: Mask) -> None:
        self._first: dict[int, Plane] = {}
        everywhere = np.full(mask.shape, 255, np.uint8)
        self._mean = _mean_ratio(picture, clay)
        for value in np.flatnonzero(np.bincount(mask.ravel(), minlength=256)).tolist():
            ratio = _learn(Frame(picture, clay, everywhere, mask), value)
            left, top, wide, high = cv2.boundingRect(cv2.inRange(mask, value, value))
            self._first[value] = _sample(ratio, mask.shape, (slice(top, top + high), slice(left, left + wide)))

    def _ratio(self, now: Frame, value: int) -> Plane:
        """The ratio (h/4,w/4,3) float32 for one mask value, known everywhere."""
        inside = cv2.inRange(now.mask, value, value)
        if value and cv2.countNonZero(cv2.bitwise_and(inside, now.known)) < SCARCE * cv2.countNonZero(inside):
            return self._remembered(value, inside, (now.mask.shape[0] // CELL, now.mask.shape[1] // CELL, 3))
        return _learn(now, value)

    def _remembered(self, value: int, inside: Mask, shape: tuple[int, ...]) -> Plane:
        """Sample 0's ratio of a character, stretched from its bounding box then to its bounding box now."""
        first = self._first.get(value)
        if first is None:
            return np.broadcast_to(self._mean, shape).astype(np.float32)
        left, top, wide, high = (side / CELL for side in cv2.boundingRect(inside))
        turn = np.array([[wide / first.shape[1], 0, left], [0, high / first.shape[0], top]])
        there: Plane = cv2.warpAffine(
            first, turn, (shape[1], shape[0]), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return there

    def paint(self, now: Frame, where: Mask) -> Picture:
        """The clay in the picture's colours for all pixels of ``where`` (others undefined)."""
        clay, mask = now.clay, now.mask
        out = clay.copy()
        values = np.flatnonzero(cv2.calcHist([mask], [0], where, [256], [0, 256]).ravel())
        for value in values.tolist():
            ratio = self._ratio(now, value)
            here = cv2.bitwise_and(where, cv2.inRange(mask, value, value))
            far = _far(now, value, here)
            for box in _boxes(here):
                fine = _sample(ratio, mask.shape, box)
                if far is not None:
                    fine = cv2.blendLinear(fine, *far(box))
                fine *= clay[box].astype(np.float32) + np.float32(FLOOR)
                fine -= np.float32(FLOOR)
                np.maximum(fine, 0, out=fine)  # cv2.max takes a single pixel for a scalar
                cv2.copyTo(cv2.convertScaleAbs(fine), here[box], out[box])
        return out


def _boxes(area: Mask) -> list[Box]:
    """Boxes that hold all of ``area`` (h,w), one at most for each strip of STRIP columns."""
    found = []
    for start in range(0, area.shape[1], STRIP):
        left, top, wide, high = cv2.boundingRect(area[:, start : start + STRIP])
        if wide:
            found.append((slice(top, top + high), slice(start + left, start + left + wide)))
    return found


def _far(now: Frame, value: int, here: Mask) -> Callable[[Box], tuple[Plane, Plane, Plane]] | None:
    """For a box: the surfaces' ratio, and the weights of the ratio around known pixels and of theirs; None without."""
    if value not in now.surfaces:
        return None
    surface = now.surfaces[value](here)
    same = cv2.bitwise_and(now.known, cv2.inRange(now.mask, value, value))
    distance = cv2.distanceTransform(cv2.bitwise_not(same), cv2.DIST_L2, 3)
    fall = np.float32(1 / (BODY_REACH if value else REACH))

    def weighted(box: Box) -> tuple[Plane, Plane, Plane]:
        ratio = surface(box)
        share = np.maximum(1 - distance[box] * fall, 0)
        share[ratio[..., 0] == 0] = 1
        return ratio, share, 1 - share

    return weighted


def _learn(now: Frame, value: int) -> Plane:
    """The ratio (h/4,w/4,3) for one mask value, known everywhere, averaged over every other pixel and row."""
    same = np.equal(now.mask[1::2, 1::2], value).view(np.uint8) * np.uint8(255)
    use = now.known[1::2, 1::2] & same
    weight = (use >> 7).astype(np.float32)
    if now.inverse is not None:
        weight *= _alike(now.inverse[1::2, 1::2], same & ~use)
    some = now.picture[1::2, 1::2].astype(np.float32) + np.float32(FLOOR)
    base = now.clay[1::2, 1::2].astype(np.float32) + np.float32(FLOOR)
    some *= weight[..., None]
    base *= weight[..., None]
    size = (max(use.shape[1] * 2 // CELL, 1), max(use.shape[0] * 2 // CELL, 1))
    return spread_ratio(*(cv2.resize(a, size, interpolation=cv2.INTER_AREA) for a in (some, base)))


def _alike(inverse: Plane, holes: Mask) -> Plane:
    """How well each pixel's depth agrees with that of the nearest holes: 1 for the same, OTHER_DEPTH at least."""
    weight = (holes >> 7).astype(np.float32)
    if not weight.any():
        return np.ones_like(weight)
    far = np.float32(0.02) * inverse.max() + np.float32(1e-6)  # the sky, and what is nearly as far, are one depth
    level: Plane = np.log(inverse + far)
    gap = (level - pull(level * weight, weight)) * np.float32(1 / DEPTH_STEP)
    gap *= gap
    alike: Plane = np.maximum(np.exp(-gap), np.float32(OTHER_DEPTH))
    return alike


def _mean_ratio(picture: Picture, clay: Picture) -> Plane:
    some, base = (np.asarray(cv2.mean(p)[:3], np.float32) + np.float32(FLOOR) for p in (picture, clay))
    return some / base


def _sample(ratio: Plane, size: tuple[int, ...], box: tuple[slice, slice]) -> Plane:
    """The ratio at each pixel of ``box`` of a picture of ``size`` (h,w), bilinear between cells."""
    across, down = ratio.shape[1] / size[1], ratio.shape[0] / size[0]
    rows, columns = box
    turn = np.array(
        [[across, 0, (columns.start + 0.5) * across - 0.5], [0, down, (rows.start + 0.5) * down - 0.5]], np.float32
    )
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    fine: Plane = cv2.warpAffine(
        ratio, turn, shape, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )
    return fine
