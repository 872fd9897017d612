"""Feet that stand still: contacts of the pose file are held on the rig by its own legs. Pure numpy.

While a heel or ball is on the ground, its place over the ground is that at which it came down; the ankle that follows
is reached by two-bone IK in the plane in which the knee is bent. When a leg cannot reach, the hips come down a little,
smoothly. Canonical axes, the rig's units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .rig import Rig
from .solve import Motion, positions
from .turns import Array, frame, to_matrix, unit

BLEND_S = 0.15  # seconds over which a foot leaves and reaches its place
ON_GROUND = 0.1  # of the leg: a foot that comes down this near to the ground stands on it
REACH = 0.9995  # of the straight leg
STRAIGHT, BENT = 0.03, 0.15  # sine of the knee: below, its hinge decides the plane; above, the bend itself


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
        found += slide_of(places, _contact(motion.contact, foot))
    return found


def slide_of(places: Array, contact: Array) -> list[float]:
    """The same of points (T,P,3) with contacts (T,P): the diagonal of the box around each stretch."""
    found = []
    for n in range(places.shape[1]):
        for a, b in runs(contact[:, n]):
            if b - a >= 2:
                found.append(float(np.linalg.norm(np.ptp(places[a:b, n, :2], axis=0))))
    return found


def _contact(contact: Array, foot: Foot) -> Array:
    return contact[:, :2] if foot.side == "left" else contact[:, 2:]


def lock(rig: Rig, motion: Motion, fps: float) -> Motion:
    """The motion with its contacts held; ``fps`` of its samples."""
    feet = [foot for foot in find_feet(rig) if _contact(motion.contact, foot).any()]
    if not feet:
        return motion
    blend = max(round(BLEND_S * fps), 1)
    turns, hips = motion.turns.copy(), motion.hips.copy()
    goals = []
    for foot in feet:
        contact = _contact(motion.contact, foot)
        turns[:, foot.ankle] = _still_heading(turns[:, foot.ankle], foot, np.asarray(contact.all(1)), blend)
        toes = rig.find(f"{foot.side}Toes")
        if toes >= 0:
            change = turns[:, foot.ankle] @ np.swapaxes(motion.turns[:, foot.ankle], 1, 2)
            turns[:, toes] = change @ turns[:, toes]
        goals.append(_goal(rig, foot, contact, turns, hips, blend=blend))
    down = [np.asarray(_contact(motion.contact, foot).any(1)) for foot in feet]
    hips[:, 2] -= _drop(rig, feet, goals, down, turns=turns, hips=hips, blend=blend)
    for foot, goal in zip(feet, goals, strict=True):
        _reach(rig, foot, goal, turns, hips, aligned=motion.aligned[foot.thigh])
    return replace(motion, turns=turns, hips=hips)


def _still_heading(turns: Array, foot: Foot, flat: Array, blend: int) -> Array:
    """While heel and ball are both down the foot keeps its heading."""
    way = turns @ (foot.ball - foot.heel)
    heading = np.unwrap(np.arctan2(way[:, 1], way[:, 0]))
    wanted = np.zeros(len(turns))
    for a, b in runs(flat):
        wanted[a:b] = heading[a:b].mean() - heading[a:b]
    angle = fill_between(wanted[:, None], flat, blend)[:, 0] / 2.0
    zero = np.zeros_like(angle)
    return np.asarray(to_matrix(np.stack([np.cos(angle), zero, zero, np.sin(angle)], 1)) @ turns)


def _goal(rig: Rig, foot: Foot, contact: Array, turns: Array, hips: Array, *, blend: int) -> Array:
    """Where the ankle shall be (T,3)."""
    places = points(rig, foot, turns, hips)
    shift = np.zeros((len(hips), 2))
    held: list[Array | None] = [None, None]
    for t in range(len(hips)):
        before = contact[t - 1].any() if t else False
        for n in (0, 1):
            if not contact[t, n]:
                held[n] = None
            elif held[n] is None:
                held[n] = places[t, n, :2] + shift[t - 1] if before else _mean_place(places[:, n], contact[:, n], t)
        n = 1 if contact[t, 1] else 0
        place = held[n]
        if place is not None:
            shift[t] = place - places[t, n, :2]
    down = np.asarray(contact.any(1))
    floor = np.array([0.0, foot.ball[2] - foot.heel[2]]) + _ground(rig)
    heights = np.where(contact, floor - places[:, :, 2], 0.0).sum(1) / np.maximum(contact.sum(1), 1)
    leg = np.linalg.norm(rig.head[foot.ankle] - rig.head[foot.thigh])
    heights = _soft(_on_steps(heights, down, ON_GROUND * leg), down)
    change = fill_between(np.concatenate([shift, heights[:, None]], 1), down, blend)
    return np.asarray(positions(rig, turns, hips)[:, foot.ankle] + change)


def _ground(rig: Rig) -> float:
    """Height of the ground under the moving rig: see ``Rig.standing``."""
    return rig.ground if rig.standing else 0.0


def _mean_place(places: Array, contact: Array, t: int) -> Array:
    end = next((b for a, b in runs(contact) if a <= t < b), t + 1)
    return np.asarray(np.median(places[t:end, :2], axis=0))


def _on_steps(heights: Array, where: Array, most: float) -> Array:
    """Feet that come down far from the ground are on something else: they keep the height at which they do."""
    found = heights.copy()
    for a, b in runs(where):
        middle = np.median(heights[a:b])
        if abs(middle) > most:
            found[a:b] -= middle
    return found


def _soft(values: Array, where: Array) -> Array:
    """The mean of each stretch's neighbours (3 frames), so that heights do not step when a ball follows a heel."""
    soft = values.copy()
    for a, b in runs(where):
        part = np.pad(values[a:b], 1, mode="edge")
        soft[a:b] = (part[:-2] + part[1:-1] + part[2:]) / 3.0
    return soft


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


