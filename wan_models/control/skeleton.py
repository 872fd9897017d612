"""Draws poses the way Wan2.2-Animate was trained to see them: its preprocessing's "v2" drawing, pixel for pixel.

Rules and colours: ``wan/modules/animate/preprocess/human_visualization.py`` of Wan2.2 (``draw_aapose_by_meta_new``).
No anti-aliasing, later shapes overwrite earlier ones: 19 limbs, 20 joints, left hand, right hand.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Points: TypeAlias = NDArray[np.floating[Any]]
Canvas: TypeAlias = NDArray[np.uint8]
Color: TypeAlias = tuple[int, int, int]

LIMBS: tuple[tuple[int, int], ...] = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11),
    (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
)  # fmt: skip
"""Pairs of ``wan_models.requests.BODY_POINTS``, in drawing order."""

JOINT_COLORS: tuple[Color, ...] = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85), (200, 200, 0), (100, 100, 0),
)  # fmt: skip

HAND_EDGES: tuple[tuple[int, int], ...] = tuple(
    (0 if step == 0 else 4 * finger + step, 4 * finger + step + 1) for finger in range(5) for step in range(4)
)

HAND_COLORS: tuple[Color, ...] = (
    (255, 0, 0), (255, 77, 0), (255, 153, 0), (255, 229, 0), (204, 255, 0), (128, 255, 0), (51, 255, 0),
    (0, 255, 25), (0, 255, 102), (0, 255, 179), (0, 255, 255), (0, 178, 255), (0, 102, 255), (0, 25, 255),
    (51, 0, 255), (128, 0, 255), (204, 0, 255), (255, 0, 230), (255, 0, 153), (255, 0, 77),
)  # fmt: skip
"""One colour an edge: the official HSV(i/20, 1, 1) as OpenCV rounds it."""

HAND_JOINT_COLOR: Color = (0, 0, 255)
BODY_COUNT, HAND_COUNT = 20, 21
FAR = 1e6  # pixels; further out nothing can touch the canvas, and OpenCV's fixed point would overflow


def stick_width(height: int, width: int) -> int:
    """Half the body sticks' thickness and the joints' radius in pixels: 1 at 480, 2 at 720, 4 at 1080."""
    return max(int(min(height, width) / 200) - 1, 1)


def draw_pose(
    body: Points,
    left_hand: Points | None = None,
    right_hand: Points | None = None,
    *,
    height: int,
    width: int,
    threshold: float = 0.5,
) -> Canvas:
    """The pose on black: uint8 RGB (height, width, 3).

    ``body`` (20, n), hands (21, n) or None, n >= 3: x and y in pixels, score; further columns are ignored.
    Points below ``threshold``, and those that are not finite numbers, are left out. Raises ValueError for other shapes.
    """
    if height < 1 or width < 1:
        msg = f"A pose drawing must be at least 1 x 1 pixels, not {width} x {height}."
        raise ValueError(msg)
    canvas: Canvas = np.zeros((height, width, 3), np.uint8)
    stick = stick_width(height, width)
    _draw_body(canvas, _drawable(body, BODY_COUNT, "body", threshold), stick)
    for name, hand in (("left hand", left_hand), ("right hand", right_hand)):
        if hand is not None:
            _draw_hand(canvas, _drawable(hand, HAND_COUNT, name, threshold), max(stick // 2, 1))
    return canvas


def _drawable(points: Points, count: int, name: str, threshold: float) -> list[tuple[float, float] | None]:
    """x, y of each point, None for those not to be drawn."""
    table = np.asarray(points, np.float64)
    if table.ndim != 2 or table.shape[0] != count or table.shape[1] < 3:
        msg = f"The {name} must be an array ({count}, 3) of x, y, score, not {table.shape}."
        raise ValueError(msg)
    with np.errstate(invalid="ignore"):
        seen = np.isfinite(table[:, :3]).all(1) & (table[:, 2] >= threshold) & (np.abs(table[:, :2]) < FAR).all(1)
    return [(x, y) if ok else None for (x, y), ok in zip(table[:, :2].tolist(), seen.tolist(), strict=True)]


def _draw_body(canvas: Canvas, points: list[tuple[float, float] | None], stick: int) -> None:
    for (i, j), color in zip(LIMBS, JOINT_COLORS, strict=False):
        a, b = points[i], points[j]
        if a is None or b is None:
            continue
        middle = (int((a[0] + b[0]) / 2), int((a[1] + b[1]) / 2))
        axes = (int(math.hypot(a[0] - b[0], a[1] - b[1]) / 2), stick)
        angle = int(math.degrees(math.atan2(a[1] - b[1], a[0] - b[0])))
        outline = np.asarray(cv2.ellipse2Poly(middle, axes, angle, 0, 360, 1), np.int32)
        cv2.fillConvexPoly(canvas, outline, [int(c * 0.6) for c in color])
    for point, color in zip(points, JOINT_COLORS, strict=True):
        if point is not None:
            cv2.circle(canvas, (int(point[0]), int(point[1])), stick, color, thickness=-1)


def _draw_hand(canvas: Canvas, points: list[tuple[float, float] | None], stick: int) -> None:
    """The official drawing leaves out what is not right of and below pixel 0; the body has no such rule."""
    whole = [(int(p[0]), int(p[1])) if p is not None and p[0] >= 1 and p[1] >= 1 else None for p in points]
    for (i, j), color in zip(HAND_EDGES, HAND_COLORS, strict=True):
        a, b = whole[i], whole[j]
        if a is not None and b is not None:
            cv2.line(canvas, a, b, color, thickness=stick)
    for point in whole:
        if point is not None:
            cv2.circle(canvas, point, stick, HAND_JOINT_COLOR, thickness=-1)
