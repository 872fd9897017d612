"""Draws textured triangles: which triangle covers each pixel, where in the texture that is, one ``cv2.remap``."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .skeleton import Floats

SHIFT = 4  # fractional bits of cv2's polygon corners
FAR = 4000.0  # corners are held inside this many pixels, far beyond any picture

Box = tuple[int, int, int, int]
"""left, top, right, bottom in pixels, right and bottom exclusive."""


def bounds(corners: Floats, width: int, height: int, margin: int = 1) -> Box:
    """The pixels that triangles (T,3,2) can touch inside a picture; empty boxes have right <= left."""
    flat = np.clip(corners.reshape(-1, 2), -FAR, FAR)
    low, high = flat.min(axis=0), flat.max(axis=0)
    left, top = max(int(low[0]) - margin, 0), max(int(low[1]) - margin, 0)
    return left, top, min(int(high[0]) + 1 + margin, width), min(int(high[1]) + 1 + margin, height)


def triangle_map(corners: Floats, box: Box) -> NDArray[np.int32]:
    """Index of the triangle seen at each pixel of ``box``, -1 for none; later triangles cover earlier ones."""
    left, top, right, bottom = box
    seen = np.full((bottom - top, right - left), -1, np.int32)
    fixed = np.rint((np.clip(corners, -FAR, FAR) - (left + 0.5, top + 0.5)) * (1 << SHIFT)).astype(np.int32)
    draw = cv2.fillConvexPoly
    for index, triangle in enumerate(fixed):
        draw(seen, triangle, index, cv2.LINE_8, SHIFT)
    return seen


def screen_to_values(corners: Floats, values: Floats) -> Floats:
    """(T,C,3): the affine maps from screen (x, y, 1) to C values given at each corner (T,3,C)."""
    first = corners[:, :1]
    edges = corners[:, 1:] - first  # (T,2,2)
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    determinant = np.where(np.abs(determinant) < 1e-9, 1e-9, determinant)
    inverse = np.empty_like(edges)
    inverse[:, 0, 0], inverse[:, 1, 1] = edges[:, 1, 1], edges[:, 0, 0]
    inverse[:, 0, 1], inverse[:, 1, 0] = -edges[:, 0, 1], -edges[:, 1, 0]
    inverse /= determinant[:, None, None]
    slope = np.swapaxes(values[:, 1:] - values[:, :1], 1, 2) @ np.swapaxes(inverse, 1, 2)  # (T,C,2)
    # rows of ``edges`` are vectors: value = v0 + dv^T (edges^T)^-1 (p - p0)
    constant = values[:, 0] - (slope @ np.swapaxes(first, 1, 2))[:, :, 0]
    return np.concatenate([slope, constant[:, :, None]], axis=2)


def look_up(seen: NDArray[np.int32], maps: Floats, box: Box, outside: float) -> NDArray[np.float32]:
    """(C,h,w): the values of ``screen_to_values`` at pixel centres of ``box``, ``outside`` where no triangle is."""
    covered = np.flatnonzero(seen >= 0)
    wide = seen.shape[1]
    x = (covered % wide + (box[0] + 0.5)).astype(np.float32)
    y = (covered // wide + (box[1] + 0.5)).astype(np.float32)
    table = maps.astype(np.float32)[seen.ravel()[covered]]
    found = np.full((maps.shape[1], seen.size), outside, np.float32)
    for channel in range(maps.shape[1]):
        found[channel, covered] = table[:, channel, 0] * x + table[:, channel, 1] * y + table[:, channel, 2]
    return found.reshape(maps.shape[1], *seen.shape)


def draw(
    texture: NDArray[np.uint8], source: Floats, corners: Floats, box: Box, seen: NDArray[np.int32]
) -> NDArray[Any]:
    """Premultiplied RGBA (h,w,4) of ``box``: triangles at ``corners`` filled from ``source`` (T,3,2) in the texture."""
    where = look_up(seen, screen_to_values(corners, source), box, -100.0)
    # pixels on the rim of a sliver lie far outside it in the texture: hold them near its corners
    covered = seen >= 0
    index = seen[covered]
    low, high = (source.min(axis=1) - 2.0).astype(np.float32), (source.max(axis=1) + 2.0).astype(np.float32)
    for axis in (0, 1):
        where[axis][covered] = np.clip(where[axis][covered], low[index, axis], high[index, axis])
    return np.asarray(
        cv2.remap(
            texture, where[0] - 0.5, where[1] - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
        )
    )
