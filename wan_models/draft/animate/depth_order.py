"""The order in which pieces are painted, far to near, steady from frame to frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .skeleton import (
    ANKLE_L,
    ANKLE_R,
    EAR_L,
    EAR_R,
    ELBOW_L,
    ELBOW_R,
    HIP_L,
    HIP_R,
    KNEE_L,
    KNEE_R,
    NECK,
    SHOULDER_L,
    SHOULDER_R,
    WRIST_L,
    WRIST_R,
    Floats,
)

HYSTERESIS = 0.05  # metres: two pieces change places only when clearly past each other

# Where a piece lies, and how much nearer than its joints it counts (metres): a shirt's hem covers the thighs,
# arms at rest hang before the body, the chin before the collar.
_KEYS: dict[str, tuple[tuple[int, ...], float]] = {
    "leg.R.upper": ((HIP_R, KNEE_R), -0.06),
    "leg.R.lower": ((KNEE_R, ANKLE_R), -0.03),
    "leg.L.upper": ((HIP_L, KNEE_L), -0.06),
    "leg.L.lower": ((KNEE_L, ANKLE_L), -0.03),
    "torso": ((SHOULDER_R, SHOULDER_L, HIP_R, HIP_L), 0.0),
    "head": ((NECK, EAR_R, EAR_L), 0.10),
    "arm.R.upper": ((SHOULDER_R, ELBOW_R), 0.07),
    "arm.R.lower": ((ELBOW_R, WRIST_R, WRIST_R), 0.10),
    "arm.L.upper": ((SHOULDER_L, ELBOW_L), 0.07),
    "arm.L.lower": ((ELBOW_L, WRIST_L, WRIST_L), 0.10),
}


def unit_depths(depth: Floats) -> dict[str, float]:
    """The depth in metres by which each piece is sorted, from joint depths (22,)."""
    return {name: float(depth[list(joints)].mean()) - nearer for name, (joints, nearer) in _KEYS.items()}


def paint_order(
    depths: Mapping[str, float], names: Sequence[str], last: Sequence[str] | None, margin: float = HYSTERESIS
) -> tuple[str, ...]:
    """``names`` far to near. ``last`` is the order a frame ago: neighbours swap only past ``margin`` metres."""
    if last is None:
        return tuple(sorted(names, key=lambda name: -_finite(depths[name])))
    order = list(last)
    for end in range(len(order) - 1, 0, -1):
        for i in range(end):
            far, near = order[i], order[i + 1]
            if _finite(depths[far]) < _finite(depths[near]) - margin:
                order[i], order[i + 1] = near, far
    return tuple(order)


def _finite(value: float) -> float:
    return value if np.isfinite(value) else 0.0
