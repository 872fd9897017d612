"""A drawn person with known joints, and a real motion: CMU clip 01_01, 72 frames at 8 fps, with a jump and a turn.

The data used in this project was obtained from mocap.cs.cmu.edu. The database was created with funding from
NSF EIA-0196217. The 20 body points were taken from its skeleton, in metres, y up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.requests import CameraTrack, Character, DrivePack, PoseTrack, Request

WIDTH, HEIGHT = 416, 240
DOLL: dict[int, tuple[float, float]] = {
    0: (150, 62), 1: (150, 110), 2: (122, 112), 3: (95, 150), 4: (70, 190), 5: (178, 112), 6: (205, 150), 7: (230, 190),
    8: (134, 210), 9: (128, 278), 10: (122, 345), 11: (166, 210), 12: (172, 278), 13: (178, 345), 14: (142, 54),
    15: (158, 54), 16: (132, 58), 17: (168, 58), 18: (180, 368), 19: (120, 368),
}  # fmt: skip


def doll_body() -> NDArray[np.float32]:
    """The doll's joints (20,3)."""
    return np.array([(*DOLL[i], 1.0) for i in range(20)], np.float32)


def draw_doll(soft: bool = True) -> NDArray[np.uint8]:
    """A person of 300x400 pixels, arms away from the body, finely textured, with a soft edge."""
    alpha = np.zeros((400, 300), np.uint8)
    point = {i: (round(x), round(y)) for i, (x, y) in DOLL.items()}
    for a, b, thick in (
        (2, 3, 26), (3, 4, 20), (5, 6, 26), (6, 7, 20), (8, 9, 34), (9, 10, 26), (11, 12, 34), (12, 13, 26),
        (10, 19, 22), (13, 18, 22),
    ):  # fmt: skip
        cv2.line(alpha, point[a], point[b], 255, thick, cv2.LINE_AA)
    trunk = np.array([point[2], point[1], point[5], (point[11][0] + 6, 212), (point[8][0] - 6, 212)])
    cv2.fillPoly(alpha, [trunk], 255, cv2.LINE_AA)
    cv2.line(alpha, (150, 75), (150, 115), 255, 24, cv2.LINE_AA)
    cv2.ellipse(alpha, (150, 58), (22, 30), 0, 0, 360, 255, -1, cv2.LINE_AA)
    alpha = cv2.morphologyEx(alpha, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    noise = np.random.default_rng(5).integers(0, 256, (100, 75, 3)).astype(np.uint8)
    colours = cv2.resize(noise, (300, 400), interpolation=cv2.INTER_CUBIC)
    if not soft:
        alpha = np.where(alpha >= 128, 255, 0).astype(np.uint8)
    return np.dstack([colours, alpha])


def metres() -> NDArray[np.float32]:
    """The clip (72,20,3)."""
    return np.asarray(np.load(Path(__file__).with_name("cmu_01_01.npz"))["joints"])


def project(points: NDArray[np.float32], focal: float = 290.0) -> tuple[NDArray[np.float32], CameraTrack]:
    """A pose track (T,20,5) and its camera, which stands 4 m in front of the hips and goes with them."""
    hips = points[:, [8, 11]].mean(axis=1)
    matrices = np.tile(np.eye(4), (len(points), 1, 1))
    matrices[:, :3, 3] = hips + np.array([0.0, 0.0, 4.0])
    matrices[:, 1, 3] = 1.0
    seen = points - matrices[:, None, :3, 3]
    depth = -seen[..., 2]
    track = np.zeros((*points.shape[:2], 5), np.float32)
    track[..., 0] = focal * seen[..., 0] / depth + WIDTH / 2
    track[..., 1] = -focal * seen[..., 1] / depth + HEIGHT / 2
    track[..., 2], track[..., 3] = 1.0, depth
    intrinsics = np.tile([focal, focal, WIDTH / 2, HEIGHT / 2], (len(points), 1))
    return track, CameraTrack(matrices, intrinsics)


def pack_of(
    character: Character, camera: CameraTrack | None = None, **maps: Sequence[NDArray[np.generic]]
) -> DrivePack:
    """A pack of one character as long as its track, over grey."""
    frames = len(character.pose.body)
    return DrivePack(WIDTH, HEIGHT, frames, 8.0, camera, (character,), **maps)


def request_of(pack: DrivePack, **changes: object) -> Request:
    """The animate request for a whole pack."""
    request = Request("animate", "draft", pack.width, pack.height, pack.frames, pack.fps, pack=pack)
    return replace(request, **changes)


def still(body: NDArray[np.float32], frames: int = 1, depth: float = 4.0) -> PoseTrack:
    """A track (T,20,5) that stands at ``body`` (20,3)."""
    track = np.zeros((frames, 20, 5), np.float32)
    track[..., :2], track[..., 2], track[..., 3] = body[:, :2], 1.0, depth
    return PoseTrack(track)