def _drop(
    rig: Rig, feet: list[Foot], goals: list[Array], down: list[Array], *, turns: Array, hips: Array, blend: int
) -> Array:
    """How far the hips come down (T,) so that every foot that is down can be reached."""
    heads = positions(rig, turns, hips)
    drop = np.zeros(len(hips))
    for foot, goal, here in zip(feet, goals, down, strict=True):
        hip = heads[:, foot.thigh]
        length = REACH * sum(_lengths(heads, foot))
        across = np.linalg.norm((goal - hip)[:, :2], axis=1)
        height = np.sqrt(np.maximum(length**2 - across**2, 0.0))
        drop = np.maximum(drop, np.where(here, hip[:, 2] - goal[:, 2] - height, 0.0))
    wide = np.max([np.roll(np.pad(drop, blend), k)[blend:-blend] for k in range(-blend, blend + 1)], axis=0)
    window = np.hanning(2 * blend + 3)[1:-1]
    return np.asarray(np.convolve(np.pad(wide, blend, mode="edge"), window / window.sum(), "valid"))


def _lengths(heads: Array, foot: Foot) -> tuple[float, float]:
    upper = np.linalg.norm(heads[0, foot.shin] - heads[0, foot.thigh])
    lower = np.linalg.norm(heads[0, foot.ankle] - heads[0, foot.shin])
    return float(upper), float(lower)


def _reach(rig: Rig, foot: Foot, goal: Array, turns: Array, hips: Array, *, aligned: Array) -> None:
    """Turn thigh and shin, in place, so that the ankle is at ``goal``."""
    heads = positions(rig, turns, hips)
    hip, knee, ankle = (heads[:, row] for row in (foot.thigh, foot.shin, foot.ankle))
    first, second = _lengths(heads, foot)
    hinge = turns[:, foot.thigh] @ (aligned.T @ np.array([1.0, 0.0, 0.0]))
    across = np.cross(knee - hip, ankle - knee) / (first * second)
    bend = np.linalg.norm(across, axis=1, keepdims=True)
    weight = _ease((bend - STRAIGHT) / (BENT - STRAIGHT))
    normal = unit(weight * unit(across) + (1.0 - weight) * hinge)
    new_normal = np.einsum("tij,tj->ti", _swing(ankle - hip, goal - hip), normal)
    way = goal - hip
    distance = np.clip(np.linalg.norm(way, axis=1), abs(first - second) + 1e-6, (first + second) * (1.0 - 1e-7))
    along = unit(way)
    out = np.cross(along, frame(along, new_normal)[..., 1])
    x = (distance**2 + first**2 - second**2) / (2.0 * distance)
    y = np.sqrt(np.maximum(first**2 - x**2, 0.0))
    new_knee = hip + along * x[:, None] + out * y[:, None]
    new_ankle = hip + along * distance[:, None]
    for row, old, new in (
        (foot.thigh, knee - hip, new_knee - hip),
        (foot.shin, ankle - knee, new_ankle - new_knee),
    ):
        turns[:, row] = frame(new, new_normal) @ np.swapaxes(frame(old, normal), 1, 2) @ turns[:, row]


def _swing(a: Array, b: Array) -> Array:
    """The least rotations (T,3,3) from directions ``a`` (T,3) to ``b``."""
    a, b = unit(a), unit(b)
    half = np.concatenate([1.0 + np.sum(a * b, -1, keepdims=True), np.cross(a, b)], -1)
    return to_matrix(unit(half))
