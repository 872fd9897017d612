"""The 51 joints of a pose file, how they hang together, and what the add-on's bone maps call them. No bpy.

Space: metres, Z up; in rest (T-pose) the person faces -Y and their left is +X.
"""

from __future__ import annotations

import numpy as np

from .turns import Array

FINGERS = {"Thumb": "thumb", "Index": "index", "Middle": "middle", "Ring": "ring", "Little": "pinky"}
PHALANGES = ("Proximal", "Intermediate", "Distal")
LIMBS = {
    "Shoulder": "clavicle", "UpperArm": "upper_arm", "LowerArm": "forearm", "Hand": "hand",
    "UpperLeg": "thigh", "LowerLeg": "shin", "Foot": "foot", "Toes": "toe",
}  # fmt: skip
LIMB_PARENT = {
    "Shoulder": "chest", "UpperArm": "Shoulder", "LowerArm": "UpperArm", "Hand": "LowerArm",
    "UpperLeg": "hips", "LowerLeg": "UpperLeg", "Foot": "LowerLeg", "Toes": "Foot",
}  # fmt: skip
MIDDLE_PARENT = {"hips": "", "spine": "hips", "chest": "spine", "neck": "chest", "head": "neck"}


def _all() -> tuple[list[str], list[str], dict[str, str]]:
    """Names, parents (empty for hips), and name -> joint of the bone maps."""
    names, parents, maps = list(MIDDLE_PARENT), list(MIDDLE_PARENT.values()), {joint: joint for joint in MIDDLE_PARENT}
    for side in ("left", "right"):
        for limb, joint in LIMBS.items():
            parent = LIMB_PARENT[limb]
            names.append(side + limb)
            parents.append(parent if parent in MIDDLE_PARENT else side + parent)
            maps[side + limb] = f"{joint}.{side[0].upper()}"
    for side in ("left", "right"):
        for finger, joint in FINGERS.items():
            for n, phalanx in enumerate(PHALANGES):
                names.append(f"{side}{finger}{phalanx}")
                parents.append(f"{side}Hand" if n == 0 else f"{side}{finger}{PHALANGES[n - 1]}")
                maps[names[-1]] = f"{joint}.{n + 1}.{side[0].upper()}"
    return names, parents, maps


NAMES, PARENT_NAMES, TO_MAP = _all()
INDEX = {name: i for i, name in enumerate(NAMES)}
PARENTS = [INDEX.get(parent, -1) for parent in PARENT_NAMES]
FROM_MAP = {joint: name for name, joint in TO_MAP.items()}
CONTACTS = (("left", "heel"), ("left", "ball"), ("right", "heel"), ("right", "ball"))
UP = np.array([0.0, 0.0, 1.0])
FORWARD = np.array([0.0, -1.0, 0.0])


def left_of(name: str) -> float:
    """+1 for joints of the left side, -1 of the right, 0 of the middle."""
    return 1.0 if name.startswith("left") else -1.0 if name.startswith("right") else 0.0


def rest_direction(name: str) -> Array | None:
    """Where a limb's joint points in a T-pose; None for joints that keep the rig's own direction."""
    if "Arm" in name or "Hand" in name or any(finger in name for finger in FINGERS):
        return np.array([left_of(name), 0.0, 0.0])
    if "Leg" in name:
        return -UP
    return None


def hinge(name: str) -> Array | None:
    """The axis about which elbow or knee bends in a T-pose: forearms come forward, heels go back."""
    if name.endswith(("UpperArm", "LowerArm")):
        return np.array([0.0, 0.0, -left_of(name)])
    if name.endswith(("UpperLeg", "LowerLeg")):
        return np.array([1.0, 0.0, 0.0])
    return None


def next_joint(name: str) -> str | None:
    """The joint at the other end of the bone that begins at ``name``; None where no joint of the file tells."""
    if name.endswith("Hand"):
        return name.replace("Hand", "MiddleProximal")
    if name.endswith(("Distal", "Toes")) or name in {"hips", "chest", "head"}:
        return None
    children = [child for child, parent in zip(NAMES, PARENT_NAMES, strict=True) if parent == name]
    return children[0] if children else None
