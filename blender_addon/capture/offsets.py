"""Pose points as (bone, offset in that bone's rest frame): real joints, and those that rigs lack from a written table.

A real joint is the head of a bone. The others sit at ``HEAD_TABLE`` (from ``_Rest.face``) or ``TOE_OFFSET`` (from the
ankle), in units of stature, measured on the MakeHuman body that both previz rigs of the examples share.
Offsets are written as (left, up, forward) of the character at rest and then follow their bone. Needs no bpy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .bonemap import FINGERS, BoneMap

if TYPE_CHECKING:
    import bpy

from .hierarchy import Bones

Array = NDArray[Any]

BODY_POINTS: tuple[str, ...] = (
    "nose", "neck", "shoulder.R", "elbow.R", "wrist.R", "shoulder.L", "elbow.L", "wrist.L",
    "hip.R", "knee.R", "ankle.R", "hip.L", "knee.L", "ankle.L",
    "eye.R", "eye.L", "ear.R", "ear.L", "toe.L", "toe.R",
)  # fmt: skip
"""Wan2.2-Animate's 20 body points, in its order."""

HAND_POINTS: tuple[str, ...] = ("wrist", *(f"{finger}.{joint}" for finger in FINGERS for joint in (1, 2, 3, 4)))
"""MediaPipe's 21 hand points."""

JOINT_OF_POINT = {
    "shoulder": "upper_arm",
    "elbow": "forearm",
    "wrist": "hand",
    "hip": "thigh",
    "knee": "shin",
    "ankle": "foot",
}

HEAD_TABLE: dict[str, tuple[float, float, float]] = {
    "nose": (0.0, -0.083, 0.080),
    "eye.L": (0.017, -0.061, 0.061),
    "eye.R": (-0.017, -0.061, 0.061),
    "ear.L": (0.043, -0.0735, 0.008),
    "ear.R": (-0.043, -0.0735, 0.008),
}
FACE_TABLE: tuple[tuple[float, float, float], ...] = (
    (0.0, -0.130, 0.068),  # chin
    (0.0, -0.028, 0.062),  # hairline
    (0.039, -0.092, 0.030),  # cheeks
    (-0.039, -0.092, 0.030),
    HEAD_TABLE["nose"],
)
ANKLE_TO_SKULL = 0.85  # of stature: from the ankles up to the base of the skull
HEAD_HEIGHT = 0.115  # of stature: from the base of the skull to the crown
HEAD_RANGE = (0.07, 0.16)  # of stature: a head bone of such a length ends at the crown
TOE_OFFSET = (0.0, -0.030, 0.110)  # of stature, from the ankle to the tip of the big toe
TOE_RANGE = (0.015, 0.09)  # of stature: a toe bone of such a length ends at the tip
FOOT_FORWARD = 0.09  # of stature: a foot bone that reaches this far forward ends at the toes

BODY_SCORE_DERIVED = 0.9


@dataclass(frozen=True)
class Points:
    """Where to read a character: ``bones`` (names), and per point the bone's row (-1 = the rig has no such point),
    the offset in its rest frame (metres of armature space) and the confidence.

    Rows of the points: 20 body, 21 left hand, 21 right hand, 5 of the face.
    """

    bones: tuple[str, ...]
    row: Array  # int (67,)
    offset: Array  # float (67, 3)
    score: Array  # float (67,)
    has_hand: tuple[bool, bool]
    head_height: float  # metres of armature space


N_BODY, N_HAND, N_FACE = len(BODY_POINTS), len(HAND_POINTS), len(FACE_TABLE)


