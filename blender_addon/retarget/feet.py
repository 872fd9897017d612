"""Feet that stand still: contacts of the pose file are held on the rig. Pure numpy.

First the hips move (``stance``), which turns no bone. What a held foot still slips beyond ``SLIP``, the leg makes up
for by swinging as a whole, and what it still is above or below the ground beyond ``LIFT``, by its knee.
Canonical axes, the rig's units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from . import stance
from .rig import Rig
from .solve import Motion, mean_turn, positions
from .turns import Array, to_matrix, to_quaternion, unit

BLEND_S = 0.15  # seconds over which a foot leaves and reaches its place
ON_GROUND = 0.1  # of the leg: a foot that comes down this near to the ground stands on it
USUAL = 0.03  # of the leg: feet that are further from their usual height than this do not move the hips further
SLIP = 0.009  # of the leg's length, or of a metre if that is longer: a held foot may slip in a box of that diagonal
LIFT = 0.02  # the same: a held foot may be so far above or below the ground before its knee bends
REACH = 0.9995  # of the straight leg
MOST_BEND = np.radians(15.0)  # of thigh or shin, to bring a foot up or down
STRAIGHT, BENT = 0.03, 0.15  # sine of the knee: below, its hinge decides the plane; above, the bend itself
STEEP = -0.5  # upward part of a leg's direction: above, a foot is not held by swinging


@dataclass(frozen=True)
class Foot:
    """Rows of a leg, and in rest the way from the ankle to heel and ball; heights of both above the ground."""

    side: str
    thigh: int
    shin: int
    ankle: int
    heel: Array
    ball: Array


def find_feet(rig: Rig) -> list[Foot]:
    """The legs that have thigh, shin and foot."""
    found = []
    for side in ("left", "right"):
        thigh, shin, ankle = (rig.find(side + part) for part in ("UpperLeg", "LowerLeg", "Foot"))
        if min(thigh, shin, ankle) < 0:
            continue
        toes = rig.find(f"{side}Toes")
        ball = (rig.head[toes] if toes >= 0 else rig.tail[ankle]) - rig.head[ankle]
        heel = np.array([*(-0.3 * ball[:2]), rig.ground - rig.head[ankle][2]])
        found.append(Foot(side, thigh, shin, ankle, heel, ball))
    return found


def points(rig: Rig, foot: Foot, turns: Array, hips: Array) -> Array:
    """Heel and ball (T,2,3)."""
    ankle = positions(rig, turns, hips)[:, foot.ankle]
    return np.stack([ankle + turns[:, foot.ankle] @ way for way in (foot.heel, foot.ball)], 1)


def runs(contact: Array) -> list[tuple[int, int]]:
    """First and last+1 frame of every stretch of True in (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], contact.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def slide(rig: Rig, motion: Motion) -> list[float]:
    """For each contact of each heel and ball how far it wanders over the ground, in the rig's units."""
    found = []
    for foot in find_feet(rig):
        places = points(rig, foot, motion.turns, motion.hips)
        found += slide_of(places, contact_of(motion.contact, foot))
    return found


def slide_of(places: Array, contact: Array) -> list[float]:
    """The same of points (T,P,3) with contacts (T,P): the diagonal of the box around each stretch."""
    found = []
    for n in range(places.shape[1]):
        for a, b in runs(contact[:, n]):
            if b - a >= 2:
                found.append(float(np.linalg.norm(np.ptp(places[a:b, n, :2], axis=0))))
    return found


def contact_of(contact: Array, foot: Foot) -> Array:
    """(T,2) of a motion's contacts (T,4): the foot's heel and ball."""
    return contact[:, :2] if foot.side == "left" else contact[:, 2:]


def lock(rig: Rig, motion: Motion, fps: float, metres: float = 1.0) -> Motion:
    """The motion with its contacts held; ``fps`` of its samples, ``metres`` a unit of the rig."""
    feet = [foot for foot in find_feet(rig) if contact_of(motion.contact, foot).any()]
    if not feet:
        return motion
    blend = max(round(BLEND_S * fps), 1)
    turns, downs, slips, heights = motion.turns.copy(), [], [], []
    for foot in feet:
        contact = contact_of(motion.contact, foot)
        _keep_still(rig, foot, turns, np.asarray(contact.all(1)), blend)
        places = points(rig, foot, turns, motion.hips)
        downs.append(np.asarray(contact.any(1)))
        slips.append(stance.slip(places, contact))
        heights.append(_heights(rig, foot, places, contact))
    across = stance.over_ground(slips, downs, fps)
    up = stance.up_and_down(_usual(heights, downs, USUAL * leg(rig, feet[0])), downs, fps)
    hips = motion.hips + np.concatenate([across, up[:, None]], 1)
    for foot, down, path, height in zip(feet, downs, slips, heights, strict=True):
        size = max(1.0 / metres, leg(rig, foot))
        lack = np.concatenate([_lack(path + across, down, SLIP * size), (height - up)[:, None]], 1)
        aligned = motion.aligned[foot.thigh]
        _hold(rig, foot, turns, hips=hips, lack=lack, down=down, most=LIFT * size, blend=blend, aligned=aligned)
    return replace(motion, turns=turns, hips=hips)


