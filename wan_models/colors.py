"""Colours of pictures matched to those of others of the same moments: mean and spread of each channel in CIE Lab, after
Reinhard et al., "Color transfer between images" (2001). NumPy and OpenCV only.
"""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.float32]

GAIN = (0.5, 2.0)
"""Spreads are changed by no more than this: a flat picture has hardly any to go by."""


class ColorMatch:
    """Makes pixels like ``made`` look like ``wanted``: both float32 RGB (n, h, w, 3) in 0..1, the same frames."""

    def __init__(self, made: Pixels, wanted: Pixels, inside: NDArray[np.bool_] | None = None) -> None:
        """``inside`` (n, h, w): the pixels that count, all where it has none."""
        seen = slice(None) if inside is None or not inside.any() else inside
        own, goal = _lab(made)[seen].reshape(-1, 3), _lab(wanted)[seen].reshape(-1, 3)
        self._mean, self._goal = own.mean(axis=0), goal.mean(axis=0)
        spread = np.maximum(own.std(axis=0), 1e-3)
        self._gain = np.clip(goal.std(axis=0) / spread, *GAIN).astype(np.float32)

    def __call__(self, pixels: Pixels) -> Pixels:
        """``pixels`` (n, h, w, 3) matched, in 0..1."""
        lab = (_lab(pixels) - self._mean) * self._gain + self._goal
        rgb = cv2.cvtColor(lab.reshape(-1, lab.shape[2], 3), cv2.COLOR_LAB2RGB)
        return np.asarray(np.clip(rgb, 0.0, 1.0), np.float32).reshape(pixels.shape)


def _lab(pixels: Pixels) -> Pixels:
    flat = np.ascontiguousarray(pixels, np.float32).reshape(-1, pixels.shape[2], 3)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB), np.float32).reshape(pixels.shape)
