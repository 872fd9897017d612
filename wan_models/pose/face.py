"""MediaPipe's face landmarker behind one function, with a search by parts for faces that are small in the picture."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .estimate import PoseUnavailable, detect_pose, unavailable
from .models import FACE_MODEL, POSE_MODEL, find_model, how_to_get

POINTS = 478
_FACE_OF_POSE = (5, 2, 10, 9)
"""Eyes and corners of the mouth among the pose model's 33: the person's right, then left."""
_SURE = 0.5


def face_unavailable(models: Path | None = None) -> str | None:
    """Why ``face_points`` cannot run, as a sentence with the remedy; None when it can."""
    if importlib.util.find_spec("mediapipe") is None:
        return "the package mediapipe is not installed (pip install 'wanstage[pose]')"
    if find_model(FACE_MODEL, models) is None:
        return f"the model file {FACE_MODEL} was not found: {how_to_get(FACE_MODEL)}"
    return None


class FaceFinder:
    """Opens the model once; use it in a ``with``. ``face_unavailable`` must have said None."""

    def __init__(self, models: Path | None = None) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(find_model(FACE_MODEL, models))), num_faces=4
        )
        self._landmarker: Any = vision.FaceLandmarker.create_from_options(options)

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self._landmarker.close()

    def find(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(478,3) x, y, z in pixels of ``image`` uint8 (h,w,3), z growing away from the camera; the largest face, or
        None."""
        import mediapipe as mp

        found = self._landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image)))
        size = np.array([image.shape[1], image.shape[0], image.shape[1]], np.float32)
        faces = [np.array([[p.x, p.y, p.z] for p in face], np.float32) * size for face in found.face_landmarks]
        return max(faces, key=lambda face: float(np.ptp(face[:, 1])), default=None)


def face_of_pose(image: NDArray[np.uint8], models: Path | None = None) -> NDArray[np.float32] | None:
    """(4,2) pixels of ``image`` uint8 (h,w,3) by the pose model: the person's right and left eye, right and left corner
    of the mouth; None where nobody is seen, or from behind. Raises PoseUnavailable.
    """
    if (reason := unavailable(models)) is not None:
        raise PoseUnavailable(reason)
    found = detect_pose(image, str(find_model(POSE_MODEL, models))).pose_landmarks
    if not found:
        return None
    size = np.array([image.shape[1], image.shape[0]], np.float32)
    chosen = [found[0][index] for index in _FACE_OF_POSE]
    points = np.array([[p.x, p.y] for p in chosen], np.float32) * size
    sure = min(float(p.visibility or 0.0) for p in chosen) > _SURE
    return points if sure and points[0, 0] < points[1, 0] else None
