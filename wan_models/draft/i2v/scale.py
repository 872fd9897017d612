"""Pictures at another size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .opencv import cv2

if TYPE_CHECKING:
    from .fill import Picture


def scale_picture(picture: Picture, width: int, height: int) -> Picture:
    """``picture`` as uint8 (height, width, 3): alpha dropped, averaged when it shrinks."""
    plain = np.ascontiguousarray(picture[..., :3])
    if plain.shape[:2] == (height, width):
        return plain
    how = cv2.INTER_AREA if plain.shape[0] > height else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(plain, (width, height), interpolation=how), np.uint8)
