"""The draft's i2v against an analytic scene whose every later frame is known (figures: PSNR in dB)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from wan_models.draft import DraftEngine
from wan_models.events import FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import DrivePack, Request

WIDTH, HEIGHT, FRAMES = 416, 240, 9


def request(pack: DrivePack | None, **changes: Any) -> Request:
    size = {"width": WIDTH, "height": HEIGHT, "frames": FRAMES}
    return Request(**{"task": "i2v", "model": "draft", "fps": 16.0, "pack": pack} | size | changes)


def frames_of(asked: Request) -> list[NDArray[np.uint8]]:
    found = [e for e in DraftEngine().generate(asked, lambda: False) if isinstance(e, FramesDecoded)]
    assert [e.first for e in found] == list(range(asked.frames))
    return [e.frames[0] for e in found]


@pytest.fixture(scope="module")
def rolling(scenes: Any) -> Any:
    return scenes.Scene(WIDTH, HEIGHT, FRAMES, roll=0.08)


@pytest.fixture(scope="module")
def pack(rolling: Any) -> DrivePack:
    result: DrivePack = rolling.pack()
    return result


def seen(pack: DrivePack, t: int) -> NDArray[np.bool_]:
    return np.asarray((pack.origin[t] != 0).any(-1))


def within(area: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    side = 2 * pixels + 1
    shrunk = cv2.erode(area.astype(np.uint8), np.ones((side, side), np.uint8))
    return np.asarray(shrunk != 0)


def test_frame_0_is_the_picture_exactly(pack: DrivePack) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    np.testing.assert_array_equal(frames_of(request(pack, image=image, frames=2))[0], image[..., :3])


def test_what_was_seen_moves_with_camera_and_character(scenes: Any, rolling: Any, pack: DrivePack) -> None:
    frames = frames_of(request(pack))
    for t in (1, 4, 8):
        truth = rolling.look(t)
        assert scenes.psnr(frames[t], truth, seen(pack, t)) > 45
        assert scenes.psnr(frames[t], truth, within(seen(pack, t), 2)) > 49
        assert scenes.psnr(frames[t], truth, within(pack.mask[t] != 0, 2)) > 45  # the rolling sphere itself
        assert scenes.psnr(frames[t], truth) > 35


def test_uncovered_pixels_look_like_their_surroundings(scenes: Any, rolling: Any, pack: DrivePack) -> None:
    frames = frames_of(request(pack))
    hole = within(~seen(pack, 8), 1)
    assert hole.sum() > 1000
    assert scenes.psnr(frames[8], rolling.look(8), hole) > 20
    grey = np.abs(frames[8][hole].astype(int).mean(0) - rolling.look(8)[hole].mean(0))
    assert grey.max() < 20
    assert np.abs(pack.clay[8][hole].astype(int).mean(0) - rolling.look(8)[hole].mean(0)).max() > 40


def test_no_ghost_of_the_outline_is_left_behind(scenes: Any) -> None:
    """A dark disc leaves an even bright wall: where it stood nothing may be darker than the wall."""
    size, frames = 160, 5
    y, x = np.mgrid[:size, :size].astype(np.float64)

    def disc(t: int) -> NDArray[np.float64]:
        distance = np.hypot(x - 60 - 12 * t, y - 80)
        return np.clip(distance - 25 + 0.5, 0, 1)

    look = np.repeat((40 + 180 * disc(0))[..., None], 3, -1).astype(np.uint8)
    mask = [(disc(t) < 0.5).astype(np.uint8) for t in range(frames)]
    origin = []
    for t in range(frames):
        shift = np.where(mask[t] != 0, -12 * t, 0)
        before = np.dstack([x + shift + 0.5, y + 0.5])
        known = (mask[t] != 0) | (mask[0] == 0)
        code = np.rint((before / size + 0.25) / 1.5 * 65535)
        origin.append(np.where(known[..., None], code, 0).astype(np.uint16))
    clay = [np.full((size, size, 3), 150, np.uint8)] * frames
    pack = DrivePack(size, size, frames, 16.0, clay=clay, mask=mask, origin=origin, look=look)
    last = frames_of(request(pack, width=size, height=size, frames=frames))[4]
    wall = (np.hypot(x - 108, y - 80) > 29)[..., None] & np.ones(3, bool)
    assert last[wall].min() >= 217  # the wall is 220
    assert last[80, 108].max() < 45


def test_fills_do_not_flicker(scenes: Any) -> None:
    """With a still camera a hole's colour may drift, but from frame to frame by less than 2 of 255 on average."""
    scene = scenes.Scene(WIDTH, HEIGHT, FRAMES, roll=0.08)
    scene.world[:] = scene.world[0]
    pack = scene.pack()
    frames = frames_of(request(pack))
    for t in range(4, FRAMES - 1):
        both = within(~seen(pack, t) & ~seen(pack, t + 1) & (pack.mask[t] == 0) & (pack.mask[t + 1] == 0), 2)
        assert both.sum() > 100
        change = np.abs(frames[t + 1].astype(int) - frames[t])[both]
        assert change.mean() < 2.0


