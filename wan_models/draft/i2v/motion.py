"""Where each pixel of a frame is seen in sample 0: the backward maps of a drive pack.

Positions are OpenCV's: the first pixel's centre is (0, 0), so pack coordinates minus 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wan_models.requests import CameraTrack, DrivePack

from .checks import check_map
from .opencv import cv2

if TYPE_CHECKING:
    from wan_models.requests import Maps

Plane: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.uint8]
"""uint8 (h,w), 255 where true: OpenCV's own masks, four times faster to combine than booleans."""

DEPTH_TOLERANCE = 0.02  # relative; a surface seen in sample 0 agrees with its depth map to well within this


def from_origin(pack: DrivePack, index: int) -> tuple[Plane, Mask]:
    """Positions float32 (h,w,2) in sample 0 and where they are known: ``requests.origin_pixels``, faster."""
    origin = pack.origin[index]
    check_map(origin, pack, "origin", index)
    known = cv2.bitwise_not(cv2.inRange(origin, (0, 0), (0, 0)))
    scale = np.tile(np.array([pack.width, pack.height], np.float32), pack.width)  # whole rows: numpy is slow on pairs
    where: Plane = origin.reshape(pack.height, -1) * (scale * np.float32(1.5 / 65535.0))
    where -= scale * np.float32(0.25) + np.float32(0.5)
    return where.reshape(origin.shape), known


def inside(where: Plane, width: int, height: int) -> Mask:
    """Where positions lie within the picture (half a pixel beyond the outer centres is still in it)."""
    within: Mask = cv2.inRange(where, (-0.5, -0.5), (width - 0.5, height - 0.5))
    return within


@dataclass(frozen=True)
class Link:
    """Pixels of one sample to another's: ``matrix`` (3,3) and ``step`` (3,), which weighs 1/depth, or depth if
    orthographic. A point at pixel p and depth d is, in the other camera, ``R ray(p) d + t``; divided by d this is
    finite for the sky too."""

    matrix: NDArray[np.float64]
    step: NDArray[np.float64]
    orthographic: bool

    def carry(self, x: Plane, y: Plane, inverse: Plane) -> tuple[Plane, Plane, Plane]:
        """Positions and 1/depth (< 0: behind) in the other sample; ``x`` and ``y`` broadcast to ``inverse``.

        For an orthographic camera nothing at all (1/depth 0) is put at depth 0: right whenever it does not turn.
        """
        if not self.orthographic:
            u, v, w = (self._row(i, x, y, inverse) for i in range(3))
            ahead = np.reciprocal(np.maximum(w, np.float32(1e-6)))
            seen = inverse * ahead
            seen[w <= 1e-6] = -1
            return np.multiply(u, ahead, out=u), np.multiply(v, ahead, out=v), seen
        depth = np.where(inverse > 0, 1 / np.maximum(inverse, np.float32(1e-9)), 0).astype(np.float32)
        u, v, z = (self._row(i, x, y, depth) for i in range(3))
        seen = np.where(inverse > 0, 1 / np.maximum(z, np.float32(1e-6)), 0).astype(np.float32)
        return u, v, seen

    def _row(self, index: int, x: Plane, y: Plane, field: Plane) -> Plane:
        a, b, c = self.matrix[index].astype(np.float32)
        out: Plane = field * np.float32(self.step[index])
        out += a * x
        out += b * y + c
        return out


