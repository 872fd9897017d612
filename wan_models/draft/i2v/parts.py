"""The colours of a character's parts, for the sides of it that sample 0 does not see.

Where the clay carries materials (several chromas on one character), each material keeps the ratio of picture to clay
that it has in sample 0. Otherwise the bones of the pose track say which part a pixel belongs to, and how far along
it lies, so that a sleeve ends where it ends in sample 0; left and right count as one. The back of a head is hair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from wan_models.requests import BEHIND, MISSING, STATE

from .opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .fill import Box, Picture
    from .motion import Mask, Plane

Points: TypeAlias = "NDArray[np.float32]"

FLOOR = 6.0  # of 255, as in fill.py
STEP = 2  # pixels; parts are told apart on every second pixel of every second row
BINS = 8  # along a bone
FEWEST = 12  # pixels of sample 0 that a bin needs
CHROMA_BINS = 24
MATERIAL = 0.03  # of a character's pixels in sample 0, that a material must fill
CHROMA_REACH = 0.06  # a pixel's chroma lies this near to its material's
NOSE, NECK, EAR_R, EAR_L = 0, 1, 16, 17
UPPER_ARM, FOREARM, THIGH, SHIN, FOOT, HEAD, HAIR = 0, 1, 2, 3, 4, 6, 7
HIP_BINS = 3
HUE_REACH = 0.12
DIM = 0.75  # of a part, below which a bin is in shadow
# first joint, last joint, class, radius as a share of the shoulders' width, how far beyond the last joint it reaches
BONES = (
    (2, 3, 0, 0.16, 0.0), (5, 6, 0, 0.16, 0.0),
    (3, 4, 1, 0.12, 0.7), (6, 7, 1, 0.12, 0.7),
    (8, 9, 2, 0.24, 0.0), (11, 12, 2, 0.24, 0.0),
    (9, 10, 3, 0.16, 0.0), (12, 13, 3, 0.16, 0.0),
    (10, 19, 4, 0.13, 0.4), (13, 18, 4, 0.13, 0.4),
)  # fmt: skip
TORSO, TORSO_RADIUS, HEAD_RADIUS = 5, 0.42, 0.32
CLASSES = 8
NEIGHBOURS = {
    TORSO: (TORSO, THIGH), UPPER_ARM: (UPPER_ARM, TORSO, FOREARM), FOREARM: (FOREARM, UPPER_ARM),
    THIGH: (THIGH,), SHIN: (SHIN, THIGH),
}  # fmt: skip
"""Whose colour the bins of a class may have."""


@dataclass(frozen=True)
class View:
    """One sample of a character: clay (h,w,3), mask (h,w), 1/depth (h,w) or None, body (20,5), intrinsics or None.

    The maps may be cut out of the picture, with their first pixel at ``corner`` (x, y).
    """

    clay: Picture
    mask: Mask
    inverse: Plane | None
    body: Points
    intrinsics: NDArray[np.float64] | None
    corner: tuple[int, int] = (0, 0)

    @property
    def solid(self) -> bool:
        """Whether lengths can be taken in metres, in all three directions."""
        return self.inverse is not None and self.intrinsics is not None

    def joints(self) -> Points:
        """(20,3): metres before the camera, or pixels and 0."""
        if self.intrinsics is None or not self.solid:
            return np.concatenate([self.body[:, :2], np.zeros((20, 1), np.float32)], axis=1)
        return _solid(self.body[:, 0], self.body[:, 1], self.body[:, 3], self.intrinsics)

    def points(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Points:
        """(N,3): the surface seen in pixels, in the same measure as ``joints``."""
        x = columns.astype(np.float32) + np.float32(self.corner[0] + 0.5)
        y = rows.astype(np.float32) + np.float32(self.corner[1] + 0.5)
        if self.inverse is None or self.intrinsics is None:
            return np.stack([x, y, np.zeros_like(x)], axis=1)
        depth: Points = np.reciprocal(np.maximum(self.inverse[rows, columns], np.float32(1e-6)))
        return _solid(x, y, depth, self.intrinsics)


class PartColors:
    """What one mask ``value`` looks like in sample 0: ``picture`` (h,w,3), and the ``first`` view."""

    def __init__(self, picture: Picture, first: View, value: int) -> None:
        self._value = value
        rows, columns = np.nonzero(cv2.erode(cv2.inRange(first.mask, value, value), np.ones((3, 3), np.uint8)))
        if len(rows) < FEWEST:
            rows, columns = np.nonzero(first.mask == value)
        clay = first.clay[rows, columns].astype(np.float32)
        ratio = (picture[rows, columns] + np.float32(FLOOR)) / (clay + np.float32(FLOOR))
        self._materials, of_material = _materials(clay)
        if len(self._materials) > 1:
            self._ratios = np.stack([np.median(ratio[of_material == k], axis=0) for k in range(len(self._materials))])
        else:
            part, along = _parts(first, rows, columns)
            _crown(part, rows)
            self._table = _table(part, along, ratio)

    def ratio(self, view: View, holes: Mask) -> Callable[[Box], Plane]:
        """For a box: picture/clay (h,w,3) of the non-zero pixels of ``holes``, all of this character."""
        whole = self._by_material(view, holes) if len(self._materials) > 1 else self._by_part(view, holes)
        return lambda box: np.ascontiguousarray(whole[box])

    def _by_part(self, view: View, holes: Mask) -> Plane:
        wanted = cv2.dilate(holes, np.ones((2 * STEP + 1, 2 * STEP + 1), np.uint8))[::STEP, ::STEP]
        wanted = cv2.bitwise_and(wanted, cv2.inRange(view.mask[::STEP, ::STEP], self._value, self._value))
        rows, columns = np.nonzero(wanted)
        grid = np.zeros((*wanted.shape, 3), np.float32)
        part, along = _parts(view, rows * STEP, columns * STEP)
        low = np.clip(np.floor(along * BINS - 0.5), 0, BINS - 2).astype(np.int64)
        share = np.clip(along * BINS - 0.5 - low, 0, 1)[:, None]
        grid[rows, columns] = self._table[part, low] * (1 - share) + self._table[part, low + 1] * share
        return _enlarged(grid, wanted, holes.shape)

    def _by_material(self, view: View, holes: Mask) -> Plane:
        rows, columns = np.nonzero(holes)
        chroma = _chroma(view.clay[rows, columns].astype(np.float32))
        gap = ((chroma[:, None] - self._materials[None]) ** 2).sum(axis=2)
        out = np.zeros((*holes.shape, 3), np.float32)
        out[rows, columns] = self._ratios[gap.argmin(axis=1)]
        return out


def usable(body: Points) -> bool:
    """Whether a sample's joints are all there: those of neck, arms and legs."""
    needed = body[1:14]
    return bool(np.isfinite(needed[:, :4]).all() and not np.isin(needed[:, STATE], (BEHIND, MISSING)).any())


