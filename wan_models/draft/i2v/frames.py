"""One frame of a draft: the picture moved by a backward map, the rest painted, seams softened."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .fill import Frame, Picture, Recolor, Surface
from .opencv import cv2
from .trust import trusted

if TYPE_CHECKING:
    from collections.abc import Callable

    from .motion import Mask, Plane

_RING = np.ones((3, 3), np.uint8)


class FrameMaker:
    """Moves one picture through a shot, given sample 0's clay and mask. All sizes agree with the picture's,
    but those given to ``make`` may be parts of it."""

    def __init__(self, picture: Picture, clay: Picture, mask: Mask) -> None:
        self._picture = picture
        self._recolor = Recolor(picture, clay, mask)

    def make(  # noqa: PLR0917
        self,
        where: Plane,
        known: Mask,
        clay: Picture,
        mask: Mask,
        inverse: Callable[[], Plane] | None = None,
        surfaces: dict[int, Surface] | None = None,
        doubtful: Mask | None = None,
    ) -> Picture:
        """uint8 (h,w,3): the picture sampled at ``where``; where not ``known``, the clay in the picture's colours.

        ``inverse`` gives 1/depth (h,w); it is asked only when there are holes to paint.
        ``surfaces`` give colours far from known pixels, see ``fill.Frame``. ``doubtful`` pixels are painted too; unlike
        uncovered ones they take nothing around them with them.
        """
        moved = cv2.remap(self._picture, where, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if cv2.countNonZero(known) == known.size and (doubtful is None or not cv2.countNonZero(doubtful)):
            return np.asarray(moved, np.uint8)
        depth = inverse() if inverse is not None else None
        sure = trusted(known, mask, depth)
        if doubtful is not None:
            cv2.bitwise_and(sure, cv2.bitwise_not(doubtful), dst=sure)
        holes = cv2.bitwise_not(sure)
        soft = cv2.blur(sure, (3, 3))
        cv2.bitwise_and(soft, sure, dst=soft)
        band = cv2.dilate(holes, _RING)
        now = Frame(moved, clay, sure, mask, depth, surfaces or {})
        painted = self._recolor.paint(now, band)
        return _blend(moved, painted, soft, band)


def _blend(moved: Picture, painted: Picture, soft: Mask, band: Mask) -> Picture:
    """``moved`` where soft is 255, ``painted`` where 0; only ``band`` is looked at."""
    left, top, wide, high = cv2.boundingRect(band)
    box = (slice(top, top + high), slice(left, left + wide))
    out, paint, share = moved.copy(), painted[box], soft[box]
    cv2.copyTo(paint, band[box], out[box])
    rows, columns = np.nonzero((share != 0) & (band[box] != 0))  # the seam alone is mixed: a few pixels wide
    part = share[rows, columns, None].astype(np.float32) / np.float32(255)
    over, under = (a[rows, columns].astype(np.float32) for a in (moved[box], paint))
    out[box][rows, columns] = (under + (over - under) * part + np.float32(0.5)).astype(np.uint8)
    return out
