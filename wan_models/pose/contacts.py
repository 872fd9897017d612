"""Feet on the ground: found by height and speed, then held where they stand, with the legs solved again.

Four points: left heel, left ball, right heel, right ball (the pose file's order).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.ndimage import gaussian_filter1d, maximum_filter1d
from scipy.sparse.linalg import spsolve

from . import turns
from .joints import BALL, INDEX, SIDES, soles
from .solve import Solved

F64 = NDArray[np.float64]
Marks = NDArray[np.bool_]


@dataclass(frozen=True)
class ContactSettings:
    """Heights in metres over the ground and speeds in metres a second, of a body 1.75 m tall: a contact begins below
    the first and ends above the second, or ``stray`` metres (more where the
    estimate trembles) from where it stands. ``shortest``, ``blend``: seconds.
    """

    height: tuple[float, float] = (0.07, 0.12)
    speed: tuple[float, float] = (0.45, 0.9)
    shortest: float = 0.1
    stray: float = 0.004
    blend: float = 0.08


def feet(solved: Solved) -> F64:
    """(T,4,3): left heel, left ball, right heel, right ball."""
    positions, ends = solved.positions(), soles(solved.lengths)
    found = []
    for side in SIDES:
        heel, toe = ends[f"{side}Heel"], ends[f"{side}Toe"]
        found += [solved.at(positions, f"{side}Foot", at) for at in (heel, heel + BALL * (toe - heel))]
    return np.stack(found, axis=1)


def speeds(points: F64, fps: float, view: F64 | None = None) -> F64:
    """(T,4) metres a second, over the two frames around each. ``view`` (T,3): unit vectors along which the points are
    uncertain (away from the camera); what they do that way counts DEPTH_TRUST.
    """
    if len(points) < 2:
        return np.zeros(points.shape[:2])
    found = np.gradient(points, 1 / fps, axis=0)
    if view is not None:
        away = view[:, None]
        found = found - (1 - DEPTH_TRUST) * turns.dot(found, away) * away
    return np.asarray(np.linalg.norm(found, axis=-1))


@dataclass(frozen=True)
class Ground:
    """Where a person stands: z of the floor, the body's height, frames a second, ``view`` as ``speeds`` takes it."""

    floor: float
    height: float
    fps: float
    view: F64 | None = None


def find_contacts(points: F64, ground: Ground, settings: ContactSettings) -> Marks:
    """(T,4) whether each point stands on the ground."""
    fps, size = ground.fps, ground.height / 1.75
    low = (points[..., 2] - ground.floor) / size
    quick = speeds(points, fps, ground.view) / size
    begins = (low < settings.height[0]) & (quick < settings.speed[0])
    lasts = (low < settings.height[1]) & (quick < settings.speed[1])
    shortest = max(2, round(settings.shortest * fps))
    found = np.stack([_hysteresis(begins[:, each], lasts[:, each], shortest) for each in range(4)], axis=1)
    for number in range(4):
        found[:, number] = _trimmed(
            _flat(points[:, number], ground.view),
            found[:, number],
            begins[:, number],
            settings.stray * size,
            shortest=shortest,
        )
    return found


def _hysteresis(begins: Marks, lasts: Marks, shortest: int) -> Marks:
    found = np.zeros(len(begins), bool)
    for first, last in runs(lasts):
        if last - first + 1 >= shortest and begins[first : last + 1].any():
            found[first : last + 1] = True
    return found


def _flat(points: F64, view: F64 | None) -> F64:
    """Points without most of what they do along the view."""
    if view is None or not len(points):
        return points
    middle = points.mean(axis=0)
    away = turns.unit(view.mean(axis=0))
    return points - (1 - DEPTH_TRUST) * turns.dot(points - middle, away) * away


def _trimmed(points: F64, contact: Marks, begins: Marks, stray: float, *, shortest: int) -> Marks:
    """Without the frames at both ends in which the point is still coming or goes already."""
    found = np.zeros(len(contact), bool)
    for first, last in runs(contact):
        stretch = points[first : last + 1]
        core = np.flatnonzero(begins[first : last + 1])
        away = np.linalg.norm(stretch - np.median(stretch[core], axis=0), axis=-1)
        near = away < max(stray, _NOISE * float(np.median(away[core])))
        for one, other in runs(near):
            if other - one + 1 >= shortest:
                found[first + one : first + other + 1] = True
    return found


