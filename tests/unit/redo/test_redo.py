"""A part of a clip put into the clip: the ramp, the mask, colours, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from protocol.redo import needed
from wan_models import redo
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, StageStarted, Warned
from wan_models.requests import Character, DrivePack, PoseTrack, Redo, Request
from wan_models.testing import TestEngine

HEIGHT, WIDTH, FRAMES = 48, 64, 20


def old(frame: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(frame).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def box(frame: int, index: int = 3) -> np.ndarray[Any, Any]:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:32, 10 + frame : 18 + frame] = index
    return mask


def request(first: int, last: int, frames: int = FRAMES, **told: Any) -> Request:
    """A part of a clip of noise, with a character whose mask is a box that moves."""
    pose = PoseTrack(np.zeros((frames, 20, 5), np.float32))
    pack = DrivePack(
        WIDTH, HEIGHT, frames, 16.0, characters=(Character(3, "Ann", pose),), mask=[box(t) for t in range(frames)]
    )
    kept = {frame: old(frame) for frame in range(frames)}
    part = Redo(first, last, kept, **told)
    return Request("animate", "test", WIDTH, HEIGHT, frames, 16.0, pack=pack, redo=part)


def flat(value: int, count: int) -> Iterator[Event]:
    yield StageStarted("make", count)
    for index in range(count):
        yield FramesDecoded(index, np.full((1, HEIGHT, WIDTH, 3), value, np.uint8), ((index, "doubtful"),))


def frames_of(events: Iterator[Event]) -> list[np.ndarray[Any, Any]]:
    made = [event for event in events if isinstance(event, FramesDecoded)]
    assert [event.first for event in made] == list(range(len(made)))
    return [frame for event in made for frame in event.frames]


# ---- the ramp ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "overlap", "expected"),
    [
        (5, 12, 3, [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]),
        (0, 5, 2, [1, 1, 1, 1, 2 / 3, 1 / 3]),
        (14, 19, 2, [1 / 3, 2 / 3, 1, 1, 1, 1]),
        (0, 19, 4, [1] * 20),
        (5, 9, 4, [1 / 3, 2 / 3, 1, 2 / 3, 1 / 3]),  # two frames at each end leave one that is all new
        (5, 6, 4, [1, 1]),
        (5, 5, 4, [1]),
        (17, 19, 4, [1 / 3, 2 / 3, 1]),
        (5, 12, 0, [1] * 8),
    ],
)
def test_the_ramp(first: int, last: int, overlap: int, expected: list[float]) -> None:
    np.testing.assert_allclose(redo.shares(request(first, last, overlap=overlap)), expected, atol=1e-6)


def test_every_part_has_a_frame_that_is_all_new_and_rises_and_falls_by_even_steps() -> None:
    for frames in (1, 2, 5, 9):
        for first in range(frames):
            for last in range(first, frames):
                for overlap in (0, 1, 4, 64):
                    found = redo.shares(request(first, last, frames, overlap=overlap))
                    assert found.max() == 1.0
                    assert (found > 0).all()
                    steps = np.abs(np.diff(found))
                    assert np.allclose(steps[steps > 0], steps.max(initial=0))


def test_frames_are_mixed_by_their_share_and_the_rest_is_as_made() -> None:
    asked = request(5, 12, overlap=3)
    made = frames_of(redo.finished(asked, flat(200, 8)))
    for index, share in enumerate(redo.shares(asked)):
        expected = np.rint(old(5 + index) + share * (200.0 - old(5 + index)))
        assert np.abs(made[index] - expected).max() <= 1
    assert (made[3] == 200).all()
    assert (made[4] == 200).all()


def test_other_events_and_notes_come_through() -> None:
    events = list(redo.finished(request(5, 6), flat(9, 2)))
    assert events[0] == StageStarted("make", 2)
    assert [event.notes for event in events if isinstance(event, FramesDecoded)] == [
        ((0, "doubtful"),),
        ((1, "doubtful"),),
    ]


# ---- one character ----------------------------------------------------------------------------------


def test_outside_the_widened_mask_every_byte_is_kept() -> None:
    asked = request(5, 12, overlap=2, character=3)
    made = frames_of(redo.finished(asked, flat(200, 8)))
    for index, frame in enumerate(made):
        inside = redo.widened(box(5 + index) == 3)
        assert 0.1 < inside.mean() < 0.9
        assert (frame[~inside] == old(5 + index)[~inside]).all()
    core = box(8) == 3
    assert (made[3][core] == 200).all(), "the character itself is all new"


def test_where_it_was_changes_too() -> None:
    before = [np.roll(box(5 + index), 20, axis=1) for index in range(8)]
    asked = request(5, 12, overlap=0, character=3, mask=before)
    made = frames_of(redo.finished(asked, flat(200, 8)))
    for index, frame in enumerate(made):
        assert (frame[before[index] == 3] == 200).all()
        inside = redo.widened((before[index] == 3) | (box(5 + index) == 3))
        assert (frame[~inside] == old(5 + index)[~inside]).all()


def test_a_character_that_is_not_seen_changes_nothing() -> None:
    asked = request(5, 6, character=3)
    assert asked.pack is not None
    nobody = replace(asked, pack=replace(asked.pack, mask=[np.zeros((HEIGHT, WIDTH), np.uint8)] * FRAMES))
    made = frames_of(redo.finished(nobody, flat(200, 2)))
    assert (made[0] == old(5)).all()


# ---- colours ----------------------------------------------------------------------------------------


def test_colours_are_matched_at_the_first_frame() -> None:
    """What is made is the clip itself, darker and flatter: it comes back as bright as the clip."""
    asked = request(5, 12, overlap=0, match_color=True)
    dull = [np.asarray(np.rint(40 + old(5 + index) * 0.5), np.uint8) for index in range(8)]
    events: Iterator[Event] = (FramesDecoded(index, each[None]) for index, each in enumerate(dull))
    made = frames_of(redo.finished(asked, events))
    for index in range(8):
        assert np.abs(made[index].mean((0, 1)) - old(5 + index).mean((0, 1))).max() < 6
        assert np.abs(dull[index].mean((0, 1)) - old(5 + index).mean((0, 1))).max() > 15


def test_a_part_that_begins_the_clip_says_that_colours_stay() -> None:
    events = list(redo.finished(request(0, 3, match_color=True), flat(9, 4)))
    assert isinstance(events[0], Warned)
    assert "begins with the clip" in events[0].sentence


# ---- refusals, and what must be sent ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "last", "told", "part"),
    [
        (5, 20, {}, "frames 5 to 20 are no part of a clip of 20 frames"),
        (6, 5, {}, "frames 6 to 5 are no part"),
        (-1, 5, {}, "frames -1 to 5 are no part"),
        (5, 8, {"character": 4}, "no character of the shot has the mask value 4"),
    ],
)
def test_refusals(first: int, last: int, told: dict[str, Any], part: str) -> None:
    with pytest.raises(RequestRefused, match=part):
        redo.check(request(first, last, **told))


def test_frames_that_lack_are_named() -> None:
    asked = request(5, 12)
    for gone in (4, 5, 7, 11, 12, 13):
        assert asked.redo is not None
        kept = {frame: each for frame, each in asked.redo.kept.items() if frame != gone}
        lacking = replace(asked, redo=replace(asked.redo, kept=kept))
        with pytest.raises(RequestRefused, match=f"frame {gone} of the clip is needed"):
            redo.check(lacking)
    without = replace(asked, redo=replace(asked.redo, character=3), pack=None)
    with pytest.raises(RequestRefused, match="only with the masks of the shot"):
        redo.check(without)


def test_a_kept_frame_of_another_size_is_refused() -> None:
    asked = request(5, 12)
    assert asked.redo is not None
    wrong = replace(asked, redo=replace(asked.redo, kept={**asked.redo.kept, 5: np.zeros((8, 8, 3), np.uint8)}))
    with pytest.raises(RequestRefused, match="frame 5 of the clip is 8x8, 64x48 is needed"):
        frames_of(redo.finished(wrong, flat(1, 8)))


def test_what_a_client_must_send_is_enough_for_every_part() -> None:
    for first in range(9):
        for last in range(first, 9):
            for overlap in (0, 1, 3):
                for character in (0, 3):
                    asked = request(first, last, 9, overlap=overlap, character=character)
                    sent = needed(first, last, 9, overlap=overlap, character=character)
                    assert list(sent) == sorted(set(sent))
                    assert asked.redo is not None
                    kept = {frame: old(frame) for frame in sent}
                    some = replace(asked, redo=replace(asked.redo, kept=kept, match_color=True))
                    redo.check(some)
                    frames_of(redo.finished(some, flat(7, last - first + 1)))
    assert needed(5, 12, 20, overlap=2) == (3, 4, 5, 6, 11, 12, 13, 14)
    assert needed(0, 3, 4, overlap=4) == (0, 1, 2, 3)
    assert needed(5, 6, 20, overlap=0, character=1) == (4, 5, 6, 7)


def test_the_test_engine_makes_the_same_frames_as_in_the_whole_clip() -> None:
    asked = request(5, 12, overlap=0)
    engine = TestEngine()
    engine.check(asked)
    whole = frames_of(engine.generate(replace(asked, redo=None), lambda: False))
    made = frames_of(engine.generate(asked, lambda: False))
    assert len(made) == 8
    assert all((a == b).all() for a, b in zip(made, whole[5:13], strict=True))


def test_a_pack_cut_to_a_part_keeps_sample_and_frame_together() -> None:
    asked = request(0, 1)
    assert asked.pack is not None
    body = np.arange(FRAMES, dtype=np.float32)[:, None, None] * np.ones((1, 20, 5), np.float32)
    pack = replace(asked.pack, characters=(replace(asked.pack.characters[0], pose=PoseTrack(body)),))
    cut = redo.cut_pack(pack, 4, 9)
    assert (cut.frames, len(cut.mask)) == (6, 6)
    assert (cut.mask[2] == box(6)).all()
    assert cut.characters[0].pose.body[0, 0, 0] == 4
