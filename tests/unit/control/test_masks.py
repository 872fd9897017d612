"""Masks are widened as the official code does it, and empty ones do no harm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from wan_models.control.masks import augment_mask, augment_mask_reported

FIXTURE = np.load(Path(__file__).with_name("control.npz"))
SHAPE = tuple(FIXTURE["mask_shape"])


def _unpack(name: str) -> NDArray[np.uint8]:
    return np.unpackbits(FIXTURE[name], count=int(np.prod(SHAPE))).reshape(SHAPE)


def _clip(*corners: tuple[int, int] | None) -> NDArray[np.uint8]:
    """One 10 x 8 box a frame at x, y; None is an empty frame."""
    masks = np.zeros((len(corners), 40, 50), np.uint8)
    for mask, corner in zip(masks, corners, strict=True):
        if corner:
            mask[corner[1] : corner[1] + 8, corner[0] : corner[0] + 10] = 1
    return masks


def test_every_pixel_is_the_official_one_and_official_failures_are_reported() -> None:
    worked = FIXTURE["mask_worked"]
    assert 200 < worked.sum() < 390
    cases = zip(_unpack("mask_given"), _unpack("mask_wanted"), FIXTURE["mask_settings"].tolist(), worked, strict=True)
    for given, wanted, settings, ok in cases:
        if ok:
            result, reused = augment_mask_reported(given[None], *settings)
            np.testing.assert_array_equal(result[0], wanted)
            assert reused == ()
        else:
            with pytest.raises(ValueError, match="in every frame"):
                augment_mask(given[None], *settings)


def test_a_clip_of_official_failures_takes_the_mask_before() -> None:
    settings = (2, 3, 3, 4)
    full = np.zeros((3, 45, 64), np.uint8)
    full[0, 10:20, 20:40] = 1
    full[1, 3, 3] = 1  # 5 x 5 once dilated: four rows, three cells, fits
    result, reused = augment_mask_reported(full, *settings)
    assert reused == (2,)
    np.testing.assert_array_equal(result[2], result[1])
    result, reused = augment_mask_reported(full, 1, 3, 3, 4)  # 3 x 3 is too small for the grid
    assert reused == (1, 2)
    np.testing.assert_array_equal(result[1], result[0])


def test_default_grid_fills_the_box_but_not_its_last_row_and_column() -> None:
    masks = np.zeros((1, 40, 50), np.uint8)
    masks[0, 15, 12] = masks[0, 25, 30] = 1
    result = augment_mask(masks)[0]
    assert result[6:34, 3:39].all()  # two squares of 19, 9 to each side of their pixels
    assert result[:6].sum() == result[35:].sum() == 0
    assert not result[34, :21].any()


def test_missing_frames_take_the_last_mask_or_the_first_after_them() -> None:
    result, reused = augment_mask_reported(_clip(None, (5, 5), None, None, (30, 20), None))
    assert reused == (0, 2, 3, 5)
    for i, source in ((0, 1), (2, 1), (3, 1), (5, 4)):
        np.testing.assert_array_equal(result[i], result[source])
    assert (result[1] != result[4]).any()


def test_no_iterations_leaves_masks_as_they_are() -> None:
    masks = _clip(None, (5, 5)) * np.uint8(255)
    result, reused = augment_mask_reported(masks, iterations=0, w_len=40)
    np.testing.assert_array_equal(result, masks // 255)
    assert reused == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.bool_])
def test_any_kind_of_person_pixel_counts_and_the_input_stays(dtype: type) -> None:
    masks = _clip((5, 5), (45, 35))
    given = (masks * 200).astype(dtype)
    before = given.copy()
    result = augment_mask(given)
    np.testing.assert_array_equal(given, before)
    np.testing.assert_array_equal(result, augment_mask(masks))
    assert result.dtype == np.uint8
    assert set(np.unique(result)) == {0, 1}


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 1, 300), (2, 300, 1), (1, 2160, 3840)])
def test_tiny_and_huge_canvases(shape: tuple[int, int, int]) -> None:
    masks = np.ones(shape, np.uint8)
    if min(shape[1:]) == 1:
        with pytest.raises(ValueError, match="smaller than the grid"):
            augment_mask(masks)
    else:
        assert augment_mask(masks).all()


@pytest.mark.parametrize(
    ("masks", "sentence"),
    [
        (np.zeros((3, 8, 8), np.uint8), "empty in every frame"),
        (np.full((3, 8, 8), np.nan), "uint8 or bool, not of float64"),
        (np.ones((8, 8), np.uint8), "frames, height, width"),
        (np.ones((0, 8, 8), np.uint8), "frames, height, width"),
        ([[[1]]], "uint8 or bool, not of list"),
    ],
)
@pytest.mark.parametrize("iterations", [0, 3])
def test_other_arrays_are_refused(masks: NDArray[np.uint8], sentence: str, iterations: int) -> None:
    with pytest.raises(ValueError, match=sentence):
        augment_mask(masks, iterations)


@pytest.mark.parametrize("settings", [(-1, 7, 1, 1), (3, 0, 1, 1), (3, 7, 0, 1), (3, 7, 1, -2)])
def test_other_numbers_are_refused(settings: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="at least 0, kernel and the numbers of cells at least 1"):
        augment_mask(_clip((5, 5)), *settings)
