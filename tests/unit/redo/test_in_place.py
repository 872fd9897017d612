"""What a video model is asked in place of a part: pictures, lengths, samples and sound. No network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.redo.test_redo import HEIGHT, WIDTH, box, flat, frames_of, old
from tests.unit.redo.test_redo import request as shot
from wan_models import redo
from wan_models.engine import RequestRefused
from wan_models.events import Preview
from wan_models.pipelines import animate2_inputs
from wan_models.pipelines.animate_segments import segments
from wan_models.pipelines.redo import _only, asked
from wan_models.pipelines.s2v_clips import HELD, MOTION_FRAMES, Carry
from wan_models.registry import model_row
from wan_models.requests import AnimateSettings, Redo, Request, Sound

I2V, TI2V, ANIMATE = (model_row(f"wan2.2-{name}") for name in ("i2v-a14b", "ti2v-5b", "animate-14b"))
ANIMATE2, S2V, T2V = (model_row(f"wan2.2-{name}") for name in ("animate-2-14b", "s2v-14b", "t2v-a14b"))
FIRST, LAST = np.full((64, 64, 3), 11, np.uint8), np.full((64, 64, 3), 99, np.uint8)


def clip(first: int, last: int, frames: int = 17, **told: Any) -> Request:
    """A part of an I2V clip whose frame t is as bright as its number."""
    kept = {t: np.full((64, 64, 3), t, np.uint8) for t in range(frames)}
    part = Redo(first, last, kept, overlap=2)
    return Request("i2v", "m", 64, 64, frames, 16.0, image=FIRST, redo=part, **told)


@pytest.mark.parametrize(
    ("first", "last", "frames", "begins", "ends", "skip"),
    [
        (5, 7, 5, 4, 8, 1),  # 4 to 8 are five frames: nothing more is needed
        (5, 8, 9, 4, 12, 1),  # 4 to 9 are six: three more behind
        (5, 13, 13, 4, 16, 1),
        (10, 15, 9, 8, 16, 2),  # 9 to 16 are eight, and the clip ends there: one more before
        (5, 5, 5, 4, 8, 1),
        (0, 3, 5, FIRST[0, 0, 0], 4, 0),  # with the clip's own first picture
        (0, 4, 9, FIRST[0, 0, 0], 8, 0),
    ],
)
def test_from_picture_to_picture(  # noqa: PLR0917 - a table
    first: int, last: int, frames: int, begins: int, ends: int, skip: int
) -> None:
    plan = asked(I2V, clip(first, last))
    request = plan.request
    assert (request.task, request.frames, plan.skip, request.redo) == ("flf2v", frames, skip, None)
    assert request.image is not None
    assert request.last_image is not None
    assert (request.image[0, 0, 0], request.last_image[0, 0, 0]) == (begins, ends)
    assert skip + last - first + 1 <= frames


def test_every_part_of_a_clip_can_be_asked_for_and_its_frames_are_the_part_s() -> None:
    for row in (I2V, TI2V):
        for first in range(17):
            for last in range(first, 17):
                request = replace(clip(first, last), fps=float(row.fps))
                plan = asked(row, request)
                assert plan.request.frames % 4 == 1
                assert plan.skip + last - first + 1 <= plan.request.frames
                meets = row is I2V and last < 16
                assert plan.request.task == ("flf2v" if meets else "i2v")
                assert bool(plan.sentences) == (row is TI2V and last < 16)


def test_a_part_to_the_end_keeps_the_last_picture_that_was_asked_for() -> None:
    plan = asked(I2V, replace(clip(12, 16), task="flf2v", last_image=LAST))
    assert plan.request.task == "flf2v"
    assert plan.request.last_image is LAST
    assert (plan.request.frames, plan.skip) == (9, 4)
    assert asked(I2V, clip(12, 16)).request.last_image is None


def test_a_frame_that_was_not_sent_is_named() -> None:
    request = clip(5, 8)
    assert request.redo is not None
    few = {t: each for t, each in request.redo.kept.items() if t != 12}
    with pytest.raises(RequestRefused, match="frame 12 of the clip is missing"):
        asked(I2V, replace(request, redo=replace(request.redo, kept=few)))


@pytest.mark.parametrize(("first", "overlap", "before"), [(0, 5, 0), (1, 5, 1), (4, 5, 1), (5, 5, 5), (12, 1, 1)])
def test_animate_goes_on_from_the_frames_before(first: int, overlap: Any, before: int) -> None:
    request = replace(shot(first, 14), animate=AnimateSettings(overlap=overlap))
    plan = asked(ANIMATE, request)
    assert (len(plan.request.before), plan.skip) == (before, before)
    assert plan.request.frames == 15 - first + before
    for place, frame in enumerate(plan.request.before):
        assert (frame == old(first - before + place)).all()
    pack = plan.request.pack
    assert pack is not None
    assert (pack.mask[before] == box(first)).all(), "the first new frame follows its own sample"
    every = list(segments(plan.request.frames, 77, plan.request.animate.overlap, before))
    assert (every[0].overlap, every[0].first, every[0].fresh) == (before, before, 15 - first)


def test_animate_2_goes_on_from_one_frame() -> None:
    plan = asked(ANIMATE2, shot(6, 14))
    assert (len(plan.request.before), plan.skip, plan.request.frames) == (1, 1, 10)
    every = list(animate2_inputs.segments(10, 81, True, 1))
    assert (every[0].overlap, every[0].first, every[0].fresh) == (1, 1, 9)


def test_one_character_is_replaced_within_the_clip_s_own_frames() -> None:
    request = shot(6, 9, character=3)
    assert request.redo is not None
    moved = replace(request, redo=replace(request.redo, mask=[np.roll(box(6 + i), 20, axis=1) for i in range(4)]))
    plan = asked(ANIMATE, moved)
    pack = plan.request.pack
    assert pack is not None
    assert (plan.request.task, plan.skip, len(pack.plate), len(pack.mask)) == ("replace", 1, 5, 5)
    assert (pack.plate[2] == old(7)).all()
    expected = (box(7) == 3) | (np.roll(box(7), 20, axis=1) == 3)
    assert ((pack.mask[2] == 3) == expected).all()
    assert (pack.mask[0] == box(5)).all(), "before the part the pack's own mask counts"


def test_a_talking_part_hears_its_own_sound_and_sees_what_was_before(tmp_path: Path) -> None:
    request = replace(shot(8, 15), task="s2v", sound=Sound(tmp_path / "line.wav", 0.5), image=FIRST)
    plan = asked(replace(S2V, max_frames=200), replace(request, width=64, height=64, redo=_sized(request)))
    assert plan.request.sound is not None
    assert (plan.request.sound.start, plan.request.frames, plan.skip) == (0.5 + 8 / 16, 8, 0)
    assert len(plan.request.before) == 8


def _sized(request: Request) -> Redo:
    assert request.redo is not None
    return replace(request.redo, kept={t: np.full((64, 64, 3), t, np.uint8) for t in request.redo.kept})


@pytest.mark.parametrize("count", [1, 5, 6, 73])
def test_the_motion_frames_of_a_talking_part(count: int) -> None:
    carry = Carry(None, 8, 8)
    carry.begin(torch.arange(1, count + 1).view(1, 1, -1, 1, 1).expand(1, 3, -1, 8, 8) / 100)
    frames = torch.cat(list(carry.chunks()), dim=2)[0, 0, :, 0, 0]
    assert len(frames) == MOTION_FRAMES
    assert frames[-1] == pytest.approx(count / 100)
    known = max(count, HELD)
    assert (frames[: MOTION_FRAMES - known] == 0).all()
    assert (frames[MOTION_FRAMES - known :] > 0).all()


@pytest.mark.parametrize(
    ("row", "told", "part"),
    [
        (T2V, {"first": 2, "last": 4}, "make this part with wan2.2-i2v-a14b or wan2.2-ti2v-5b"),
        (I2V, {"first": 2, "last": 4, "character": 3}, "with wan2.2-animate-14b or the draft"),
        (I2V, {"first": 0, "last": 4}, "let the part begin one frame later, or give a first image"),
    ],
)
def test_what_cannot_be_done_says_what_can(row: Any, told: dict[str, Any], part: str) -> None:
    with pytest.raises(RequestRefused, match=part):
        asked(row, shot(**told))


def test_animate_without_a_shot_is_refused() -> None:
    with pytest.raises(RequestRefused, match="follows a captured shot"):
        asked(ANIMATE, clip(2, 4))


def test_only_the_part_s_frames_come_and_nothing_is_waited_for_behind_them() -> None:
    events = list(_only(flat(5, 9), 2, 4))
    assert len(frames_of(iter(events))) == 4
    looked = list(_only(iter([Preview(0, FIRST), Preview(8, FIRST)]), 2, 4))
    assert [event.index for event in looked if isinstance(event, Preview)] == [0, 3]


def test_sizes_are_the_shots_own() -> None:
    assert old(0).shape[:2] == (HEIGHT, WIDTH)
    assert redo.span(shot(3, 5)) == range(3, 6)
