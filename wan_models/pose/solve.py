"""From landmarks to the canonical skeleton: constant bone lengths, rotations, positions.

Coordinates are metres with Z up; ``points`` are MediaPipe's 33. With true landmarks of a skeleton of constant lengths
the bones' directions come out exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from . import turns
from .joints import (
    BODY_LANDMARKS,
    EARS,
    FINGER_PARTS,
    FINGERS,
    HAND_JOINTS,
    HEAD_LANDMARKS,
    HEAD_TEMPLATE,
    INDEX,
    JOINTS,
    KNUCKLES,
    MP,
    NECK_PARTS,
    PARENTS,
    PHALANGES,
    RELAXED,
    SIDES,
    Lengths,
    finger_direction,
    head_points,
    height_of,
    rest_pose,
    soles,
    typical,
)
from .limits import limit_arm, limit_fold, limit_turn

F64 = NDArray[np.float64]
_BENT = (np.sin(np.radians(6.0)), np.sin(np.radians(14.0)))
"""Below the first the plane of a straight limb is not believed, above the second wholly."""
_UP, _FORWARD = np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 0.0])
_SURE = 0.5


@dataclass
class Solved:
    """``turns`` (T,51,3,3) rotations from rest in world space, ``root`` (T,3), ``rest`` (51,3)."""

    lengths: Lengths
    rest: F64
    turns: F64
    root: F64

    def positions(self) -> F64:
        """(T,51,3): what follows from rest, rotations and root."""
        found = np.empty((len(self.root), len(JOINTS), 3))
        found[:, 0] = self.root
        for joint, parent in enumerate(PARENTS[1:], 1):
            found[:, joint] = found[:, parent] + turns.apply(
                self.turns[:, parent], self.rest[joint] - self.rest[parent]
            )
        return found

    def at(self, positions: F64, joint: str, point: F64) -> F64:
        """(T,3): where a point that turns with ``joint`` is; ``point`` is its place in rest."""
        index = INDEX[joint]
        return np.asarray(positions[:, index] + turns.apply(self.turns[:, index], point - self.rest[index]))

    def points(self) -> F64:
        """(T,33,3): where MediaPipe's landmarks are on this skeleton."""
        positions = self.positions()
        found = np.empty((len(self.root), BODY_LANDMARKS, 3))
        for number, point in zip(HEAD_LANDMARKS, head_points(self.lengths), strict=True):
            found[:, number] = self.at(positions, "head", point)
        feet = soles(self.lengths)
        for side in SIDES:
            for mark, joint in _MARKS.items():
                found[:, MP[side + mark]] = positions[:, INDEX[side + joint]]
            found[:, MP[f"{side}Heel"]] = self.at(positions, f"{side}Foot", feet[f"{side}Heel"])
            found[:, MP[f"{side}Toe"]] = self.at(positions, f"{side}Foot", feet[f"{side}Toe"])
        return found


_MARKS = {
    "Shoulder": "UpperArm", "Elbow": "LowerArm", "Wrist": "Hand", "Pinky": "LittleProximal", "Index": "IndexProximal",
    "Thumb": "ThumbIntermediate", "Hip": "UpperLeg", "Knee": "LowerLeg", "Ankle": "Foot",
}  # fmt: skip


def hand_points(solved: Solved, side: str) -> F64:
    """(T,21,3): where the hand's points are on the skeleton."""
    positions = solved.positions()
    found = np.empty((len(solved.root), 21, 3))
    found[:, 0] = positions[:, INDEX[f"{side}Hand"]]
    size = solved.lengths.height * solved.lengths.hand
    for finger, (name, marks) in enumerate(zip(FINGERS, HAND_JOINTS, strict=True)):
        for mark, part in zip(marks, PHALANGES, strict=True):
            found[:, mark] = positions[:, INDEX[f"{side}{name}{part}"]]
        tip = solved.rest[INDEX[f"{side}{name}Distal"]] + size * FINGER_PARTS[finger, 2] * finger_direction(
            finger, _sign(side)
        )
        found[:, marks[2] + 1] = solved.at(positions, f"{side}{name}Distal", tip)
    return found


def _sign(side: str) -> float:
    return 1.0 if side == "left" else -1.0


# ---- lengths ----------------------------------------------------------------------------------------


