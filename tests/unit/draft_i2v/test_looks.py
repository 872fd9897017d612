"""Colours for what sample 0 does not see: surfaces of the set, parts of characters, the set behind characters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from wan_models.draft import DraftEngine
from wan_models.draft.i2v.parts import PartColors, View
from wan_models.draft.i2v.setting import DepthSetting
from wan_models.draft.i2v.surfaces import Surfaces
from wan_models.events import FramesDecoded
from wan_models.requests import CameraTrack, Character, DrivePack, PoseTrack, Request

HEIGHT, WIDTH = 240, 160
SHIRT, TROUSERS, SKIN, HAIR = (200, 40, 30), (40, 60, 140), (210, 160, 130), (50, 35, 25)


def camera(frames: int) -> CameraTrack:
    return CameraTrack(np.tile(np.eye(4), (frames, 1, 1)), np.tile([300.0, 300.0, 80.0, 120.0], (frames, 1)))


def person(*, front: bool) -> NDArray[np.float32]:
    """A standing figure 3 m away, 240 px high; from behind left and right are exchanged and the nose points away."""
    side = 1 if front else -1
    at = {
        0: (80, 34), 1: (80, 56), 2: (80 - 20 * side, 60), 3: (80 - 26 * side, 92), 4: (80 - 28 * side, 122),
        5: (80 + 20 * side, 60), 6: (80 + 26 * side, 92), 7: (80 + 28 * side, 122), 8: (80 - 11 * side, 124),
        9: (80 - 12 * side, 172), 10: (80 - 12 * side, 220), 11: (80 + 11 * side, 124), 12: (80 + 12 * side, 172),
        13: (80 + 12 * side, 220), 14: (80 - 5 * side, 30), 15: (80 + 5 * side, 30), 16: (80 - 10 * side, 32),
        17: (80 + 10 * side, 32), 18: (80 + 13 * side, 228), 19: (80 - 13 * side, 228),
    }  # fmt: skip
    body = np.zeros((20, 5), np.float32)
    for joint, place in at.items():
        body[joint] = (*place, 1.0, 3.1, 0)
    body[0, 3] = 3.1 - 0.12 * side
    return body


def dressed(color: bool = True) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The figure as one column for trunk and legs and a head: its picture and mask."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:54, 66:94], mask[54:130, 56:104], mask[130:234, 60:100] = 3, 3, 3
    picture = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    picture[16:26, 66:94], picture[26:54, 66:94] = HAIR, SKIN
    picture[54:124, 56:104], picture[124:234, 56:104] = SHIRT, TROUSERS
    return (picture if color else np.full_like(picture, 150)), mask


def view(clay: NDArray[np.uint8], mask: NDArray[np.uint8], *, front: bool) -> View:
    inverse = np.where(mask != 0, np.float32(1 / 3.0), np.float32(0.1)).astype(np.float32)
    return View(clay, mask, inverse, person(front=front), camera(1).intrinsics[0])


def painted(colors: PartColors, seen: View) -> NDArray[np.float64]:
    whole = (slice(0, HEIGHT), slice(0, WIDTH))
    ratio = colors.ratio(seen, (seen.mask != 0).astype(np.uint8) * np.uint8(255))(whole)
    return np.asarray(ratio * (seen.clay + 6.0) - 6.0, np.float64)


def close(color: NDArray[np.float64], wanted: tuple[int, int, int], within: float = 25.0) -> bool:
    return bool(np.abs(color - wanted).max() < within)


def test_the_back_of_a_character_wears_what_the_front_wears() -> None:
    picture, mask = dressed()
    clay, _ = dressed(color=False)
    behind = painted(PartColors(picture, view(clay, mask, front=True), 3), view(clay, mask, front=False))
    assert close(behind[85, 80], SHIRT)
    assert close(behind[185, 72], TROUSERS)
    assert close(behind[185, 88], TROUSERS)
    assert close(behind[28, 80], HAIR)  # where the face is from the front


def test_materials_in_the_clay_lead_where_it_has_them() -> None:
    picture, mask = dressed()
    clay = np.clip(picture.astype(int) // 2 + 60, 0, 255).astype(np.uint8)
    seen = view(clay, mask, front=False)
    longer = clay.copy()
    longer[124:150, 56:104] = clay[80, 80]  # the shirt is longer at the back, as only the clay knows
    behind = painted(PartColors(picture, view(clay, mask, front=True), 3), replace(seen, clay=longer))
    assert close(behind[140, 80], SHIRT, 12)
    assert close(behind[200, 80], TROUSERS, 12)


@pytest.fixture(scope="module")
def rolling(scenes: Any) -> Any:
    return scenes.Scene(416, 240, 9, roll=0.3)


def test_depth_behind_a_character_comes_from_samples_in_which_it_stands_elsewhere(rolling: Any) -> None:
    pack = rolling.pack()
    setting = DepthSetting(pack, pack.camera)
    truth = 1 / rolling.without_sphere().trace(0).depth
    hidden = pack.mask[0] != 0
    shown = np.abs(setting.inverse0 / truth - 1)[hidden]
    assert np.median(shown) < 0.002
    where, known, inverse = setting.backward(5)
    now = pack.mask[5] != 0
    behind = 1 / rolling.without_sphere().trace(5).depth
    assert np.median(np.abs(inverse / behind - 1)[now]) < 0.002
    assert (known[now] != 0).mean() > 0.9
    assert where.shape == (240, 416, 2)


@pytest.mark.parametrize("parallel", [False, True])
def test_surfaces_have_one_colour_in_all_samples(scenes: Any, parallel: bool) -> None:
    scene = scenes.Scene(416, 240, 9, orthographic=parallel).without_sphere()
    first, last = scene.trace(0), scene.trace(8)
    clay = np.full((240, 416, 3), 100, np.uint8)
    colors = np.array([[150, 140, 130], [120, 60, 50], [0, 0, 0], [0, 0, 0]], np.uint8)
    inverse0, inverse8 = ((1 / hit.depth).astype(np.float32) for hit in (first, last))
    surfaces = Surfaces(CameraTrack(scene.world, scene.intrinsics, parallel), colors[first.kind], clay, inverse0)
    everywhere = np.full((240, 416), 255, np.uint8)
    ratio = surfaces.ratio(8, inverse8, clay, everywhere)((slice(0, 240), slice(0, 416)))
    found = ratio * 106.0 - 6.0
    assert (np.abs(found - colors[last.kind]).max(axis=2) < 3).mean() > 0.98


def test_the_character_is_drawn_by_its_parts_through_the_engine() -> None:
    """A figure that turns round within one sample: no origin for its back, so all of it is painted."""
    picture, mask = dressed()
    clay, _ = dressed(color=False)
    y, x = np.mgrid[:HEIGHT, :WIDTH].astype(np.float64)
    code = np.dstack([(x + 0.5) / WIDTH, (y + 0.5) / HEIGHT])
    origin = np.rint((code + 0.25) / 1.5 * 65535).astype(np.uint16)
    turned = np.where(mask[..., None] != 0, 0, origin).astype(np.uint16)
    depth = np.where(mask != 0, np.float32(3), np.float32(10)).astype(np.float32)
    pose = PoseTrack(np.stack([person(front=True), *[person(front=False)] * 11]))
    pack = DrivePack(
        WIDTH, HEIGHT, 12, 16.0, camera(12), (Character(3, "hero", pose),), clay=[clay] * 12, plate=[clay] * 12,
        mask=[mask] * 12, depth=[depth] * 12, origin=[origin, *[turned] * 11], look=picture,
        look_plate=np.full_like(picture, 90),
    )  # fmt: skip
    request = Request("i2v", "draft", WIDTH, HEIGHT, 12, 16.0, pack=pack)
    frames = [e.frames[0] for e in DraftEngine().generate(request, lambda: False) if isinstance(e, FramesDecoded)]
    last = frames[-1].astype(np.float64)
    assert close(last[85, 80], SHIRT)
    assert close(last[185, 80], TROUSERS)
    assert close(last[28, 80], HAIR)
    assert close(last[100, 20], (90, 90, 90), 2)
    assert np.abs(frames[-1].astype(int) - frames[-2]).max() <= 1