def _solid(x: Points, y: Points, depth: Points, intrinsics: NDArray[np.float64]) -> Points:
    fx, fy, cx, cy = intrinsics.astype(np.float32)
    return np.stack([(x - cx) / fx * depth, (y - cy) / fy * depth, depth], axis=-1)


def _enlarged(grid: Plane, wanted: Mask, size: tuple[int, ...]) -> Plane:
    """Cells to pixels, bilinear between cells that are wanted."""
    weight = (wanted != 0).astype(np.float32)
    full = (grid.shape[1] * STEP, grid.shape[0] * STEP)
    large = cv2.resize(grid, full, interpolation=cv2.INTER_LINEAR)
    share = cv2.resize(weight, full, interpolation=cv2.INTER_LINEAR)
    large /= np.maximum(share, np.float32(1e-3))[..., None]
    fine: Plane = large[: size[0], : size[1]]
    return fine


def _parts(view: View, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], Points]:
    """The class (N,) of pixels, and how far along its bone each lies (0 to 1)."""
    joints, points = view.joints(), view.points(rows, columns)
    shoulders = max(float(np.linalg.norm(joints[2] - joints[5])), 0.5 * float(np.linalg.norm(joints[1] - joints[8])))
    hips, ears = joints[[8, 11]].mean(axis=0), joints[[EAR_R, EAR_L]].mean(axis=0)
    if not np.isfinite(view.body[[NOSE, EAR_R, EAR_L], :4]).all():
        ears = joints[NECK] + 0.5 * (joints[NECK] - hips) * 0.9
    up = ears - joints[NECK]
    bones = [(joints[a], joints[b] + beyond * (joints[b] - joints[a]), c, r) for a, b, c, r, beyond in BONES]
    bones += [(joints[NECK], hips + 0.15 * (hips - joints[NECK]), TORSO, TORSO_RADIUS)]
    bones += [(ears - 0.2 * up, ears + 0.4 * up, HEAD, HEAD_RADIUS)]
    best = np.full(len(points), np.inf, np.float32)
    part, along = np.zeros(len(points), np.int64), np.zeros(len(points), np.float32)
    for start, end, kind, radius in bones:
        way = (end - start).astype(np.float32)
        t = np.clip((points - start) @ way / max(float(way @ way), 1e-9), 0, 1).astype(np.float32)
        gap = points - start - t[:, None] * way
        cost = np.sqrt(np.einsum("nc,nc->n", gap, gap)) / (radius * shoulders)
        better = cost < best
        best[better], part[better], along[better] = cost[better], kind, t[better]
    _hair(view, points, (joints[NOSE], ears, up), part)
    return part, along