def measure(points: F64, visibility: F64, hands: dict[str, F64] | None = None) -> Lengths:
    """Bone lengths of a clip: the medians of what is seen, left and right together. ``points`` (T,33,3).

    What is never seen surely is taken from Winter's proportions and what is.
    """
    lengths = {
        "hip_width": _median(points, visibility, [("leftHip", "rightHip")]),
        "shoulder_width": _median(points, visibility, [("leftShoulder", "rightShoulder")]),
        "upper_arm": _both(points, visibility, "Shoulder", "Elbow"),
        "lower_arm": _both(points, visibility, "Elbow", "Wrist"),
        "upper_leg": _both(points, visibility, "Hip", "Knee"),
        "lower_leg": _both(points, visibility, "Knee", "Ankle"),
    }
    shoulders, hips = middle(points, "Shoulder"), middle(points, "Hip")
    sure = visibility[:, [11, 12, 23, 24]].min(axis=1) > _SURE
    lengths["trunk"] = _of(np.linalg.norm(shoulders - hips, axis=-1), sure)
    ears = points[:, list(EARS)].mean(axis=1)
    sure = visibility[:, [7, 8, 11, 12]].min(axis=1) > _SURE
    lengths["neck"] = _of(np.linalg.norm(ears - shoulders, axis=-1), sure)
    back, front, sole = (
        _both(points, visibility, *ends) for ends in (("Ankle", "Heel"), ("Ankle", "Toe"), ("Heel", "Toe"))
    )
    toe = (sole + (front**2 - back**2) / sole) / 2
    lengths["toe"], lengths["heel"] = toe, sole - toe
    lengths["ankle"] = np.sqrt(max(back**2 - (sole - toe) ** 2, (0.1 * sole) ** 2))
    found = replace(typical(), **lengths)
    found = replace(found, height=height_of(found))
    return replace(found, hand=_hand_size(found.height, hands or {}))


def middle(points: F64, part: str) -> F64:
    """(T,C) between the left and the right one of ``points`` (T,33,C)."""
    return np.asarray((points[:, MP[f"left{part}"]] + points[:, MP[f"right{part}"]]) / 2)


def _both(points: F64, visibility: F64, one: str, other: str) -> float:
    return _median(points, visibility, [(f"{side}{one}", f"{side}{other}") for side in SIDES])


def _median(points: F64, visibility: F64, pairs: list[tuple[str, str]]) -> float:
    apart, sure = [], []
    for one, other in pairs:
        apart.append(np.linalg.norm(points[:, MP[one]] - points[:, MP[other]], axis=-1))
        sure.append(visibility[:, [MP[one], MP[other]]].min(axis=1) > _SURE)
    return _of(np.concatenate(apart), np.concatenate(sure))


def _of(values: F64, sure: NDArray[np.bool_]) -> float:
    chosen = values[sure] if sure.sum() >= max(1, 0.05 * len(values)) else values
    return max(float(np.median(chosen)), 1e-3)


def _hand_size(height: float, hands: dict[str, F64]) -> float:
    spans = [np.linalg.norm(each[:, 9] - each[:, 0], axis=-1) for each in hands.values()]
    seen = np.concatenate(spans) if spans else np.zeros(0)
    seen = seen[np.isfinite(seen)]
    usual = float(np.linalg.norm(KNUCKLES[2])) * height
    return float(np.clip(np.median(seen) / usual, 0.7, 1.4)) if len(seen) else 1.0


# ---- rotations --------------------------------------------------------------------------------------


def solve(
    points: F64,
    lengths: Lengths,
    hands: dict[str, F64] | None = None,
    limits: bool = True,
    heads: F64 | None = None,
) -> Solved:
    """Rotations of all joints from ``points`` (T,33,3) without gaps, hips at the root.

    ``hands``: ``left`` and ``right`` (T,21,3) in the same axes from the wrist, NaN where unseen. ``heads`` (T,3,3): by
    how much the head is turned from what ``head_turns`` says (its own axes). ``limits``: joints stay within what
    people's can do (``limits`` module).
    """
    count = len(points)
    rest = rest_pose(lengths)
    found = Solved(
        lengths, rest, np.repeat(np.eye(3)[None, None], count, 0).repeat(len(JOINTS), 1), np.zeros((count, 3))
    )
    found.root = middle(points, "Hip")
    template = Solved(lengths, rest, np.repeat(np.eye(3)[None, None], len(JOINTS), 1), rest[:1]).points()[0]
    _trunk(found, points, limits, heads)
    for side in SIDES:
        hand = (hands or {}).get(side)
        _arm(found, points, template, side, hand=hand, limits=limits)
        _leg(found, points, template, side)
    return found


