"""The canonical skeleton: 51 joints by VRM's and Unity's humanoid names, and where MediaPipe's points lie on it.

Metres, Z up, right-handed. In rest (T-pose) the person faces -Y, their left is +X, their soles are at z = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

_LIMBS = ("Shoulder", "UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot", "Toes")
FINGERS = ("Thumb", "Index", "Middle", "Ring", "Little")
PHALANGES = ("Proximal", "Intermediate", "Distal")
_SPINE = ("hips", "spine", "chest", "neck", "head")

JOINTS: tuple[str, ...] = (
    *_SPINE,
    *(f"{side}{limb}" for side in ("left", "right") for limb in _LIMBS),
    *(f"{side}{finger}{part}" for side in ("left", "right") for finger in FINGERS for part in PHALANGES),
)
"""All joints; a joint's bone begins at it."""

INDEX: dict[str, int] = {name: index for index, name in enumerate(JOINTS)}


def _parent(name: str) -> int:
    if name in _SPINE:
        return _SPINE.index(name) - 1
    side = "left" if name.startswith("left") else "right"
    part = name[len(side) :]
    above = {
        "Shoulder": "chest", "UpperArm": f"{side}Shoulder", "LowerArm": f"{side}UpperArm", "Hand": f"{side}LowerArm",
        "UpperLeg": "hips", "LowerLeg": f"{side}UpperLeg", "Foot": f"{side}LowerLeg", "Toes": f"{side}Foot",
    }  # fmt: skip
    if part in above:
        return INDEX[above[part]]
    finger = next(each for each in FINGERS if part.startswith(each))
    phalanx = PHALANGES.index(part[len(finger) :])
    return INDEX[f"{side}{finger}{PHALANGES[phalanx - 1]}"] if phalanx else INDEX[f"{side}Hand"]


PARENTS: tuple[int, ...] = tuple(_parent(name) for name in JOINTS)
"""Index of each joint's parent, which comes before it; -1 for the hips."""

SIDES = ("left", "right")

# MediaPipe's 33 points (its "pose landmarker" page): the person's own left and right.
MP = {
    "leftShoulder": 11, "leftElbow": 13, "leftWrist": 15, "leftPinky": 17, "leftIndex": 19, "leftThumb": 21,
    "leftHip": 23, "leftKnee": 25, "leftAnkle": 27, "leftHeel": 29, "leftToe": 31,
    "rightShoulder": 12, "rightElbow": 14, "rightWrist": 16, "rightPinky": 18, "rightIndex": 20, "rightThumb": 22,
    "rightHip": 24, "rightKnee": 26, "rightAnkle": 28, "rightHeel": 30, "rightToe": 32,
}  # fmt: skip
BODY_LANDMARKS = 33
HAND_LANDMARKS = 21
LIMB_LANDMARKS: tuple[int, ...] = (*range(11, 17), *range(23, 29))
"""Shoulders to wrists, hips to ankles."""
EARS = (7, 8)
HEAD_LANDMARKS: tuple[int, ...] = tuple(range(11))
"""Nose, eyes (inner, middle, outer, left then right), ears, corners of the mouth."""

_EYE = [(0.015, -0.099, 0.033), (0.016, -0.099, 0.033), (0.017, -0.098, 0.033)]
HEAD_TEMPLATE: F64 = np.array(
    [
        (0.0, -0.118, -0.001),
        *_EYE,
        *((-x, y, z) for x, y, z in _EYE),
        (0.071, 0.0, 0.0),
        (-0.071, 0.0, 0.0),
        (0.022, -0.081, -0.033),
        (-0.022, -0.081, -0.033),
    ]
)
"""(11,3) metres from the middle of the ears, of an adult 1.75 m tall who looks straight ahead: medians of what
MediaPipe gives in real footage of two people, raised by the 14 degrees by which, a rendered actor and the face model
say, those looked down. It is no anatomy (the eyes are too near each other) but what is seen."""

