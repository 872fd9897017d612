"""Picture sizes are those of the official code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wan_models.control.sizes import animate_size, i2v_size, s2v_size, ti2v_size

ROWS = np.load(Path(__file__).with_name("control.npz"))["sizes"].tolist()
RULES: list[tuple[Callable[..., tuple[int, int]], int, int]] = [
    (animate_size, 3, 16), (i2v_size, 5, 16), (ti2v_size, 7, 32), (s2v_size, 9, 64),
]  # fmt: skip
HD, SD = 1280 * 720, 832 * 480


def _or_zero(rule: Callable[..., tuple[int, int]], *given: int) -> tuple[int, int]:
    try:
        return rule(*given)
    except ValueError:
        return 0, 0


@pytest.mark.parametrize(("rule", "column", "step"), RULES)
def test_official_sizes_and_official_failures(rule: Callable[..., tuple[int, int]], column: int, step: int) -> None:
    given = [_or_zero(rule, *row[:3]) for row in ROWS]
    assert given == [tuple(row[column : column + 2]) for row in ROWS]
    assert (0, 0) in given
    assert len(set(given)) > 400
    assert all(w % step == 0 and h % step == 0 for w, h in given)
    assert all(w * h <= row[2] for (w, h), row in zip(given, ROWS, strict=True))


@pytest.mark.parametrize(
    ("rule", "width", "height", "area", "expected"),
    [
        (animate_size, 1920, 1080, HD, (1280, 720)), (animate_size, 1080, 1920, HD, (720, 1280)),
        (animate_size, 1024, 1024, HD, (960, 960)), (animate_size, 1000, 1500, HD, (768, 1168)),
        (animate_size, 768, 1344, HD, (720, 1264)), (animate_size, 3000, 4000, HD, (816, 1104)),
        (animate_size, 1920, 1080, SD, (832, 464)), (animate_size, 1080, 1920, SD, (464, 832)),
        (animate_size, 512, 512, SD, (624, 624)), (animate_size, 480, 832, SD, (464, 832)),
        (i2v_size, 1920, 1080, HD, (1280, 720)), (i2v_size, 1920, 1080, SD, (832, 464)),
        (i2v_size, 700, 700, HD, (960, 960)), (i2v_size, 700, 700, SD, (624, 624)),
        (i2v_size, 1000, 1500, HD, (768, 1168)), (i2v_size, 1000, 1500, SD, (512, 768)),
        (ti2v_size, 1920, 1080, 1280 * 704, (1248, 704)), (ti2v_size, 800, 800, 1280 * 704, (960, 928)),
        (ti2v_size, 1000, 1500, 1280 * 704, (768, 1152)),
        (s2v_size, 1920, 1080, 1024 * 704, (1088, 640)), (s2v_size, 1920, 1080, SD, (832, 448)),
        (s2v_size, 1920, 1080, HD, (1280, 704)), (s2v_size, 2000, 2000, 1024 * 704, (832, 832)),
        (s2v_size, 2000, 2000, SD, (576, 576)), (s2v_size, 2000, 2000, HD, (960, 960)),
        (s2v_size, 1000, 1500, 1024 * 704, (704, 1024)), (s2v_size, 1000, 1500, SD, (512, 768)),
        (s2v_size, 1000, 1500, HD, (768, 1152)), (s2v_size, 100, 50, SD, (128, 64)),
    ],
)  # fmt: skip
def test_known_examples(
    rule: Callable[..., tuple[int, int]], width: int, height: int, area: int, expected: tuple[int, int]
) -> None:
    assert rule(width, height, area) == expected
    assert rule(np.int64(width), np.int32(height), np.int64(area)) == expected


@pytest.mark.parametrize("rule", [row[0] for row in RULES])
@pytest.mark.parametrize("bad", [0, -480, 480.0, float("nan"), "480", None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_no_whole_number_above_zero_is_refused(rule: Callable[..., Any], bad: object, place: int) -> None:
    given: list[object] = [832, 480, SD]
    given[place] = bad
    with pytest.raises(ValueError, match="must be whole numbers above 0, not "):
        rule(*given)


@pytest.mark.parametrize("rule", [row[0] for row in RULES])
def test_a_thread_like_picture_and_a_tiny_area_are_refused(rule: Callable[..., Any]) -> None:
    for given in ((1_000_000, 1, SD), (1, 1_000_000, SD), (832, 480, 100)):
        with pytest.raises(ValueError, match="No size of at most"):
            rule(*given)
