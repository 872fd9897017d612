"""The people that a backend finds in one frame as lines in space. Needs numpy alone.

A frame is what ``pose_ready`` brings (protocol/SPEC.md): for each person 33 landmarks in pixels, the same in metres
from the hips in the picture's axes (x right, y down, z away), and hands. Each point is put on the ray of the camera
through its pixel, so that it covers the film exactly, as deep as its metres say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32, F64 = NDArray[np.float32], NDArray[np.float64]

COLUMNS = 391  # of a person, see the protocol's ``pose_ready``
BODY, HAND = 33, 21
NECK, HIPS, EARS = 33, 34, 35  # between the two shoulders, hips, ears
LEFT, RIGHT = 36, 57  # where the hands begin
POINTS = RIGHT + HAND
FIELD_OF_VIEW = 50.0
"""Degrees along the longer side where nobody knows the camera, as the pose file has it."""
STEADY = 0.2
"""How much of a new distance is believed: one picture hardly tells it, and the figure would tremble to and fro."""
FLAT_M = 5.0  # before a camera without perspective, which tells no distance
NEAR_M = 0.3  # nobody is nearer to the camera
LEAST = 0.1  # points that are less sure are not drawn
DOT_M = 0.008  # half the size of a joint's mark
COLOURS = ((0.0, (0.95, 0.25, 0.18)), (0.5, (0.98, 0.80, 0.22)), (1.0, (0.22, 0.95, 0.62)))
"""By how sure a point is: red, yellow, green."""
_FIT = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # the points by which the distance is found
_LEVEL = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""World from a level camera at the origin: its right is +X, its up is +Z, it looks along +Y."""
_FINGERS = [(0, 1), (0, 5), (5, 9), (9, 13), (13, 17), (0, 17)]
_FINGERS += [(first + n, first + n + 1) for first in (1, 5, 9, 13, 17) for n in range(3)]
_LIMBS = [
    (11, 12), (23, 24), (11, 23), (12, 24), (NECK, EARS), (EARS, 0), (7, 8),
    (11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28),
    (27, 29), (29, 31), (27, 31), (28, 30), (30, 32), (28, 32),
]  # fmt: skip
BONES: NDArray[np.intp] = np.array(
    [*_LIMBS, *((start + one, start + other) for start in (LEFT, RIGHT) for one, other in _FINGERS)]
)
"""(N,2) points that are joined."""
JOINTS: NDArray[np.intp] = np.array([0, NECK, *_FIT, 29, 30, 31, 32])
"""Points that get a mark."""


@dataclass(frozen=True)
class View:
    """A camera at one frame: ``world_from_camera`` (4,4), looking along its -Z; ``intrinsics`` fx, fy, cx, cy px."""

    world_from_camera: F64
    intrinsics: F64
    orthographic: bool = False


@dataclass(frozen=True)
class Path:
    """A camera over all frames, (T,4,4) and (T,4), and the name of its object."""

    camera: str
    world_from_camera: F64
    intrinsics: F64
    orthographic: bool = False

    def at(self, frame: int) -> View:
        """The last one stays."""
        at = min(frame, len(self.intrinsics) - 1)
        return View(self.world_from_camera[at], self.intrinsics[at], self.orthographic)


def guessed(width: int, height: int) -> View:
    """A level camera at the origin."""
    focal = max(width, height, 1) / 2 / np.tan(np.radians(FIELD_OF_VIEW) / 2)
    return View(_LEVEL, np.array([focal, focal, width / 2, height / 2]))


def people(data: bytes) -> F64:
    """(P,391) of a frame's bytes; a part of a person counts for none."""
    count = len(data) // (4 * COLUMNS)
    return np.frombuffer(data, "<f4", count * COLUMNS).reshape(count, COLUMNS).astype(np.float64)


def placed(rows: F64, view: View, distances: dict[int, float]) -> tuple[F64, F64]:
    """Points (P,78,3) in the world and how sure each is (P,78), 0 to 1; NaN and 0 where a hand is not seen.

    ``distances``: person to how far it was; each is steadied by, and then written over.
    """
    marks, world = rows[:, 1:133].reshape(-1, BODY, 4), rows[:, 133:265].reshape(-1, BODY, 4)[..., :3]
    flat = (marks[..., :2] - view.intrinsics[2:]) / view.intrinsics[:2]
    turn = np.repeat(np.eye(3)[None], len(rows), 0)
    distance = np.full(len(rows), FLAT_M)
    if not view.orthographic:
        turn = _facing(flat[:, [23, 24]].mean(axis=1))
        world = world @ np.swapaxes(turn, 1, 2)
        distance = _steadied(rows[:, 0], _distances(world, flat, marks[..., 3]), distances)
    away = world[..., 2:] + distance[:, None, None]
    local, sure = np.full((len(rows), POINTS, 3), np.nan), np.zeros((len(rows), POINTS))
    local[:, :BODY] = np.concatenate([flat if view.orthographic else flat * away, away], axis=-1)
    sure[:, :BODY] = np.clip(np.nan_to_num(marks[..., 3]), 0.0, 1.0)
    for point, pair in ((NECK, [11, 12]), (HIPS, [23, 24]), (EARS, [7, 8])):
        local[:, point], sure[:, point] = local[:, pair].mean(axis=1), sure[:, pair].mean(axis=1)
    for start, column, wrist in ((LEFT, 265, 15), (RIGHT, 328, 16)):
        hand = rows[:, column : column + 3 * HAND].reshape(-1, HAND, 3)
        bent = (hand - hand[:, :1]) @ np.swapaxes(turn, 1, 2)
        local[:, start : start + HAND] = local[:, wrist, None] + bent
        sure[:, start : start + HAND] = np.isfinite(bent).all(axis=(1, 2))[:, None]
    turned = local * (1.0, -1.0, -1.0) @ view.world_from_camera[:3, :3].T
    return turned + view.world_from_camera[:3, 3], sure


