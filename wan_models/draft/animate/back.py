"""What the back of a person may look like when only the front is known: hair where the face is."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from .bind import head_axis
from .skeleton import EAR_L, EAR_R, Floats, smoothstep


def back_view(image: NDArray[np.uint8], alpha: NDArray[np.uint8], joints: Floats) -> NDArray[np.uint8]:
    """The picture (h,w,4) with the face covered by the hair above it, folded down again and again and blurred."""
    neck, centre = head_axis(joints)
    size = float(np.linalg.norm(joints[EAR_L] - joints[EAR_R]))
    size = max(size, 0.5 * float(np.linalg.norm(centre - neck)))
    rows = np.flatnonzero((alpha[:, _columns(alpha, centre, size)] > 128).any(axis=1))
    if not len(rows) or rows[0] >= centre[1]:
        return image
    top, eyes = int(rows[0]), float(centre[1])
    start = top + 0.1 * (eyes - top)
    band = _hair_band(image, centre, size, int(start), int(eyes))
    covered = image.copy()
    height, width = alpha.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    fold = np.abs((y - start) % (2 * band) - band)
    source_y = np.clip(start + band - fold, top, height - 1).astype(np.float32)
    narrower = (centre[0] + (x - centre[0]) * 0.6).astype(np.float32)
    hair = cv2.remap(image, narrower, source_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    hair = cv2.GaussianBlur(hair, (0, 0), 0.1 * size)
    along = (y + 0.5 - eyes) / size
    aside = np.abs(x + 0.5 - centre[0]) / size
    mask = smoothstep(-0.75, -0.5, along.astype(np.float64)) * (1 - smoothstep(0.5, 0.68, along.astype(np.float64)))
    mask = mask * (1 - smoothstep(0.75, 0.95, aside.astype(np.float64)))
    mixed = covered[..., :3] * (1 - mask[..., None]) + hair[..., :3] * mask[..., None]
    covered[..., :3] = np.rint(mixed).astype(np.uint8)
    return covered


def _columns(alpha: NDArray[np.uint8], centre: Floats, size: float) -> slice:
    left = int(np.clip(centre[0] - 0.3 * size, 0, alpha.shape[1] - 1))
    return slice(left, max(left + 1, int(centre[0] + 0.3 * size)))


def _hair_band(image: NDArray[np.uint8], centre: Floats, size: float, start: int, eyes: int) -> int:
    """Rows below ``start`` that look like the top of the head: the height of the hair above the forehead."""
    columns = slice(max(int(centre[0] - 0.15 * size), 0), max(int(centre[0] + 0.15 * size), 1))
    rows = image[start : max(eyes, start + 1), columns, :3].astype(np.float64).mean(axis=1)
    if len(rows) < 4:
        return 2
    first = rows[: max(len(rows) // 6, 1)].mean(axis=0)
    span = max(float(np.linalg.norm(rows - first, axis=1).max()), 1.0)
    unlike = np.flatnonzero(np.linalg.norm(rows - first, axis=1) > max(0.25 * span, 12.0))
    return max(int(0.8 * unlike[0]) if len(unlike) else len(rows) // 2, 2)
