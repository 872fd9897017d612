"""What the draft must know of a face: its axes, the lips, the eyes, the outline; in pixels of the picture (x, y)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# MediaPipe's 478 points, each row from the picture's left to its right for a face that looks at the camera.
_INNER_UPPER = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
_INNER_LOWER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
_CORNERS = (61, 291)
_UNDER_NOSE, _CHIN = 2, 152
_CHEEKS = (234, 454)
_LIDS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
_BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))  # their lower edges

# Shares of the distance between the pupils (63 mm) in an adult's face, from the means of Farkas, "Anthropometry of
# the Head and Face" (1994): pupils to the line of the lips 68 mm, width of the mouth 51 mm, and so on.
_TO_MOUTH, _HALF_MOUTH, _TO_CHIN, _TO_NOSE = 1.08, 0.40, 0.70, 0.36
_HALF_FACE = 1.07
_PARTED = 0.07  # of the mouth's width: nearer lips are closed, as far as landmarks can tell


@dataclass(frozen=True)
class Eye:
    """The lids' edges, float32 (n,2) from left to right."""

    upper: Floats
    lower: Floats


@dataclass(frozen=True)
class Face:
    """``right`` and ``down`` are unit vectors of the face in the picture. ``seam`` (n,2): where the lips part, left to
    right (the lower lip's edge where the mouth is open in the picture by ``gap`` pixels). ``half_width``: middle to
    cheek. ``eyes`` and ``brows`` (their lower edges, left to right) only where they are known.
    """

    right: Floats
    down: Floats
    seam: Floats
    gap: float
    under_nose: Floats
    chin: Floats
    pupils: Floats
    half_width: float
    eyes: tuple[Eye, ...] = ()
    brows: tuple[Floats, ...] = ()

    @property
    def mouth(self) -> Floats:
        """The middle between the corners."""
        return np.asarray((self.seam[0] + self.seam[-1]) / 2, np.float32)

    @property
    def half_mouth(self) -> float:
        """Pixels from the middle of the mouth to a corner."""
        return float(np.linalg.norm(self.seam[-1] - self.seam[0])) / 2

    @property
    def between(self) -> Floats:
        """The middle between the eyes."""
        return np.asarray(self.pupils.mean(axis=0), np.float32)

    @property
    def height(self) -> float:
        """Pixels from the eyes to the chin."""
        return max(float((self.chin - self.between) @ self.down), 1.0)


def from_landmarks(points: Floats) -> Face:
    """A face by MediaPipe's (478,3) points."""
    flat = points[:, :2].astype(np.float32)
    pupils = np.stack([np.concatenate([flat[list(row)] for row in lids]).mean(axis=0) for lids in _LIDS])
    right, down = _axes(pupils, flat[list(_CORNERS)].mean(axis=0))
    upper, lower = flat[list(_INNER_UPPER)], flat[list(_INNER_LOWER)]
    upper[0] = lower[0] = (upper[0] + flat[_CORNERS[0]]) / 2  # the skin parts a little before the red does
    upper[-1] = lower[-1] = (upper[-1] + flat[_CORNERS[1]]) / 2
    gap = float(((lower - upper)[4:7] @ down).mean())
    parted = gap > _PARTED * float(np.linalg.norm(upper[-1] - upper[0]))
    cheeks = flat[list(_CHEEKS)]
    return Face(
        right,
        down,
        np.asarray(lower if parted else (upper + lower) / 2, np.float32),
        gap if parted else 0.0,
        flat[_UNDER_NOSE],
        flat[_CHIN],
        pupils,
        float(abs((cheeks[1] - cheeks[0]) @ right)) / 2,
        tuple(Eye(flat[list(up)], flat[list(low)]) for up, low in _LIDS),
        tuple(flat[list(brow)] for brow in _BROWS),
    )


def from_points(pupils: Floats, corners: Floats | None = None, nose: Floats | None = None) -> Face:
    """A face by a few points, the rest by an adult's proportions: pupils (2,2), left first in the picture; corners of
    the mouth (2,2) and the tip of the nose (2,) where known."""
    between = pupils.mean(axis=0)
    apart = float(np.linalg.norm(pupils[1] - pupils[0]))
    mouth = None if corners is None else corners.mean(axis=0)
    right, down = _axes(pupils, mouth)
    size = apart
    if mouth is not None:
        size = max(apart, float((mouth - between) @ down) / _TO_MOUTH)
    elif nose is not None:
        size = max(apart, float((nose - between) @ down) / 0.55)  # a turned face has its eyes nearer together
    if mouth is None or corners is None:
        aside = 0.0 if nose is None else 0.6 * float((nose - between) @ right)
        mouth = between + _TO_MOUTH * size * down + aside * right
        half = _HALF_MOUTH * min(size, 1.15 * apart)
        corners = np.stack([mouth - half * right, mouth + half * right])
    share = np.linspace(0, 1, 11, dtype=np.float32)[:, None]
    seam = np.asarray(corners[0] * (1 - share) + corners[1] * share, np.float32)
    return Face(
        right,
        down,
        seam,
        0.0,
        np.asarray(mouth - _TO_NOSE * size * down, np.float32),
        np.asarray(mouth + _TO_CHIN * size * down, np.float32),
        np.asarray(pupils, np.float32),
        _HALF_FACE * (0.4 * size + 0.6 * apart),
    )


def _axes(pupils: Floats, mouth: Floats | None) -> tuple[Floats, Floats]:
    """Unit vectors to the right and down of the face; eyes and mouth agree on them half and half."""
    across = pupils[1] - pupils[0]
    down = np.array([-across[1], across[0]], np.float32) / max(float(np.linalg.norm(across)), 1e-3)
    if mouth is not None:
        along = mouth - pupils.mean(axis=0)
        along = along / max(float(np.linalg.norm(along)), 1e-3)
        if along @ down > 0.5:
            down = down + along
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    return np.array([down[1], -down[0]], np.float32), np.asarray(down, np.float32)
