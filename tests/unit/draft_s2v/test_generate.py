"""Whole requests: frames, what stays, what moves, what is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.draft_s2v.people import HEIGHT, WIDTH, draw_person, known_face, request_of, save, vowels
from wan_models.draft import DraftEngine
from wan_models.draft.s2v.gestures import perform
from wan_models.draft.s2v.picture import cover, given
from wan_models.draft.s2v.speech import listen
from wan_models.draft.s2v.talker import Talker
from wan_models.engine import RequestRefused
from wan_models.events import FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import Character, DrivePack, PoseTrack, Reference, Request, Sound, TalkSettings


def _run(request: Request) -> tuple[NDArray[np.uint8], list[Any]]:
    events = list(DraftEngine().generate(request, lambda: False))
    frames = [event for event in events if isinstance(event, FramesDecoded)]
    assert [event.first for event in frames] == list(range(request.frames))
    return np.concatenate([event.frames for event in frames]), events


def _darkness(frame: NDArray[np.uint8]) -> int:
    """Pixels as dark as an open mouth in the lower face."""
    return int((frame[82:104, 86:106].max(axis=2) < 90).sum())


def test_the_mouth_opens_with_each_vowel_and_is_shut_between(seen: None, sound: Sound) -> None:
    frames, events = _run(request_of(sound))
    assert frames.shape == (24, HEIGHT, WIDTH, 3)
    dark = np.array([_darkness(frame) for frame in frames])
    assert set(np.flatnonzero(dark > 0.5 * dark.max())) <= {5, 6, 7, 13, 14, 15, 16}
    assert dark[[6, 14]].min() > 40
    assert dark[[0, 1, 2, 10, 20, 22]].max() < 0.2 * dark.max()
    names = [event.name for event in events if isinstance(event, StageStarted)]
    assert names == ["listen", "find", "talk"]
    assert [e.step for e in events if isinstance(e, StepDone) and e.steps == 24] == list(range(1, 25))
    assert not any(isinstance(event, Warned) for event in events)


def test_frame_0_is_the_reference_when_asked_for_and_what_does_not_move_stays(seen: None, sound: Sound) -> None:
    request = request_of(sound, talk=TalkSettings(start_from_reference=True))
    frames, _ = _run(request)
    picture = draw_person()
    assert np.array_equal(frames[0], picture)
    assert not np.array_equal(frames[6], picture)
    left, top, right, bottom = Talker(picture, known_face()).box
    outside = np.ones(picture.shape[:2], bool)
    outside[top:bottom, left:right] = False
    small = replace(known_face(), **{})
    assert outside.any() or small.height * 2.6 > known_face().between[1]
    assert all(np.array_equal(frame[outside], picture[outside]) for frame in frames)
    corner = np.s_[: HEIGHT // 8, : WIDTH // 8]
    assert all(np.array_equal(frame[corner], picture[corner]) for frame in frames)


def test_the_same_request_gives_the_same_frames_and_another_seed_others(seen: None, sound: Sound) -> None:
    once, _ = _run(request_of(sound))
    again, _ = _run(request_of(sound))
    other, _ = _run(request_of(sound, seed=5))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_a_cancel_ends_it_before_the_next_frame(seen: None, sound: Sound) -> None:
    got: list[Any] = []
    got.extend(
        event
        for event in DraftEngine().generate(request_of(sound), lambda: len(got) >= 3)
        if isinstance(event, FramesDecoded)
    )
    assert [event.first for event in got] == [0, 1, 2]


def test_no_face_is_said_and_the_picture_moves_with_the_sound(sound: Sound) -> None:
    plain = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    plain[::6] = 200
    frames, events = _run(request_of(sound, image=plain, talk=TalkSettings(start_from_reference=True)))
    (said,) = [event.sentence for event in events if isinstance(event, Warned)]
    assert said.startswith("No face was found in the reference image")
    assert "face_landmarker.task" in said or "mediapipe" in said
    assert np.array_equal(frames[0], plain)
    moved = np.abs(frames.astype(int) - plain).mean(axis=(1, 2, 3))
    assert moved[6] > moved[10] > 0


def test_known_joints_place_the_lips_where_no_landmarks_are_found(sound: Sound) -> None:
    body = np.zeros((20, 3), np.float32)
    body[[0, 14, 15]] = [[96, 76, 1], [82, 60, 1], [110, 60, 1]]
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    reference = Reference(np.concatenate([draw_person(), alpha], axis=2), body, source="rig")
    track = PoseTrack(np.zeros((24, 20, 5), np.float32))
    pack = DrivePack(WIDTH, HEIGHT, 24, 16.0, characters=(Character(1, "Ann", track, reference),))
    frames, events = _run(request_of(sound, image=None, pack=pack))
    (said,) = [event.sentence for event in events if isinstance(event, Warned)]
    assert said.startswith("The lips are placed by the proportions of a face")
    assert _darkness(frames[6]) > _darkness(frames[10]) + 30


@pytest.mark.parametrize("size", [(96, 96), (333, 187), (64, 200)])
@pytest.mark.parametrize("fps", [12.5, 60.0])
def test_any_size_and_any_rate(seen: None, sound: Sound, size: tuple[int, int], fps: float) -> None:
    frames, _ = _run(request_of(sound, width=size[0], height=size[1], fps=fps, frames=round(0.5 * fps)))
    assert frames.shape == (round(0.5 * fps), size[1], size[0], 3)


def test_the_reference_covers_the_frame_and_its_joints_go_with_it(sound: Sound) -> None:
    image = np.zeros((100, 300, 4), np.uint8)
    image[40:60, 140:160] = (255, 0, 0, 255)
    body = np.full((20, 3), 1, np.float32)
    body[:, :2] = 150, 50
    track = PoseTrack(np.zeros((24, 20, 5), np.float32))
    pack = DrivePack(64, 64, 24, 16.0, characters=(Character(1, "Ann", track, Reference(image, body)),))
    covered = cover(given(request_of(sound, image=None, pack=pack)), 50, 50)
    assert covered.image.shape == (50, 50, 3)
    assert covered.body is not None
    assert np.allclose(covered.body[0, :2], 25)
    assert tuple(covered.image[25, 25]) == (255, 0, 0)
    assert tuple(covered.image[2, 2]) == (128, 128, 128)


def _refusal(request: Request) -> str:
    with pytest.raises(RequestRefused) as refused:
        DraftEngine().check(request)
    return str(refused.value)


def test_refusals_are_one_sentence(sound: Sound, tmp_path: Path) -> None:
    assert _refusal(request_of(sound, sound=None)) == (
        "s2v needs a sound that drives the shot; choose a sound strip, a speaker or a sound file"
    )
    assert "there is no picture of the person who talks" in _refusal(request_of(sound, image=None))
    assert "each side must be at least 16 pixels" in _refusal(request_of(sound, image=np.zeros((8, 80, 3), np.uint8)))
    assert "uint8" in _refusal(request_of(sound, image=np.zeros((80, 80), np.uint8)))
    assert "no shot" in _refusal(request_of(sound, fps=float("nan")))
    silent = save(tmp_path / "silent.wav", np.zeros(16000, np.float32))
    assert "silent" in _refusal(request_of(silent))
    assert "cannot be read" in _refusal(request_of(Sound(tmp_path / "none.wav")))


def test_no_fold_and_no_hole_at_the_widest_gestures(seen: None, tmp_path: Path) -> None:
    picture = draw_person()
    loud = save(tmp_path / "loud.wav", vowels([0.1 + 0.2 * n for n in range(14)], 3.0))
    frames, _ = _run(request_of(loud, frames=48, seed=11))
    shown = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    brightest = max(max(colour) for colour in shown)
    assert frames.max() <= brightest + 12  # nothing but cubic overshoot is brighter than the picture
    stripes = frames[:, HEIGHT // 2, : WIDTH // 5].astype(int).sum(axis=2) > 130
    edges = np.abs(np.diff(stripes.astype(int), axis=1)).sum(axis=1)
    assert len(set(edges.tolist())) <= 2  # the stripes beside the head keep their number
    assert cv2.PSNR(frames[0], picture) > 18


def _folds(field: NDArray[np.float32], step: int) -> float:
    """The least determinant of the way that points go; 0 or below is a fold."""
    dy, dx = (np.gradient(field, step, axis=axis) for axis in (0, 1))
    return float(((1 + dx[..., 0]) * (1 + dy[..., 1]) - dx[..., 1] * dy[..., 0]).min())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_gesture_folds_the_picture_over(seed: int) -> None:
    face = known_face()
    talker = Talker(draw_person(), face)
    speech = listen(vowels([0.3 + 0.25 * n for n in range(60)], 16.0), 24.0, 384)
    gestures = perform(speech, 24.0, seed, from_rest=False)
    for index in range(0, 384, 7):
        for field in talker.fields(gestures, index):
            assert _folds(field, talker.step) > 0.25


@pytest.mark.parametrize("fps", [16.0, 24.0, 30.0])
def test_the_drawn_mouth_is_in_time_with_clicks(seen: None, tmp_path: Path, fps: float) -> None:
    times = 0.4 + 0.43 * np.arange(6) + np.array([0, 0.013, 0.031, 0.007, 0.022, 0.04])
    wave = np.zeros(16000 * 3, np.float32)
    for at in times:
        wave[round(at * 16000) - 16 : round(at * 16000) + 16] = 0.8
    frames, _ = _run(request_of(save(tmp_path / "clicks.wav", wave), frames=round(3 * fps), fps=fps))
    opened = np.array([float(_darkness(frame)) for frame in frames])
    opened -= np.median(opened)
    shown = np.arange(len(frames)) / fps
    lags = np.linspace(-3, 3, 121)
    truths = [np.exp(-0.5 * ((shown[:, None] - times - lag / fps) * fps / 0.6) ** 2).sum(axis=1) for lag in lags]
    late = lags[int(np.argmax([truth @ opened / np.linalg.norm(truth) for truth in truths]))]
    assert opened.max() > 5
    assert abs(late) <= 0.5
