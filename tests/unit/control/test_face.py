"""The face box is the official one, and what holds no face is said to."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wan_models.control.face import NoFace, crop_face, face_box

FIXTURE = np.load(Path(__file__).with_name("control.npz"))


def _ring(x: float, y: float, w: float, h: float) -> NDArray[np.float32]:
    turn = np.linspace(0, 2 * np.pi, 69)[:-1]
    return np.column_stack([x + w / 2 * np.cos(turn), y + h / 2 * np.sin(turn)]).astype(np.float32)


def test_official_boxes() -> None:
    kept = 0
    for points, size, wanted in zip(FIXTURE["face_points"], FIXTURE["face_frames"], FIXTURE["face_boxes"], strict=True):
        left, top, right, bottom = wanted.tolist()
        if left < right and top < bottom:
            assert face_box(points, *size.tolist()) == (left, top, right, bottom)
            kept += 1
        else:
            with pytest.raises(NoFace):
                face_box(points, *size.tolist())
    assert 100 < kept < 150
    assert face_box(FIXTURE["face_points"][-1], 1536, 909) == (629, 419, 692, 454)  # 693 in double precision


def test_grows_to_the_sides_evenly_and_more_above() -> None:
    left, top, right, bottom = face_box(_ring(400, 300, 100, 200), 832, 480)
    assert (left, right) == (342, 457)  # 14.02 % wider
    assert (top, bottom) == (178, 407)  # 21 of 28 pixels above
    assert face_box(np.column_stack([_ring(400, 300, 100, 200), np.zeros(68)]), 832, 480) == (left, top, right, bottom)


def test_is_clipped_to_the_picture() -> None:
    assert face_box(_ring(0, 0, 100, 100), 832, 480)[:2] == (0, 0)
    assert face_box(_ring(832, 480, 100, 100), 832, 480)[2:] == (832, 480)
    assert face_box(_ring(2, 1, 1000, 1000), 4, 3) == (0, 0, 4, 3)


@pytest.mark.parametrize("center", [(-300, 100), (1200, 100), (400, -300), (400, 900), (1e20, 1e20)])
def test_off_the_picture_is_no_face(center: tuple[float, float]) -> None:
    with pytest.raises(NoFace):
        face_box(_ring(*center, 100, 100), 832, 480)


@pytest.mark.parametrize("points", [_ring(50, 50, 0, 20), _ring(50, 50, 20, 0), np.full((68, 2), 9.0)])
def test_points_on_a_line_are_no_face(points: NDArray[np.float32]) -> None:
    with pytest.raises(NoFace, match="on one line"):
        face_box(points, 832, 480)


def test_smaller_than_a_pixel_is_no_face() -> None:
    with pytest.raises(NoFace, match="smaller than a pixel"):
        face_box(_ring(50.5, 50.5, 0.2, 0.2), 832, 480)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39, 1e300])
def test_numbers_that_are_none_are_refused(bad: float) -> None:
    points = _ring(400, 300, 100, 200).astype(np.float64)
    points[7, 1] = bad
    with pytest.raises(ValueError, match="must be finite numbers"):
        face_box(points, 832, 480)


@pytest.mark.parametrize("shape", [(67, 2), (68,), (68, 1), (1, 68, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="must be an array"):
        face_box(np.zeros(shape), 832, 480)


@pytest.mark.parametrize("size", [(0, 480), (832, -1)])
def test_no_picture_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 1 x 1"):
        face_box(_ring(400, 300, 100, 200), *size)


@pytest.mark.parametrize("box", [(10, 5, 50, 40), (0, 0, 60, 48), (59, 47, 60, 48)])
def test_crop_is_the_box_stretched_bilinearly(box: tuple[int, int, int, int]) -> None:
    frame = np.random.default_rng(1).integers(0, 256, (48, 60, 3), np.uint8)
    left, top, right, bottom = box
    crop = crop_face(frame, box)
    assert crop.shape == (512, 512, 3)
    np.testing.assert_array_equal(crop, cv2.resize(frame[top:bottom, left:right], (512, 512)))


@pytest.mark.parametrize("box", [(10, 5, 10, 40), (10, 40, 50, 5), (-1, 0, 9, 9), (0, 0, 61, 48), (0, 0, 60, 49)])
def test_crop_refuses_boxes_outside(box: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="empty or not inside the frame of 60 x 48"):
        crop_face(np.zeros((48, 60, 3), np.uint8), box)


@pytest.mark.parametrize("frame", [np.zeros((48, 60), np.uint8), np.zeros((48, 60, 4), np.uint8), np.zeros((4, 4, 3))])
def test_crop_refuses_other_frames(frame: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        crop_face(frame, (0, 0, 2, 2))


def test_imports_without_torch() -> None:
    code = "import sys, wan_models.control.face, wan_models.control.masks, wan_models.control.sizes\n"
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
