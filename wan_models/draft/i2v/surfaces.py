"""The colours of flat surfaces of the set: what lies far from anything that sample 0 saw takes its surface's.

A surface is a plane of the world: floor, wall, the fronts of boxes. Its colour is the usual ratio of the picture
to the clay plate among its pixels of sample 0, the same in every frame; the clay gives shading and edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy.ndimage import uniform_filter

from .opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from wan_models.requests import CameraTrack

    from .fill import Box, Picture
    from .motion import Mask, Plane

    Cells: TypeAlias = NDArray[np.int64]

STEP = 2  # pixels; surfaces are told apart on every second pixel of every second row
FLOOR = 6.0  # of 255, as in fill.py
NORMAL_BINS = 3.0  # a unit normal's parts fall into seven bins
OFFSET_BIN = 0.05  # metres
LEAST = 0.002  # of the picture, that a surface must fill
SAME_NORMAL = 0.25  # by so much (of a unit vector) a surface may face another way than a known one
MOST = 32  # surfaces
COLOR_BIN = 0.05  # of a ratio, when the usual colour of a surface is sought
COLOR_REACH = 0.2
ANGLE_WEIGHT = 6.0  # a normal that is off by 1 counts as an offset off by so many metres
HUE_WEIGHT = 12.0  # likewise for the clay's hue, where the clay carries the materials' colours
HUE_BIN = 0.6
SKY = 1e-6  # 1/metres; nothing is there


class Surfaces:
    """``picture`` and ``clay`` (h,w,3) are sample 0's without characters, ``inverse`` (h,w) its 1/depth."""

    def __init__(self, camera: CameraTrack, picture: Picture, clay: Picture, inverse: Plane) -> None:
        self._camera = camera
        cells = (slice(None, None, STEP), slice(None, None, STEP))
        ratio = (picture[cells].reshape(-1, 3) + np.float32(FLOOR)) / (clay[cells].reshape(-1, 3) + np.float32(FLOOR))
        planes, sky = self._planes(0, inverse[cells], clay[cells], np.arange(len(ratio)))
        seen = sky if sky.sum() > LEAST * sky.size else np.ones_like(sky)
        self._sky = np.median(ratio[seen], axis=0).astype(np.float32)
        self._known, self._ratios = _largest(planes[~sky], ratio[~sky])

    def ratio(self, index: int, inverse: Plane, clay: Picture, holes: Mask) -> Callable[[Box], Plane]:
        """For a box: picture/clay (h,w,3) of the non-zero pixels of ``holes`` by their surfaces, others 0.

        0 as well for what faces as no known surface does: leaves, folds.
        """
        height, width = inverse.shape
        cells = inverse[::STEP, ::STEP]
        wanted = cv2.dilate(holes, np.ones((2 * STEP + 1, 2 * STEP + 1), np.uint8))[::STEP, ::STEP]
        at = np.flatnonzero(wanted)
        planes, sky = self._planes(index, cells, clay[::STEP, ::STEP], at)
        label = np.zeros(cells.size, np.uint8)  # 0 nothing known, 1 sky, then the surfaces
        if len(self._known) and len(at):
            best = _nearest(planes, self._known)
            gap = planes[:, :3] - self._known[best, :3]
            alike = np.einsum("nc,nc->n", gap, gap) < (ANGLE_WEIGHT * SAME_NORMAL) ** 2
            label[at] = np.where(alike, best + 2, 0)
        label[at[sky]] = 1
        table = np.zeros((256, 1, 3), np.float32)
        table[1, 0], table[2 : 2 + len(self._ratios), 0] = self._sky, self._ratios
        fine = cv2.resize(
            label.reshape(cells.shape),
            (cells.shape[1] * STEP, cells.shape[0] * STEP),
            interpolation=cv2.INTER_NEAREST,
        )[:height, :width]
        return lambda box: np.asarray(cv2.LUT(cv2.merge([fine[box]] * 3), table))

    def _planes(self, index: int, cells: Plane, clay: Picture, at: Cells) -> tuple[Plane, NDArray[np.bool_]]:
        """(N,6) weighted normals, offsets and weighted hues of some cells (h,w), and (N,) where nothing is.

        On a plane n.P = D, 1/depth is (n/D).r for the ray r = (x, y, 1) of a pixel: linear in the picture. Before an
        orthographic camera depth itself is.
        """
        flat = self._camera.orthographic
        fx, fy, cx, cy = self._camera.intrinsics[index].astype(np.float32)
        inverse = cells.ravel()[at]
        sky = inverse <= SKY
        field: Plane = np.reciprocal(np.maximum(cells, np.float32(SKY))) if flat else cells
        across, down = (_slope(field, axis).ravel()[at] / STEP for axis in (1, 0))
        x = ((at % cells.shape[1]).astype(np.float32) * STEP + np.float32(0.5) - cx) / fx
        y = ((at // cells.shape[1]).astype(np.float32) * STEP + np.float32(0.5) - cy) / fy
        u, v = across * fx, down * fy
        rest = field.ravel()[at] - u * x - v * y
        # the camera's axes: x right, y up, z backwards
        normal = np.stack([u, -v, np.ones_like(u) if flat else -rest], axis=1)
        length = np.maximum(np.sqrt(np.einsum("nc,nc->n", normal, normal)), np.float32(1e-9))
        offset = (-rest if flat else np.ones_like(rest)) / length
        normal /= np.where(offset > 0, -length, length)[:, None]  # towards the camera
        world = self._camera.world_from_camera[index].astype(np.float32)
        normal = normal @ world[:3, :3].T
        offset = normal @ world[:3, 3] - np.abs(offset)
        hue = _hue(clay.reshape(-1, 3)[at])
        return np.concatenate([normal * np.float32(ANGLE_WEIGHT), offset[:, None], hue], axis=1), sky


def _hue(clay: NDArray[np.uint8]) -> Plane:
    """(N,2): red and blue against the sum, weighted; 0 for grey clay."""
    color = clay.astype(np.float32)
    total = color.sum(axis=1, keepdims=True) + np.float32(12)
    return np.asarray((color[:, [0, 2]] - color[:, [1]]) * (np.float32(HUE_WEIGHT) / total), np.float32)


def _nearest(planes: Plane, known: Plane) -> Cells:
    """(N,): the known surface (K,6) that is nearest to each of (N,6); a loop, as K is small and argmin slow."""
    columns = np.ascontiguousarray(planes.T)
    best, least = np.zeros(len(planes), np.int64), np.full(len(planes), np.inf, np.float32)
    for number, surface in enumerate(known):
        # half the squared distance, less the planes' own length, which is common to all
        cost = np.full(len(planes), 0.5 * float(surface @ surface), np.float32)
        for column, part in zip(columns, surface, strict=True):
            cost -= column * part
        better = cost < least
        best[better] = number
        np.minimum(least, cost, out=least)
    return best


def _slope(field: Plane, axis: int) -> Plane:
    """Differences (h,w) to the neighbour that is more alike, so not across an edge."""
    if field.shape[axis] < 2:
        return np.zeros_like(field)
    step = np.diff(field, axis=axis)
    first, last = np.take(step, [0], axis), np.take(step, [-1], axis)
    ahead, back = np.concatenate([step, last], axis), np.concatenate([first, step], axis)
    return np.where(np.abs(ahead) < np.abs(back), ahead, back)


def _largest(planes: Plane, ratio: Plane) -> tuple[Plane, Plane]:
    """The largest surfaces (K,6) and their usual ratios (K,3)."""
    scale = np.array([*[NORMAL_BINS / ANGLE_WEIGHT] * 3, 1 / OFFSET_BIN, 1 / HUE_BIN, 1 / HUE_BIN], np.float32)
    bins = np.clip(np.rint(planes * scale), -499, 499).astype(np.int64) + 500
    key = np.zeros(len(bins), np.int64)
    for column in bins.T:
        key = key * 1000 + column
    _, which, counts = np.unique(key, return_inverse=True, return_counts=True)
    chosen = [k for k in np.argsort(-counts, kind="stable")[:MOST].tolist() if counts[k] > LEAST * len(key)]
    members = [which == k for k in chosen]
    empty = np.zeros((0, 6), np.float32), np.zeros((0, 3), np.float32)
    if not members:
        return empty
    return (
        np.stack([np.median(planes[m], axis=0) for m in members]).astype(np.float32),
        np.stack([_usual(ratio[m]) for m in members]),
    )


def _usual(ratio: Plane) -> Plane:
    """The mean of the most frequent colours among (N,3): bricks and mortar, but not the window between them."""
    bins = np.clip(ratio / np.float32(COLOR_BIN), 0, 63).astype(np.int64)
    crowd = np.zeros((64, 64, 64), np.float32)
    np.add.at(crowd, tuple(bins.T), 1)
    smooth = uniform_filter(crowd, 3, mode="constant")
    peak = (np.array(np.unravel_index(int(smooth.argmax()), smooth.shape)) + 0.5) * COLOR_BIN
    near = (np.abs(ratio - peak.astype(np.float32)) < np.float32(COLOR_REACH)).all(axis=1)
    mean: Plane = ratio[near].mean(axis=0) if near.any() else np.median(ratio, axis=0)
    return mean.astype(np.float32)
