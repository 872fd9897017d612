"""The path of the hips on which held feet stand without a leg being turned. Pure numpy.

The directions and lengths of a leg say how its foot moves under the hips. While one foot is held, the hips can move so
that it stands; while both are, they ask for a little different ways and the hips take the middle. Where a foot stands
is free, it only has to stay there. That is one least-squares problem over the whole clip: the offset of the hips from
the actor's path wants to be small and smooth, the slip of held feet wants to be nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .turns import Array

NEAR = 1e-2  # weight of the offset, beside 1 for the slip of a foot
CALM_S4 = 4.6e-6  # seconds^4, weight of the offset's acceleration: it eases back in about (CALM_S4 / NEAR)^(1/4) s
STAYS = 1e4  # weight of a foot's place being what it was a frame before
LOOSE = 1e-6  # places of feet in the air matter to nothing, but must be some number


class Bands:
    """Normal equations of a least-squares problem whose terms touch neighbouring unknowns alone."""

    def __init__(self, count: int, width: int, sides: int) -> None:
        self.matrix = np.zeros((count, width + 1))  # [j, k] is the entry of row j + k and column j
        self.right = np.zeros((count, sides))

    def add(
        self, columns: Sequence[Array], factors: Sequence[float], weight: float, values: Array | None = None
    ) -> None:
        """Terms ``weight * (sum of factors * unknowns[columns] - values)**2``, columns (n,) ascending."""
        for i, (row, by) in enumerate(zip(columns, factors, strict=True)):
            if values is not None:
                np.add.at(self.right, row, weight * by * values)
            for column, other in zip(columns[: i + 1], factors[: i + 1], strict=True):
                np.add.at(self.matrix, (column, row - column), weight * by * other)

    def solved(self) -> Array:
        """The unknowns (count,sides), by Cholesky's factors within the band."""
        count, width = len(self.matrix), self.matrix.shape[1] - 1
        factor = np.concatenate([self.matrix, np.zeros((width, width + 1))])
        found = np.concatenate([self.right, np.zeros((width, self.right.shape[1]))])
        below = [(k, np.arange(width - k)) for k in range(width)]
        for j in range(count):
            factor[j] /= np.sqrt(factor[j, 0])
            column = factor[j, 1:]
            for k, steps in below:
                factor[j + 1 + k, steps] -= column[k] * column[k:]
            found[j] /= factor[j, 0]
            found[j + 1 : j + 1 + width] -= column[:, None] * found[j]
        for j in range(count - 1, -1, -1):
            found[j] = (found[j] - factor[j, 1:] @ found[j + 1 : j + 1 + width]) / factor[j, 0]
        return found[:count]


def slip(places: Array, contact: Array) -> Array:
    """How a foot has slipped over the ground (T,2) since it came down; zero in the air.

    ``places`` (T,2,3) of heel and ball, ``contact`` (T,2). From one frame to the next it is the point that is down in
    both which tells, the ball first; where heel gives way to ball from frame to frame, nothing slips.
    """
    found = np.zeros((len(places), 2))
    down = contact.any(1)
    for t in range(1, len(places)):
        if down[t] and down[t - 1]:
            both = contact[t] & contact[t - 1]
            n = 1 if both[1] else 0
            step = places[t, n, :2] - places[t - 1, n, :2] if both.any() else 0.0
            found[t] = found[t - 1] + step
    return found


def over_ground(slips: Sequence[Array], downs: Sequence[Array], fps: float) -> Array:
    """The hips' offset (T,2) from feet's slips (T,2) and when each is down (T,)."""
    frames, each = len(slips[0]), 1 + len(slips)
    at = np.arange(frames) * each
    terms = Bands(frames * each, 2 * each, 2)
    _calm(terms, at, fps)
    for n, (path, down) in enumerate(zip(slips, downs, strict=True), start=1):
        place, held = at + n, np.flatnonzero(down)
        terms.add([at[held], place[held]], [1.0, -1.0], 1.0, -path[held])
        on = np.flatnonzero(down[1:] & down[:-1])
        terms.add([place[on], place[on + 1]], [-1.0, 1.0], STAYS)
        terms.add([place], [1.0], LOOSE)
    return terms.solved()[at]


def up_and_down(heights: Sequence[Array], downs: Sequence[Array], fps: float) -> Array:
    """The hips' offset (T,) that brings held feet, each ``heights`` (T,) too low, to the ground on average: the usual
    height for the whole clip, the rest while they are held."""
    at = np.arange(len(heights[0]))
    usual = float(np.median(np.concatenate([height[down] for height, down in zip(heights, downs, strict=True)])))
    terms = Bands(len(at), 2, 1)
    _calm(terms, at, fps)
    for height, down in zip(heights, downs, strict=True):
        terms.add([at[down]], [1.0], 1.0, height[down, None] - usual)
    return usual + terms.solved()[:, 0]


def _calm(terms: Bands, at: Array, fps: float) -> None:
    """The offset, whose unknowns are ``at``, is small and does not jerk."""
    terms.add([at], [1.0], NEAR)
    if len(at) > 2:
        terms.add([at[:-2], at[1:-1], at[2:]], [1.0, -2.0, 1.0], CALM_S4 * fps**4)