HAND_JOINTS: tuple[tuple[int, int, int], ...] = ((1, 2, 3), (5, 6, 7), (9, 10, 11), (13, 14, 15), (17, 18, 19))
"""For each finger, which of the 21 hand points are its three joints; the point after the last is the tip."""

# Sizes as parts of the body's height: Winter, Biomechanics and Motor Control of Human Movement (4th ed.), figure 4.1;
# the parts of the hand are means of Buryanov and Kotiuk, "Proportions of hand segments" (2010), over 1.75 m.
HEIGHT_M = 1.75
TRAGION = 0.926
"""Height of the ears as a part of the body's height (ANSUR II: the tragion lies 0.13 m under the vertex)."""
_LEAN = np.radians(20.0)
"""The neck leans forward in people who stand at ease: the median of rendered and filmed ones, by the same landmarks."""
_EARS: F64 = np.array(
    [(0.0, 0.0, 0.12), (0.0, -0.63 * np.sin(_LEAN), 0.63 * np.cos(_LEAN)), (0.0, 0.0, 0.25)]
)  # fmt: skip
NECK_PARTS: F64 = _EARS / np.linalg.norm(_EARS.sum(axis=0))
"""From the shoulders to the ears in rest, (3,3) as parts of that distance: what goes with chest, neck and head."""
BALL = 0.72
"""Where the ball of the foot is between heel (0) and tip of the toes (1)."""
THUMB_ANGLE = np.radians(45.0)
RELAXED = np.radians([12.0, 22.0, 12.0])
"""Curl of the finger joints of a hand that nobody sees."""
FINGER_PARTS: F64 = np.array(
    [[0.026, 0.018, 0.012], [0.0228, 0.0128, 0.009], [0.0255, 0.015, 0.0099], [0.0237, 0.0146, 0.0099],
     [0.0187, 0.0103, 0.0089]]
)  # fmt: skip
"""(5,3) lengths of the phalanges as parts of the body's height; the thumb's first is its metacarpal."""
KNUCKLES: F64 = np.array(
    [[0.012, -0.014, -0.004], [0.0515, -0.0145, 0.0], [0.0505, -0.002, 0.0], [0.0465, 0.0085, 0.0],
     [0.043, 0.0175, 0.0]]
)  # fmt: skip
"""(5,3) first finger joints of the left hand from its wrist, in rest, as parts of the body's height."""


@dataclass(frozen=True)
class Lengths:
    """Bone lengths of one person in metres, the same left and right. ``height`` is the body's."""

    height: float
    hip_width: float  # between the hip joints
    trunk: float  # from the middle of the hips to the middle of the shoulders
    shoulder_width: float  # between the shoulder joints
    neck: float  # from the middle of the shoulders to the middle of the ears
    upper_arm: float
    lower_arm: float
    upper_leg: float
    lower_leg: float
    ankle: float  # height of the ankle over the sole
    heel: float  # how far the heel is behind the ankle
    toe: float  # how far the tip of the toes is before the ankle
    hand: float = 1.0  # size of the hands relative to the body's height

    def scaled(self, factor: float) -> Lengths:
        """Everything but the hands' ratio times ``factor``."""
        from dataclasses import fields, replace

        names = [each.name for each in fields(self) if each.name != "hand"]
        return replace(self, **{name: getattr(self, name) * factor for name in names})


def typical(height: float = HEIGHT_M) -> Lengths:
    """Winter's proportions for a body of ``height`` metres."""
    return Lengths(
        height=height, hip_width=0.191 * height * 0.6, trunk=0.288 * height, shoulder_width=0.259 * height * 0.8,
        neck=0.108 * height, upper_arm=0.172 * height, lower_arm=0.157 * height, upper_leg=0.245 * height,
        lower_leg=0.246 * height, ankle=0.039 * height, heel=0.035 * height, toe=0.117 * height,
    )  # fmt: skip