def _hair(view: View, points: Points, head: tuple[Points, Points, Points], part: NDArray[np.int64]) -> None:
    """Turn, in place, what lies at the top, the sides and the back of the head into hair."""
    nose, ears, up = head
    length = max(float(np.linalg.norm(up)), 1e-6)
    axis = up / length
    forward = (nose - ears) - axis * float((nose - ears) @ axis)
    reach = max(float(np.linalg.norm(forward)), 1e-6)
    offset = points - ears
    high, ahead = offset @ axis / length, offset @ (forward / reach) / reach
    behind = (ahead < 0.25) & (high > -0.15) if view.solid else np.zeros(len(points), bool)
    part[(part == HEAD) & (behind | (high > 0.62))] = HAIR


def _crown(part: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Where a head shows hardly any hair by the measure of ``_hair``, its topmost pixels are hair, in place."""
    head = (part == HEAD) | (part == HAIR)
    if head.sum() >= FEWEST and (part == HAIR).sum() < 0.05 * head.sum():
        part[head & (rows <= np.quantile(rows[head], 0.15))] = HAIR


def _table(part: NDArray[np.int64], along: Points, ratio: Points) -> Points:
    """(CLASSES,BINS,3): the usual ratio along each class of bone; gaps are filled from the nearest bin."""
    table = np.tile(np.median(ratio, axis=0).astype(np.float32), (CLASSES, BINS, 1))
    which = np.clip((along * BINS).astype(np.int64), 0, BINS - 1)
    which[(part == THIGH) & (which < HIP_BINS)] = HIP_BINS  # who bends shows the shirt there
    plain: dict[int, Points] = {}
    for kind in range(CLASSES):
        mine = part == kind
        if mine.sum() < FEWEST:
            continue
        plain[kind] = _lit(ratio[mine])
        table[kind] = plain[kind]
        if kind in (FOOT, HEAD, HAIR):
            continue
        cells = {b: mine & (which == b) for b in range(BINS)}
        medians = {b: np.median(ratio[cell], axis=0) for b, cell in cells.items() if cell.sum() >= FEWEST}
        for b in range(BINS):
            near = min(medians, key=lambda k: (abs(k - b), k), default=None)
            if near is not None:
                table[kind, b] = medians[near]
    return _snapped(table, plain)


def _lit(ratio: Points) -> Points:
    """The usual ratio of a part's better lit half: folds and cast shadows of sample 0 are not its colour."""
    light = ratio.sum(axis=1)
    return np.asarray(np.median(ratio[light >= np.median(light)], axis=0), np.float32)


def _snapped(table: Points, plain: dict[int, Points]) -> Points:
    """Bins of the hue that a neighbouring part has as a whole take its colour, and dark ones the likest of them, so
    that shadows and folds of sample 0 go."""
    for kind, others in NEIGHBOURS.items():
        colors = [plain[k] for k in others if k in plain]
        if kind not in plain or not colors:
            continue
        palette = np.stack(colors)
        gap = ((_hue(table[kind])[:, None] - _hue(palette)[None]) ** 2).sum(axis=2)
        best = gap.argmin(axis=1)
        dark = table[kind].sum(axis=1) < DIM * palette[best].sum(axis=1)
        near = dark | (gap.min(axis=1) < HUE_REACH**2)
        table[kind] = np.where(near[:, None], palette[best], table[kind])
    return table


def _hue(color: Points) -> Points:
    """(N,3): shares of red, green and blue."""
    return np.asarray(color / np.maximum(color.sum(axis=1, keepdims=True), 1e-6), np.float32)


def _chroma(clay: Points) -> Points:
    """(N,2): red and blue against the sum, 0 for greys."""
    total = clay.sum(axis=1, keepdims=True) + np.float32(12)
    return np.asarray((clay[:, [0, 2]] - clay[:, [1]]) / total, np.float32)


def _materials(clay: Points) -> tuple[Points, NDArray[np.int64]]:
    """The chromas (K,2) that fill a share of the pixels, and each pixel's."""
    chroma = _chroma(clay)
    left = np.ones(len(chroma), bool)
    found: list[Points] = []
    while left.sum() > MATERIAL * len(chroma) and len(found) < 12:
        rest = chroma[left]
        bins = np.clip((rest + 1) * (CHROMA_BINS / 2), 0, CHROMA_BINS - 1).astype(np.int64)
        count = np.bincount(bins[:, 0] * CHROMA_BINS + bins[:, 1])
        middle = np.median(rest[bins[:, 0] * CHROMA_BINS + bins[:, 1] == count.argmax()], axis=0)
        taken = left & (((chroma - middle) ** 2).sum(axis=1) < CHROMA_REACH**2)
        if taken.sum() <= MATERIAL * len(chroma):
            break
        found.append(middle.astype(np.float32))
        left &= ~taken
    if not found:
        return np.zeros((1, 2), np.float32), np.zeros(len(chroma), np.int64)
    centres = np.stack(found)
    nearest = ((chroma[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    return centres, nearest