def _keep_still(rig: Rig, foot: Foot, turns: Array, flat: Array, blend: int) -> None:
    """While heel and ball are both down the foot does not turn; its toes go with it, in place."""
    own = turns[:, foot.ankle]
    wanted = np.zeros((len(turns), 3))
    for a, b in runs(flat):
        wanted[a:b] = _vector(mean_turn(own[None, a:b])[0] @ np.swapaxes(own[a:b], 1, 2))
    change = _turned(fill_between(wanted, flat, blend))
    for row in (foot.ankle, rig.find(f"{foot.side}Toes")):
        if row >= 0:
            turns[:, row] = change @ turns[:, row]


def _heights(rig: Rig, foot: Foot, places: Array, contact: Array) -> Array:
    """How much too low the foot is (T,) while it is down; zero in the air."""
    floor = np.array([0.0, foot.ball[2] - foot.heel[2]]) + rig.floor
    found = np.where(contact, floor - places[:, :, 2], 0.0).sum(1) / np.maximum(contact.sum(1), 1)
    return _on_steps(found, np.asarray(contact.any(1)), ON_GROUND * leg(rig, foot))


def _on_steps(heights: Array, where: Array, most: float) -> Array:
    """Feet that come down far from the ground are on something else: they keep the height at which they do."""
    found = heights.copy()
    for a, b in runs(where):
        middle = np.median(heights[a:b])
        if abs(middle) > most:
            found[a:b] -= middle
    return found


def _usual(heights: list[Array], downs: list[Array], most: float) -> list[Array]:
    """Heights, none further than ``most`` from the clip's usual one."""
    known = np.concatenate([height[down] for height, down in zip(heights, downs, strict=True)])
    middle = np.median(known)
    return [np.where(down, np.clip(each, middle - most, middle + most), 0.0)
            for each, down in zip(heights, downs, strict=True)]  # fmt: skip


def _lack(path: Array, down: Array, most: float) -> Array:
    """The ways (T,2) that bring what a foot slips while it stands into a box of that diagonal."""
    found = np.zeros_like(path)
    for a, b in runs(down):
        low, high = path[a:b].min(0), path[a:b].max(0)
        half = (high - low) / 2.0
        half *= min(1.0, most / max(float(np.linalg.norm(high - low)), 1e-12))
        middle = (low + high) / 2.0
        found[a:b] = np.clip(path[a:b], middle - half, middle + half) - path[a:b]
    return found


def fill_between(values: Array, known: Array, blend: int) -> Array:
    """(T,C) kept where ``known``; outside it eases to zero in ``blend`` frames, or straight to the next known one."""
    filled = np.where(known[:, None], values, 0.0)
    for a, b in runs(~known):
        length = b - a + 1
        step = np.arange(1, length)[:, None]
        start = filled[a - 1] if a else np.zeros(values.shape[1])
        end = values[b] if b < len(values) else np.zeros(values.shape[1])
        if a and b < len(values) and length <= 2 * blend:
            share = _ease(step / length)
            filled[a:b] = start * (1 - share) + end * share
        else:
            filled[a:b] = start * (1 - _ease(step / blend)) + end * _ease((step - length + blend) / blend)
    return filled


def _ease(x: Array) -> Array:
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3.0 - 2.0 * x))


