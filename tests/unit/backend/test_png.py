"""PNG files of the backend: the pixels are kept, and what is no picture is refused."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend import png


@pytest.mark.parametrize(("channels", "order"), [(3, cv2.COLOR_BGR2RGB), (4, cv2.COLOR_BGRA2RGBA)])
def test_the_pixels_are_kept(channels: int, order: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, channels), np.uint8)
    read = cv2.imdecode(np.frombuffer(png.encode(picture), np.uint8), cv2.IMREAD_UNCHANGED)
    assert (cv2.cvtColor(read, order) == picture).all()


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 2), (4, 4, 5)])
def test_what_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="height, width and 3 or 4 channels"):
        png.encode(np.zeros(shape, np.uint8))
