"""Sizes of pictures from their headers, and nothing worse than None from damaged ones."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest

from backend.headers import picture_size

PIXELS = np.random.default_rng(2).integers(0, 256, (48, 80, 3), np.uint8)
JPEG_KINDS: dict[str, list[int]] = {
    "plain": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 1],
}


def jpeg(*options: int) -> bytes:
    return cv2.imencode(".jpg", PIXELS, list(options))[1].tobytes()


def test_png() -> None:
    data = cv2.imencode(".png", PIXELS)[1].tobytes()
    assert picture_size(io.BytesIO(data)) == (80, 48)
    assert all(picture_size(io.BytesIO(data[:end])) is None for end in range(24))


@pytest.mark.parametrize("kind", list(JPEG_KINDS))
def test_jpeg(kind: str) -> None:
    data = jpeg(*JPEG_KINDS[kind])
    thumbnail = b"\xff\xe1" + (60000).to_bytes(2, "big") + b"\xff\xc0" * 29999
    assert picture_size(io.BytesIO(data)) == (80, 48)
    assert picture_size(io.BytesIO(data[:2] + thumbnail * 3 + b"\xff\xff" + data[2:])) == (80, 48)


def test_damaged_ones_have_no_size_and_raise_nothing() -> None:
    data, random = jpeg(), np.random.default_rng(4)
    for end in range(200):
        assert picture_size(io.BytesIO(data[:end])) in {None, (80, 48)}
    for _ in range(2000):
        broken = bytearray(data[:400])
        for place in random.integers(0, 200, 3):
            broken[place] = random.integers(0, 256)
        picture_size(io.BytesIO(bytes(broken)))
    for other in (b"", b"GIF89a" + bytes(40), b"\xff\xd8\xff" + b"\xff" * 5000, b"\xff\xd8" + b"\xff\xd0" * 5000):
        assert picture_size(io.BytesIO(other)) is None
