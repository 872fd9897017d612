"""MediaPipe's pose and hand landmarkers, translated to this project's points."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .models import HAND_MODEL, POSE_MODEL, find_model, how_to_get

# Index of our 20 body points among MediaPipe's 33; -1 is the neck, the middle of the shoulders.
FROM_MEDIAPIPE = (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, 32)
_NECK, _SHOULDERS = 1, (2, 5)


class PoseUnavailable(RuntimeError):
    """Pose estimation cannot run here; the message says what to install or download."""


@dataclass(frozen=True)
class Found:
    """A person: ``body`` float32 (20,3), hands (21,3) or None: x px, y px, score 0..1; ``mask`` uint8 (h,w) or None."""

    body: NDArray[np.float32]
    left_hand: NDArray[np.float32] | None = None
    right_hand: NDArray[np.float32] | None = None
    mask: NDArray[np.uint8] | None = None


def unavailable(models: Path | None = None) -> str | None:
    """Why ``estimate_image`` cannot run, as a sentence with the remedy; None when it can."""
    if importlib.util.find_spec("mediapipe") is None:
        return "the package mediapipe is not installed (pip install 'wanstage[pose]')"
    if find_model(POSE_MODEL, models) is None:
        return f"the model file {POSE_MODEL} was not found: {how_to_get(POSE_MODEL)}"
    return None


def estimate_image(image: NDArray[np.uint8], models: Path | None = None) -> Found | None:
    """The most certain person in ``image`` uint8 (h,w,3) sRGB, or None. Raises PoseUnavailable.

    Hands are found only where the hand model is present too.
    """
    if (reason := unavailable(models)) is not None:
        raise PoseUnavailable(reason)
    pose = detect_pose(image, str(find_model(POSE_MODEL, models)))
    if not pose.pose_landmarks:
        return None
    size = np.array([image.shape[1], image.shape[0]], np.float32)
    body = body_points(np.array([[p.x, p.y, p.visibility or 0.0] for p in pose.pose_landmarks[0]], np.float32), size)
    mask = _mask(pose, image.shape[:2])
    hands = _hands(image, find_model(HAND_MODEL, models), size, body)
    return Found(body, hands.get("left"), hands.get("right"), mask)


def body_points(landmarks: NDArray[np.float32], size: NDArray[np.float32]) -> NDArray[np.float32]:
    """Our (20,3) from MediaPipe's (33,3) x, y in 0..1 and visibility; the neck is the middle of the shoulders."""
    body = landmarks[np.maximum(FROM_MEDIAPIPE, 0)].copy()
    body[:, :2] *= size
    body[_NECK, :2] = body[list(_SHOULDERS), :2].mean(axis=0)
    body[_NECK, 2] = body[list(_SHOULDERS), 2].min()
    return np.asarray(body, np.float32)


def detect_pose(image: NDArray[np.uint8], path: str) -> Any:  # noqa: ANN401 - mediapipe has no types
    """What MediaPipe's pose model at ``path`` finds in ``image``, as MediaPipe says it."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=path), num_poses=1, output_segmentation_masks=True
    )
    with vision.PoseLandmarker.create_from_options(options) as landmarker:
        return landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image)))


def _mask(pose: Any, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:  # noqa: ANN401
    if not pose.segmentation_masks:
        return None
    view = np.squeeze(np.array(pose.segmentation_masks[0].numpy_view(), np.float32))
    return np.rint(np.clip(view, 0.0, 1.0) * 255.0).astype(np.uint8) if view.shape == shape[:2] else None


def _hands(
    image: NDArray[np.uint8], model: Path | None, size: NDArray[np.float32], body: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """Hands by the nearer wrist: MediaPipe's own left and right are for mirrored pictures."""
    if model is None:
        return {}
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.HandLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(model)), num_hands=2)
    with vision.HandLandmarker.create_from_options(options) as landmarker:
        found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image)))
    hands: dict[str, NDArray[np.float32]] = {}
    forearm = max(float(np.linalg.norm(body[4, :2] - body[3, :2])), float(np.linalg.norm(body[7, :2] - body[6, :2])))
    for landmarks in found.hand_landmarks:
        points = np.array([[p.x * size[0], p.y * size[1], 1.0] for p in landmarks], np.float32)
        distances = {
            side: float(np.linalg.norm(points[0, :2] - body[j, :2])) for side, j in (("right", 4), ("left", 7))
        }
        side = min(distances, key=lambda name: distances[name])
        if distances[side] < 0.7 * forearm and side not in hands:
            hands[side] = points
    return hands
