"""Holes are painted in the picture's colours, whatever their size."""

from __future__ import annotations

import numpy as np
import pytest

from wan_models.draft.i2v.fill import Frame, Recolor


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (3, 1), (8, 8)])
def test_a_hole_of_any_size_is_painted_in_the_colour_around_it(size: tuple[int, int]) -> None:
    high, wide = size
    picture = np.full((64, 64, 3), (40, 80, 120), np.uint8)
    clay, mask = np.full((64, 64, 3), 100, np.uint8), np.zeros((64, 64), np.uint8)
    hole = np.zeros((64, 64), np.uint8)
    hole[20 : 20 + high, 30 : 30 + wide] = 255
    painted = Recolor(picture, clay, mask).paint(Frame(picture, clay, 255 - hole, mask), hole)
    assert np.abs(painted[hole > 0].astype(int) - (40, 80, 120)).max() <= 2
