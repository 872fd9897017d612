"""A picture of a person that talks: every frame is the reference, moved and parted by what the gestures say."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2

from .face import Face, Floats
from .fields import (
    Grid,
    brow_field,
    grid_over,
    head_weight,
    jaw_fields,
    pinned,
    relief,
    smooth,
    torso_weight,
    width_field,
)
from .gestures import Gestures
from .lids import Lid
from .mouth import Mouth

Picture = NDArray[np.uint8]

_OPEN = 0.58  # of half the mouth's width: the jaw's drop in a loud vowel
_WIDER, _ROUNDER = 0.13, 0.22  # of half the mouth's width, each corner
_BROW = 0.045  # of the face's height
_SHUT = 0.75  # of the gap between the lips of an open mouth in the picture: how far closed lips (m, p) close it
_LEAST = 0.02  # pixels: smaller drops of the jaw part nothing
_STEPS = (1, 4)
_BODY = 7  # so many gestures are of head and body, before those of the face


class Moves(Protocol):
    """What draws frames: ``box`` (left, top, right, bottom) is all that ever changes."""

    box: tuple[int, int, int, int]

    def frame(self, gestures: Gestures, index: int) -> Picture:
        """Frame ``index``, uint8 (h,w,3), a fresh array."""


class Talker:
    """A person with a face. ``picture`` uint8 (h,w,3) and ``face`` in its pixels."""

    def __init__(self, picture: Picture, face: Face, *, only_face: bool = False) -> None:
        """``only_face``: head and body are moved by something else."""
        self._picture, self._face, self._only_face = picture, face, only_face
        high, wide = picture.shape[:2]
        step = int(np.clip(round(face.half_mouth / 5), *_STEPS))
        self._grid = grid_over(_reach(face, only_face=only_face), wide, high, step)
        self.box = self._grid.box
        self._modes, self._jaws = _modes(face, self._grid)
        self._here = _pixels(self.box)
        self._part = self._mouth_part()
        self._gap = face.gap / face.half_mouth
        self._smile = np.float32(np.clip(_relaxed(face), 0, 0.16))
        self._mouth = Mouth(picture, face, self._part)
        pairs = zip(face.eyes, face.brows, strict=True)
        lids = [Lid(face, eye, brow, (wide, high)) for eye, brow in pairs]
        self._lids = [lid for lid in lids if lid.usable]

    def frame(self, gestures: Gestures, index: int) -> Picture:
        """See ``Moves``. All zeros give the picture itself."""
        source = self._picture
        if gestures.blink[index] > 0 and self._lids:
            source = source.copy()
            for lid in self._lids:
                lid.close(source, float(gestures.blink[index]))
        amounts, drop = self._amounts(gestures, index)
        out = source.copy()
        if not amounts.any() and abs(drop) < _LEAST:
            return out
        fields = self._fields(amounts, drop)
        upper = self._sources(fields[0])
        left, top, right, bottom = self.box
        out[top:bottom, left:right] = _taken(source, upper)
        if abs(drop) >= _LEAST:
            lower = self._sources(fields[1], self._part)
            self._part_lips(source, out, upper, lower, closing=drop < 0)
        return out

    def fields(self, gestures: Gestures, index: int) -> tuple[Floats, Floats]:
        """How far the points of frame ``index`` move, (rows, columns, 2) in pixels, nodes ``step`` pixels apart: as
        they belong to the upper lip and all else, or to the lower one."""
        return self._fields(*self._amounts(gestures, index))

    @property
    def step(self) -> int:
        """Pixels between the nodes of ``fields``."""
        return self._grid.step

    def _fields(self, amounts: Floats, drop: float) -> tuple[Floats, Floats]:
        common = np.tensordot(amounts, self._modes, axes=1)
        down = (self._face.down * np.float32(drop)).astype(np.float32)
        return common + self._jaws[0][..., None] * down, common + self._jaws[1][..., None] * down

    def _part_lips(self, source: Picture, out: Picture, upper: Floats, lower: Floats, *, closing: bool) -> None:
        left, top, right, bottom = self._part
        rows = slice(top - self.box[1], bottom - self.box[1])
        columns = slice(left - self.box[0], right - self.box[0])
        region = out[top:bottom, left:right]
        below = _taken(source, lower)
        region[...] = self._mouth.between(region.copy(), below, upper[rows, columns], lower, closing=closing)

    def _sources(self, field: Floats, part: tuple[int, int, int, int] | None = None) -> Floats:
        """(h,w,2): the pixels of the picture that are seen in the box, or in a part of it."""
        back = self._grid.pixels(self._grid.sources(field))
        if part is None:
            return self._here + back
        rows = slice(part[1] - self.box[1], part[3] - self.box[1])
        columns = slice(part[0] - self.box[0], part[2] - self.box[0])
        return np.asarray(self._here[rows, columns] + back[rows, columns], np.float32)

    def _amounts(self, gestures: Gestures, index: int) -> tuple[Floats, float]:
        """One number for each of ``_modes``, and the jaw's drop in pixels."""
        face = self._face
        size, half = face.height, face.half_mouth
        wide = float(gestures.wide[index])
        widest = half * max(_OPEN - 0.7 * self._gap, 0.3 - 0.22 * float(smooth(0.3, 0.6, np.array(self._gap))))
        amounts = [
            size * gestures.aside[index],
            size * gestures.lower[index],
            gestures.roll[index],
            np.sin(gestures.turn[index]),
            np.sin(gestures.nod[index]),
            size * gestures.sway[index],
            -size * gestures.breath[index],
            -size * _BROW * gestures.brows[index],
            half * (wide * (_WIDER if wide > 0 else _ROUNDER) - self._smile * float(gestures.voice[index])),
        ]
        if self._only_face:
            amounts[:_BODY] = [0.0] * _BODY
        jaw = float(gestures.jaw[index])
        shut = _SHUT * face.gap * float(gestures.voice[index]) * max(1 - jaw / 0.25, 0.0)
        return np.array(amounts, np.float32), widest * jaw * (1.0 - 0.15 * abs(wide)) - shut

    def _mouth_part(self) -> tuple[int, int, int, int]:
        """The box about the lips, with room for the widest opening and for the head's own way."""
        face = self._face
        half = face.half_mouth
        middle = face.mouth + 0.35 * half * face.down
        reach = 1.75 * half + 0.12 * face.height
        left, top, right, bottom = self.box
        x, y = middle
        return (
            int(np.clip(x - reach, left, right - 1)),
            int(np.clip(y - reach, top, bottom - 1)),
            int(np.clip(x + reach, left + 1, right)),
            int(np.clip(y + reach, top + 1, bottom)),
        )


