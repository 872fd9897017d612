"""Front and back, left and right: what an estimator of single pictures mistakes for each other.

Who takes a front for a back names the limbs of a few frames the wrong way round: all of them would jump to the other
side and back. Feet that point at the camera look like feet that point away from it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .joints import LIMB_LANDMARKS, MP, SIDES

F64 = NDArray[np.float64]

_HEAD = [0, 4, 5, 6, 1, 2, 3, 8, 7, 10, 9]
MIRRORED: NDArray[np.intp] = np.array([*_HEAD, *(point + (1 if point % 2 else -1) for point in range(11, 33))])
"""For each of MediaPipe's 33 points the one of the other side."""
ALL, LEGS, ARMS = tuple(range(33)), tuple(range(25, 33)), tuple(range(13, 23))
"""All points; those from the knees and from the elbows on: who is seen from the side has these confused one by one."""
_LONGER = 0.04
"""Of the body's size: what a frame costs whose sides are not as the estimator named them. A jump that costs less than
all of them is believed."""


def mistaken(landmarks: F64, limbs: tuple[int, ...] = ALL) -> NDArray[np.bool_]:
    """(T,) whether left and right of a frame are the wrong way round, as far as some points tell. ``landmarks``
    (T,33,4) px without gaps.

    The cheapest path through both names of each frame (Viterbi, "Error bounds for convolutional codes", 1967): a step
    costs the median way of the limbs in the picture.
    """
    told = list(LIMB_LANDMARKS if limbs == ALL else limbs)
    points, count = landmarks[:, told, :2], len(landmarks)
    if count < 3:
        return np.zeros(count, bool)
    other = landmarks[:, MIRRORED[told], :2]
    size = max(float(np.median(np.ptp(landmarks[..., 1], axis=1))), 1.0)
    stays = np.linalg.norm(np.diff(points, axis=0), axis=-1).mean(axis=1) / size
    flips = np.linalg.norm(points[1:] - other[:-1], axis=-1).mean(axis=1) / size
    cost, before = np.array([0.0, _LONGER]), np.zeros((count, 2), np.intp)
    for frame in range(1, count):
        ways = cost[:, None] + np.array([[stays[frame - 1], flips[frame - 1]], [flips[frame - 1], stays[frame - 1]]])
        before[frame] = ways.argmin(axis=0)
        cost = ways.min(axis=0) + np.array([0.0, _LONGER])
    found = np.zeros(count, bool)
    state = int(cost.argmin())
    for frame in range(count - 1, -1, -1):
        found[frame] = bool(state)
        state = int(before[frame, state])
    return found


def swap(values: F64, frames: NDArray[np.bool_], limbs: tuple[int, ...] = ALL) -> None:
    """Give the points (T,33,C) of some frames to the other side, in place."""
    at = np.flatnonzero(frames)[:, None]
    values[at, list(limbs)] = values[at, MIRRORED[list(limbs)]]


def backward_feet(world: F64) -> F64:
    """``world`` (T,33,C; x right, y down, z away) with feet that point to the person's back turned round, where they
    look the same so: mirrored in depth at the ankle.
    """
    points = world[..., :3]
    left, right = (points[:, [MP[f"{side}{part}"] for part in ("Shoulder", "Hip")]] for side in SIDES)
    up = (left + right)[:, 0] - (left + right)[:, 1]
    forward = np.cross((left - right).sum(axis=1), up)
    found = world.copy()
    for side in SIDES:
        ankle, heel, toe = (MP[f"{side}{part}"] for part in ("Ankle", "Heel", "Toe"))
        foot = points[:, toe] - points[:, heel]
        now, other = (foot * forward).sum(axis=1), (foot * forward * (1.0, 1.0, -1.0)).sum(axis=1)
        wrong = np.flatnonzero((now < 0) & (other > 0))
        for point in (heel, toe):
            found[wrong, point, 2] = 2 * points[wrong, ankle, 2] - points[wrong, point, 2]
    return found
