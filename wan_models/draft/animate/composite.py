"""Puts painted pieces over the background, with the scene's own objects in front where they are nearer."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.requests import DrivePack

from .raster import Box
from .skeleton import ANKLE_L, ANKLE_R, TOE_L, TOE_R, Floats

OCCLUDER_MARGIN = 0.2  # metres: a floor just before the feet is no occluder
GREY = 128
SHADOW = 0.45


def background(pack: DrivePack, t: int, replaced: tuple[int, ...]) -> NDArray[np.uint8]:
    """A fresh picture (h,w,3) of frame ``t`` without the characters ``replaced``: the plate, else the clay render
    with them painted over from around, else grey."""
    if len(pack.plate) > t:
        return np.array(pack.plate[t], np.uint8)
    if len(pack.clay) > t:
        clay = np.array(pack.clay[t], np.uint8)
        if len(pack.mask) > t and replaced:
            return _without(clay, np.isin(pack.mask[t], replaced))
        return clay
    return np.full((pack.height, pack.width, 3), GREY, np.uint8)


def _without(picture: NDArray[np.uint8], hole: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """``picture`` with ``hole`` filled from around, coarse to fine (push-pull)."""
    hole = cv2.dilate(hole.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    weight = (~hole).astype(np.float32)
    levels: list[tuple[NDArray[Any], NDArray[Any]]] = [(picture * weight[..., None], weight)]
    while min(levels[-1][1].shape) > 2:
        colour, weight = levels[-1]
        size = ((weight.shape[1] + 1) // 2, (weight.shape[0] + 1) // 2)
        smaller = [np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA)) for part in (colour, weight)]
        levels.append((smaller[0], smaller[1]))
    colour, weight = levels[-1]
    filled: NDArray[Any] = colour / np.maximum(weight, 1e-6)[..., None]
    for colour, weight in reversed(levels[:-1]):
        filled = np.asarray(cv2.resize(filled, (weight.shape[1], weight.shape[0]), interpolation=cv2.INTER_LINEAR))
        full = np.minimum(weight, 1.0)[..., None]
        own = colour / np.maximum(weight, 1e-6)[..., None]
        filled = own * full + filled * (1 - full)
    result = picture.copy()
    result[hole] = np.clip(np.rint(filled[hole]), 0, 255).astype(np.uint8)
    return result


class Scene:
    """What may stand before a character in frame ``t``: depth where no character is, +inf elsewhere."""

    def __init__(self, pack: DrivePack, t: int) -> None:
        self.depth: NDArray[np.float32] | None = None
        if len(pack.depth) > t and len(pack.mask) > t:
            self.depth = np.where(pack.mask[t] == 0, pack.depth[t], np.float32(np.inf)).astype(np.float32)
            if not np.isfinite(self.depth).any():
                self.depth = None

    def hidden(self, box: Box, surface: NDArray[np.float32]) -> NDArray[np.uint8] | None:
        """How much of each pixel of ``box`` shows (255 all), for a surface at these depths; None = everything."""
        if self.depth is None:
            return None
        before = self.depth[box[1] : box[3], box[0] : box[2]] < surface - OCCLUDER_MARGIN
        if not before.any():
            return None
        return np.asarray(cv2.blur(np.where(before, 0, 255).astype(np.uint8), (3, 3)), np.uint8)


def paint(picture: NDArray[np.uint8], box: Box, piece: NDArray[Any], shown: NDArray[np.uint8] | None) -> None:
    """Lay premultiplied RGBA ``piece`` (h,w,4) over ``box`` of ``picture``, in place."""
    if shown is not None:
        piece = cv2.multiply(piece, cv2.merge([shown] * 4), scale=1.0 / 255.0)
    region = picture[box[1] : box[3], box[0] : box[2]]
    rest = cv2.bitwise_not(piece[..., 3])
    kept = cv2.multiply(region, cv2.merge([rest] * 3), scale=1.0 / 255.0)
    region[...] = cv2.add(kept, np.ascontiguousarray(piece[..., :3]))


def paint_clay(picture: NDArray[np.uint8], pack: DrivePack, t: int, index: int) -> None:
    """A character without a reference stays as the clay render shows it."""
    if len(pack.clay) > t and len(pack.mask) > t:
        own = pack.mask[t] == index
        picture[own] = pack.clay[t][own]


def paint_shadow(picture: NDArray[np.uint8], joints: Floats, depth: Floats, size: float, scene: Scene) -> None:
    """A soft dark patch under each foot that stands on something; ``size`` px is the length of a shin."""
    for ankle, toe in ((ANKLE_R, TOE_R), (ANKLE_L, TOE_L)):
        centre = 0.4 * joints[ankle] + 0.6 * joints[toe]
        centre = np.array([centre[0], max(joints[ankle][1], joints[toe][1]) + 0.03 * size])
        strength = SHADOW * _contact(scene, centre, float(depth[toe]), size)
        if strength > 0.01:
            _darken(picture, centre, 0.42 * size, 0.11 * size, strength)


def _contact(scene: Scene, at: Floats, depth: float, size: float) -> float:
    """1 where the scene lies right under a foot, 0 where it is far from it or unknown."""
    if scene.depth is None:
        return 0.0
    height, width = scene.depth.shape
    x = int(at[0])
    for step in (0.04, 0.1, 0.16, 0.22):  # the first one that the captured character's own foot does not hide
        y = int(at[1] + step * size)
        if 0 <= x < width and 0 <= y < height and np.isfinite(scene.depth[y, x]):
            return float(np.clip(1.0 - (abs(float(scene.depth[y, x]) - depth) - 0.2) / 0.35, 0.0, 1.0))
    return 0.0


def _darken(picture: NDArray[np.uint8], centre: Floats, wide: float, high: float, strength: float) -> None:
    height, width = picture.shape[:2]
    left, right = max(int(centre[0] - 2 * wide), 0), min(int(centre[0] + 2 * wide) + 1, width)
    top, bottom = max(int(centre[1] - 2 * high), 0), min(int(centre[1] + 2 * high) + 1, height)
    if left >= right or top >= bottom:
        return
    x = (np.arange(left, right) + 0.5 - centre[0]) / max(wide, 1.0)
    y = (np.arange(top, bottom) + 0.5 - centre[1]) / max(high, 1.0)
    light = 1.0 - strength * np.exp(-1.5 * (x[None, :] ** 2 + y[:, None] ** 2))
    region = picture[top:bottom, left:right]
    region[...] = np.rint(region * light[..., None]).astype(np.uint8)
