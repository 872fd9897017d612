"""The body follows the pack's poses, the mouth the sound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.draft_animate.doll import HEIGHT, WIDTH, doll_body, draw_doll, pack_of, still
from tests.unit.draft_s2v.people import save, vowels
from wan_models.draft import DraftEngine
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, Warned
from wan_models.requests import Character, DrivePack, Reference, Request, Sound, TalkSettings

FRAMES = 12


@pytest.fixture(scope="module")
def pack() -> DrivePack:
    """The doll, close to the camera, walks to the right."""
    doll = Reference(draw_doll(), doll_body(), source="hand")
    body = doll_body()
    body[:, :2] += (58, -60)
    track = still(body, frames=FRAMES)
    track.body[:, :, 0] += np.arange(FRAMES, dtype=np.float32)[:, None] * 2
    return pack_of(Character(1, "doll", track, doll))


@pytest.fixture
def spoken(tmp_path: Path) -> Sound:
    """A vowel at frame 6."""
    return save(tmp_path / "one.wav", vowels([0.75], 1.5))


def _request(pack: DrivePack | None, sound: Sound, **talk: bool) -> Request:
    settings = TalkSettings(follow_pose=True, **talk)
    return Request("s2v", "draft", WIDTH, HEIGHT, FRAMES, 8.0, pack=pack, sound=sound, talk=settings)


def _frames(events: list[Event]) -> NDArray[np.uint8]:
    return np.concatenate([event.frames for event in events if isinstance(event, FramesDecoded)])


def test_the_body_moves_as_the_poses_say_and_the_mouth_with_the_sound(pack: DrivePack, spoken: Sound) -> None:
    events = list(DraftEngine().generate(_request(pack, spoken), lambda: False))
    animated = replace(_request(pack, spoken), task="animate")
    plain = _frames(list(DraftEngine().generate(animated, lambda: False)))
    frames = _frames(events)
    assert frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    changed = np.abs(frames.astype(int) - plain).max(axis=3) > 24
    counts = changed.sum(axis=(1, 2))
    assert counts[6] > 12
    assert counts[[0, 1, 2, 3, 10, 11]].max() <= counts[6] // 4
    rows = np.flatnonzero(changed[6].any(axis=1))
    nose, neck = pack.characters[0].pose.body[6, [0, 1], 1]
    assert rows.min() > nose - 0.5 * (neck - nose)  # nothing but the lower face
    assert rows.max() < neck + 0.5 * (neck - nose)


def test_what_is_not_so_is_said(pack: DrivePack, spoken: Sound) -> None:
    events = DraftEngine().generate(_request(pack, spoken, start_from_reference=True), lambda: False)
    said = [event.sentence for event in events if isinstance(event, Warned)]
    assert any(sentence.startswith("The first frame is not the reference image") for sentence in said)
    assert any(sentence.startswith("The lips are placed by the proportions") for sentence in said)


def test_no_poses_are_refused(pack: DrivePack, spoken: Sound) -> None:
    lone = replace(_request(None, spoken), image=draw_doll())
    with pytest.raises(RequestRefused, match="no drive pack with a character"):
        DraftEngine().check(lone)
    bare = replace(pack.characters[0], reference=None)
    nobody = replace(_request(replace(pack, characters=(bare,)), spoken), image=draw_doll())
    with pytest.raises(RequestRefused, match="has no joints and they cannot be estimated"):
        DraftEngine().check(nobody)


def test_the_jobs_image_uses_the_joints_of_the_reference_that_it_is(pack: DrivePack, spoken: Sound) -> None:
    DraftEngine().check(replace(_request(pack, spoken), image=draw_doll()))
