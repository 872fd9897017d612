"""How far the people of a take are from the rigs that drove it, joint by joint. Needs numpy alone.

Both are points in pixels of the take: the rig's as capture projects them (Wan2.2-Animate's 20 body points, with state),
the film's as the pose file keeps them (MediaPipe's 33 landmarks). An error is the distance of the two, divided by the
height of the person on screen. What the rig hides, what is off screen and what nobody saw is not judged: NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LANDMARKS = (0, -1, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7, 31, 32)
"""Of MediaPipe's landmarks the one that shows each body point (its right is 12, left is 11); -1: between shoulders."""
SHOULDERS = (11, 12)
GROUPS = {
    "head": (0, 14, 15, 16, 17),
    "torso": (1, 2, 5, 8, 11),
    "left arm": (6, 7),
    "right arm": (3, 4),
    "left leg": (12, 13, 18),
    "right leg": (9, 10, 19),
}
"""Which body points are judged together."""
SEEN = 0.5  # visibility from which a landmark counts
OFF, BACK = 0.10, 0.06  # of the height: a stretch begins above the first and goes on above the second
SHORTEST_S, BRIDGED_S = 0.15, 0.25  # shorter stretches are noise; shorter pauses within one are no end
HABIT = 0.04  # of the height: a steady difference up to this is how the estimator places a joint, not the motion
HEIGHT_S = 1.0  # the height at a frame is the largest within so many seconds about it: who bends down shrinks
VISIBLE = 0  # a body point's state, see ``protocol.specs.CharacterTrack``
BEHIND = 3  # from here on a point has no place in the picture
FAR = 0.6  # of the height: who is farther away on average is somebody else


@dataclass(frozen=True)
class Stretch:
    """Frames ``first`` to ``last`` (from 0, both included) in which ``group`` is off, and by how much at worst."""

    group: str
    first: int
    last: int
    worst: float


@dataclass(frozen=True)
class Verdict:
    """``errors`` (T,20) in heights, NaN = not judged; ``groups`` (T,G) the largest of each group; ``stretches``;
    ``within``: nine of ten joints outside the stretches are nearer than this; ``judged``: share of the visible joints
    that the film shows; ``unseen``: frames in which the rig is seen and the person is not.
    """

    errors: Array
    groups: Array
    stretches: tuple[Stretch, ...]
    within: float
    judged: float
    unseen: tuple[int, ...]


def points_of(landmarks: Array) -> Array:
    """The 20 body points (T,20,2) of landmarks (T,33,4: x, y, z, visibility); NaN where they were not seen."""
    marks = np.asarray(landmarks, np.float64)
    seen = np.where(marks[..., 3:] >= SEEN, marks[..., :2], np.nan)
    found = seen[:, [max(each, 0) for each in LANDMARKS]]
    found[:, LANDMARKS.index(-1)] = seen[:, SHOULDERS].mean(axis=1)
    return np.asarray(found)


def heights(body: Array, fps: float) -> Array:
    """How high the rig is on screen, (T,) pixels: the larger side of its box, over the second about each frame."""
    there = np.where(body[..., 4:] < BEHIND, body[..., :2], np.nan)
    known = ~np.isnan(there).all(axis=(1, 2))
    found = np.full(len(body), np.nan)
    found[known] = (np.nanmax(there[known], axis=1) - np.nanmin(there[known], axis=1)).max(axis=1)
    reach = max(1, round(HEIGHT_S * fps / 2))
    padded = np.pad(np.nan_to_num(found, nan=0.0), reach, mode="edge")
    largest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1).max(axis=1)
    return np.where(largest > 1.0, largest, np.nan)


def errors(body: Array, film: Array, fps: float) -> Array:
    """(T,20) heights between the rig (T,20,5: x, y, score, depth, state) and the film's points (T,20,2).

    A joint's steady part (its median over the frames that are not off), as far as ``HABIT`` reaches, is taken away.
    """
    body = np.asarray(body, np.float64)
    apart = (film - body[..., :2]) / heights(body, fps)[:, None, None]
    apart[body[..., 4] != VISIBLE] = np.nan
    for joint in range(apart.shape[1]):
        judged = apart[:, joint][np.hypot(*apart[:, joint].T) < OFF]  # NaN is not
        if len(judged):
            steady = np.median(judged, axis=0)
            apart[:, joint] -= steady * min(1.0, HABIT / max(float(np.hypot(*steady)), 1e-9))
    return np.asarray(np.hypot(apart[..., 0], apart[..., 1]))


def judge(body: Array, film: Array, fps: float) -> Verdict:
    """A rig's track (T,20,5) against the same person's points in the film (T,20,2)."""
    body = np.asarray(body, np.float64)
    found = errors(body, film, fps)
    grouped = np.stack([_largest(found[:, list(joints)]) for joints in GROUPS.values()], axis=1)
    stretches = tuple(stretch for at, name in enumerate(GROUPS) for stretch in stretches_of(grouped[:, at], name, fps))
    visible = body[..., 4] == VISIBLE
    good = ~np.isnan(found)
    inside = good.copy()
    for each in stretches:
        inside[each.first : each.last + 1, list(GROUPS[each.group])] = False
    within = float(np.quantile(found[inside], 0.9)) if inside.any() else float("nan")
    unseen = np.flatnonzero(visible.any(axis=1) & ~good.any(axis=1))
    share = float(good.sum() / max(int(visible.sum()), 1))
    return Verdict(found, grouped, stretches, within, share, tuple(int(each) for each in unseen))


def _largest(found: Array) -> Array:
    known = ~np.isnan(found).all(axis=1)
    largest = np.full(len(found), np.nan)
    largest[known] = np.nanmax(found[known], axis=1)
    return largest


def stretches_of(values: Array, group: str, fps: float) -> list[Stretch]:
    """Where ``values`` (T,) are off, with hysteresis; frames that are not judged neither begin nor end a stretch."""
    bridged, shortest = round(BRIDGED_S * fps), max(2, round(SHORTEST_S * fps))
    runs: list[list[int]] = []
    high = values > BACK
    for at in np.flatnonzero(high):
        if runs and not _ended(values[runs[-1][1] + 1 : at], bridged):
            runs[-1][1] = int(at)
        else:
            runs.append([int(at), int(at)])
    found = []
    for first, last in runs:
        worst = float(np.nanmax(values[first : last + 1]))
        if worst > OFF and int(high[first : last + 1].sum()) >= shortest:
            found.append(Stretch(group, first, last, worst))
    return found


def _ended(between: Array, bridged: int) -> bool:
    """Whether so many good frames lie between two bad ones that they are two stretches."""
    return int((~np.isnan(between)).sum()) > bridged


def matched(bodies: Sequence[Array], films: Sequence[Array], fps: float) -> list[int | None]:
    """Which of the film's people each rig is, by position: the nearest pair first, nobody twice; None = nobody near."""
    costs = {}
    for rig, body in enumerate(bodies):
        whole = np.asarray(body, np.float64)
        high = heights(whole, fps)[:, None]
        shown = whole[..., 4] < BEHIND
        for person, film in enumerate(films):
            apart = np.where(shown, np.hypot(*np.moveaxis(film - whole[..., :2], -1, 0)), np.nan) / high
            if not np.isnan(apart).all():
                costs[rig, person] = float(np.nanmedian(apart))
    found: list[int | None] = [None] * len(bodies)
    taken: set[int] = set()
    for (rig, person), cost in sorted(costs.items(), key=lambda item: item[1]):
        if cost <= FAR and found[rig] is None and person not in taken:
            found[rig] = person
            taken.add(person)
    return found
