"""Puts the person of a reference picture where the rig stands in the frame, and as large. Needs no bpy.

Wan2.2-Animate fits a reference into the frame by letterbox and takes it as the picture before the first frame: where
the person stands elsewhere or is of another size than the rig's drawing says, the model has to move or stretch them.
The framed picture has the frame's own size, so that the letterbox does nothing to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import body as bodies
from .body import ANKLES, EARS, HIPS, SHOULDER_WIDTH, SHOULDERS, Body

Array = NDArray[Any]
Box = tuple[float, float, float, float]

OPAQUE = 128  # of 255: alpha from which a pixel is the person
PLAIN = 24  # levels from the border's middle colour that still are the plain background
PLAIN_SHARE = 0.8  # of the border that must be so
LEAST_PART = 0.02  # of the picture's side: a person is no smaller
MOST_SCALE = 32.0


@dataclass(frozen=True)
class Stance:
    """A standing person in a picture, in pixels: ``height`` from soles to crown as if upright, ``x`` of the trunk,
    ``neck``, ``hips`` and ``ground`` as heights in the picture, None where they are not known."""

    height: float
    x: float
    ground: float | None
    hips: float | None = None
    neck: float | None = None


@dataclass(frozen=True)
class Placement:
    """A point p of the picture goes to ``scale * p + (x, y)`` of the frame."""

    scale: float
    x: float
    y: float

    def moved(self, points: Array) -> Array:
        """Points (n,2+) placed; further columns stay."""
        found = np.array(points, np.float64)
        found[:, :2] = found[:, :2] * self.scale + (self.x, self.y)
        return found


# ---- where a person is ---------------------------------------------------------------------------------------


def stances(rig: Body, person: Body) -> tuple[Stance, Stance] | None:
    """Both measured by the same joints, the most that both show: trunk and legs, the trunk, or the shoulders. None."""
    for measure, share in (
        (_trunk_and_legs, SHOULDERS - ANKLES),
        (bodies.torso, SHOULDERS - HIPS),
        (_shoulders, SHOULDER_WIDTH),
    ):
        ours, theirs = measure(rig), measure(person)
        if ours and theirs:
            both = _stance(rig, ours / share), _stance(person, theirs / share)
            return (both[0], both[1]) if both[0] and both[1] else None
    return None


def standing(rig: Body) -> Stance | None:
    """A rig's own, for a person of whom only the outline is known."""
    for measure, share in (
        (_up_to_the_ears, EARS - ANKLES),
        (_trunk_and_legs, SHOULDERS - ANKLES),
        (bodies.torso, SHOULDERS - HIPS),
    ):
        length = measure(rig)
        if length:
            return _stance(rig, length / share)
    return None


def of_box(box: Box) -> Stance:
    """Of a whole person's outline: left, top, right, bottom."""
    left, top, right, bottom = box
    high = bottom - top
    return Stance(high, (left + right) / 2.0, bottom, bottom - HIPS * high, bottom - SHOULDERS * high)


def _up_to_the_ears(body: Body) -> float | None:
    low, high = _trunk_and_legs(body), bodies.head(body)
    return low + high if low is not None and high is not None else None


def _trunk_and_legs(body: Body) -> float | None:
    trunk, legs = bodies.torso(body), bodies.legs(body)
    return trunk + legs if trunk is not None and legs is not None else None


def _shoulders(body: Body) -> float | None:
    if body.flat and not bodies.faces_camera(body):
        return None
    return body.length("shoulder.L", "shoulder.R")


def _stance(body: Body, height: float) -> Stance | None:
    neck, hips, ankles = body.seen("neck"), body.seen("hip.L", "hip.R"), body.seen("ankle.L", "ankle.R")
    trunk = [np.mean(points, axis=0) for points in (neck, hips) if points]
    if not trunk:
        return None
    return Stance(
        height,
        float(np.mean([point[0] for point in trunk])),
        float(max(point[1] for point in ankles)) + ANKLES * height if ankles else None,
        float(np.mean([point[1] for point in hips])) if hips else None,
        float(neck[0][1]) if neck else None,
    )


def placement(rig: Stance, person: Stance) -> Placement | None:
    """The person as large as the rig, on the same ground; where that is not known of both, the same hips or neck."""
    if person.height <= 0.0 or rig.height <= 0.0:
        return None
    scale = rig.height / person.height
    if not 1.0 / MOST_SCALE <= scale <= MOST_SCALE:
        return None
    for ours, theirs in ((rig.ground, person.ground), (rig.hips, person.hips), (rig.neck, person.neck)):
        if ours is not None and theirs is not None:
            return Placement(scale, rig.x - scale * person.x, ours - scale * theirs)
    return None