class _Rest:
    """The character at rest, in armature space."""

    def __init__(self, bones: Bones, found: dict[str, str]) -> None:
        self.bones = bones
        self.found = found
        self.matrix = {joint: np.array(bones[name].matrix_local, float) for joint, name in found.items()}
        self.head = {joint: matrix[:3, 3] for joint, matrix in self.matrix.items()}
        hips, shoulders = self._middle("thigh"), self._middle("upper_arm")
        self.up = _unit(shoulders - hips)
        across = self._across("upper_arm") + self._across("thigh")
        self.left = _unit(across - (across @ self.up) * self.up)
        self.forward = np.cross(self.left, self.up)
        skull = self.head["head"] if "head" in self.head else shoulders + 0.35 * (shoulders - hips)
        ankles = self._middle("foot") if "foot.L" in self.head and "foot.R" in self.head else self._tails("shin")
        self.stature = float(np.linalg.norm(skull - ankles)) / ANKLE_TO_SKULL
        length = self.length("head")
        low, high = HEAD_RANGE
        plausible = low * self.stature <= length <= high * self.stature
        self.head_height = length if plausible else HEAD_HEIGHT * self.stature
        self.face = self._face(skull + self.head_height * self.up, shoulders)

    def _face(self, crown: Array, shoulders: Array) -> Array:
        """Where the tables start: as high as the crown, midway between the shoulders, and as far forward as the mean
        of shoulders and head bone (riggers put a head bone up to 3 cm before or behind the same skull)."""
        forward = (shoulders + crown) @ self.forward / 2.0
        return np.asarray((shoulders @ self.left) * self.left + (crown @ self.up) * self.up + forward * self.forward)

    def _middle(self, joint: str) -> Array:
        return np.asarray((self.head[f"{joint}.L"] + self.head[f"{joint}.R"]) / 2.0)

    def _across(self, joint: str) -> Array:
        return np.asarray(self.head[f"{joint}.L"] - self.head[f"{joint}.R"])

    def _tails(self, joint: str) -> Array:
        return np.asarray((self.tail(f"{joint}.L") + self.tail(f"{joint}.R")) / 2.0)

    def tail(self, joint: str) -> Array:
        return np.array(self.bones[self.found[joint]].tail_local, float)

    def length(self, joint: str) -> float:
        return float(self.bones[self.found[joint]].length) if joint in self.found else 0.0

    def world(self, offset: tuple[float, float, float], unit: float) -> Array:
        """(left, up, forward) times ``unit`` in armature axes."""
        left, up, forward = offset
        return np.asarray(unit * (left * self.left + up * self.up + forward * self.forward))

    def local(self, joint: str, point: Array) -> Array:
        """A rest point in the frame of the joint's bone."""
        return np.asarray(np.linalg.inv(self.matrix[joint]) @ np.append(point, 1.0))[:3]


def _unit(vector: Array) -> Array:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9))


class _Table:
    """Fills ``Points`` row by row."""

    def __init__(self, rest: _Rest, bone_map: BoneMap) -> None:
        self.rest, self.map = rest, bone_map
        self.bones: list[str] = []
        self.rows: list[int] = []
        self.offsets: list[Array] = []
        self.scores: list[float] = []

    def add(self, joint: str | None, offset: Array | None = None, factor: float = 1.0) -> None:
        """A point that rides on a joint's bone; None = missing."""
        if joint is None or joint not in self.map.bones:
            self.rows.append(-1)
            self.offsets.append(np.zeros(3))
            self.scores.append(0.0)
            return
        name = self.map.bones[joint]
        if name not in self.bones:
            self.bones.append(name)
        self.rows.append(self.bones.index(name))
        self.offsets.append(np.zeros(3) if offset is None else offset)
        self.scores.append(self.map.confidence[joint] * factor)

    def add_at(self, joint: str, point: Array, factor: float = BODY_SCORE_DERIVED) -> None:
        """A point given at rest in armature space."""
        self.add(joint, self.rest.local(joint, point) if joint in self.map.bones else None, factor)


def build_points(armature_data: bpy.types.Armature, bone_map: BoneMap) -> Points:
    """The reading table of a rig (``armature_data.bones`` at rest)."""
    rest = _Rest(armature_data.bones, bone_map.bones)
    table = _Table(rest, bone_map)
    for point in BODY_POINTS:
        _add_body(table, rest, point)
    has_hand = tuple(_add_hand(table, rest, side) for side in "LR")
    for offset in FACE_TABLE:
        table.add_at("head", rest.face + rest.world(offset, rest.stature))
    return Points(
        tuple(table.bones),
        np.array(table.rows),
        np.array(table.offsets),
        np.array(table.scores),
        (has_hand[0], has_hand[1]),
        rest.head_height,
    )