def _trunk(found: Solved, points: F64, limits: bool, heads: F64 | None) -> None:
    up = middle(points, "Shoulder") - middle(points, "Hip")
    hips = _upright(points, "Hip", up)
    chest = _upright(points, "Shoulder", up)
    head = head_turns(points) if heads is None else head_turns(points) @ heads
    if limits:
        head = limit_turn(chest, head, "head")
    neck = _neck(points, found.lengths.neck, chest, head)
    if limits:
        neck = limit_turn(chest, neck, "neck")
    for name, turn in (
        ("hips", hips), ("spine", turns.halfway(hips, chest)), ("chest", chest),
        ("neck", neck), ("head", head), ("leftShoulder", chest), ("rightShoulder", chest),
    ):  # fmt: skip
        found.turns[:, INDEX[name]] = turn


def _neck(points: F64, length: float, chest: F64, head: F64) -> F64:
    """Turned as much as lies between chest and head, and leaned so that the ears are where they are seen: the chest
    carries the neck's first part, the head its last (``rest_pose``).
    """
    ears = points[:, list(EARS)].mean(axis=1) - middle(points, "Shoulder")
    below, rest, above = NECK_PARTS
    between = turns.halfway(chest, head)
    way = ears - length * (turns.apply(chest, below) + turns.apply(head, above))
    return np.asarray(turns.smallest(turns.apply(between, rest), way) @ between)


def _upright(points: F64, part: str, up: F64) -> F64:
    across = points[:, MP[f"left{part}"]] - points[:, MP[f"right{part}"]]
    return turns.from_to(across, up, np.array([1.0, 0.0, 0.0]), _UP)


def head_turns(points: F64) -> F64:
    """(T,3,3) the rotation that fits the head's points best (Kabsch, weights as sure as each point is in depth)."""
    weights = np.array([1.0, *[0.5] * 6, 2.0, 2.0, 0.5, 0.5])[:, None]
    seen = points[:, list(HEAD_LANDMARKS)]
    seen = seen - (seen * weights).sum(axis=1, keepdims=True) / weights.sum()
    shape = HEAD_TEMPLATE - (HEAD_TEMPLATE * weights).sum(axis=0) / weights.sum()
    left, _, right = np.linalg.svd(np.swapaxes(seen * weights, 1, 2) @ shape)
    mirror = np.repeat(np.eye(3)[None], len(points), 0)
    mirror[:, 2, 2] = np.sign(np.linalg.det(left @ right))
    return np.asarray(left @ mirror @ right)


def _hinge(first: F64, second: F64, spare: F64, one_way: bool) -> F64:
    """(T,3) axes about which the second bone is folded towards the first: where the limb is straight, as before and
    after, carried along with the first bone; ``spare`` where it never bends (and, for knees, always about that way).
    """
    first, second = turns.unit(first), turns.unit(second)
    seen = np.cross(first, second)
    sine = np.linalg.norm(seen, axis=-1)
    trust = np.clip((sine - _BENT[0]) / (_BENT[1] - _BENT[0]), 0.0, 1.0)
    if one_way:
        trust = np.where(turns.dot(seen, spare)[:, 0] > 0, trust, 0.0)
    fallback = turns.unit(turns.without(spare, first))
    known = trust > 0.99
    if known.any():
        # The angle between the seen axis and the spare one about the bone changes slowly: carry that.
        angle = turns.angle_about(first, fallback, seen)
        frames = np.flatnonzero(known)
        carried = np.interp(np.arange(len(first)), frames, np.unwrap(angle[known]))
        fallback = turns.apply(turns.about(first, carried), fallback)
    mixed = trust[:, None] * turns.unit(seen) + (1 - trust[:, None]) * fallback
    return turns.unit(turns.without(mixed, first))


def _arm(found: Solved, points: F64, template: F64, side: str, *, hand: F64 | None, limits: bool) -> None:
    along = np.array([_sign(side), 0.0, 0.0])
    upper = points[:, MP[f"{side}Elbow"]] - points[:, MP[f"{side}Shoulder"]]
    lower = points[:, MP[f"{side}Wrist"]] - points[:, MP[f"{side}Elbow"]]
    fold_rest = np.cross(along, _FORWARD)
    chest = found.turns[:, INDEX["chest"]]
    hanging = turns.smallest(along, turns.apply(np.swapaxes(chest, 1, 2), upper))
    spare = turns.apply(chest @ hanging, fold_rest)
    fold = _hinge(upper, lower, spare, one_way=False)
    if limits:
        lower = limit_fold(upper, lower, fold, "elbow")
    found.turns[:, INDEX[f"{side}UpperArm"]] = turns.from_to(upper, fold, along, fold_rest)
    straight = turns.from_to(lower, fold, along, fold_rest)
    palm, sure = _palm(points, template, side, hand)
    across = palm[:, :, 1] * -1.0
    axis = turns.unit(lower)
    twist = turns.angle_about(axis, turns.apply(straight, _FORWARD), across)
    clear = sure & (np.linalg.norm(turns.without(turns.unit(across), axis), axis=-1) > 0.4)
    twist = _steady(twist, clear)
    turned = turns.about(axis, limit_arm(twist) if limits else twist) @ straight
    found.turns[:, INDEX[f"{side}LowerArm"]] = turned
    found.turns[:, INDEX[f"{side}Hand"]] = limit_turn(turned, palm, "wrist") if limits else palm
    _fingers(found, side, hand)