def runs(marks: Marks) -> list[tuple[int, int]]:
    """First and last index of each stretch of True."""
    edges = np.diff(np.concatenate([[0], np.asarray(marks, np.int8), [0]]))
    return [
        (int(first), int(end) - 1)
        for first, end in zip(np.flatnonzero(edges > 0), np.flatnonzero(edges < 0), strict=True)
    ]


def settle(points: F64, contact: Marks, ground: Ground) -> F64:
    """(T,3) by how much the root is wrong: what makes the standing points (T,4,3) stand, and is small and smooth.

    Least squares over all frames and contacts at once: each contact has a place of its own (at the floor's height),
    the root's error is held near 0 by STAY, across the view by SEEN since the picture shows where the body is, and its
    acceleration by CALM.
    """
    stretches = [(number, *each) for number in range(4) for each in runs(contact[:, number])]
    count = len(points)
    if not stretches or count < 3:
        return np.zeros((count, 3))
    frames = np.concatenate([np.arange(first, last + 1) for _, first, last in stretches])
    places = np.repeat(np.arange(len(stretches)), [last - first + 1 for _, first, last in stretches])
    seen = np.concatenate([points[first : last + 1, number] for number, first, last in stretches])
    ones, order = np.ones(len(frames)), np.arange(len(frames))
    on_frame: Any = sparse.coo_array((ones, (order, frames)), (len(frames), count))
    at_place: Any = sparse.coo_array((ones, (order, places)), (len(frames), len(stretches)))
    bend: Any = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(count - 2, count))
    calm = CALM * (ground.fps / 30.0) ** 2
    stay = np.repeat(np.eye(3)[None] * STAY**2, count, axis=0)
    if ground.view is not None:
        away = ground.view[:, :, None] * ground.view[:, None, :]
        stay = SEEN**2 * (np.eye(3) - away) + STAY**2 * away
    three, flat = sparse.eye_array(3), sparse.csr_array(np.eye(3)[:, :2])
    own: Any = sparse.block_diag(list(stay)) + sparse.kron(calm**2 * (bend.T @ bend) + on_frame.T @ on_frame, three)
    cross = sparse.kron(on_frame.T @ at_place, flat)  # x and y of a place are solved for, its z is the floor's
    both: Any = sparse.block_array([[own, -cross], [-cross.T, sparse.kron(at_place.T @ at_place, sparse.eye_array(2))]])
    aim = -seen + np.array([0.0, 0.0, ground.floor])
    right = np.concatenate([(on_frame.T @ aim).ravel(), (at_place.T @ seen[:, :2]).ravel()])
    found = spsolve(both.tocsc(), right, permc_spec="MMD_AT_PLUS_A")  # symmetric: the usual order would fill it
    return np.asarray(found[: 3 * count].reshape(count, 3))


def lock(solved: Solved, contact: Marks, ground: Ground, settings: ContactSettings) -> Solved:
    """The same motion with feet that stay where they stand and nothing under the ground.

    The ankle goes where the standing points want it, the pelvis follows where a leg would be too short, and the legs
    are solved with two bones, their bend planes kept.
    """
    fps, count, blend = ground.fps, len(solved.root), max(1, round(settings.blend * ground.fps))
    solved = replace(solved, turns=solved.turns.copy(), root=solved.root.copy())
    wants = {}
    for number, side in enumerate(SIDES):
        wants[side] = _ankles(solved, contact[:, 2 * number : 2 * number + 2], side, ground.floor, blend)
    solved.root += _pelvis(solved, wants, max(1.0, 0.12 * fps)) if count else 0.0
    for side in SIDES:
        _bend(solved, side, wants[side])
    return solved


