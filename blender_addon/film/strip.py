"""The heat map of a verdict: one row a group of joints, one column a frame. Needs numpy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..setup import png
from .judge import OFF

NOT_JUDGED = (110, 110, 110)
COLOURS = ((0.0, (38, 92, 66)), (0.5, (196, 178, 62)), (1.0, (214, 74, 50)), (2.0, (255, 240, 205)))
"""At so many times the error that is off: green, yellow, red, nearly white."""
WIDE, GAP = 480, 4  # pixels; the picture is about as high as it is wide, so that its rows are those of the panel
LINE = (24, 24, 24)


def colours(errors: NDArray[np.float64]) -> NDArray[np.uint8]:
    """(..., 3) sRGB of errors in heights; grey where they are NaN."""
    steps = [step * OFF for step, _ in COLOURS]
    shown = np.stack(
        [np.interp(np.nan_to_num(errors), steps, [colour[n] for _, colour in COLOURS]) for n in range(3)], axis=-1
    )
    shown[np.isnan(errors)] = NOT_JUDGED
    return np.rint(shown).astype(np.uint8)


def picture(groups: NDArray[np.float64]) -> NDArray[np.uint8]:
    """uint8 (h,w,3), rows from the top, of errors (T,G): frames from left to right, groups from the top."""
    frames, count = groups.shape
    wide = max(1, WIDE // max(frames, 1))
    row = max(8, frames * wide // max(count, 1))
    found = np.full((count * row, frames * wide, 3), LINE, np.uint8)
    for at in range(count):
        found[at * row + GAP // 2 : (at + 1) * row - GAP // 2] = np.repeat(colours(groups[:, at]), wide, axis=0)[None]
    return found


def encode(image: NDArray[np.uint8]) -> bytes:
    """As a PNG file."""
    height, width = image.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)
    return png.encode(width, height, 3, rows.tobytes())