def _steady(angle: F64, clear: NDArray[np.bool_]) -> F64:
    """Angles with those that are not clear between those that are."""
    if not clear.any():
        return np.zeros_like(angle)
    frames = np.flatnonzero(clear)
    return np.interp(np.arange(len(angle)), frames, np.unwrap(angle[frames]))


def _palm(points: F64, template: F64, side: str, hand: F64 | None) -> tuple[F64, NDArray[np.bool_]]:
    """(T,3,3) rotation of the hand, from its 21 points where they are seen, else from the body's three; and where
    it can be told at all.
    """
    marks = [MP[f"{side}{name}"] for name in ("Wrist", "Index", "Pinky")]
    palm, sure = _of_three(points[:, marks], template[marks])
    if hand is not None and (seen := _seen(hand, len(points))).any():
        fine, _ = _of_three(hand[:, [0, 5, 17]], template[marks])
        palm = np.where(seen[:, None, None], np.nan_to_num(fine), palm)
        sure = sure | seen
    return palm, sure


def _seen(hand: F64 | None, count: int) -> NDArray[np.bool_]:
    """(T,) whether all of a hand's points are known."""
    return np.zeros(count, bool) if hand is None else np.asarray(np.isfinite(hand).all(axis=(1, 2)), bool)


def _of_three(points: F64, template: F64) -> tuple[F64, NDArray[np.bool_]]:
    """From wrist, knuckle of the index and of the little finger."""
    forward = (points[:, 1] + points[:, 2]) / 2 - points[:, 0]
    across = points[:, 1] - points[:, 2]
    rest_forward = (template[1] + template[2]) / 2 - template[0]
    sure = np.linalg.norm(np.cross(turns.unit(forward), turns.unit(across)), axis=-1) > 0.3
    return turns.from_to(forward, across, rest_forward, template[1] - template[2]), sure


def _fingers(found: Solved, side: str, hand: F64 | None) -> None:
    palm = found.turns[:, INDEX[f"{side}Hand"]]
    seen = _seen(hand, len(palm))
    bend = np.array([0.0, _sign(side), 0.0])
    for finger, (name, marks) in enumerate(zip(FINGERS, HAND_JOINTS, strict=True)):
        rest = finger_direction(finger, _sign(side))
        keep = _FORWARD if finger else _UP
        curl = 0.0
        for mark, part, angle in zip(marks, PHALANGES, RELAXED, strict=True):
            curl += angle if finger else 0.0
            turned = palm @ turns.about(bend, np.array(curl))
            if hand is not None and seen.any():
                bone = np.where(seen[:, None], hand[:, mark + 1] - hand[:, mark], turns.apply(turned, rest))
                turned = turns.from_to(bone, turns.apply(palm, keep), rest, keep)
                turned = turns.bridge(turned, seen) if seen.mean() > 0.5 else turned
            found.turns[:, INDEX[f"{side}{name}{part}"]] = turned


def _leg(found: Solved, points: F64, template: F64, side: str) -> None:
    hip, knee, ankle, heel, toe = (points[:, MP[side + name]] for name in ("Hip", "Knee", "Ankle", "Heel", "Toe"))
    upper, lower = knee - hip, ankle - knee
    marks = [MP[side + name] for name in ("Ankle", "Heel", "Toe")]
    down_rest = template[marks[0]] - template[marks[1]]
    foot = turns.from_to(toe - heel, ankle - heel, template[marks[2]] - template[marks[1]], down_rest)
    right = np.array([1.0, 0.0, 0.0])
    across = found.turns[:, INDEX["hips"]][:, :, 0]
    toes = turns.without(foot[:, :, 0], turns.unit(upper))
    spare = turns.unit(across + 0.5 * toes * np.sign(turns.dot(toes, across)))
    fold = _hinge(upper, lower, spare, one_way=True)
    lower = limit_fold(upper, lower, fold, "knee")
    found.turns[:, INDEX[f"{side}UpperLeg"]] = turns.from_to(upper, fold, -_UP, right)
    found.turns[:, INDEX[f"{side}LowerLeg"]] = turns.from_to(lower, fold, -_UP, right)
    found.turns[:, INDEX[f"{side}Foot"]] = foot
    found.turns[:, INDEX[f"{side}Toes"]] = foot
