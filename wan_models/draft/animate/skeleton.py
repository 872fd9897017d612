"""The bones of a paper puppet: which joints they join, which layer they move, how layers hang together.

Joints are the 20 body points of ``requests.BODY_POINTS`` and two more: the middle of each hand
(20 right, 21 left), which give the hands a direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]

NOSE, NECK, SHOULDER_R, ELBOW_R, WRIST_R, SHOULDER_L, ELBOW_L, WRIST_L = range(8)
HIP_R, KNEE_R, ANKLE_R, HIP_L, KNEE_L, ANKLE_L, EYE_R, EYE_L, EAR_R, EAR_L, TOE_L, TOE_R = range(8, 20)
HAND_R, HAND_L = 20, 21
JOINTS = 22
FACE = (NOSE, EYE_R, EYE_L, EAR_R, EAR_L)
HAND_MIDDLE = 9  # of the 21 hand points: the root of the middle finger

BONES: tuple[tuple[int, int], ...] = (
    (SHOULDER_R, ELBOW_R), (ELBOW_R, WRIST_R), (WRIST_R, HAND_R),
    (SHOULDER_L, ELBOW_L), (ELBOW_L, WRIST_L), (WRIST_L, HAND_L),
    (HIP_R, KNEE_R), (KNEE_R, ANKLE_R), (ANKLE_R, TOE_R),
    (HIP_L, KNEE_L), (KNEE_L, ANKLE_L), (ANKLE_L, TOE_L),
)  # fmt: skip
"""Three bones a limb, root to tip: right arm, left arm, right leg, left leg."""

TORSO, HEAD = 12, 13
PARTS = 14
"""A part is a bone's index, or TORSO or HEAD."""


@dataclass(frozen=True)
class Limb:
    """A layer that hangs from the torso: its name and its bones, root to tip."""

    name: str
    bones: tuple[int, int, int]

    @property
    def root(self) -> int:
        """The joint it hangs from."""
        return BONES[self.bones[0]][0]


LIMBS: tuple[Limb, ...] = (
    Limb("arm.R", (0, 1, 2)),
    Limb("arm.L", (3, 4, 5)),
    Limb("leg.R", (6, 7, 8)),
    Limb("leg.L", (9, 10, 11)),
)


def smoothstep(low: float, high: float, value: Floats) -> Floats:
    """0 below ``low``, 1 above ``high``, a cubic between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3.0 - 2.0 * t))


def unit(vector: Floats) -> Floats:
    """Vectors (...,2) at length one; a zero vector stays zero."""
    length = np.linalg.norm(vector, axis=-1, keepdims=True)
    return np.asarray(vector / np.maximum(length, 1e-9))


def perpendicular(vector: Floats) -> Floats:
    """(x, y) turned by a quarter: (-y, x)."""
    return np.stack([-vector[..., 1], vector[..., 0]], axis=-1)


def foot_down(shin: Floats) -> Floats:
    """Unit vectors (...,2) from the ankle to the ground: down the picture under a standing leg, along a raised shin."""
    along = unit(shin)
    standing = smoothstep(0.2, 0.7, along[..., 1:])
    return unit(standing * np.array([0.0, 1.0]) + (1.0 - standing) * along)
