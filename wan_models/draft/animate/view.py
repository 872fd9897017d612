"""Which way the body faces, and whether the reference can show it."""

from __future__ import annotations

import numpy as np

from .skeleton import EAR_L, EAR_R, HIP_L, HIP_R, SHOULDER_L, SHOULDER_R, Bools, Floats

FLIP_MARGIN = 0.15  # how far past a quarter turn the body goes before the puppet is turned over (sine)
BEYOND_DEGREES = 78.0
TURNED = "the character turns past what the reference shows; the draft keeps the nearest view it has"


def side_vectors(joints: Floats, depth: Floats, px_per_metre: Floats) -> Floats:
    """(T,2): from right to left across the body, to the right on screen and away from the camera, metres.

    ``joints`` (T,22,2) px, ``depth`` (T,22) m, ``px_per_metre`` (T,).
    """
    across = 0.5 * (joints[:, SHOULDER_L] - joints[:, SHOULDER_R] + joints[:, HIP_L] - joints[:, HIP_R])
    away = 0.5 * (depth[:, SHOULDER_L] - depth[:, SHOULDER_R] + depth[:, HIP_L] - depth[:, HIP_R])
    return np.stack([across[:, 0] / px_per_metre, away], axis=1)


def yaw_degrees(sides: Floats) -> Floats:
    """(T,): 0 faces the camera, +-90 seen from the side, +-180 from behind."""
    return np.asarray(np.degrees(np.arctan2(sides[:, 1], sides[:, 0])))


def head_yaw(joints: Floats, depth: Floats, px_per_metre: Floats, body: Floats) -> Floats:
    """(T,) degrees as ``yaw_degrees``, of the ears; no further than a right angle from the ``body``'s (T,)."""
    across = (joints[:, EAR_L, 0] - joints[:, EAR_R, 0]) / px_per_metre
    away = depth[:, EAR_L] - depth[:, EAR_R]
    twist = np.degrees(np.arctan2(away, across)) - body
    twist = np.clip((twist + 180.0) % 360.0 - 180.0, -90.0, 90.0)
    return np.asarray((body + twist + 180.0) % 360.0 - 180.0)


def mirrors(sides: Floats, reference_faces: float) -> Floats:
    """(T,): +1 where the puppet shows its picture as it is, -1 where it is turned over; with hysteresis."""
    cosines = sides[:, 0] / np.maximum(np.linalg.norm(sides, axis=1), 1e-9)
    signs = np.empty(len(cosines))
    sign = 1.0 if cosines[0] >= 0 else -1.0
    for index, cosine in enumerate(cosines):
        if sign * cosine < -FLIP_MARGIN:
            sign = -sign
        signs[index] = sign
    return signs * reference_faces


def beyond_reference(yaw: Floats, reference_faces: float) -> Bools:
    """(T,): frames where the body shows a side that the reference does not."""
    turned = np.abs(yaw) if reference_faces > 0 else 180.0 - np.abs(yaw)
    return np.asarray(turned > BEYOND_DEGREES)
