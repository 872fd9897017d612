"""How far each pixel moves for each thing that a person does: smooth fields on a coarse grid, added up and turned over.

A field says where a point of the picture goes. A frame needs where its pixels come from, found by fixed-point steps
(src = p - D(src)), which converge as no field is steeper than about one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2

from .face import Face, Floats

INVERSE_STEPS = 7


@dataclass(frozen=True)
class Grid:
    """Nodes ``step`` pixels apart over the box (left, top, right, bottom), whose sides are multiples of ``step``."""

    box: tuple[int, int, int, int]
    step: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of nodes."""
        left, top, right, bottom = self.box
        return (bottom - top) // self.step, (right - left) // self.step

    def nodes(self) -> Floats:
        """(rows, columns, 2): x, y of each node; a node stands for the middle of its step x step pixels."""
        rows, columns = self.shape
        middle = (self.step - 1) / 2
        x = self.box[0] + middle + self.step * np.arange(columns, dtype=np.float32)
        y = self.box[1] + middle + self.step * np.arange(rows, dtype=np.float32)
        return np.stack(np.meshgrid(x, y), axis=2).astype(np.float32)

    def sources(self, field: Floats) -> Floats:
        """Displacements (rows, columns, 2) that lead from where something is seen back to where it came from."""
        if not field.any():
            return field
        rows, columns = self.shape
        x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
        here = np.stack([x, y], axis=2)
        back = np.zeros_like(field)
        for _ in range(INVERSE_STEPS):
            at = here + back * np.float32(1 / self.step)
            back = -cv2.remap(field, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(back, np.float32)

    def pixels(self, field: Floats) -> Floats:
        """A field (rows, columns, 2) for each pixel of the box."""
        size = (self.box[2] - self.box[0], self.box[3] - self.box[1])
        return np.asarray(cv2.resize(field, size, interpolation=cv2.INTER_LINEAR), np.float32)


def grid_over(box: tuple[float, float, float, float], width: int, height: int, step: int) -> Grid:
    """The smallest grid over ``box`` inside a picture; at a picture's edge whose size is no multiple of ``step`` it
    begins or ends up to a step early."""
    left, top = (max(0, int(v) // step * step) for v in box[:2])
    right = min(width // step * step, -(-int(np.ceil(box[2])) // step) * step)
    bottom = min(height // step * step, -(-int(np.ceil(box[3])) // step) * step)
    return Grid((left, top, max(right, left + step), max(bottom, top + step)), step)


def smooth(low: float | np.floating[Any], high: float | np.floating[Any], value: NDArray[np.floating[Any]]) -> Floats:
    """0 below ``low``, 1 above ``high``, with no kink between (3t^2 - 2t^3)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


@dataclass(frozen=True)
class Local:
    """Coordinates of points about the mouth, in half mouth widths: ``u`` across, ``v`` down from the seam."""

    u: Floats
    v: Floats

    @staticmethod
    def of(face: Face, points: Floats) -> Local:
        """Of ``points`` (...,2) of the picture."""
        half = np.float32(face.half_mouth)
        away = (points - face.mouth) / half
        u = away @ face.right
        seam = (face.seam - face.mouth) / half
        curve = np.interp(u, seam @ face.right, seam @ face.down)
        return Local(u.astype(np.float32), (away @ face.down - curve).astype(np.float32))


def jaw_fields(face: Face, nodes: Floats) -> tuple[Floats, Floats]:
    """Upper and lower (rows, columns): how far along ``face.down`` a point moves when the jaw drops by 1, as it belongs
    to the upper lip and what is above, or to the lower lip and what is below. Beside the mouth both are the same."""
    at = Local.of(face, nodes)
    half = face.half_mouth
    chin = max(float((face.chin - face.mouth) @ face.down) / half, 1.0)
    nose = min(float((face.under_nose - face.mouth) @ face.down) / half, -0.4)
    side = max(face.half_width / half, 1.6)
    across = 1 - smooth(0.55 * side, 1.08 * side, np.abs(at.u))
    below = 1 - smooth(1.02 * chin, 1.9 * chin, at.v)
    common = smooth(nose, 0.75 * chin, at.v) * across * below
    part = np.clip(1 - at.u * at.u, 0, 1) ** np.float32(0.75)
    lower_rest = (1 - smooth(nose, 0.75 * chin, np.maximum(at.v, 0))) * across * below
    above = np.minimum(at.v, 0)
    upper_rest = smooth(nose, 0.75 * chin, above) + 0.10 * smooth(nose, 0.0, above)
    return np.asarray(common - part * upper_rest, np.float32), np.asarray(common + part * lower_rest, np.float32)


def width_field(face: Face, nodes: Floats) -> Floats:
    """(rows, columns): how far along ``face.right`` a point moves when each corner moves outwards by 1."""
    at = Local.of(face, nodes)
    return np.asarray(at.u * np.exp(-((at.u / 1.45) ** 4) - (at.v / 0.95) ** 2), np.float32)


def head_weight(face: Face, nodes: Floats) -> Floats:
    """(rows, columns): 1 on the head with its hair, 0 at the shoulders and beside the head."""
    x, y = _about_eyes(face, nodes)
    size = face.height
    wide, high = 1.25 * face.half_width, 1.12 * size
    away = np.hypot(x / wide, (y + 0.08 * size) / high)
    weight = 1 - smooth(1.05, 2.05, away)
    neck = 1 - smooth(0.85 * size, 1.9 * size, y)
    column = 1 - smooth(1.05, 2.05, np.abs(x) / wide)  # the neck hangs below the ellipse
    weight = np.where(y > 0, np.maximum(weight, column * smooth(0.2 * size, 0.9 * size, y)), weight)
    return np.asarray(weight * neck, np.float32)


def relief(face: Face, nodes: Floats) -> Floats:
    """(rows, columns): how far the face stands out towards the camera, in pixels, 0 at the head's outline."""
    x, y = _about_eyes(face, nodes)
    middle = 0.25 * face.height
    away = np.hypot(x / (1.2 * face.half_width), (y - middle) / (1.15 * face.height))
    return np.asarray(face.half_width * (1 - smooth(0.0, 1.0, away)), np.float32)


def torso_weight(face: Face, nodes: Floats) -> Floats:
    """(rows, columns): 1 on the chest, 0 at the chin and far beside the shoulders."""
    upright = face.down[1] > 0.7
    down = np.array([0, 1], np.float32) if upright else face.down
    right = np.array([1, 0], np.float32) if upright else face.right
    away = nodes - face.chin
    x, y = np.asarray(away @ right), np.asarray(away @ down)
    size = face.height
    beside = 1 - smooth(1.7 * face.half_width, 3.6 * face.half_width, np.abs(x))
    return np.asarray(smooth(0.1 * size, 1.3 * size, y) * (1 - smooth(3.0 * size, 5.5 * size, y)) * beside, np.float32)


def brow_field(face: Face, nodes: Floats) -> Floats:
    """(rows, columns): how far against ``face.down`` a point moves when the brows rise by 1."""
    if not face.brows:
        return np.zeros(nodes.shape[:2], np.float32)
    field = np.zeros(nodes.shape[:2], np.float32)
    for brow, eye in zip(face.brows, face.eyes, strict=True):
        middle = brow.mean(axis=0)
        wide = 0.62 * float(np.linalg.norm(brow[-1] - brow[0]))
        high = 0.75 * max(float((eye.upper.mean(axis=0) - middle) @ face.down), 0.13 * face.height)
        away = nodes - (middle - 0.05 * face.height * face.down)
        field = np.maximum(field, np.exp(-((away @ face.right / wide) ** 4) - (away @ face.down / high) ** 2))
    return np.asarray(field, np.float32)


def pinned(grid: Grid, nodes: Floats, reach: float) -> Floats:
    """(rows, columns): 0 on the box's edge, 1 from ``reach`` pixels inside it: nothing is drawn in from outside."""
    left, top, right, bottom = grid.box
    x, y = nodes[..., 0], nodes[..., 1]
    near = np.minimum(np.minimum(x - left, right - 1 - x), np.minimum(y - top, bottom - 1 - y))
    return smooth(grid.step / 2, max(reach, float(grid.step)), near)


def _about_eyes(face: Face, nodes: Floats) -> tuple[Floats, Floats]:
    away = nodes - face.between
    return np.asarray(away @ face.right, np.float32), np.asarray(away @ face.down, np.float32)
