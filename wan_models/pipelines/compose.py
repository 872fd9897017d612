"""Puts a generated person into a plate: outside the mask the plate's own bytes, and nearer things stay in front."""

from __future__ import annotations

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Frame: TypeAlias = NDArray[np.uint8]
Where: TypeAlias = NDArray[np.bool_]

MARGIN = 0.2  # metres: a floor just before the feet is no occluder
FEATHER = 6
"""Pixels over which the mask's inner edge fades into the plate: less than the 9 by which masks are widened, so that no
pixel of the person fades."""


def nearer(depth: NDArray[np.float32], indices: Frame, index: int, joints: NDArray[np.float32]) -> Where:
    """(h, w) where something is in front of character ``index``.

    ``depth`` (h, w) in metres and ``indices`` (h, w) show the scene with the character in it. A pixel that is not the
    character's is in front when it is nearer, by ``MARGIN``, than the character's nearest visible pixel, or, where none
    is visible, than the middle one of its ``joints``' depths (metres, not finite or not above 0 = unknown).
    """
    own = indices == index
    surface = _surface(depth, own)
    if surface is None:
        known = joints[np.isfinite(joints) & (joints > 0)]
        if not known.size:
            return np.zeros(own.shape, np.bool_)
        surface = np.full(own.shape, np.median(known), np.float32)
    return np.asarray(~own & (depth < surface - MARGIN))


def _surface(depth: NDArray[np.float32], own: Where) -> NDArray[np.float32] | None:
    """At every pixel the depth of the character's pixel that is nearest to it in the picture; None = it has none."""
    inner = cv2.erode(own.astype(np.uint8), np.ones((3, 3), np.uint8))  # its rim may show what is behind it
    seen = (inner != 0) & np.isfinite(depth)
    if not seen.any():
        seen = own & np.isfinite(depth)
    if not seen.any():
        return None
    _, labels = cv2.distanceTransformWithLabels(
        (~seen).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    depths = np.zeros(int(labels.max()) + 1, np.float32)
    depths[labels[seen]] = depth[seen]
    return np.asarray(depths[labels], np.float32)


def compose(made: Frame, plate: Frame, inside: Where, before: Where | None = None, feather: int = FEATHER) -> Frame:
    """``made`` (h, w, 3) within ``inside`` (h, w) and not behind ``before``; everywhere else the bytes of ``plate``.

    The inner edge fades over ``feather`` pixels (0 = hard); things in front have hard edges.
    """
    shown = inside if before is None else inside & ~before
    result = plate.copy()
    np.copyto(result, made, where=shown[..., None])
    if feather > 0:
        away = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
        rim = shown & (away <= feather)
        share = (away[rim] / (feather + 1.0)).astype(np.float32)[:, None]
        mixed = plate[rim] + share * (made[rim].astype(np.float32) - plate[rim])
        result[rim] = np.rint(mixed).astype(np.uint8)
    return result


def window(inside: Where) -> tuple[slice, slice]:
    """Rows and columns of the smallest window that holds all of ``inside`` (h, w) and, where there is one, a pixel
    round it: nothing beyond it changes.
    """
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return slice(0, 0), slice(0, 0)
    return slice(max(rows[0] - 1, 0), rows[-1] + 2), slice(max(columns[0] - 1, 0), columns[-1] + 2)
