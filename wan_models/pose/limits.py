"""Soft limits of joints: what a noisy estimate may not do to a person. Inside the limit nothing changes.

Ranges: American Academy of Orthopaedic Surgeons, "Joint Motion: Method of Measuring and Recording" (1965), with a
margin of about a tenth, since stunts and dancers exceed an average patient. A limit is soft: SOFT degrees beyond it are
reached only by an estimate that is infinitely wrong.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from . import turns

F64 = NDArray[np.float64]
SOFT = np.radians(10.0)
FOLD = {"knee": np.radians([0.0, 150.0]), "elbow": np.radians([0.0, 155.0])}
"""Flexion of hinges; neither goes backwards."""
TURN = {"head": np.radians(95.0), "neck": np.radians(65.0), "wrist": np.radians(95.0)}
"""Largest angle between the two bones in any direction: neck rotation 80 with flexion 45 (its lower part has about two
thirds of it), wrist flexion 80 with 30
sideways."""
TWIST = np.radians(110.0)
"""Pronation or supination from the middle: 80 each way of the AAOS, and what the shoulder adds."""


def soften(value: F64, least: float, most: float) -> F64:
    """``value`` between the limits; beyond them it comes to rest within SOFT."""
    over, under = np.maximum(value - most, 0.0), np.maximum(least - value, 0.0)
    return np.asarray(np.clip(value, least, most) + SOFT * (np.tanh(over / SOFT) - np.tanh(under / SOFT)))


def limit_fold(first: F64, second: F64, fold: F64, joint: str) -> F64:
    """The second bone (T,3) with its angle to the first, about ``fold``, in the joint's range.

    What the bone does sideways stays. The lower end of a hinge is hard: a straight limb does not fold backwards.
    """
    least, most = FOLD[joint]
    angle = turns.angle_about(fold, first, second)
    allowed = np.maximum(soften(angle, least, most), least)
    wrong = np.abs(allowed - angle) > 1e-9
    return np.where(
        wrong[:, None], turns.apply(turns.about(fold, np.where(wrong, allowed - angle, 0.0)), second), second
    )


def limit_turn(base: F64, turn: F64, joint: str) -> F64:
    """Rotations (T,3,3) no further from ``base`` than the joint can."""
    step = Rotation.from_matrix(np.swapaxes(base, -1, -2) @ turn).as_rotvec()
    angle = np.linalg.norm(step, axis=-1)
    allowed = soften(angle, 0.0, float(TURN[joint]))
    wrong = allowed < angle - 1e-9
    factor = np.where(wrong, allowed / np.maximum(angle, 1e-9), 1.0)
    limited = base @ Rotation.from_rotvec(step * factor[:, None]).as_matrix()
    return np.asarray(np.where(wrong[:, None, None], limited, turn))


def limit_arm(twist: F64) -> F64:
    """Angles of the forearm's twist within its range."""
    return soften(twist, -float(TWIST), float(TWIST))
