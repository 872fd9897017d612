"""A known motion as a camera and an estimator of single pictures see it: exact in the picture, poor in depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from wan_models.pose import place
from wan_models.pose.estimator import Seen
from wan_models.pose.posefile import CameraPath
from wan_models.pose.sight import Clip
from wan_models.pose.solve import F64, Solved
from wan_models.pose.tracks import Track

SIZE = (640, 480)


def camera_of(count: int) -> CameraPath:
    """One that stands 1.2 m high, sees 50 degrees and looks along +Y at somebody about 4 m away."""
    camera = place.guessed(*SIZE, count)
    world = camera.world_from_camera.copy()
    world[:, :3, 3] = (0.0, -5.0, 1.2)
    return replace(camera, world_from_camera=world, guessed=False)


def seen_of(truth: Solved, camera: CameraPath, depth: F64 | None = None) -> list[Seen]:
    """What is seen of each frame; ``depth`` (T,33) metres by which the estimator's depths are wrong."""
    points = truth.points()
    pixels = place.to_picture(points, camera)
    hips = points[:, [23, 24]].mean(axis=1, keepdims=True)
    local = place.from_world(points - hips, camera)
    if depth is not None:
        local[..., 2] += depth
    sure = np.ones((*points.shape[:2], 1))
    pixels = np.concatenate([pixels, sure], axis=-1).astype(np.float32)
    world = np.concatenate([local, sure], axis=-1).astype(np.float32)
    return [Seen(flat, deep) for flat, deep in zip(pixels, world, strict=True)]


def track_of(seen: list[Seen]) -> Track:
    """One person, seen in all frames."""
    return Track(1, dict(enumerate(seen)))


def clip_of(count: int, fps: float) -> Clip:
    """The clip that they are seen in."""
    return Clip(count, fps, *SIZE, source={"name": "a"}, estimator={"name": "fake"}, view_relative=False)
