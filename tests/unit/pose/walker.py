"""Truth to compare with: a skeleton that walks with feet that stay where they are put, by its own kinematics."""

from __future__ import annotations

import numpy as np

from wan_models.pose import turns
from wan_models.pose.contacts import leg_lengths, two_bones
from wan_models.pose.joints import INDEX, JOINTS, SIDES, Lengths, rest_pose, typical
from wan_models.pose.solve import F64, Solved

STEP_S, STRIDE = 0.55, 0.5  # seconds and metres of one step
STANCE = 1.2  # of a step's time, with a foot flat on the ground


def walker(seconds: float, fps: float, lengths: Lengths | None = None, heading: float = 0.0) -> Solved:
    """A person walking along -Y, turned by ``heading`` about Z, arms swinging, head looking about."""
    lengths = lengths or typical(1.7)
    times = np.arange(round(seconds * fps)) / fps
    rest = rest_pose(lengths)
    count = len(times)
    found = Solved(
        lengths, rest, np.repeat(np.eye(3)[None, None], count, 0).repeat(len(JOINTS), 1), np.zeros((count, 3))
    )
    phase = np.pi * times / STEP_S
    found.root = np.stack(
        [0.02 * np.sin(phase), -STRIDE * times / STEP_S, rest[0, 2] - 0.09 + 0.015 * np.cos(2 * phase)], axis=1
    )
    trunk(found, phase)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        arm(found, side, sign, phase)
        leg(found, side, times)
    return turned(found, heading)


def around(axis: str, angle: F64) -> F64:
    return turns.about(np.eye(3)["xyz".index(axis)], angle)


def trunk(found: Solved, phase: F64) -> None:
    hips = around("z", 0.12 * np.sin(phase))
    chest = around("z", -0.15 * np.sin(phase))
    head = around("z", 0.5 * np.sin(0.3 * phase)) @ around("x", 0.2 * np.cos(0.2 * phase))
    for name, turn in (
        ("hips", hips), ("spine", turns.halfway(hips, chest)), ("chest", chest), ("neck", turns.halfway(chest, head)),
        ("head", head), ("leftShoulder", chest), ("rightShoulder", chest),
    ):  # fmt: skip
        found.turns[:, INDEX[name]] = turn


def arm(found: Solved, side: str, sign: float, phase: F64) -> None:
    lowered = around("y", np.full(len(phase), sign * 1.3))
    upper = around("x", sign * 0.5 * np.sin(phase)) @ lowered
    elbow = upper @ around("z", -sign * (0.5 + 0.3 * np.sin(phase)))
    lower = elbow @ around("x", np.full(len(phase), 0.4 * sign))
    hand = lower @ around("y", 0.2 * np.sin(phase))
    for name, turn in (("UpperArm", upper), ("LowerArm", lower), ("Hand", hand)):
        found.turns[:, INDEX[side + name]] = turn
    for joint in (
        name for name in JOINTS if name.startswith(side) and name.endswith(("Proximal", "Intermediate", "Distal"))
    ):
        curl = around("y", np.full(len(phase), sign * (0.0 if "Thumb" in joint else 0.3)))
        found.turns[:, INDEX[joint]] = hand @ curl


def leg(found: Solved, side: str, times: F64) -> None:
    start = 0.0 if side == "left" else STEP_S
    cycle = (times - start) / (2 * STEP_S)
    number, part = np.floor(cycle), cycle - np.floor(cycle)
    standing = STANCE / 2
    swing = np.clip((part - standing) / (1 - standing), 0, 1)
    smooth = swing - np.sin(2 * np.pi * swing) / (2 * np.pi)
    rest = found.rest[INDEX[f"{side}Foot"]]
    ankle = np.stack(
        [
            np.full(len(times), rest[0]),
            -(number * 2 + 0.6 + 2 * smooth + start / STEP_S) * STRIDE,
            rest[2] + 0.12 * np.sin(np.pi * smooth) ** 2,
        ],
        axis=1,
    )
    foot = around("x", 0.2 * np.sin(2 * np.pi * smooth) * (swing > 0))
    hip = found.positions()[:, INDEX[f"{side}UpperLeg"]]
    axis = np.repeat([[1.0, 0.0, 0.0]], len(times), 0)
    knee, end = two_bones(hip, ankle, leg_lengths(found, side), axis)
    for name, bone in (("UpperLeg", knee - hip), ("LowerLeg", end - knee)):
        found.turns[:, INDEX[side + name]] = turns.from_to(
            bone, axis, np.array([0.0, 0.0, -1.0]), np.array([1.0, 0, 0])
        )
    for name in ("Foot", "Toes"):
        found.turns[:, INDEX[side + name]] = foot


def turned(solved: Solved, heading: float) -> Solved:
    turn = turns.about(np.array([0.0, 0.0, 1.0]), np.array(heading))
    return Solved(solved.lengths, solved.rest, turn @ solved.turns, solved.root @ turn.T)


def direction_errors(one: Solved, other: Solved) -> dict[str, F64]:
    """Degrees between the bones of two motions, frame by frame, for every joint that has a child on its own bone."""
    from wan_models.pose.joints import PARENTS

    first, second = one.positions(), other.positions()
    found = {}
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            continue
        a, b = turns.unit(first[:, joint] - first[:, parent]), turns.unit(second[:, joint] - second[:, parent])
        found[f"{JOINTS[parent]}>{JOINTS[joint]}"] = np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))
    return found


__all__ = ["SIDES", "direction_errors", "turned", "walker"]
