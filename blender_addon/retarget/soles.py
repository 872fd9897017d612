"""Where the ground is under a rig: the lowest of the skin about its feet, since bones end well above the soles.

Needs no bpy: skin is looked for among the armature's children, where there are any.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .turns import Array

ABOUT = 0.1  # of the height of the knees: skin this near to the bones of a foot, seen from above, is of the foot
DEEP = 0.3  # the same: what is further below the lowest bone is no sole
MOST_POINTS = 5_000_000  # of a mesh; a larger one is not read


def lowest(armature: Any, axes: Array, points: Array) -> float:
    """The height of the soles in canonical axes; ``points`` (N,3) both ends of the bones of shins, feet and toes."""
    ground, size = float(points[:, 2].min()), float(np.ptp(points[:, 2]))
    feet = points[points[:, 2] < ground + 0.3 * size, :2]
    for item in getattr(armature, "children_recursive", ()):
        if item.type != "MESH" or not any(each.type == "ARMATURE" for each in item.modifiers):
            continue
        skin = _skin(armature, item, axes)
        skin = skin[(skin[:, 2] < ground) & (skin[:, 2] > ground - DEEP * size)]
        if len(skin):
            far = np.min([np.linalg.norm(skin[:, :2] - foot, axis=1) for foot in feet], axis=0)
            skin = skin[far < ABOUT * size]
        ground = min([ground, *skin[:, 2].tolist()])
    return ground


def _skin(armature: Any, item: Any, axes: Array) -> Array:
    """Points (N,3) of a mesh at rest, in canonical axes."""
    count = len(item.data.vertices)
    if not 0 < count <= MOST_POINTS:
        return np.empty((0, 3))
    flat = np.empty(3 * count, np.float32)
    item.data.vertices.foreach_get("co", flat)
    matrix = np.linalg.pinv(np.array(armature.matrix_world, float)) @ np.array(item.matrix_world, float)
    return np.asarray((flat.reshape(-1, 3).astype(float) @ matrix[:3, :3].T + matrix[:3, 3]) @ axes)