def overlaps(person: Stance, place: Placement, size: tuple[int, int]) -> bool:
    """Whether anything of the placed person can be in the frame."""
    x = person.x * place.scale + place.x
    low = person.ground if person.ground is not None else (person.hips or person.neck or 0.0) + HIPS * person.height
    bottom = low * place.scale + place.y
    high = person.height * place.scale
    return -high / 4 < x < size[0] + high / 4 and bottom > 0.0 and bottom - high < size[1]


# ---- outlines ------------------------------------------------------------------------------------------------


def border_colour(picture: Array) -> Array | None:
    """The colour (3,) of a plain background, from the border; None when that is not plain."""
    rim = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])[:, :3].astype(np.float32)
    middle = np.median(rim, axis=0)
    plain = np.abs(rim - middle).max(axis=1) <= PLAIN
    return np.asarray(middle) if plain.mean() >= PLAIN_SHARE else None


def outline(picture: Array) -> tuple[Box | None, str]:
    """The box of the person in a picture (h,w,3 or 4), by its alpha or before a plain background.

    None with the reason: "none" (no outline), "cut" (the picture's lower border cuts the person: how tall they are
    cannot be told).
    """
    if picture.shape[2] == 4 and (picture[..., 3] < OPAQUE).any():
        inside = picture[..., 3] >= OPAQUE
    else:
        colour = border_colour(picture)
        if colour is None:
            return None, "none"
        inside = np.abs(picture[..., :3].astype(np.float32) - colour).max(axis=2) > PLAIN
    high, wide = inside.shape
    rows = np.flatnonzero(inside.sum(axis=1) > max(1.0, 0.005 * wide))
    columns = np.flatnonzero(inside.sum(axis=0) > max(1.0, 0.005 * high))
    if len(rows) < LEAST_PART * high or len(columns) < LEAST_PART * wide:
        return None, "none"
    if rows[-1] >= high - 1 or rows[0] <= 0:
        return None, "cut"
    middle = float(np.median(np.nonzero(inside)[1])) + 0.5  # arms that reach to one side count less than in the box
    half = (columns[-1] + 1 - columns[0]) / 2.0
    return (middle - half, float(rows[0]), middle + half, float(rows[-1] + 1)), ""


# ---- the picture ---------------------------------------------------------------------------------------------


def frame(picture: Array, place: Placement, size: tuple[int, int]) -> Array:
    """uint8 (height, width, channels) of ``size`` (width, height): the picture placed.

    Round it: nothing (alpha 0) where the picture has alpha, else its plain background's colour, else its border
    drawn out.
    """
    width, height = size
    clear = picture.shape[2] == 4
    values = picture.astype(np.float32)
    if clear:
        values[..., :3] *= values[..., 3:] / 255.0
    lines = _resampled(values, place.scale, place.y, height)
    found = _resampled(lines.swapaxes(0, 1), place.scale, place.x, width).swapaxes(0, 1)
    outside = _outside(picture.shape[0], place.scale, place.y, height)[:, None]
    outside = outside | _outside(picture.shape[1], place.scale, place.x, width)[None]
    if clear:
        found = np.where(outside[..., None], np.float32(0.0), found)
        found[..., :3] *= 255.0 / np.maximum(found[..., 3:], 1e-3)
    else:
        colour = border_colour(picture)
        if colour is not None:
            found = np.where(outside[..., None], colour.astype(np.float32), found)
    return np.asarray(np.clip(np.rint(found), 0, 255), np.uint8)


def _resampled(values: Array, scale: float, shift: float, count: int) -> Array:
    """(count, ...) along axis 0: a triangle as wide as the larger of both pixels; the border is repeated."""
    centres = (np.arange(count) + 0.5 - shift) / scale - 0.5
    support = max(1.0 / scale, 1.0)
    base = np.floor(centres).astype(int)
    reach = int(np.ceil(support))
    found = np.zeros((count, *values.shape[1:]), np.float32)
    total = np.zeros(count, np.float32)
    for step in range(-reach, reach + 2):
        share = np.maximum(0.0, 1.0 - np.abs(base + step - centres) / support).astype(np.float32)
        total += share
        rows = np.clip(base + step, 0, len(values) - 1)
        found += share.reshape(-1, *[1] * (values.ndim - 1)) * values[rows]
    return found / total.reshape(-1, *[1] * (values.ndim - 1))


def _outside(before: int, scale: float, shift: float, count: int) -> Array:
    """Which of the frame's rows or columns the picture does not reach."""
    centres = (np.arange(count) + 0.5 - shift) / scale
    return np.asarray((centres < 0.0) | (centres > before))
