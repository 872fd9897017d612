"""Blinks: the upper lid's skin is drawn down over the eye, in the pixels of the reference."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2

from .face import Eye, Face, Floats
from .fields import INVERSE_STEPS, smooth

Picture = NDArray[np.uint8]

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
        over = max(float((eye.upper.mean(axis=0) - brow.mean(axis=0)) @ face.down), 0.25 * wide)
        reach = np.array([0.75 * wide + 2, 0.5 * wide + over + 2])
        low, high = np.floor(middle - reach).astype(int), np.ceil(middle + reach).astype(int)
        self.box = (max(low[0], 0), max(low[1], 0), min(high[0], size[0]), min(high[1], size[1]))
        x, y = np.meshgrid(
            np.arange(self.box[0], self.box[2], dtype=np.float32), np.arange(self.box[1], self.box[3], dtype=np.float32)
        )
        self._here = np.stack([x, y], axis=2) - np.array(self.box[:2], np.float32)
        away = np.stack([x, y], axis=2) - middle.astype(np.float32)
        u, v = away @ right, away @ down
        upper, lower = ((edge - middle) @ np.stack([right, down], axis=1) for edge in (eye.upper, eye.lower))
        rim = np.interp(u, upper[:, 0], upper[:, 1])
        opened = np.maximum(np.interp(u, lower[:, 0], lower[:, 1], left=0, right=0) - rim, 0)
        opened = np.where(np.abs(u) < wide / 2, opened, 0)
        self._below_rim = (v - rim).astype(np.float32)
        tallest = max(float(opened.max(initial=0.0)), 1e-3)
        length = max(0.8 * over, 1.6 * tallest)
        fold = 1 - smooth(0.0, length, -self._below_rim)
        self._down = (opened * fold).astype(np.float32)[..., None] * down.astype(np.float32)
        self.usable = wide >= MIN_EYE and min(self.box[2] - self.box[0], self.box[3] - self.box[1]) > 2

    def close(self, picture: Picture, share: float) -> None:
        """Draw the lid ``share`` (0..1) of the way down, in place."""
        left, top, right, bottom = self.box
        region = picture[top:bottom, left:right]
        back = np.zeros_like(self._down)
        for _ in range(INVERSE_STEPS):
            at = self._here + back
            back = -np.float32(share) * cv2.remap(
                self._down, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        at = self._here + back
        skin = cv2.remap(region, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rim = cv2.remap(self._below_rim, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cover = np.where(back.any(axis=2), np.clip(0.5 - rim, 0, 1), 0)[..., None]
        region[...] = (region * (1 - cover) + skin * cover + 0.5).astype(np.uint8)
