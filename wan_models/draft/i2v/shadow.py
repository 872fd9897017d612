"""Soft dark patches under feet that stand on something."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .motion import depth_map, mask_map
from .opencv import cv2
from .parts import usable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wan_models.requests import DrivePack

    from .fill import Picture
    from .motion import Mask, Plane

DARK = 0.4
FEET = ((10, 19, 9), (13, 18, 12))  # ankle, toe, knee
NEAR, FAR = 0.15, 0.45  # metres between a foot and what is under it: full shadow, none


def contact_shadows(picture: Picture, pack: DrivePack, index: int, strength: float) -> None:
    """Darken ``picture`` (h,w,3) in place, of any size, under the feet of all characters of sample ``index``."""
    if strength <= 0 or not len(pack.depth) or not pack.characters:
        return
    depth, mask = depth_map(pack, index), mask_map(pack, index)
    scale = picture.shape[1] / pack.width
    for character in pack.characters:
        if index < len(character.pose.body) and usable(character.pose.body[index]):
            for foot in FEET:
                points = character.pose.body[index][list(foot)].astype(np.float64)
                share = strength * _touches(depth, mask, points)
                if share > 0.01:
                    _darken(picture, points * [scale, scale, 1, 1, 1], DARK * share)


def _touches(depth: Plane, mask: Mask, foot: NDArray[np.float64]) -> float:
    """1 where the set lies right under a foot (ankle, toe, knee; (3,5)), 0 where it is far from it or unknown."""
    centre, shin = _spot(foot)
    if not np.isfinite(foot[:, :4]).all() or shin < 2:
        return 0.0
    gap = _gap(depth, mask, centre, float(foot[1, 3]), shin)
    return float(np.clip((FAR - gap) / (FAR - NEAR), 0, 1))


def _spot(foot: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The middle of a foot's sole, and the length of the shin, pixels."""
    ankle, toe, knee = foot
    shin = float(np.hypot(*(ankle[:2] - knee[:2])))
    return np.array([0.4 * ankle[0] + 0.6 * toe[0], max(ankle[1], toe[1]) + 0.03 * shin]), shin


def _gap(depth: Plane, mask: Mask, centre: NDArray[np.float64], foot: float, shin: float) -> float:
    """Metres between a foot and the set just below it."""
    x = int(centre[0])
    for step in (0.04, 0.1, 0.16):
        y = int(centre[1] + step * shin)
        if 0 <= x < depth.shape[1] and 0 <= y < depth.shape[0] and not mask[y, x] and np.isfinite(depth[y, x]):
            return abs(float(depth[y, x]) - foot)
    return FAR


def _darken(picture: Picture, foot: NDArray[np.float64], dark: float) -> None:
    (x, y), shin = _spot(foot)
    wide, high = 0.42 * shin, 0.11 * shin
    height, width = picture.shape[:2]
    left, right = max(int(x - 2 * wide), 0), min(int(x + 2 * wide) + 1, width)
    top, bottom = max(int(y - 2 * high), 0), min(int(y + 2 * high) + 1, height)
    if left >= right or top >= bottom:
        return
    across = (np.arange(left, right) + 0.5 - x) / max(wide, 1.0)
    down = (np.arange(top, bottom) + 0.5 - y) / max(high, 1.0)
    light = (1 - dark * np.exp(-1.5 * (across[None, :] ** 2 + down[:, None] ** 2))).astype(np.float32)
    region = picture[top:bottom, left:right]
    region[...] = cv2.multiply(region, cv2.merge([light] * 3), dtype=cv2.CV_8U)
