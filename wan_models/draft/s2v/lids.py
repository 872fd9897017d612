"""Blinks: the upper lid's skin is drawn down over the eye, in the pixels of the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2

from .face import Eye, Face, Floats
from .fields import smooth

Picture = NDArray[np.uint8]

_LEAST_SKIN = 0.10  # of the eye's width, between lid and brow
_LASH = 0.05  # of the eye's width: the dark rim that stays one
_FROM_BELOW, _SHADE = 0.75, 0.86  # how much of a missing lid is skin from under the eye, and how dark
MIN_EYE = 4.0  # pixels across: a smaller eye has no lids to see


class Lid:
    """One eye's upper lid."""

    def __init__(self, face: Face, eye: Eye, brow: Floats, size: tuple[int, int]) -> None:
        """``size``: width and height of the picture."""
        across = eye.upper[-1] - eye.upper[0]
        wide = float(np.linalg.norm(across))
        right = across / max(wide, 1e-3)
        down = np.array([-right[1], right[0]], np.float32)
        middle = (eye.upper[0] + eye.upper[-1]) / 2
        over = max(float((eye.upper.mean(axis=0) - brow.mean(axis=0)) @ face.down), 0.2 * wide)
        reach = np.array([0.75 * wide + 2, 0.6 * wide + over + 2])
        low, high = np.floor(middle - reach).astype(int), np.ceil(middle + reach).astype(int)
        self.box = (max(low[0], 0), max(low[1], 0), min(high[0], size[0]), min(high[1], size[1]))
        x, y = np.meshgrid(
            np.arange(self.box[0], self.box[2], dtype=np.float32), np.arange(self.box[1], self.box[3], dtype=np.float32)
        )
        pixels = np.stack([x, y], axis=2)
        self._here = pixels - np.array(self.box[:2], np.float32)
        self._down = down.astype(np.float32)
        axes = np.stack([right, down], axis=1)
        away = (pixels - middle.astype(np.float32)) @ axes
        upper, lower, ridge = ((edge - middle) @ axes for edge in (eye.upper, eye.lower, brow))
        u = away[..., 0]
        rim = np.interp(u, upper[:, 0], upper[:, 1])
        opened = np.interp(u, lower[:, 0], lower[:, 1]) - rim
        self._opened = np.where(np.abs(u) < wide / 2, np.maximum(opened, 0), 0).astype(np.float32)
        self._above = (rim - away[..., 1]).astype(np.float32)
        order = np.argsort(ridge[:, 0])
        skin = rim - np.interp(u, ridge[order, 0], ridge[order, 1])
        self._skin = np.maximum(skin, _LEAST_SKIN * wide).astype(np.float32)
        self._lash = np.float32(_LASH * wide)
        mirrored = 1.9 * np.maximum(self._opened + self._above, 0) + 0.04 * wide
        self._under_eye = (self._here + mirrored[..., None] * self._down).astype(np.float32)
        short = smooth(0.5, 2.0, self._opened / self._skin) * (1 - smooth(0.0, 0.7, self._above / self._skin))
        self._lacks = np.asarray(_FROM_BELOW * short, np.float32)
        self.usable = wide >= MIN_EYE and min(self.box[2] - self.box[0], self.box[3] - self.box[1]) > 2

    def close(self, picture: Picture, share: float) -> None:
        """Draw the lid ``share`` (0..1) of the way down, in place: the skin up to the brow is stretched evenly,
        and where there is next to none of it (a low brow), that of under the eye shows."""
        left, top, right, bottom = self.box
        region = picture[top:bottom, left:right]
        down = np.float32(share) * self._opened
        above = (self._above + down) / (1 + down / self._skin)  # where a pixel's skin was, above the open lid's edge
        moved = np.where(self._above < self._skin, above - self._above, 0)
        at = self._here - moved[..., None] * self._down
        skin = cv2.remap(region, at.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        lacking = (self._lacks * smooth(0.5 * self._lash, 1.5 * self._lash, above))[..., None]
        if lacking.any():
            below = cv2.remap(region, self._under_eye, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            skin = skin + (np.float32(_SHADE) * below - skin) * lacking
        cover = np.where(moved > 0, np.clip(0.5 + above, 0, 1), 0)[..., None]
        region[...] = (region * (1 - cover) + skin * cover + 0.5).astype(np.uint8)
