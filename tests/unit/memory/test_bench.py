"""The synthetic jobs are real ones, and the clock tells stages apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.bench_command import spec_of
from protocol.assets import AssetFolder
from wan_models.bench import Clock, request, usual_frames
from wan_models.events import FramesDecoded, StageStarted, StepDone, Warned
from wan_models.models import MODELS
from wan_models.pipelines.checks import check_asked
from wan_models.registry import model_row
from wan_models.sound import check_sound, read_wave

CASES = [(row, task) for row in MODELS for task in row.tasks]


@pytest.mark.parametrize(("row", "task"), CASES, ids=[f"{row.name}-{task}" for row, task in CASES])
def test_every_task_gets_what_it_needs(tmp_path: Path, row: object, task: object) -> None:
    width, height = row.sizes[0]  # type: ignore[attr-defined]
    asked = request(row, task, width=width, height=height, frames=5, steps=2, folder=tmp_path)  # type: ignore[arg-type]
    check_asked(row, asked)  # type: ignore[arg-type]
    spec = spec_of(asked, AssetFolder(tmp_path))
    assert (spec.task, spec.model, spec.sampler.steps) == (task, asked.model, 2)
    assert (spec.pack is None) == (asked.pack is None)
    assert (spec.sound is None) == (asked.sound is None) == (task != "s2v")


@pytest.mark.parametrize("pose", [False, True])
def test_s2v_gets_a_voice_as_long_as_two_clips(tmp_path: Path, pose: bool) -> None:
    row = model_row("wan2.2-s2v-14b")
    frames = usual_frames(row)
    assert frames == 157
    asked = request(row, "s2v", width=832, height=448, frames=frames, steps=2, folder=tmp_path, pose=pose)
    assert asked.sound is not None
    check_sound(asked.sound, frames / row.fps)
    heard = read_wave(asked.sound)
    assert abs(len(heard) / 16000 - frames / row.fps) < 1 / row.fps
    assert 0.01 < float(np.abs(heard).mean()) < 0.5
    spec = spec_of(asked, AssetFolder(tmp_path / "assets"))
    assert spec.sound is not None
    assert spec.sound.name == "voice.wav"
    assert spec.talk.follow_pose == pose == (spec.pack is not None)


def test_the_clock_tells_stages_steps_and_the_first_frame() -> None:
    times = iter(np.arange(0.0, 100.0, 1.0))
    clock = Clock(lambda: float(next(times)))
    for event in (
        StageStarted("denoise", 2),
        StepDone(1, 2),
        StepDone(2, 2),
        StageStarted("decode"),
        Warned("something"),
        FramesDecoded(0, np.zeros((1, 2, 2, 3), np.uint8)),
        FramesDecoded(1, np.zeros((4, 2, 2, 3), np.uint8)),
    ):
        clock.hear(event)
    figures = clock.figures()
    assert figures["frames"] == 5
    assert figures["frames_in_order"]
    assert figures["warnings"] == ["something"]
    assert figures["seconds_a_step"] == [[1.0, 1.0]]
    assert 0 < figures["first_frame_share_of_decode"] < 1
    late = Clock(lambda: 0.0)
    late.frames(3, 1)
    assert not late.figures()["frames_in_order"]


def test_steps_are_told_apart_by_clip_not_by_what_was_read_between() -> None:
    now = [0.0]
    clock = Clock(lambda: now[0])
    for stage, step, seconds in (
        ("denoise 1 of 2", 0, 1.0), ("load transformer", 0, 7.0), ("denoise 1 of 2", 1, 2.0),
        ("denoise 1 of 2", 2, 2.0),
        ("decode 1 of 2", 3, 4.0), ("denoise 2 of 2", 1, 3.0), ("denoise 2 of 2", 2, 3.0),
    ):  # fmt: skip
        clock.progress(stage, 0)
        now[0] += seconds
        clock.progress(stage, step)
    assert clock.figures()["seconds_a_step"] == [[2.0, 2.0], [3.0, 3.0]]


def test_a_stage_goes_on_where_it_was_when_weights_were_read_meanwhile() -> None:
    clock = Clock(lambda: 0.0)
    for stage, step in (("denoise", 5), ("denoise", 6), ("load transformer 2", 1), ("denoise", 6), ("denoise", 8)):
        clock.progress(stage, step)
    assert len(clock.figures()["seconds_a_step"][0]) == 8


def test_a_backend_may_leave_steps_out() -> None:
    clock = Clock(lambda: 0.0)
    for stage, step in (("", 0), ("load", 0), ("denoise", 0), ("denoise", 3), ("denoise", 3), ("decode", 1)):
        clock.progress(stage, step)
    figures = clock.figures()
    assert [stage["name"] for stage in figures["stages"]] == ["load", "denoise", "decode"]
    assert len(figures["seconds_a_step"][0]) == 3