def _facing(flat: F64) -> F64:
    """(P,3,3) from the middle of the picture to the directions (P,2): the estimator sees a crop, and takes that for
    straight on. Rodrigues' formula about the axis across both."""
    ray = np.concatenate([flat, np.ones((len(flat), 1))], axis=1)
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    turn = np.zeros((len(flat), 3, 3))
    turn[:, 0, 2], turn[:, 1, 2] = ray[:, 0], ray[:, 1]
    turn -= np.swapaxes(turn, 1, 2)
    return np.asarray(np.eye(3) + turn + turn @ turn / (1.0 + ray[:, 2])[:, None, None])


def _distances(world: F64, flat: F64, seen: F64) -> F64:
    """(P,) how far the middle of the hips is: least squares of tx - u tz = u z - x, and the same for y, over the body.

    Both sides less their means leave tz alone.
    """
    weight = (np.maximum(np.nan_to_num(seen[:, _FIT]), 0.02) ** 2)[..., None]
    total = weight.sum(axis=1, keepdims=True)
    known, right = flat[:, _FIT], flat[:, _FIT] * world[:, _FIT, 2:] - world[:, _FIT, :2]
    side = known - (known * weight).sum(axis=1, keepdims=True) / total
    rest = right - (right * weight).sum(axis=1, keepdims=True) / total
    spread = np.maximum((side**2 * weight).sum(axis=(1, 2)), 1e-9)
    return np.asarray(np.maximum(-(side * rest * weight).sum(axis=(1, 2)) / spread, NEAR_M))


def _steadied(ids: F64, found: F64, distances: dict[int, float]) -> F64:
    """Distances (P,) that follow the ones before slowly."""
    for at, person in enumerate(ids.astype(int).tolist()):
        before = distances.get(person, found[at])
        found[at] = before * (found[at] / before) ** STEADY
        distances[person] = float(found[at])
    return found


def standing(points: F64, sure: F64, origin: F64) -> F64:
    """(3,) what brings the first person's hips over ``origin`` (3,), and the lowest foot to its height."""
    feet = points[0, 27:33]
    trusted = sure[0, 27:33] >= LEAST
    low = feet[trusted, 2].min() if trusted.any() else points[0, :BODY, 2].min()
    return np.array([*(origin[:2] - points[0, HIPS, :2]), origin[2] - low])


def colours(sure: F64, alpha: float = 1.0) -> F32:
    """(...,4) of how sure points are."""
    steps = [step for step, _ in COLOURS]
    parts = [np.interp(sure, steps, [colour[n] for _, colour in COLOURS]) for n in range(3)]
    return np.stack([*parts, (0.35 + 0.65 * sure) * alpha], axis=-1).astype(np.float32)


def bones(points: F64, sure: F64, alpha: float = 1.0) -> tuple[F32, F32]:
    """Places (2N,3) and colours (2N,4) of the bones' lines; those whose ends are not known are left out."""
    ends, known = points[:, BONES], sure[:, BONES]
    drawn = np.isfinite(ends).all(axis=(2, 3)) & (known >= LEAST).all(axis=2)
    return ends[drawn].reshape(-1, 3).astype(np.float32), colours(known[drawn].reshape(-1), alpha)


def joints(points: F64, sure: F64, alpha: float = 1.0) -> tuple[F32, F32]:
    """Places (6N,3) and colours (6N,4) of small crosses where the joints are."""
    middles, known = points[:, JOINTS], sure[:, JOINTS]
    drawn = np.isfinite(middles).all(axis=2) & (known >= LEAST)
    arms = np.stack([-np.eye(3), np.eye(3)], axis=1).reshape(6, 3) * DOT_M
    ends = middles[drawn][:, None] + arms
    return ends.reshape(-1, 3).astype(np.float32), colours(np.repeat(known[drawn], 6), alpha)
