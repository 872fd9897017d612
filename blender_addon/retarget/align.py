"""How each joint of a rig is turned to bring its rest pose to the T-pose of the pose file. Pure numpy.

Arms, legs, hands and fingers are turned by their bone's direction; the roll comes from the plane in which elbow or
knee is bent in rest, from the row of knuckles, else from the joint above. Feet keep their pitch, since they stand
flat in rest, and turn to the file's heading. Torso, neck, head and shoulders keep the posture that the rig was built
with.
"""

from __future__ import annotations

import numpy as np

from . import joints
from .rig import Rig
from .turns import Array, angle_between, between, frame, to_quaternion, unit

BENT = 8.0  # degrees: below this a limb's rest bend says nothing of its hinge
DOUBTED = 60.0  # degrees of roll between the hinge and the plain turn: above, the rest bend is no hinge
STRAYING = 60.0  # degrees between a last bone's tail and the bone before: above, the tail points anywhere


def align(rig: Rig, rest: Array | None) -> Array:
    """Rotations (N,3,3) in canonical axes from the rig's rest to the T-pose of ``rest`` (J,3), None = the plain one."""
    turns = np.repeat(np.eye(3)[None], len(rig.nodes), 0)
    for i, node in enumerate(rig.nodes):
        above = turns[node.parent] if node.parent >= 0 else np.eye(3)
        if node.name != node.first:  # one of several bones of a joint
            turns[i] = above if node.twist else np.eye(3)
        elif node.name.endswith("Toes"):
            turns[i] = above
        elif node.name.endswith("Foot"):
            turns[i] = _heading(rig, i, rest)
        elif node.name.endswith("Hand"):
            turns[i] = _hand(rig, i, rest, above)
        elif joints.rest_direction(node.name) is not None:
            turns[i] = _limb(rig, i, rest, above)
    return turns


def direction(rig: Rig, i: int) -> Array | None:
    """Where the bone of node ``i`` points in rest, to the next joint if there is one; None when nothing tells."""
    name = joints.next_joint(rig.nodes[i].name)
    j = rig.find(name) if name else -1
    if j >= 0:
        found = rig.head[j] - rig.head[i]
        return unit(found) if np.linalg.norm(found) > 1e-9 else None
    found = rig.tail[i] - rig.head[i]
    parent = rig.nodes[i].parent
    before = rig.head[i] - rig.head[parent] if parent >= 0 else found
    known = np.linalg.norm(found) > 1e-9
    return unit(found) if known and angle_between(found, before) < STRAYING else None


def target_direction(name: str, rest: Array | None) -> Array | None:
    """Where the joint's bone points in the T-pose."""
    plain, following = joints.rest_direction(name), joints.next_joint(name)
    if rest is None:
        return None if "Thumb" in name else plain
    if following is None:
        before = joints.PARENTS[joints.INDEX[name]]
        found = rest[joints.INDEX[name]] - rest[before]
    else:
        found = rest[joints.INDEX[following]] - rest[joints.INDEX[name]]
    return unit(found) if np.linalg.norm(found) > 1e-6 else plain


def _limb(rig: Rig, i: int, rest: Array | None, above: Array) -> Array:
    name = rig.nodes[i].name
    along, target = direction(rig, i), target_direction(name, rest)
    if along is None or target is None:
        return above
    plain = between(above @ along, target) @ above
    axis, bend = joints.hinge(name), _bend(rig, name)
    if axis is None or bend is None:
        return plain
    hinged: Array = frame(target, axis) @ frame(along, bend).T
    roll = np.degrees(2.0 * np.arccos(np.clip(to_quaternion(hinged @ plain.T)[0], -1.0, 1.0)))
    return hinged if roll < DOUBTED else plain


def _bend(rig: Rig, name: str) -> Array | None:
    """The hinge of the limb that ``name`` is part of, from its bend in rest; None when it is straight."""
    side = "left" if name.startswith("left") else "right"
    part = "Arm" if "Arm" in name else "Leg"
    upper, lower = rig.find(f"{side}Upper{part}"), rig.find(f"{side}Lower{part}")
    if upper < 0 or lower < 0:
        return None
    first, second = direction(rig, upper), direction(rig, lower)
    if first is None or second is None or angle_between(first, second) < BENT:
        return None
    return unit(np.cross(first, second))


def _hand(rig: Rig, i: int, rest: Array | None, above: Array) -> Array:
    """By the fingers' roots where there are any: the way to them, and their row from index to little finger."""
    side = "left" if rig.nodes[i].name.startswith("left") else "right"
    roots = {f: rig.find(f"{side}{f}Proximal") for f in ("Index", "Middle", "Ring", "Little")}
    known = {finger: row for finger, row in roots.items() if row >= 0}
    target = target_direction(f"{side}Hand", rest)
    along = direction(rig, i)
    if target is None or along is None:
        return above
    if len(known) < 2:
        return between(above @ along, target) @ above
    rows = list(known.values())
    across = rig.head[rows[-1]] - rig.head[rows[0]]
    wanted = np.array([0.0, 1.0, 0.0])
    if rest is not None:
        a, b = (rest[joints.INDEX[f"{side}{finger}Proximal"]] for finger in (next(iter(known)), next(reversed(known))))
        wanted = b - a if np.linalg.norm(np.cross(b - a, target)) > 1e-3 else wanted
    if np.linalg.norm(np.cross(unit(across), along)) < 0.1:
        return between(above @ along, target) @ above
    return np.asarray(frame(target, wanted) @ frame(along, across).T)


def _heading(rig: Rig, i: int, rest: Array | None) -> Array:
    """The turn about the vertical that points a foot the way the file's foot points."""
    along = direction(rig, i)
    if along is None:
        along = unit(rig.tail[i] - rig.head[i])
    name = rig.nodes[i].name
    target = joints.FORWARD
    if rest is not None:
        target = rest[joints.INDEX[name.replace("Foot", "Toes")]] - rest[joints.INDEX[name]]
    flat, wanted = np.array([*along[:2], 0.0]), np.array([*target[:2], 0.0])
    if np.linalg.norm(flat) < 0.2 or np.linalg.norm(wanted) < 1e-3:
        return np.eye(3)
    return between(flat, wanted)
