"""Where the set, without its characters, is seen in sample 0: behind them too, as far as any sample tells.

What a character hides in one sample another one shows. The set stands still there, so its depth behind a character is
found by turns: a guess of the depth says where the point is in the other sample, and the depth there says where it is
here. Three turns settle it, but at edges; those are left as holes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .motion import StaticScene, depth_map, from_origin, inside, inverse_depth, mask_map
from .opencv import cv2
from .spread import pull

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wan_models.requests import CameraTrack, DrivePack

    from .motion import Mask, Plane

RIM = np.ones((5, 5), np.uint8)
TURNS = 3
AGREE = 0.04  # relative; depths that were found by turns agree to this
OTHERS = 5  # samples that are asked what the characters of sample 0 hide
MARGIN = 24  # pixels around the characters that their surroundings are carried in from


def rim_of(mask: Mask) -> Mask:
    """The characters, and two pixels around them."""
    rim: Mask = cv2.dilate(mask, RIM)
    return rim


def take(field: NDArray[Any], u: Plane, v: Plane) -> NDArray[Any]:
    """Values of ``field`` (h,w) at the pixels nearest to positions (N,)."""
    height, width = field.shape
    column = np.rint(np.clip(u, 0, width - 1)).astype(np.int32)
    row = np.rint(np.clip(v, 0, height - 1)).astype(np.int32)
    return np.asarray(field.ravel()[row * width + column])


def agree(one: Plane, other: Plane, tolerance: float) -> NDArray[np.bool_]:
    """Where two 1/depths are the same surface's."""
    same: NDArray[np.bool_] = np.abs(one - other) <= np.float32(tolerance) * np.maximum(one, other) + np.float32(1e-6)
    return same