def _relaxed(face: Face) -> float:
    """How far, in half mouth widths, each corner goes inwards when a smiling mouth speaks: by the seam's bend."""
    middle = face.seam[len(face.seam) // 2] - np.float32(face.gap / 2) * face.down
    return 0.8 * float((middle - face.mouth) @ face.down) / face.half_mouth


def _reach(face: Face, *, only_face: bool) -> tuple[float, float, float, float]:
    """The box outside which no field reaches."""
    if only_face:
        return _box_about(face.mouth, 1.3 * face.half_width + 1.4 * face.height)
    aside = max(3.7 * face.half_width, 2.8 * face.height)
    x, y = (float(v) for v in face.between)
    return (x - aside, y - 2.6 * face.height, x + aside, y + 6.6 * face.height)


def _box_about(middle: Floats, reach: float) -> tuple[float, float, float, float]:
    x, y = (float(v) for v in middle)
    return (x - reach, y - reach, x + reach, y + reach)


def _modes(face: Face, grid: Grid) -> tuple[Floats, tuple[Floats, Floats]]:
    """Displacements (9, rows, columns, 2) of a unit of each gesture, and the jaw's two fields (rows, columns)."""
    nodes = grid.nodes()
    edge = pinned(grid, nodes, 0.35 * face.height)
    head = head_weight(face, nodes) * edge
    torso = torso_weight(face, nodes) * edge
    stands_out = relief(face, nodes) * edge
    neck = face.chin + 0.55 * face.height * face.down
    about = nodes - neck
    turned = np.stack([-about[..., 1], about[..., 0]], axis=2)
    right, down = face.right, face.down
    stays = 0.30 * face.half_width * head  # the neck's axis lies behind the outline, so that it moves a little too
    ways = [
        head[..., None] * right,
        head[..., None] * down,
        head[..., None] * turned,
        (stands_out + stays)[..., None] * right,
        (stands_out + stays)[..., None] * down,
        np.maximum(torso, head)[..., None] * right,
        np.maximum(torso, 0.6 * head)[..., None] * np.array([0, 1], np.float32),
        (brow_field(face, nodes) * edge)[..., None] * down,
        (width_field(face, nodes) * edge)[..., None] * right,
    ]
    upper, lower = jaw_fields(face, nodes)
    return np.stack(ways).astype(np.float32), (upper * edge, lower * edge)


def _taken(source: Picture, where: Floats) -> Picture:
    found = cv2.remap(source, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.uint8)


def _pixels(box: tuple[int, int, int, int]) -> Floats:
    left, top, right, bottom = box
    x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    return np.stack([x, y], axis=2)


class Swaying:
    """No face: the picture leans and grows a little with the sound, its edges stay."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        high, wide = picture.shape[:2]
        self._grid = grid_over((0, 0, wide, high), wide, high, 4)
        self.box = self._grid.box
        nodes = self._grid.nodes()
        edge = pinned(self._grid, nodes, 0.3 * min(wide, high))[..., None]
        self._size = np.float32(min(wide, high))
        from_foot = nodes - np.array([wide / 2, high], np.float32)
        self._grow = edge * from_foot
        self._shift = edge
        self._here = _pixels(self.box)

    def frame(self, gestures: Gestures, index: int) -> Picture:
        """See ``Moves``."""
        out = self._picture.copy()
        grow = np.float32(0.035 * gestures.jaw[index] - 0.5 * gestures.lower[index])
        aside = self._size * np.float32(0.6 * (gestures.aside[index] + gestures.sway[index]))
        field = self._grow * grow + self._shift * np.array([aside, 0], np.float32)
        if field.any():
            left, top, right, bottom = self.box
            where = self._here + self._grid.pixels(self._grid.sources(field.astype(np.float32)))
            out[top:bottom, left:right] = _taken(self._picture, where)
        return out
