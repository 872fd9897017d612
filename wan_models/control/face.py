"""Cuts the face clip that drives expression in Wan2.2-Animate: the official box round 68 face points, 512 x 512.

Source: ``get_face_bboxes`` in ``wan/modules/animate/preprocess/utils.py`` of Wan2.2 and its use in
``process_pipepline.py``. Nothing is smoothed over time and scores are not looked at.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.floating[Any]]
Frame: TypeAlias = NDArray[np.uint8]
Box: TypeAlias = tuple[int, int, int, int]

FACE_POINTS = 68
FACE_SIDE = 512
AREA_FACTOR = 1.3


class NoFace(ValueError):
    """No pixel of the face is in the picture, or its points lie on a line: take the last box that was valid."""


def face_box(landmarks: Points, width: int, height: int) -> Box:
    """(left, top, right, bottom) in whole pixels, right and bottom exclusive, inside ``width`` x ``height``.

    ``landmarks``: (68, 2 or more) x and y in pixels, further columns ignored; points may be off the picture. The tight
    box grows to 1.3 times its area at its own aspect, evenly to the sides, three quarters of the height above and one
    below, then is clipped. Raises :class:`NoFace` for an empty box, ValueError for other shapes or for numbers that
    are not finite.
    """
    x, y = _official_pixels(landmarks, width, height)
    left, right, top, bottom = float(x.min()), float(x.max()), float(y.min()), float(y.max())
    w, h = right - left, bottom - top
    if w <= 0 or h <= 0:
        msg = "The face points lie on one line, so there is no face to cut out."
        raise NoFace(msg)
    area = w * h * AREA_FACTOR
    side, quarter = (np.sqrt(area * (w / h)) - w) / 2, (np.sqrt(area * (h / w)) - h) / 4
    box = (
        int(max(left - side, 0)),
        int(max(top - 3 * quarter, 0)),
        int(min(right + side, width)),
        int(min(bottom + quarter, height)),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        msg = f"The face is outside the picture of {width} x {height} pixels, or smaller than a pixel."
        raise NoFace(msg)
    return box


def crop_face(frame: Frame, box: Box) -> Frame:
    """The box of an RGB ``frame``, uint8 (height, width, 3), as uint8 (512, 512, 3): bilinear, aspect not kept.

    Raises ValueError for another kind of frame and for a box that is empty or not wholly inside it.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        msg = f"A frame must be uint8 (height, width, 3), not {frame.dtype} {frame.shape}."
        raise ValueError(msg)
    left, top, right, bottom = box
    if not (0 <= left < right <= frame.shape[1] and 0 <= top < bottom <= frame.shape[0]):
        msg = f"The face box {box} is empty or not inside the frame of {frame.shape[1]} x {frame.shape[0]} pixels."
        raise ValueError(msg)
    crop = cv2.resize(frame[top:bottom, left:right], (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(crop, np.uint8)


def _official_pixels(landmarks: Points, width: int, height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """x and y after the official detour, which can move a box by a pixel: divided by the size in single precision."""
    if width < 1 or height < 1:
        msg = f"The picture that the face is in must be at least 1 x 1 pixels, not {width} x {height}."
        raise ValueError(msg)
    points = np.asarray(landmarks, np.float64)
    if points.ndim != 2 or points.shape[0] != FACE_POINTS or points.shape[1] < 2:
        msg = f"Face points must be an array ({FACE_POINTS}, 2) of x, y in pixels, not {points.shape}."
        raise ValueError(msg)
    if not (np.abs(points[:, :2]) < 1e30).all():  # false for NaN too; more would overflow
        msg = "Face points must be finite numbers: some are NaN, infinite or far too large."
        raise ValueError(msg)
    single = points[:, :2].astype(np.float32)
    x, y = single[:, 0] / np.float32(width), single[:, 1] / np.float32(height)
    return x.astype(np.float64) * width, y.astype(np.float64) * height
