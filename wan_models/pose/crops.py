"""Where the hands and the face of a body are in the picture: squares that are cut out for the models of parts."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .estimator import F32, Image

SMALLEST_PX = 20.0
"""A square smaller than this shows nothing that the models were trained on."""
SIDE_PX = 256
"""The models' own inputs are 192 and 224 pixels a side: a larger cut shows them nothing more."""
_SURE = 0.5
_HAND_OF_TORSO, _HAND_OF_KNUCKLES = 0.62, 4.0
_HEAD_OF_TORSO, _HEAD_OF_SPREAD = 0.75, 3.0

Square = tuple[float, float, float]
"""Left, top, side in pixels."""


def torso_px(landmarks: F32) -> float:
    """The body's size in the picture: from the middle of the shoulders to that of the hips, or the shoulders' width."""
    points = landmarks[:, :2]
    length = np.linalg.norm(points[[11, 12]].mean(axis=0) - points[[23, 24]].mean(axis=0))
    return max(float(length), float(np.linalg.norm(points[11] - points[12])), 1.0)


def hand_square(landmarks: F32, side: str) -> Square | None:
    """Around the left or right hand; None where the wrist is not seen or too small."""
    wrist, little, index = (15, 17, 19) if side == "left" else (16, 18, 20)
    if landmarks[wrist, 3] < _SURE:
        return None
    points = landmarks[:, :2]
    knuckles = (points[little] + points[index]) / 2
    span = float(np.linalg.norm(knuckles - points[wrist]))
    return _square(points[wrist] + 1.1 * (knuckles - points[wrist]), max(
        _HAND_OF_TORSO * torso_px(landmarks), _HAND_OF_KNUCKLES * span))  # fmt: skip


def face_square(landmarks: F32) -> Square | None:
    """Around the head; None where it is not seen, too small, or seen from behind."""
    head = landmarks[:11]
    if head[0, 3] < _SURE:
        return None
    spread = float(np.ptp(head[:, :2], axis=0).max())
    side = max(_HEAD_OF_SPREAD * spread, _HEAD_OF_TORSO * torso_px(landmarks))
    behind = head[7, 0] < head[8, 0] - 0.15 * spread and head[2, 0] < head[5, 0]
    return None if behind else _square(head[:, :2].mean(axis=0), side)


def _square(middle: F32, side: float) -> Square | None:
    return None if side < SMALLEST_PX else (float(middle[0] - side / 2), float(middle[1] - side / 2), side)


def cut(image: Image, square: Square) -> tuple[Image, NDArray[np.float64]]:
    """The square as a picture, black outside ``image``, and (2,3) that maps its 0..1 coordinates to pixels."""
    left, top, side = square
    out = int(min(SIDE_PX, max(64.0, side)))
    scale = out / side
    forward = np.array([[scale, 0.0, -left * scale], [0.0, scale, -top * scale]])
    reduced = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    found = cv2.warpAffine(image, forward, (out, out), flags=cv2.INTER_LINEAR if scale > 0.5 else reduced)
    return np.asarray(found, np.uint8), np.array([[side, 0.0, left], [0.0, side, top]])
