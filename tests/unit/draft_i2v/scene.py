"""A small analytic scene: a textured floor, wall and a sphere that a camera passes; all of it is known exactly.

The sphere may roll along (it is then a "character", mask value 1). Rays, not the formulas under test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wan_models.requests import CameraTrack, DrivePack

F = NDArray[np.float64]
FLOOR, WALL, SPHERE, SKY = 0, 1, 2, 3
RADIUS = 0.8


@dataclass(frozen=True)
class Hit:
    """What each ray meets: kind (h,w), world point, point in the object's own frame, shading, depth."""

    kind: NDArray[np.int64]
    point: F
    own: F
    shade: F
    depth: F


class Scene:
    """``orthographic`` uses parallel rays; ``roll`` moves the sphere metres a sample."""

    def __init__(
        self, width: int, height: int, frames: int, *, roll: float = 0.0, orthographic: bool = False, sky: bool = False
    ) -> None:
        self.width, self.height, self.frames, self.roll, self.sky = width, height, frames, roll, sky
        self.orthographic = orthographic
        self.world = np.stack([self._camera(t) for t in range(frames)])
        focal = width / 12 if orthographic else 0.9 * width
        self.intrinsics = np.tile([focal, focal, width / 2, height / 2], (frames, 1))

    def _camera(self, t: int) -> F:
        turn = 0.0 if self.orthographic else np.radians(0.35 * t)
        matrix = np.eye(4)
        c, s = np.cos(turn), np.sin(turn)
        tilt = np.radians(78)
        yaw = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        pitch = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
        matrix[:3, :3] = yaw @ pitch
        matrix[:3, 3] = [0.06 * t, -7 + 0.03 * t, 2.2]
        return matrix

    def centre(self, t: int) -> F:
        """The sphere's centre."""
        return np.array([-0.6 + self.roll * t, 0.0, RADIUS])

    def rays(self, t: int, scale: int) -> tuple[F, F]:
        """Origins and directions (h,w,3); directions have length 1 along the view axis."""
        fx, fy, cx, cy = self.intrinsics[t]
        x, y = np.meshgrid(
            (np.arange(self.width * scale) + 0.5) / scale, (np.arange(self.height * scale) + 0.5) / scale
        )
        a, b = (x - cx) / fx, -(y - cy) / fy
        turn, place = self.world[t, :3, :3], self.world[t, :3, 3]
        if self.orthographic:
            origin = np.dstack([a, b, np.zeros_like(a)]) @ turn.T + place
            return origin, np.broadcast_to(-turn[:, 2], origin.shape)
        return np.broadcast_to(place, (*a.shape, 3)), np.dstack([a, b, -np.ones_like(a)]) @ turn.T

    def trace(self, t: int, scale: int = 1) -> Hit:
        """The nearest of floor (z = 0), wall (y = 4, below z = 6) and sphere."""
        origin, way = self.rays(t, scale)
        with np.errstate(divide="ignore", invalid="ignore"):
            floor = -origin[..., 2] / way[..., 2]
            wall = (4 - origin[..., 1]) / way[..., 1]
        if self.sky:
            high = origin[..., 2] + way[..., 2] * wall
            wall = np.where(high < 2.5, wall, np.inf)
        off = origin - self.centre(t)
        a, b = (way * way).sum(-1), (way * off).sum(-1)
        root = b * b - a * ((off * off).sum(-1) - RADIUS**2)
        ball = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        all_of = np.stack([np.where(d > 1e-6, d, np.inf) for d in (floor, wall, ball)], -1)
        all_of[..., 0] = np.where(all_of[..., 0] < 60, all_of[..., 0], np.inf)
        kind, depth = all_of.argmin(-1), all_of.min(-1)
        kind = np.where(np.isinf(depth), SKY, kind)
        point = origin + way * np.where(np.isinf(depth), 1e4, depth)[..., None]
        own = np.where((kind == SPHERE)[..., None], point - self.centre(t), point)
        normal = np.where(
            (kind == SPHERE)[..., None], own / RADIUS, np.where((kind == FLOOR)[..., None], [0, 0, 1.0], [0, -1.0, 0])
        )
        shade = 0.35 + 0.65 * np.clip((normal * (np.array([-0.5, -0.6, 0.62]))).sum(-1), 0, 1)
        return Hit(kind, point, own, np.where(kind == SKY, 1.0, shade), depth)

    def paint(self, hit: Hit) -> F:
        """The look, 0..255: smooth textures, so that resampling has something to be judged by."""
        p = hit.own
        waves = [
            0.5
            + 0.25 * np.sin(5 * p[..., 0] + k) * np.sin(4 * p[..., 1] + 3 * p[..., 2])
            + 0.2 * np.sin(9 * p[..., 2] + 2 * k)
            for k in (0.0, 1.0, 2.0)
        ]
        tint = np.array([[0.9, 0.8, 0.6], [0.5, 0.7, 0.9], [0.9, 0.3, 0.2], [0.7, 0.8, 1.0]])[hit.kind]
        texture = np.where((hit.kind == SKY)[..., None], 0.6, np.dstack(waves))
        return 255 * np.clip(texture * tint * hit.shade[..., None], 0, 1)

    def look(self, t: int) -> NDArray[np.uint8]:
        """The true frame with 3 x 3 samples a pixel."""
        return self._shrink(self.paint(self.trace(t, 3)))

    def clay(self, t: int) -> NDArray[np.uint8]:
        """The neutral render of the same."""
        return self._shrink(np.repeat(160 * self.trace(t, 2).shade[..., None], 3, -1), 2)

    def _shrink(self, fine: F, scale: int = 3) -> NDArray[np.uint8]:
        cells = fine.reshape(self.height, scale, self.width, scale, 3).mean((1, 3))
        return np.clip(np.rint(cells), 0, 255).astype(np.uint8)

    def origin(self, t: int) -> NDArray[np.uint16]:
        """The pack's origin map, by tracing each point back to camera 0."""
        hit = self.trace(t)
        moved = np.where((hit.kind == SPHERE)[..., None], hit.own + self.centre(0), hit.point)
        pixel, depth = self.project(moved, 0)
        first = self.trace(0).depth
        x, y = np.floor(pixel[..., 0]).astype(int), np.floor(pixel[..., 1]).astype(int)
        seen = (x >= 0) & (y >= 0) & (x < self.width) & (y < self.height) & (depth > 0)
        there = first[np.clip(y, 0, self.height - 1), np.clip(x, 0, self.width - 1)]
        seen &= np.where(np.isinf(there), hit.kind == SKY, np.abs(depth - there) < 0.03 * depth)
        code = np.rint((pixel / [self.width, self.height] + 0.25) / 1.5 * 65535)
        return np.where(seen[..., None], np.clip(code, 1, 65535), 0).astype(np.uint16)

    def project(self, point: F, t: int) -> tuple[F, F]:
        """Pixels and depth of world points in camera ``t``."""
        own = (point - self.world[t, :3, 3]) @ self.world[t, :3, :3]
        depth = -own[..., 2]
        fx, fy, cx, cy = self.intrinsics[t]
        with np.errstate(divide="ignore", invalid="ignore"):
            flat = own[..., :2] if self.orthographic else own[..., :2] / depth[..., None]
        return np.dstack([cx + fx * flat[..., 0], cy - fy * flat[..., 1]]), depth

    def pack(self, *, origin: bool = True, depth: bool = True, mask: bool = True) -> DrivePack:
        """Everything, or less."""
        hits = [self.trace(t) for t in range(self.frames)]
        return DrivePack(
            width=self.width,
            height=self.height,
            frames=self.frames,
            fps=16.0,
            camera=CameraTrack(self.world, self.intrinsics, self.orthographic),
            clay=[self.clay(t) for t in range(self.frames)],
            plate=[self.clay_plate(t) for t in range(self.frames)],
            mask=[(h.kind == SPHERE).astype(np.uint8) for h in hits] if mask else (),
            depth=[h.depth.astype(np.float32) for h in hits] if depth else (),
            origin=[self.origin(t) for t in range(self.frames)] if origin else (),
            look=self.look(0),
            look_plate=self.plate(0),
        )

    def without_sphere(self) -> Scene:
        """The same set and camera, with the sphere far away."""
        bare = Scene(self.width, self.height, self.frames, orthographic=self.orthographic, sky=self.sky)
        bare.centre = lambda t: np.array([0.0, -1e3, RADIUS])  # type: ignore[method-assign]
        return bare

    def plate(self, t: int) -> NDArray[np.uint8]:
        """The true background with materials."""
        return self.without_sphere().look(t)

    def clay_plate(self, t: int) -> NDArray[np.uint8]:
        """The clay render without the sphere."""
        return self.without_sphere().clay(t)


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8], where: NDArray[np.bool_] | None = None) -> float:
    """Peak signal to noise ratio in dB over the pixels of ``where``."""
    difference = (a.astype(np.float64) - b) ** 2
    mean = difference.mean() if where is None else difference[where].mean()
    return float("inf") if mean == 0 else float(10 * np.log10(255**2 / mean))