def height_of(lengths: Lengths) -> float:
    """The body's height that the other lengths speak of: the ears' over TRAGION."""
    shoulders = lengths.ankle + lengths.lower_leg + lengths.upper_leg + lengths.trunk
    return (shoulders + lengths.neck * float(np.sum(NECK_PARTS, axis=0)[2])) / TRAGION


def rest_pose(lengths: Lengths) -> F64:
    """(51,3) joint positions in T-pose: hips over the origin, soles at z = 0."""
    rest = np.zeros((len(JOINTS), 3))
    hips = lengths.ankle + lengths.lower_leg + lengths.upper_leg
    shoulders = hips + lengths.trunk
    rest[[INDEX[name] for name in _SPINE], 2] = hips + lengths.trunk * np.array([0.0, 0.2, 0.5, 1.0, 1.0])
    rest[INDEX["neck"]] += lengths.neck * NECK_PARTS[0]
    rest[INDEX["head"]] += lengths.neck * (NECK_PARTS[0] + NECK_PARTS[1])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        _rest_arm(rest, side, sign, lengths, shoulders)
        _rest_leg(rest, side, sign, lengths)
    return rest


def _rest_arm(rest: F64, side: str, sign: float, lengths: Lengths, shoulders: float) -> None:
    x = lengths.shoulder_width / 2
    rest[INDEX[f"{side}Shoulder"]] = (sign * 0.15 * x, 0.0, shoulders - 0.02 * lengths.trunk)
    for part, length in (("UpperArm", 0.0), ("LowerArm", lengths.upper_arm), ("Hand", lengths.lower_arm)):
        x += length
        rest[INDEX[f"{side}{part}"]] = (sign * x, 0.0, shoulders)
    size = lengths.height * lengths.hand
    for finger, name in enumerate(FINGERS):
        place = rest[INDEX[f"{side}Hand"]] + size * KNUCKLES[finger] * (sign, 1.0, 1.0)
        for phalanx, part in enumerate(PHALANGES):
            rest[INDEX[f"{side}{name}{part}"]] = place
            place = place + size * FINGER_PARTS[finger, phalanx] * finger_direction(finger, sign)


def finger_direction(finger: int, sign: float) -> F64:
    """Where a finger points in rest; ``sign`` 1 for the left hand, -1 for the right one."""
    if finger:
        return np.array([sign, 0.0, 0.0])
    return np.array([sign * np.cos(THUMB_ANGLE), -np.sin(THUMB_ANGLE), 0.0])


def _rest_leg(rest: F64, side: str, sign: float, lengths: Lengths) -> None:
    x = sign * lengths.hip_width / 2
    rest[INDEX[f"{side}UpperLeg"]] = (x, 0.0, lengths.ankle + lengths.lower_leg + lengths.upper_leg)
    rest[INDEX[f"{side}LowerLeg"]] = (x, 0.0, lengths.ankle + lengths.lower_leg)
    rest[INDEX[f"{side}Foot"]] = (x, 0.0, lengths.ankle)
    rest[INDEX[f"{side}Toes"]] = (x, lengths.heel - BALL * (lengths.heel + lengths.toe), 0.0)


def soles(lengths: Lengths) -> dict[str, F64]:
    """Heel and tip of the toes of each foot in rest, which are no joints: leftHeel, leftToe, rightHeel, rightToe."""
    return {
        f"{side}{end}": np.array([sign * lengths.hip_width / 2, y, 0.0])
        for side, sign in (("left", 1.0), ("right", -1.0))
        for end, y in (("Heel", lengths.heel), ("Toe", -lengths.toe))
    }


def head_points(lengths: Lengths) -> F64:
    """(11,3) MediaPipe's points of the head in rest."""
    shoulders = lengths.ankle + lengths.lower_leg + lengths.upper_leg + lengths.trunk
    ears = np.array([0.0, 0.0, shoulders]) + lengths.neck * np.sum(NECK_PARTS, axis=0)
    return np.asarray(ears + HEAD_TEMPLATE * (lengths.height / HEIGHT_M))
