"""Pictures made to fit a clip."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from wan_models.pipelines.i2v import fitted
from wan_models.pipelines.pictures import covering, stretch_of, stretched


def _noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (height, width, 3), np.uint8)


def test_a_picture_of_the_clips_size_is_left_as_it_is() -> None:
    image = _noise(32, 16)
    exact = torch.from_numpy(image).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    assert torch.equal(stretched(image, 32, 16), exact)
    assert torch.equal(covering(image, 32, 16), exact)


def test_a_small_difference_is_stretched_and_a_large_one_is_cut_with_a_warning() -> None:
    pixels, sentence = fitted(_noise(100, 49), 64, 32, "first image")
    assert pixels.shape == (1, 3, 1, 32, 64)
    assert sentence == ""
    pixels, sentence = fitted(_noise(100, 100), 64, 32, "first image")
    assert pixels.shape == (1, 3, 1, 32, 64)
    assert sentence.startswith("the first image is 100 x 100 and the clip 64 x 32: it was scaled to cover the clip")


def test_cover_is_the_official_resize_and_centre_cut() -> None:
    image = _noise(50, 90)
    large = Image.fromarray(image).resize((64, 115), Image.Resampling.LANCZOS)
    wanted = np.asarray(large.crop((0, (115 - 32) // 2, 64, (115 - 32) // 2 + 32)))
    ours = covering(image, 64, 32)[0, :, 0].permute(1, 2, 0)
    assert torch.allclose((ours + 1) * 127.5, torch.from_numpy(wanted.copy()).float(), atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (4000, 7)])
def test_any_picture_can_cover(size: tuple[int, int]) -> None:
    assert covering(_noise(*size), 64, 32).shape == (1, 3, 1, 32, 64)


def test_stretch_counts_both_ways() -> None:
    assert stretch_of(_noise(64, 32), 64, 32) == 0
    assert stretch_of(_noise(64, 40), 64, 32) == pytest.approx(0.25)
    assert stretch_of(_noise(80, 32), 64, 32) == pytest.approx(0.25)