class DepthSetting:
    """From depth and the camera track; where there are origin maps they lead, as they know what moves in the set."""

    def __init__(self, pack: DrivePack, camera: CameraTrack) -> None:
        self._pack = pack
        self._scene = StaticScene(pack, camera)
        self._rim0 = rim_of(mask_map(pack, 0))
        self.inverse0 = self._completed()
        self._scene.replace_first(self.inverse0)

    @property
    def scene(self) -> StaticScene:
        """The camera's geometry."""
        return self._scene

    def still(self, index: int) -> bool:
        """Whether the picture of the set is sample 0's as far as the camera says, and nothing else moves."""
        return self._scene.still(index) and not len(self._pack.origin)

    def backward(self, index: int) -> tuple[Plane, Mask, Plane]:
        """Positions in sample 0 (h,w,2), where they are known, and the set's 1/depth (h,w)."""
        rim = rim_of(mask_map(self._pack, index))
        inverse = carried_in(inverse_depth(depth_map(self._pack, index)), rim)
        if len(self._pack.origin):
            where, known = from_origin(self._pack, index)
            cv2.bitwise_and(known, inside(where, self._pack.width, self._pack.height), dst=known)
        else:
            where, seen = self._scene.positions(index, inverse)
            known = self._scene.visible(where, seen)
        known[rim != 0] = 0
        self._fill(index, rim, where, known, inverse)
        return where, known, inverse

    def _fill(self, index: int, rim: Mask, where: Plane, known: Mask, inverse: Plane) -> None:
        """Find, in place, what a character hides now or hid in sample 0."""
        height, width = known.shape
        todo = np.flatnonzero(known.ravel() == 0)
        x, y = (todo % width).astype(np.float32), (todo // width).astype(np.float32)
        found = inverse.ravel()[todo]
        hidden = rim.ravel()[todo] != 0
        found[hidden] = self._by_turns((index, 0), x[hidden], y[hidden], found[hidden], self.inverse0)
        u, v, seen = self._scene.link(index, 0).carry(x, y, found)
        within = (u >= -0.5) & (v >= -0.5) & (u < width - 0.5) & (v < height - 0.5)
        wanted = hidden | (take(self._rim0, u, v) != 0)
        good = within & wanted & agree(take(self.inverse0, u, v), seen, AGREE)
        known.ravel()[todo[good]] = 255
        where.reshape(-1, 2)[todo] = np.stack([u, v], axis=1)
        inverse.ravel()[todo[hidden]] = found[hidden]

    def _by_turns(self, samples: tuple[int, int], x: Plane, y: Plane, inverse: Plane, there: Plane) -> Plane:
        """1/depth in the first sample of pixels (N,), from a first guess and the 1/depth ``there`` in the second."""
        ahead, back = self._scene.link(*samples), self._scene.link(*samples[::-1])
        for _ in range(TURNS):
            u, v, _ = ahead.carry(x, y, inverse)
            inverse = back.carry(u, v, take(there, u, v))[2]
        return inverse

    def _completed(self) -> Plane:
        """1/depth of sample 0's set; behind its characters from samples in which they stand elsewhere."""
        inverse = carried_in(inverse_depth(depth_map(self._pack, 0)), self._rim0)
        height, width = inverse.shape
        others = np.unique(np.linspace(0, self._pack.frames - 1, OTHERS + 1).round().astype(int))[1:]
        todo = np.flatnonzero(self._rim0)
        for index in others.tolist():
            if not len(todo):
                break
            there = inverse_depth(depth_map(self._pack, index))
            rim = rim_of(mask_map(self._pack, index))
            x, y = (todo % width).astype(np.float32), (todo // width).astype(np.float32)
            found = self._by_turns((0, index), x, y, inverse.ravel()[todo], there)
            u, v, seen = self._scene.link(0, index).carry(x, y, found)
            good = (u >= 0) & (v >= 0) & (u <= width - 1) & (v <= height - 1) & (take(rim, u, v) == 0)
            good &= agree(take(there, u, v), seen, AGREE)
            inverse.ravel()[todo[good]] = found[good]
            todo = todo[~good]
        return inverse


class OriginSetting:
    """From origin maps alone: shifts carried in where a character stands now or stood in sample 0."""

    def __init__(self, pack: DrivePack) -> None:
        self._pack = pack
        self._mask0 = mask_map(pack, 0)

    def still(self, index: int) -> bool:
        """Sample 0 only: without a camera track every other sample is looked at."""
        return index == 0

    def backward(self, index: int) -> tuple[Plane, Mask, None]:
        """Positions in sample 0 (h,w,2), where they are known, and no depth."""
        where, known = from_origin(self._pack, index)
        mask = mask_map(self._pack, index)
        known[mask != 0] = 0
        height, width = known.shape
        grid = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
        shift = where - grid
        unknown = cv2.bitwise_not(known)
        x, y = (carry_in(np.ascontiguousarray(shift[..., axis]), unknown) for axis in (0, 1))
        where = cv2.merge([x, y]) + grid
        guess = cv2.remap(self._mask0, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        near = cv2.bitwise_or(guess, rim_of(mask))
        known = cv2.bitwise_or(known, cv2.compare(near, 0, cv2.CMP_GT))
        return where, cv2.bitwise_and(known, inside(where, width, height)), None


def setting_of(pack: DrivePack) -> DepthSetting | OriginSetting:
    """What the pack allows for; it has origin maps, or depth and a camera."""
    if len(pack.depth) and pack.camera is not None:
        return DepthSetting(pack, pack.camera)
    return OriginSetting(pack)


def carry_in(field: Plane, holes: Mask) -> Plane:
    """``field`` (h,w) with the non-zero pixels of ``holes`` filled smoothly from around (push-pull)."""
    weight = np.equal(holes, 0).astype(np.float32)
    smooth = pull(field * weight, weight)
    return np.where(holes != 0, smooth, field)


def carried_in(field: Plane, holes: Mask) -> Plane:
    """The same, looking no further than MARGIN pixels around the holes; ``field`` is changed."""
    left, top, wide, high = cv2.boundingRect(holes)
    if wide:
        box = (slice(max(top - MARGIN, 0), top + high + MARGIN), slice(max(left - MARGIN, 0), left + wide + MARGIN))
        field[box] = carry_in(field[box], holes[box])
    return field