def _ankles(solved: Solved, contact: Marks, side: str, floor: float, blend: int) -> F64:
    """(T,3) where the ankle should be; turns the foot so that two standing points both hold."""
    joint, ends = INDEX[f"{side}Foot"], soles(solved.lengths)
    rest = solved.rest[joint]
    arms = (
        np.stack([ends[f"{side}Heel"], ends[f"{side}Heel"] + BALL * (ends[f"{side}Toe"] - ends[f"{side}Heel"])]) - rest
    )
    ankle = solved.positions()[:, joint]
    foot = solved.turns[:, joint]
    points = ankle[:, None] + np.einsum("tij,pj->tpi", foot, arms)
    held, weight = _held(points, contact, floor, blend)
    # Where both points stand, the foot lies along the line between their places.
    foot = turns.smallest(points[:, 1] - points[:, 0], held[:, 1] - held[:, 0]) @ foot
    foot = _level(foot, np.minimum(weight[:, 0], weight[:, 1]))
    for part in ("Foot", "Toes"):
        solved.turns[:, INDEX[side + part]] = foot
    points = ankle[:, None] + np.einsum("tij,pj->tpi", foot, arms)
    strong = weight / (1.0001 - weight)  # a point that stands outweighs one that is only about to
    share = strong / np.maximum(strong.sum(axis=1, keepdims=True), 1e-9)
    target: F64 = ankle + ((held - points) * share[..., None]).sum(axis=1)
    sunk = np.minimum((target[:, None] + np.einsum("tij,pj->tpi", foot, arms))[..., 2].min(axis=1) - floor, 0.0)
    target[:, 2] -= sunk
    return target


def _level(foot: F64, weight: F64) -> F64:
    """Where the whole sole stands, the foot does not lean sideways either."""
    across = foot[:, :, 0]
    flat = across * np.array([1.0, 1.0, 0.0])
    upright = turns.smallest(across, flat)
    return turns.halfway(np.repeat(np.eye(3)[None], len(foot), 0), upright, weight[:, None]) @ foot


def _places(points: F64, contact: Marks, floor: float) -> tuple[Stands, Stands]:
    """Where heel and ball stand in each of their contacts. Where both stand at once, they are as far apart as they are
    on the foot: what stands already stays, two that begin together are moved alike.
    """
    heels, balls = (
        {
            (first, last): np.array([*np.median(points[first : last + 1, number, :2], axis=0), floor])
            for first, last in runs(contact[:, number])
        }
        for number in range(2)
    )
    length = float(np.linalg.norm(points[0, 1] - points[0, 0])) if len(points) else 0.0
    fixed: set[tuple[int, tuple[int, int]]] = set()
    for heel in heels:
        for ball in balls:
            if heel[0] > ball[1] or ball[0] > heel[1]:
                continue
            way = turns.unit(balls[ball] - heels[heel])
            short = length - float(np.linalg.norm(balls[ball] - heels[heel]))
            share = 0.0 if (0, heel) in fixed else 1.0 if (1, ball) in fixed else 0.5
            heels[heel] = heels[heel] - share * short * way
            balls[ball] = balls[ball] + (1 - share) * short * way
            fixed |= {(0, heel), (1, ball)}
    return heels, balls


def _held(points: F64, contact: Marks, floor: float, blend: int) -> tuple[F64, F64]:
    """(T,2,3) where each point should be, and (T,2) how much that counts: 1 in a contact. Just before and after one,
    what the contact's edge was moved by fades out.
    """
    held, weight = points.copy(), np.zeros(contact.shape)
    for number, stands in enumerate(_places(points, contact, floor)):
        for (first, last), place in stands.items():
            low, high = max(0, first - blend), min(len(points) - 1, last + blend)
            frames = np.arange(low, high + 1)
            edge = np.clip(frames, first, last)
            ramp = 0.5 + 0.5 * np.cos(np.pi * np.abs(frames - edge) / (blend + 1))
            mine = frames[ramp > weight[low : high + 1, number]]
            strength = ramp[mine - low]
            moved = place - points[np.clip(mine, first, last), number]
            held[mine, number] = points[mine, number] + strength[:, None] * moved
            weight[mine, number] = strength
    held[..., 2] = np.maximum(held[..., 2], floor)  # the foot turns rather than sinks
    return held, weight


