"""The moved background against the true one of an analytic scene (PSNR in dB)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wan_models.draft.i2v import plate_frames
from wan_models.engine import RequestRefused
from wan_models.requests import DrivePack

FRAMES = 9


@pytest.fixture(scope="module")
def scene(scenes: Any) -> Any:
    return scenes.Scene(416, 240, FRAMES, roll=0.08)


@pytest.fixture(scope="module")
def pack(scene: Any) -> DrivePack:
    result: DrivePack = scene.pack()
    return result


def test_background_by_depth_and_camera(scenes: Any, scene: Any, pack: DrivePack) -> None:
    frames = plate_frames(pack)
    assert len(frames) == FRAMES
    np.testing.assert_array_equal(frames[0], pack.look_plate)
    assert scenes.psnr(frames[4], scene.plate(4)) > 43
    assert scenes.psnr(frames[-1], scene.plate(8)) > 38


def test_background_by_origin_maps_alone(scenes: Any, scene: Any, pack: DrivePack) -> None:
    frames = plate_frames(replace(pack, depth=(), camera=None))
    assert scenes.psnr(frames[4], scene.plate(4)) > 42
    assert scenes.psnr(frames[8], scene.plate(8)) > 36


def test_a_still_camera_keeps_the_picture(scenes: Any) -> None:
    still = scenes.Scene(208, 120, 3, roll=0.1)
    still.world[:] = still.world[0]
    pack = still.pack()
    np.testing.assert_array_equal(plate_frames(pack)[2], pack.look_plate)


def test_without_a_look_plate_the_clay_plate_serves(pack: DrivePack) -> None:
    assert plate_frames(replace(pack, look_plate=None)) is pack.plate
    assert plate_frames(replace(pack, origin=(), depth=())) is pack.plate


def test_frames_are_kept_for_a_second_look_and_bounded(pack: DrivePack) -> None:
    frames = plate_frames(pack)
    assert frames[3] is frames[3]
    assert len(frames[2:5]) == 3
    with pytest.raises(IndexError):
        frames[FRAMES]


def test_without_clay_plates_holes_take_the_colours_around(scenes: Any, scene: Any, pack: DrivePack) -> None:
    frames = plate_frames(replace(pack, plate=()))
    assert scenes.psnr(frames[8], scene.plate(8)) > 35


def test_other_proportions_are_refused(pack: DrivePack) -> None:
    with pytest.raises(RequestRefused, match="background picture is 100 x 100 and the shot 416 x 240"):
        plate_frames(replace(pack, look_plate=np.zeros((100, 100, 3), np.uint8)))