def test_without_origin_the_set_moves_by_depth_and_camera(scenes: Any, rolling: Any, pack: DrivePack) -> None:
    asked = request(replace(pack, origin=()))
    events = list(DraftEngine().generate(asked, lambda: False))
    warned = next(e.sentence for e in events if isinstance(e, Warned))
    assert warned.startswith("The drive pack has no origin maps")
    frames = frames_of(asked)
    for t in (1, 4, 8):
        truth = rolling.look(t)
        background = within(seen(pack, t) & (pack.mask[t] == 0), 3)
        assert scenes.psnr(frames[t], truth, background) > 45
        character = np.abs(frames[t].astype(int) - truth)[pack.mask[t] != 0].mean()
        assert character < 15  # its colours, though not its texture


@pytest.mark.parametrize("kind", [{"orthographic": True}, {"sky": True}])
def test_depth_and_camera_know_parallel_rays_and_the_sky(scenes: Any, kind: dict[str, bool]) -> None:
    scene = scenes.Scene(WIDTH, HEIGHT, 5, **kind)
    pack = scene.pack(mask=False)
    frames = frames_of(request(replace(pack, origin=()), frames=5))
    assert scenes.psnr(frames[4], scene.look(4), within(seen(pack, 4), 3)) > 41


def test_a_pack_of_half_the_size_still_moves_the_picture(scenes: Any) -> None:
    large, small = (scenes.Scene(WIDTH // k, HEIGHT // k, 5, roll=0.08) for k in (1, 2))
    frames = frames_of(request(small.pack(), image=large.look(0), frames=5))
    inner = within(seen(large.pack(), 4), 6)
    assert frames[4].shape == (HEIGHT, WIDTH, 3)
    assert scenes.psnr(frames[4], large.look(4), inner) > 33


def test_without_a_pack_the_picture_is_held_and_that_is_said() -> None:
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    events = list(DraftEngine().generate(request(None, image=image, frames=3), lambda: False))
    assert isinstance(events[0], Warned)
    assert "no drive pack: the draft holds the picture still" in events[0].sentence
    assert events[1] == StageStarted("draw", 3)
    assert [e.step for e in events if isinstance(e, StepDone)] == [1, 2, 3]
    for event in events:
        if isinstance(event, FramesDecoded):
            np.testing.assert_array_equal(event.frames[0], image)


def test_cancel_stops_between_frames(pack: DrivePack) -> None:
    asked = iter([False, False, True])
    events = list(DraftEngine().generate(request(pack), lambda: next(asked)))
    assert sum(isinstance(e, FramesDecoded) for e in events) == 2


def test_the_same_request_gives_the_same_bytes(pack: DrivePack) -> None:
    first, second = (np.stack(frames_of(request(pack, frames=4))) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_a_frame_of_which_little_was_seen_is_marked(pack: DrivePack) -> None:
    blind = [*pack.origin[:1], *(np.zeros_like(o) for o in pack.origin[1:])]
    events = DraftEngine().generate(request(replace(pack, origin=blind)), lambda: False)
    notes = [n for e in events if isinstance(e, FramesDecoded) for n in e.notes]
    assert [index for index, _ in notes] == list(range(1, FRAMES))
    assert notes[0][1].startswith("Only 0% of this frame was seen in the first one")


def test_odd_sizes_and_someone_who_enters_later(scenes: Any) -> None:
    """A character that sample 0 did not show is clay in the picture's mean colours; odd sizes lose nothing."""
    width, height, frames = 209, 123, 4
    scene = scenes.Scene(width, height, frames, roll=0.1)
    pack = scene.pack()
    masks = [np.zeros((height, width), np.uint8) for _ in range(frames)]
    masks[3][40:100, 150:190] = 7
    origin = list(pack.origin)
    origin[3] = np.where(masks[3][..., None] != 0, 0, origin[3]).astype(np.uint16)
    made = frames_of(request(replace(pack, mask=masks, origin=origin), width=width, height=height, frames=frames))
    assert made[3].shape == (height, width, 3)
    mean = made[0].reshape(-1, 3).mean(0) / pack.clay[0].reshape(-1, 3).mean(0)
    entered = made[3][50:90, 155:185].reshape(-1, 3).mean(0) / pack.clay[3][50:90, 155:185].reshape(-1, 3).mean(0)
    np.testing.assert_allclose(entered, mean, rtol=0.1)