DEPTH_TRUST = 0.15
"""How much of a movement towards or from the camera is believed: one picture hardly tells it."""
STAY, SEEN, CALM = 0.05, 1.0, 10.0
Stands = dict[tuple[int, int], F64]
"""For each stretch of a contact (first and last frame), the place."""
_NOISE = 3.0  # times the median distance from where a point stands: beyond that it is no tremble
_REACH = 0.9995
"""Of the leg's length: a leg that is quite straight has no bend plane."""


def _pelvis(solved: Solved, wants: dict[str, F64], smooth: float) -> F64:
    """(T,3) how the hips move so that both legs reach their ankles."""
    move = np.zeros_like(solved.root)
    hips, longest = {}, {}
    for side in SIDES:
        hips[side] = solved.positions()[:, INDEX[f"{side}UpperLeg"]]
        upper, lower = leg_lengths(solved, side)
        longest[side] = (upper + lower) * _REACH

    def reach(move: F64) -> F64:
        for _ in range(8):
            for side in SIDES:
                gap = wants[side] - hips[side] - move
                length = np.linalg.norm(gap, axis=-1, keepdims=True)
                move = move + turns.unit(gap) * np.maximum(length - longest[side], 0.0)
        return move

    move = reach(move)
    # Smooth, but never less than what is needed: the largest around, then blurred.
    size = np.linalg.norm(move, axis=-1)
    if size.max(initial=0.0) < 1e-6:
        return move
    window = 2 * int(np.ceil(2 * smooth)) + 1
    spread = gaussian_filter1d(maximum_filter1d(size, window), smooth)
    way = turns.unit(gaussian_filter1d(move, smooth, axis=0))
    return reach(np.where((spread > size)[:, None], way * spread[:, None], move))


def leg_lengths(solved: Solved, side: str) -> tuple[float, float]:
    """Thigh and shin in metres."""
    rest = [solved.rest[INDEX[side + part]] for part in ("UpperLeg", "LowerLeg", "Foot")]
    return float(np.linalg.norm(rest[1] - rest[0])), float(np.linalg.norm(rest[2] - rest[1]))


def _bend(solved: Solved, side: str, target: F64) -> None:
    """Two bones from the hip to ``target``, folded about the axis that they were folded about before."""
    hip = solved.positions()[:, INDEX[f"{side}UpperLeg"]]
    lengths = leg_lengths(solved, side)
    axis = solved.turns[:, INDEX[f"{side}UpperLeg"]][:, :, 0]
    knee, ankle = two_bones(hip, target, lengths, axis)
    fold = turns.unit(turns.without(axis, turns.unit(ankle - hip)))
    for part, bone in (("UpperLeg", knee - hip), ("LowerLeg", ankle - knee)):
        solved.turns[:, INDEX[side + part]] = turns.from_to(
            bone, fold, np.array([0.0, 0.0, -1.0]), np.array([1.0, 0.0, 0.0])
        )


def two_bones(start: F64, target: F64, lengths: tuple[float, float], axis: F64) -> tuple[F64, F64]:
    """(T,3) middle and end of two bones from ``start`` to ``target``, or as near as they reach, bent about ``axis``
    (law of cosines): the second bone is turned by a positive angle about it.
    """
    gap = target - start
    distance = np.linalg.norm(gap, axis=-1)
    upper, lower = lengths
    reach = np.clip(distance, abs(upper - lower) + 1e-6, (upper + lower) * (1 - 1e-7))
    way = np.where(distance[:, None] > 1e-9, turns.unit(gap), np.array([0.0, 0.0, -1.0]))
    axis = turns.unit(turns.without(axis, way))
    cosine = np.clip((upper**2 + reach**2 - lower**2) / (2 * upper * reach), -1.0, 1.0)
    thigh = turns.apply(turns.about(axis, -np.arccos(cosine)), way)
    return start + upper * thigh, start + reach[:, None] * way


def slides(points: F64, contact: Marks) -> F64:
    """For each contact, how far (metres) its point moves from where it stands: the largest distance from its median."""
    found = []
    for number in range(points.shape[1]):
        for first, last in runs(contact[:, number]):
            stretch = points[first : last + 1, number]
            found.append(np.linalg.norm(stretch - np.median(stretch, axis=0), axis=-1).max())
    return np.array(found)
