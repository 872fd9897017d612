"""What a job does: every length, order, lazy reading, cancel, refusals, warnings, and the official rules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wan_models.engine import RequestRefused
from wan_models.events import FramesDecoded, Preview, StageStarted, StepDone, Warned
from wan_models.pipelines import animate2
from wan_models.pipelines.animate2 import DIFFUSERS, OFFICIAL, Rules
from wan_models.pipelines.settings import resolve
from wan_models.registry import model_row
from wan_models.requests import AnimateSettings, Character, PoseTrack, Reference, Request, SamplerSettings

from .conftest import BASE, DISTILLED, SIZE, TinyParts, events_of, frames_in, picture, render, request_of

Make = Callable[..., TinyParts]
FEW = SamplerSettings(steps=1, guidance=1.0)


class Lazy(Sequence[np.ndarray]):
    """A map that counts what is decoded."""

    def __init__(self, frames: list[np.ndarray]) -> None:
        self.frames, self.read = frames, list[int]()

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Any) -> Any:
        self.read.append(index)
        return self.frames[index]


@pytest.mark.parametrize("count", [1, 4, 9, 10, 18])
def test_any_number_of_frames(parts: Make, count: int) -> None:
    frames = frames_in(events_of(parts(), request_of(BASE, render(count), sampler=FEW)))
    assert frames.shape == (count, SIZE[1], SIZE[0], 3)
    assert frames.dtype == np.uint8
    assert np.ptp(frames) > 10


def test_a_seed_is_a_video(parts: Make) -> None:
    request = request_of(BASE, render(10), sampler=SamplerSettings(steps=2))
    first = frames_in(events_of(parts(), request))
    assert np.array_equal(frames_in(events_of(parts(), request)), first)
    assert not np.array_equal(frames_in(events_of(parts(), replace(request, seed=8))), first)


def test_the_render_the_reference_and_the_words_count(parts: Make) -> None:
    request = request_of(BASE, render(9), sampler=SamplerSettings(steps=2))
    first = frames_in(events_of(parts(), request))
    others = (
        request_of(BASE, render(9)[::-1], sampler=request.sampler),
        replace(request, image=picture(128, 96, 99)),
        replace(request, prompt="a cat sits"),
        replace(request, negative_prompt="sharp"),
        replace(request, sampler=SamplerSettings(steps=2, guidance=1.0)),
    )
    for other in others:
        assert not np.array_equal(frames_in(events_of(parts(), other)), first)


def test_each_stage_reads_its_own_frames(parts: Make) -> None:
    clay = Lazy(render(18))
    read = []
    for event in animate2.generate(*_job(parts(), request_of(BASE, clay, sampler=FEW))):
        if isinstance(event, StageStarted) and event.name.startswith("denoise"):
            read.append(sorted(set(clay.read)))
            assert len(clay.read) == len(set(clay.read))
            clay.read.clear()
    assert read == [list(range(9)), list(range(8, 17)), list(range(10, 18))]


def test_events_come_in_their_order(parts: Make) -> None:
    events = events_of(parts(), request_of(BASE, render(12), sampler=SamplerSettings(steps=2), previews=True))
    stages = [event for event in events if isinstance(event, StageStarted)]
    assert [(stage.name, stage.steps) for stage in stages] == [
        ("encode", 0), ("denoise 1 of 2", 2), ("decode 1 of 2", 9),
        ("encode 2 of 2", 0), ("denoise 2 of 2", 2), ("decode 2 of 2", 3),
    ]  # fmt: skip
    chunks = [(event.first, len(event.frames)) for event in events if isinstance(event, FramesDecoded)]
    assert chunks == [(0, 1), (1, 4), (5, 4), (9, 3)]
    first = events.index(stages[3])
    assert any(isinstance(event, FramesDecoded) for event in events[:first])
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews
    assert all(event.image.shape == (SIZE[1] // 8, SIZE[0] // 8, 3) for event in previews)
    assert [event.step for event in events if isinstance(event, StepDone)][:2] == [1, 2]


def test_previews_are_seen_through_what_there_is(parts: Make) -> None:
    made, picture = parts(), np.full((4, 6, 3), 9, np.uint8)
    made.eye = lambda latents, index: picture
    events = events_of(made, request_of(BASE, render(5), sampler=SamplerSettings(steps=1), previews=True))
    previews = [event.image for event in events if isinstance(event, Preview)]
    assert previews
    assert all(image is picture for image in previews)


def _job(parts: TinyParts, request: Request, stop: Callable[[], bool] = lambda: False) -> tuple[Any, ...]:
    return parts, request, resolve(parts.row, request), stop


@pytest.mark.parametrize("kind", [StageStarted, StepDone, FramesDecoded])
def test_cancel_is_seen_at_once(parts: Make, kind: type) -> None:
    told: list[object] = []
    job: Iterator[object] = animate2.generate(*_job(parts(), request_of(BASE, render(18)), lambda: bool(told)))
    after = []
    for event in job:
        if told:
            after.append(event)
        elif isinstance(event, kind):
            told.append(event)
    assert told
    assert not [event for event in after if isinstance(event, Preview | FramesDecoded)]
    assert sum(isinstance(event, StepDone) for event in after) <= 1


def test_official_and_diffusers_rules_differ_where_they_should(parts: Make) -> None:
    for model in (BASE, DISTILLED):
        request = request_of(model, render(9), sampler=SamplerSettings(steps=2, guidance=1.0))
        official, other = (frames_in(events_of(parts(model), request, rules)) for rules in (OFFICIAL, DIFFUSERS))
        assert not np.array_equal(official, other)
    assert np.array_equal(frames_in(events_of(parts(DISTILLED), request, Rules(bias=0.0))), other)


def test_clip_sees_each_segments_first_frame(parts: Make) -> None:
    for rules, views in ((OFFICIAL, 3), (DIFFUSERS, 2)):  # the reference's, and each segment's or the first's
        tiny = parts()
        events_of(tiny, request_of(BASE, render(17), sampler=FEW), rules)
        assert len(tiny.seen) == views


def test_words_that_are_not_given_are_the_official_ones(parts: Make) -> None:
    tiny = parts()
    request = request_of(BASE, render(2), prompt="", negative_prompt=None)
    settings = resolve(tiny.row, request)
    assert settings.prompt == "static background."
    assert "人物动作" in tiny.row.extras["driving_prompt"]
    assert settings.negative_prompt.startswith("过曝，静态")


def _character(name: str, image: np.ndarray | None) -> Character:
    reference = None if image is None else Reference(image)
    return Character(1, name, PoseTrack(np.zeros((2, 20, 5), np.float32)), reference)


def test_the_reference_is_the_characters(parts: Make) -> None:
    image = np.dstack([picture(128, 96, 3), np.full((96, 128), 255, np.uint8)])
    request = request_of(BASE, render(2), sampler=FEW)
    assert request.pack is not None
    cast = (_character("Ann", None), _character("Bob", image))
    other = replace(request, image=None, pack=replace(request.pack, characters=cast))
    events = events_of(parts(), other)
    assert np.array_equal(frames_in(events), frames_in(events_of(parts(), request)))
    assert "the reference of Bob is used" in next(event.sentence for event in events if isinstance(event, Warned))


def test_doubts_are_said(parts: Make) -> None:
    request = request_of(
        BASE, render(2), image=picture(40, 80, 1), prompt=" ", fps=30.0, animate=AnimateSettings(overlap=5)
    )
    said = [event.sentence for event in events_of(parts(), replace(request, sampler=FEW)) if isinstance(event, Warned)]
    for sentence, word in zip(said, ("black bars", "description", "1 frame", "24 frames a second"), strict=True):
        assert word in sentence
    assert not [
        event for event in events_of(parts(), request_of(BASE, render(2), sampler=FEW)) if isinstance(event, Warned)
    ]


def _without(request: Request, **pack: Any) -> Request:
    assert request.pack is not None
    return replace(request, pack=replace(request.pack, **pack))


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda good: replace(good, pack=None), "driven by the camera render, and there is none"),
        (lambda good: _without(good, clay=()), "driven by the camera render, and there is none"),
        (lambda good: replace(good, frames=5), "5 frames are asked for and 2 were captured"),
        (lambda good: _without(good, clay=[np.zeros((4, 4), np.float32)] * 2), "float32 (4, 4), not uint8"),
        (lambda good: replace(good, image=None), "needs a picture of the character"),
        (lambda good: replace(good, image=np.zeros((4, 0, 3), np.uint8)), "must be uint8 (height, width, 3 or 4)"),
    ],
)
def test_bad_jobs_get_a_sentence(spoil: Callable[[Request], Request], sentence: str) -> None:
    good = request_of(BASE, render(2))
    animate2.check(model_row(BASE), good)
    with pytest.raises(RequestRefused, match=re.escape(sentence)):
        animate2.check(model_row(BASE), spoil(good))
