"""Finds the face to move: landmarks where MediaPipe's model is there, else known joints, the pose model, a cascade."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2
from wan_models.pose import unavailable
from wan_models.pose.face import FaceFinder, face_of_pose, face_unavailable
from wan_models.requests import BODY_POINTS

from .face import Face, Floats, from_landmarks, from_points

Picture = NDArray[np.uint8]

MIN_MOUTH = 2.0  # pixels from the middle to a corner: below it no opening can be drawn
_CROP = 384  # landmarks are looked for in an enlarged cut-out of this side where the whole picture gave none
_CASCADE = "haarcascade_frontalface_default.xml"
_NOSE, _NECK, _EYE_R, _EYE_L = (BODY_POINTS.index(name) for name in ("nose", "neck", "eye.R", "eye.L"))


@dataclass(frozen=True)
class Found:
    """The face, or None, and a sentence on how sure it is ("" = nothing to say)."""

    face: Face | None
    sentence: str = ""


def find_face(picture: Picture, body: Floats | None = None) -> Found:
    """The face in ``picture`` uint8 (h,w,3) that ``body`` tells of, else the largest one. ``body`` (20,3) are joints
    known in its pixels: x, y, score."""
    reason = face_unavailable()
    if reason is None:
        points = _landmarks(picture, body)
        if points is not None:
            face = from_landmarks(points)
            return Found(face) if face.half_mouth >= MIN_MOUTH else Found(None, _SMALL)
    guess = next(_guesses(picture, body), None)
    if guess is None:
        return Found(None, f"{_NONE} ({reason})." if reason else f"{_NONE}.")
    face = _on_lips(picture, guess)
    if face.half_mouth < MIN_MOUTH:
        return Found(None, _SMALL)
    why = reason or "its landmarks were not recognised"
    return Found(face, f"The lips are placed by the proportions of a face and may be off: {why}.")


_NONE = (
    "No face was found in the reference image, so the picture as a whole moves with the sound and no mouth does; "
    "use a picture in which the face is seen from the front"
)
_SMALL = (
    "The face is too small in the shot for a mouth to be drawn, so only the picture as a whole moves with the sound; "
    "use a closer picture or a larger size."
)


def _guesses(picture: Picture, body: Floats | None) -> Iterator[Face]:
    """The surest first; each is looked for only when asked."""
    for find in (partial(_by_joints, body), partial(_by_pose, picture), partial(_by_cascade, picture)):
        if (guess := find()) is not None:
            yield guess


def _landmarks(picture: Picture, body: Floats | None) -> Floats | None:
    with FaceFinder() as finder:
        known = _by_joints(body)
        points = _in_crop(finder, picture, known) if known is not None else None
        if points is None:
            points = finder.find(picture)
        if points is None:
            found = (_in_crop(finder, picture, guess) for guess in _guesses(picture, None))
            points = next((each for each in found if each is not None), None)
    return points


def _in_crop(finder: FaceFinder, picture: Picture, guess: Face) -> Floats | None:
    side = max(5.0 * guess.half_width, 4.0 * guess.height)
    middle = (guess.between + guess.mouth) / 2
    scale = _CROP / side
    place = np.array([[scale, 0, _CROP / 2 - scale * middle[0]], [0, scale, _CROP / 2 - scale * middle[1]]])
    how = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    crop = cv2.warpAffine(picture, place, (_CROP, _CROP), flags=how, borderMode=cv2.BORDER_REPLICATE)
    points = finder.find(np.asarray(crop, np.uint8))
    if points is None:
        return None
    points /= np.float32(scale)
    points[:, :2] += (middle - np.float32(side / 2)).astype(np.float32)
    return points


def _by_joints(body: Floats | None) -> Face | None:
    if body is None:
        return None
    needed = body[[_NOSE, _EYE_R, _EYE_L]]
    if not np.isfinite(needed).all() or not (needed[:, 2] > 0.3).all():
        return None
    right, left = needed[1, :2], needed[2, :2]
    turned_away = right[0] >= left[0] or float(np.linalg.norm(left - right)) < 2.0
    return None if turned_away else from_points(np.stack([right, left]), nose=needed[0, :2])


def _by_pose(picture: Picture) -> Face | None:
    if unavailable() is not None:
        return None
    points = face_of_pose(picture)
    return from_points(points[:2], corners=points[2:]) if points is not None else None


def _by_cascade(picture: Picture) -> Face | None:
    """By OpenCV's cascade where the build has its data (4.x does); the eyes are where they are in its boxes."""
    data = getattr(cv2, "data", None)
    path = Path(data.haarcascades) / _CASCADE if data is not None else Path(_CASCADE)
    if not path.is_file() or not hasattr(cv2, "CascadeClassifier"):
        return None
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    boxes = cv2.CascadeClassifier(str(path)).detectMultiScale(grey, 1.1, 6, minSize=(32, 32))
    if not len(boxes):
        return None
    x, y, wide, high = (float(v) for v in max(boxes, key=lambda box: int(box[2])))
    pupils = np.array([[x + 0.31 * wide, y + 0.39 * high], [x + 0.69 * wide, y + 0.39 * high]], np.float32)
    return from_points(pupils)


def _on_lips(picture: Picture, face: Face) -> Face:
    """The face with its seam on the darkest line near where the lips should part: closed lips meet in a shadow."""
    half, reach = face.half_mouth, 0.45 * face.half_mouth
    u = np.linspace(-0.9, 0.9, 19, dtype=np.float32) * half
    v = np.arange(-reach, reach, 0.5, dtype=np.float32)
    at = face.mouth + u[None, :, None] * face.right + v[:, None, None] * face.down
    grey = cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), max(0.04 * half, 0.5)), cv2.COLOR_RGB2GRAY)
    strip = cv2.remap(grey, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lines = strip.astype(np.float32).mean(axis=1) + 12.0 * np.square(v / reach)  # far from the guess costs
    best = int(np.argmin(lines))
    if lines[best] > float(np.median(strip)) - 6.0:
        return face
    shift = v[best] * face.down
    return replace(face, seam=np.asarray(face.seam + shift, np.float32))