def _hold(
    rig: Rig,
    foot: Foot,
    turns: Array,
    *,
    hips: Array,
    lack: Array,
    down: Array,
    most: float,
    blend: int,
    aligned: Array,
) -> None:
    """Bring a foot that lacks (T,3) to its place, in place: across by swinging the leg, up by bending it."""
    heads = positions(rig, turns, hips)
    hip, knee, ankle = (heads[:, row] for row in (foot.thigh, foot.shin, foot.ankle))
    way = ankle - hip
    swung = _swung(way, fill_between(lack[:, :2], down, blend))
    lift = lack[:, 2:] - (swung - way)[:, 2:]
    goal = swung.copy()
    goal[:, 2] += fill_between(lift - np.clip(lift, -most, most), down, blend)[:, 0]
    turn = _swing(way, goal)
    hinge = turns[:, foot.thigh] @ (aligned.T @ np.array([1.0, 0.0, 0.0]))
    normal = np.einsum("tij,tj->ti", turn, _bent_about(knee - hip, ankle - knee, hinge))
    bends = _bends(np.linalg.norm(way, axis=1), np.linalg.norm(goal, axis=1), _lengths(heads, foot))
    for row, bend in zip((foot.thigh, foot.shin), bends, strict=True):
        turns[:, row] = _turned(normal * bend[:, None]) @ turn @ turns[:, row]


def _swung(way: Array, shift: Array) -> Array:
    """The ways (T,3) from hip to ankle turned so that the ankle shifts by (T,2) over the ground."""
    length = np.linalg.norm(way, axis=1, keepdims=True)
    found = way
    for _ in range(3):
        lack = way[:, :2] + shift - found[:, :2]
        along = unit(found)
        up = -np.sum(lack * along[:, :2], 1, keepdims=True) / np.minimum(along[:, 2:], STEEP)
        found = length * unit(found + np.concatenate([lack, up], 1))
    return found


def _bent_about(upper: Array, lower: Array, hinge: Array) -> Array:
    """The axis (T,3) about which a leg is bent; nearly straight ones have that of their ``hinge``."""
    across = np.cross(unit(upper), unit(lower))
    weight = _ease((np.linalg.norm(across, axis=1, keepdims=True) - STRAIGHT) / (BENT - STRAIGHT))
    return unit(weight * unit(across) + (1.0 - weight) * hinge)


def _bends(before: Array, after: Array, lengths: tuple[float, float]) -> tuple[Array, Array]:
    """How far thigh and shin turn (T,) when hip and ankle come from one distance (T,) to another."""
    whole = sum(lengths)
    after = np.clip(after, abs(lengths[0] - lengths[1]) + 1e-6 * whole, np.maximum(before, REACH * whole))
    (thigh, shin), (new_thigh, new_shin) = (_corners(distance, lengths) for distance in (before, after))
    found = np.stack([thigh - new_thigh, new_shin - shin])
    found *= np.minimum(MOST_BEND / np.maximum(np.abs(found).max(0), 1e-12), 1.0)
    return found[0], found[1]


def _corners(distance: Array, lengths: tuple[float, float]) -> tuple[Array, Array]:
    """Angles (T,) of thigh and shin to the way from hip to ankle, by the law of cosines."""
    first, second = lengths
    at_hip = (first**2 + distance**2 - second**2) / (2.0 * first * distance)
    at_ankle = (second**2 + distance**2 - first**2) / (2.0 * second * distance)
    return np.arccos(np.clip(at_hip, -1.0, 1.0)), np.arccos(np.clip(at_ankle, -1.0, 1.0))


def leg(rig: Rig, foot: Foot) -> float:
    """From hip to ankle in rest."""
    return float(np.linalg.norm(rig.head[foot.ankle] - rig.head[foot.thigh]))


def _lengths(heads: Array, foot: Foot) -> tuple[float, float]:
    upper = np.linalg.norm(heads[0, foot.shin] - heads[0, foot.thigh])
    lower = np.linalg.norm(heads[0, foot.ankle] - heads[0, foot.shin])
    return float(upper), float(lower)


def _vector(turns: Array) -> Array:
    """Axis times angle (T,3) of rotations (T,3,3)."""
    quaternions = to_quaternion(turns)
    sine = np.linalg.norm(quaternions[:, 1:], axis=1, keepdims=True)
    return np.asarray(unit(quaternions[:, 1:]) * 2.0 * np.arctan2(sine, quaternions[:, :1]))


def _turned(vectors: Array) -> Array:
    """Rotations (T,3,3) of axis times angle (T,3)."""
    half = np.linalg.norm(vectors, axis=1, keepdims=True) / 2.0
    return to_matrix(np.concatenate([np.cos(half), unit(vectors) * np.sin(half)], 1))


def _swing(a: Array, b: Array) -> Array:
    """The least rotations (T,3,3) from directions ``a`` (T,3) to ``b``."""
    a, b = unit(a), unit(b)
    half = np.concatenate([1.0 + np.sum(a * b, -1, keepdims=True), np.cross(a, b)], -1)
    return to_matrix(unit(half))