def _add_body(table: _Table, rest: _Rest, point: str) -> None:
    kind, _, side = point.partition(".")
    if kind in JOINT_OF_POINT:
        _add_limb(table, rest, kind, side)
    elif kind == "toe":
        _add_toe(table, rest, side)
    elif kind == "neck":
        table.add(None)  # the middle of the shoulders, taken after posing
    elif kind == "eye" and point in table.map.bones:
        table.add(point)
    else:
        table.add_at("head", rest.face + rest.world(HEAD_TABLE[point], rest.stature))


def _add_limb(table: _Table, rest: _Rest, kind: str, side: str) -> None:
    joint = f"{JOINT_OF_POINT[kind]}.{side}"
    parent = {"wrist": f"forearm.{side}", "ankle": f"shin.{side}"}.get(kind)
    if joint in table.map.bones or parent is None:
        table.add(joint)
    else:
        table.add_at(parent, rest.tail(parent))


def _add_toe(table: _Table, rest: _Rest, side: str) -> None:
    toe, foot = f"toe.{side}", f"foot.{side}"
    low, high = (bound * rest.stature for bound in TOE_RANGE)
    if toe in table.map.bones:
        if low <= rest.length(toe) <= high:
            table.add_at(toe, _tip(rest, toe), 1.0)
        else:
            table.add_at(toe, rest.head[toe] + rest.world((0.0, 0.0, 0.045), rest.stature))
        return
    carrier = foot if foot in table.map.bones else f"shin.{side}"
    ankle = rest.head[foot] if foot in table.map.bones else rest.tail(carrier)
    reach = rest.tail(foot) - ankle if foot in table.map.bones else np.zeros(3)
    if float(reach @ rest.forward) >= FOOT_FORWARD * rest.stature:
        table.add_at(carrier, ankle + reach)
    else:
        table.add_at(carrier, ankle + rest.world(TOE_OFFSET, rest.stature))


def _tip(rest: _Rest, toe: str) -> Array:
    """The end of the toe: down an only child that is a bone and no end marker."""
    bone = rest.bones[rest.found[toe]]
    while len(bone.children) == 1 and not any(word in bone.children[0].name.lower() for word in ("end", "nub", "tip")):
        bone = bone.children[0]
    return np.array(bone.tail_local, float)


def _add_hand(table: _Table, rest: _Rest, side: str) -> bool:
    """The 21 points of a hand; False when the rig has no finger bones on that side."""
    bones = table.map.bones
    table.add(f"hand.{side}")
    for finger in FINGERS:
        names = [f"{finger}.{n}.{side}" for n in (1, 2, 3)]
        for joint in names:
            table.add(joint)
        last = next((joint for joint in reversed(names) if joint in bones), None)
        if last is None or last == names[0]:
            table.add(None)
            continue
        length, before = rest.length(last), float(np.linalg.norm(rest.head[last] - rest.head[_before(last)]))
        if not 0.4 * before <= length <= 1.6 * before:
            length = 0.8 * before
        table.add(last, np.array([0.0, length, 0.0]), BODY_SCORE_DERIVED)
    return any(f"{finger}.1.{side}" in bones for finger in FINGERS)


def _before(joint: str) -> str:
    finger, number, side = joint.split(".")
    return f"{finger}.{int(number) - 1}.{side}"


def pose_points(points: Points, matrices: Array) -> Array:
    """World positions (T, 67, 3), NaN where missing, from posed world matrices (T, len(points.bones), 4, 4)."""
    used = matrices[:, np.maximum(points.row, 0)]  # (T, 67, 4, 4)
    offset = np.concatenate([points.offset, np.ones((len(points.row), 1))], axis=1)
    world = np.einsum("tpij,pj->tpi", used[:, :, :3], offset)
    world[:, points.row < 0] = np.nan
    right, left = BODY_POINTS.index("shoulder.R"), BODY_POINTS.index("shoulder.L")
    world[:, BODY_POINTS.index("neck")] = (world[:, right] + world[:, left]) / 2.0
    return np.asarray(world)
