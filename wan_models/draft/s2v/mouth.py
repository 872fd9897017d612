"""The open mouth: two lips that part along the seam, and between them what is seen inside, softly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2

from .face import Face, Floats
from .fields import Local, smooth

Picture = NDArray[np.uint8]

_SKIN = 170.0  # luminance of well lit skin, at which teeth have the colour below
_TEETH = np.array([214.0, 204.0, 190.0], np.float32)
_TONGUE = np.array([148.0, 72.0, 70.0], np.float32)
_RED = np.array([52.0, 16.0, 16.0], np.float32)
_BETWEEN_TEETH = np.array([-0.57, -0.40, -0.21, 0.0, 0.21, 0.40, 0.57], np.float32)  # 8.5 mm incisors, then smaller
_SOFT = 0.05  # of half the mouth: how gently the lips' rims turn inwards


class Mouth:
    """The mouth of one picture inside ``box`` (left, top, right, bottom)."""

    def __init__(self, picture: Picture, face: Face, box: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = box
        x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
        at = Local.of(face, np.stack([x, y], axis=2))
        self._half = np.float32(face.half_mouth)
        self._corner = np.array([left, top], np.float32)
        self._where = np.stack([at.u, at.v], axis=2)
        self._shows_teeth = face.gap > 0
        self._light, self._skin = _light(picture, face)

    def between(
        self, upper: Picture, lower: Picture, from_upper: Floats, from_lower: Floats, *, closing: bool = False
    ) -> Picture:
        """The picture of the box: ``upper`` and ``lower`` are all of it moved with either lip; ``from_...`` (h,w,2) are
        the pixels of the reference that they were taken from. ``closing``: the lower lip is drawn over the upper's.
        """
        above, below = self._locals(from_upper), self._locals(from_lower)
        inside = np.abs(above[..., 0]) < 1
        hard = self._half / max(float(self._half * _SOFT), 1.0)
        share_up = np.where(inside, np.clip(0.5 - above[..., 1] * hard, 0, 1), 1)
        share_low = np.where(inside, np.clip(0.5 + below[..., 1] * hard, 0, 1), 0)
        if closing:
            share_up = np.minimum(share_up, 1 - share_low)
        else:
            share_low = np.minimum(share_low, 1 - share_up)
        empty = 1 - share_up - share_low
        if not (empty > 0).any():
            inner: Floats = np.zeros(3, np.float32)
        else:
            inner = self._inside(above, below)
        mixed = upper * share_up[..., None] + lower * share_low[..., None] + inner * empty[..., None]
        return np.asarray(np.clip(mixed + np.float32(0.5), 0, 255), np.uint8)

    def _locals(self, where: Floats) -> Floats:
        found = cv2.remap(self._where, where - self._corner, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(found, np.float32)

    def _inside(self, above: Floats, below: Floats) -> Floats:
        """(h,w,3): dark to the back and the corners, the tongue below, a hint of upper teeth, the lips' wet rims."""
        u, under, over = np.abs(above[..., 0]), np.maximum(above[..., 1], 0), np.maximum(-below[..., 1], 0)
        gap = under + over
        dark = 0.045 * self._skin + 0.30 * self._light * _RED
        colour: Floats = np.broadcast_to(dark, (*gap.shape, 3)).astype(np.float32)
        tongue = 0.62 * smooth(0.16, 0.42, gap) * (1 - smooth(0.06, 0.36, over)) * (1 - smooth(0.15, 0.8, u))
        colour = _over(colour, 0.60 * self._light * _TONGUE, tongue)
        if not self._shows_teeth:
            colour = _over(colour, self._light * _TEETH * _shading(above, under)[..., None], _teeth(u, under))
        rim = np.asarray(0.55 * np.maximum(1 - over / 0.09, 0) * (1 - smooth(0.5, 1.0, u)), np.float32)
        return _over(colour, 0.42 * self._skin + 0.12 * self._light * _RED, rim)


def _teeth(u: Floats, under: Floats) -> Floats:
    """How much of the upper teeth's colour is seen: an arc below the lip, gone before the corners."""
    edge = 0.15 * np.sqrt(np.clip(1 - (u / 0.9) ** 2, 0, 1))
    return np.asarray(0.80 * (1 - smooth(-0.02, 0.05, under - edge)) * (1 - smooth(0.35, 0.85, u)), np.float32)


def _shading(above: Floats, under: Floats) -> Floats:
    """The lip's shadow on the teeth, their roundness, and faint lines between them."""
    across = above[..., 0]
    away = np.abs(across[..., None] - _BETWEEN_TEETH).min(axis=-1)
    lines = 1 - 0.16 * np.exp(-np.square(away / 0.02))
    shade = (0.55 + 0.45 * smooth(0.0, 0.10, under)) * (1 - 0.35 * np.square(np.clip(across, -1, 1)))
    return np.asarray(shade * lines, np.float32)


def _over(below: Floats, colour: Floats, share: Floats) -> Floats:
    return np.asarray(below + (colour - below) * share[..., None], np.float32)


def _light(picture: Picture, face: Face) -> tuple[np.float32, Floats]:
    """How bright the face is lit (1 = well), and the colour of the skin about the mouth."""
    x, y = (int(v) for v in face.mouth)
    reach = max(int(1.2 * face.half_mouth), 2)
    part = picture[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach].reshape(-1, 3).astype(np.float32)
    skin = np.median(part, axis=0).astype(np.float32) if len(part) else np.full(3, 128, np.float32)
    luminance = float(skin @ np.array([0.2126, 0.7152, 0.0722], np.float32))
    return np.float32(np.clip((luminance / _SKIN) ** 0.8, 0.15, 1.05)), skin
