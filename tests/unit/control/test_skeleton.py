"""The pose drawing is the one Wan2.2-Animate was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wan_models.control.skeleton import draw_pose, stick_width

FIXTURE = np.load(Path(__file__).with_name("skeleton.npz"))
CASES = sorted(name.removesuffix("_body") for name in FIXTURE.files if name.endswith("_body"))


def _standing() -> NDArray[np.float32]:
    body = np.zeros((20, 3), np.float32)
    body[:, 0] = np.linspace(100, 300, 20)
    body[:, 1] = np.linspace(50, 400, 20)
    body[:, 2] = 1
    return body


@pytest.mark.parametrize("case", CASES)
def test_every_pixel_is_the_official_one(case: str) -> None:
    expected = FIXTURE[f"{case}_palette"][FIXTURE[f"{case}_index"]]
    height, width = expected.shape[:2]
    parts = [FIXTURE[f"{case}_{name}"] for name in ("body", "left", "right")]
    assert expected.any()
    np.testing.assert_array_equal(draw_pose(*parts, height=height, width=width), expected)


def test_sizes_cover_all_stick_widths() -> None:
    assert len(CASES) == 15
    assert [stick_width(h, w) for h, w in ((64, 96), (480, 832), (720, 1280), (1080, 1920))] == [1, 1, 2, 4]


def test_further_columns_are_ignored_and_hands_may_be_missing() -> None:
    body = _standing()
    wide = np.column_stack([body, np.full((20, 2), 99, np.float32)])
    plain = draw_pose(body, None, None, height=480, width=832)
    np.testing.assert_array_equal(draw_pose(wide, height=480, width=832), plain)


def test_points_below_the_threshold_are_left_out() -> None:
    body = _standing()
    body[:, 2] = 0.49
    assert not draw_pose(body, height=480, width=832).any()
    assert draw_pose(body, height=480, width=832, threshold=0.4).any()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30, -1e9])
@pytest.mark.parametrize("column", [0, 1, 2])
def test_numbers_that_are_none_are_as_good_as_absent(bad: float, column: int) -> None:
    body = _standing()
    if column == 2 and np.isfinite(bad):
        bad = np.nan
    absent = body.copy()
    body[4, column] = bad
    absent[4, 2] = 0
    hand = np.full((21, 3), bad, np.float32)
    drawn = draw_pose(body, hand, hand, height=480, width=832)
    np.testing.assert_array_equal(drawn, draw_pose(absent, height=480, width=832))


def test_far_away_points_draw_nothing() -> None:
    body = _standing()
    body[:, :2] += 5e5
    assert not draw_pose(body, height=480, width=832).any()


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [((19, 3), r"body must be an array \(20, 3\)"), ((20, 2), r"not \(20, 2\)"), ((60,), r"not \(60,\)")],
)
def test_wrong_shapes_are_named(shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        draw_pose(np.zeros(shape), height=480, width=832)


def test_wrong_hand_and_size_are_named() -> None:
    with pytest.raises(ValueError, match=r"left hand must be an array \(21, 3\)"):
        draw_pose(_standing(), np.zeros((20, 3)), height=480, width=832)
    with pytest.raises(ValueError, match="at least 1 x 1"):
        draw_pose(_standing(), height=0, width=832)