class StaticScene:
    """Backward maps of a scene that stands still, from depth and the camera track."""

    def __init__(self, pack: DrivePack, camera: CameraTrack) -> None:
        self._pack, self._camera = pack, camera
        self._inverse0 = inverse_depth(depth_map(pack, 0))
        self._links: dict[tuple[int, int], Link] = {}

    def replace_first(self, inverse: Plane) -> None:
        """Use another 1/depth (h,w) for sample 0: one that knows what is behind its characters."""
        self._inverse0 = inverse

    def still(self, index: int) -> bool:
        """Whether the camera at ``index`` is where it was in sample 0."""
        track = self._camera
        same = np.allclose(track.world_from_camera[index], track.world_from_camera[0], rtol=0, atol=1e-7)
        return bool(same and np.allclose(track.intrinsics[index], track.intrinsics[0], rtol=0, atol=1e-5))

    def link(self, start: int, end: int) -> Link:
        """What carries pixels of sample ``start`` to sample ``end``."""
        key = start, end
        if key not in self._links:
            self._links[key] = self._linked(start, end)
        return self._links[key]

    def _linked(self, start: int, end: int) -> Link:
        world = self._camera.world_from_camera
        flip = np.diag([1.0, -1.0, -1.0])  # camera axes to picture axes: x right, y down, z away
        relative = np.linalg.inv(world[end]) @ world[start]
        turn, shift = flip @ relative[:3, :3] @ flip, flip @ relative[:3, 3]
        fx, fy, cx, cy = self._camera.intrinsics[start]
        gx, gy, ox, oy = self._camera.intrinsics[end]
        rays = np.array([[1 / fx, 0, (0.5 - cx) / fx], [0, 1 / fy, (0.5 - cy) / fy], [0, 0, 1]])
        if not self._camera.orthographic:
            into = np.array([[gx, 0, ox - 0.5], [0, gy, oy - 0.5], [0, 0, 1]])
            return Link(into @ turn @ rays, into @ shift, orthographic=False)
        rays[2] = 0
        rows = turn @ rays
        rows[:, 2] += shift
        scale = np.diag([gx, gy, 1.0])
        rows = scale @ rows
        rows[:2, 2] += ox - 0.5, oy - 0.5
        return Link(rows, scale @ turn[:, 2], orthographic=True)

    def positions(self, index: int, inverse: Plane) -> tuple[Plane, Plane]:
        """For 1/depth (h,w) of ``index``: positions in sample 0 (h,w,2), and 1/depth from camera 0 (< 0: behind)."""
        height, width = inverse.shape
        x, y = np.arange(width, dtype=np.float32)[None, :], np.arange(height, dtype=np.float32)[:, None]
        u, v, seen = self.link(index, 0).carry(x, y, inverse)
        return cv2.merge([u, v]), seen

    def visible(self, where: Plane, seen: Plane) -> Mask:
        """Where sample 0 sees the point at ``where`` itself, and not something in front of it or nothing."""
        there = cv2.remap(self._inverse0, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        limit = cv2.max(there, seen)
        limit *= np.float32(DEPTH_TOLERANCE)
        limit += np.float32(1e-6)
        agree = cv2.compare(cv2.absdiff(there, seen), limit, cv2.CMP_LE)
        seen_too: Mask = cv2.bitwise_and(agree, inside(where, self._pack.width, self._pack.height))
        return seen_too

    def backward(self, index: int) -> tuple[Plane, Mask]:
        """Positions and where they are known, for everything that stands still; characters are unknown."""
        where, seen = self.positions(index, inverse_depth(depth_map(self._pack, index)))
        known = self.visible(where, seen)
        if len(self._pack.mask):
            for sample in {0, index}:
                mask = mask_map(self._pack, sample)
                if sample != index:
                    mask = cv2.remap(mask, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
                known[mask != 0] = 0
        return where, known


def depth_map(pack: DrivePack, index: int) -> Plane:
    """Sample ``index`` of the depth track, checked."""
    depth: Plane = pack.depth[index]
    check_map(depth, pack, "depth", index)
    return depth


def mask_map(pack: DrivePack, index: int) -> Mask:
    """Sample ``index`` of the mask track, checked; zeros when there is none."""
    if not len(pack.mask):
        return np.zeros((pack.height, pack.width), np.uint8)
    mask: Mask = pack.mask[index]
    check_map(mask, pack, "mask", index)
    return mask


def color_map(pack: DrivePack, maps: Maps, name: str, index: int) -> NDArray[np.uint8]:
    """Sample ``index`` of the clay or plate track, checked."""
    color: NDArray[np.uint8] = maps[index]
    check_map(color, pack, name, index)
    return color


def inverse_depth(depth: Plane) -> Plane:
    """1/depth; 0 where nothing is (+inf), and where depth makes no sense (zero, negative, NaN)."""
    inverse: Plane = np.reciprocal(np.where(depth > 0, depth, np.float32(np.inf)))
    return inverse
