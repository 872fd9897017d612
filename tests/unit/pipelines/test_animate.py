"""Animate from a pack to frames: order, segments, memory, cancelling, plates, colours, what is said and refused."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.pipelines.animate_shot import (
    HEIGHT,
    ROW,
    WIDTH,
    Counted,
    TinyParts,
    box_of,
    depth,
    face,
    mask,
    plate,
    request,
    sampling,
    settings,
    shot,
)  # fmt: skip
from wan_models.events import Event, FramesDecoded, Preview, StageStarted, StepDone, Warned
from wan_models.pipelines import animate
from wan_models.pipelines.animate import generate
from wan_models.pipelines.settings import Settings
from wan_models.requests import Request


@pytest.fixture(scope="module")
def parts() -> TinyParts:
    torch.set_num_threads(1)
    return TinyParts(quick=True)


def _events(parts: TinyParts, job: Request, numbers: Settings | None = None) -> list[Event]:
    return list(generate(parts, job, numbers or sampling(1), lambda: False))


def _frames(events: list[Event]) -> NDArray[np.uint8]:
    """All frames, in order and complete."""
    decoded = [event for event in events if isinstance(event, FramesDecoded)]
    assert [event.first for event in decoded] == list(np.cumsum([0, *(len(event.frames) for event in decoded[:-1])]))
    return np.concatenate([event.frames for event in decoded])


def _said(events: list[Event]) -> list[str]:
    return [event.sentence for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("frames", "segment", "overlap", "count"),
    [(1, 9, 1, 1), (2, 9, 1, 1), (8, 9, 1, 1), (9, 9, 1, 1), (10, 9, 1, 2), (5, 9, 5, 1), (4, 9, 5, 1), (14, 9, 5, 3)],
)
def test_every_frame_comes_once_and_in_order(
    parts: TinyParts, frames: int, segment: int, overlap: int, count: int
) -> None:
    events = _events(parts.with_segment(segment), request(shot(frames), frames, animate=settings(overlap)))
    made = _frames(events)
    assert made.shape == (frames, HEIGHT, WIDTH, 3)
    assert made.dtype == np.uint8
    names = [event.name for event in events if isinstance(event, StageStarted)]
    assert sum(name.startswith("denoise") for name in names) == count


def test_a_segments_frames_are_out_before_the_next_one_is_begun(parts: TinyParts) -> None:
    events = _events(parts, request(shot(17), 17), sampling(2))
    kinds = [event.name if isinstance(event, StageStarted) else type(event).__name__ for event in events]
    first = [
        "encode", "encode 1 of 2", "denoise 1 of 2", "StepDone", "StepDone", "decode 1 of 2",
        *["FramesDecoded", "StepDone"] * 3,
    ]  # fmt: skip
    second = ["encode 2 of 2", "denoise 2 of 2", "StepDone", "StepDone", "decode 2 of 2"]
    assert kinds == [*first, *second, *["FramesDecoded", "StepDone"] * 2]
    sizes = [len(event.frames) for event in events if isinstance(event, FramesDecoded)]
    assert sizes == [1, 4, 4, 4, 4]


def test_what_pads_the_last_segment_is_not_decoded(parts: TinyParts, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    whole = type(parts.vae).decode

    def counted(self: Any, latents: torch.Tensor) -> Iterator[torch.Tensor]:
        for chunk in whole(self, latents):
            decoded.append(chunk.shape[2])
            yield chunk

    monkeypatch.setattr(type(parts.vae), "decode", counted)
    _events(parts.with_segment(17), request(shot(3), 3))
    assert decoded == [1, 4]


def test_same_seed_same_frames_another_seed_others(parts: TinyParts) -> None:
    job = request(shot(10), 10)
    first, again, other = (_frames(_events(parts, each)) for each in (job, job, replace(job, seed=8)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_maps_are_read_segment_by_segment(parts: TinyParts) -> None:
    """When a segment begins, nothing beyond it was read; no more than a chunk is asked for at once."""
    pack = shot(25)
    tracks = {"plate": pack.plate, "mask": pack.mask, "depth": pack.depth, "face": pack.characters[0].face}
    furthest = {}
    for event in generate(parts, request(pack, 25, "replace"), sampling(1), lambda: False):
        if isinstance(event, StageStarted) and event.name.startswith("decode"):
            furthest[event.name] = {name: max(track.reads, default=-1) for name, track in tracks.items()}
    assert [reads["plate"] for reads in furthest.values()] == [8, 16, 24]
    assert all(max(reads.values()) == reads["plate"] for reads in furthest.values())


def test_no_more_than_one_segments_tensors_are_held(parts: TinyParts) -> None:
    """However long the clip: what is alive between segments is the same after each."""

    def held() -> int:
        gc.collect()
        tensors = (each for each in gc.get_objects() if issubclass(type(each), torch.Tensor))
        return sum(each.nbytes for each in tensors)

    sizes = []
    for event in generate(parts, request(shot(33), 33), sampling(1), lambda: False):
        if isinstance(event, StageStarted) and event.name.startswith("encode "):
            del event
            sizes.append(held())
    assert len(sizes) == 4
    assert sizes[1] == sizes[2] == sizes[3]


def test_cancelling_stops_within_a_step_or_a_chunk(parts: TinyParts) -> None:
    for kind, count in ((StepDone, 2), (FramesDecoded, 2)):
        seen: list[Event] = []
        stop = threading.Event()
        for event in generate(parts, request(shot(9), 9), sampling(4), stop.is_set):
            seen.append(event)
            if sum(isinstance(each, kind) for each in seen) >= count:
                stop.set()
        assert isinstance(seen[-1], StepDone)
        assert sum(isinstance(each, kind) for each in seen) == count
    assert not any(
        isinstance(event, FramesDecoded) for event in generate(parts, request(shot(9), 9), sampling(4), lambda: True)
    )


@pytest.mark.parametrize("after", [1, 4, 5])
def test_cancelling_stops_between_chunks_of_encoding(parts: TinyParts, after: int) -> None:
    """Asked before the segment, and before each of three chunks of poses and of video, and two batches of faces."""
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > after

    events = list(generate(parts, request(shot(9), 9), sampling(2), cancelled))
    assert [type(event) for event in events] == [StageStarted]
    assert len(asked) == after + 1


def test_guidance_is_cancelled_between_its_two_halves(parts: TinyParts) -> None:
    calls = []
    hook = parts.network.patch_embedding.register_forward_pre_hook(lambda *_: calls.append(1))
    events = list(generate(parts, request(shot(9), 9), sampling(2, 2.0), lambda: len(calls) == 1))
    hook.remove()
    assert len(calls) == 1
    assert not any(isinstance(event, StepDone) for event in events)


def test_previews_are_of_the_segments_own_frames(parts: TinyParts) -> None:
    events = _events(parts, request(shot(12), 12, previews=True))
    indices = [event.index for event in events if isinstance(event, Preview)]
    assert len(indices) == 2
    assert 0 <= indices[0] < 9 <= indices[1] < 12


def test_previews_are_seen_through_what_there_is_without_the_reference(
    parts: TinyParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(parts, "eye", lambda latents, index: seen.append((latents.shape[2], index)))
    _events(parts, request(shot(5), 5, previews=True))
    assert seen == [((parts.row.segment - 1) // 4 + 1, (parts.row.segment + 3) // 8)]


def test_outside_the_mask_the_plate_keeps_its_bytes(parts: TinyParts) -> None:
    """Masks are widened by 9 pixels; the character's box itself is new."""
    made = _frames(_events(parts, request(shot(10), 10, "replace")))
    for t in range(10):
        left, top, right, bottom = box_of(t)
        outside = np.ones((HEIGHT, WIDTH), bool)
        outside[top - 9 : bottom + 9, left - 9 : right + 9] = False
        assert np.array_equal(made[t][outside], plate(t)[outside])
        inner = made[t][top:bottom, left:right]
        assert (inner != plate(t)[top:bottom, left:right]).mean() > 0.9


def test_what_stands_in_front_stays(parts: TinyParts) -> None:
    """The post at columns 18 and 19, one metre away, within the widened mask; without depth it is painted over."""
    with_depth = _events(parts, request(shot(3), 3, "replace"))
    without = _events(parts, request(shot(3, depth=()), 3, "replace"))
    for t in range(3):
        post = np.s_[14:34, 18:20]
        assert np.array_equal(_frames(with_depth)[t][post], plate(t)[post])
        assert not np.array_equal(_frames(without)[t][post], plate(t)[post])
    assert not any("depth" in sentence for sentence in _said(with_depth))
    assert sum("no depth maps" in sentence for sentence in _said(without)) == 1


def test_missing_faces_and_masks_are_taken_from_the_last_valid_ones(parts: TinyParts) -> None:
    black = np.zeros((512, 512, 3), np.uint8)
    faces = Counted(9, lambda t: black if t in (0, 4, 5) else face(t))
    pack = shot(9, mask=Counted(9, lambda t: np.zeros_like(mask(t)) if t >= 7 else mask(t)))
    pack = replace(pack, characters=(replace(pack.characters[0], face=faces),))
    events = _events(parts, request(pack, 9, "replace"))
    assert _said(events) == [
        "the face of Ada is missing in frames 0 and 4 to 5: the last valid one was used",
        "the mask of Ada is missing in frames 7 to 8: the last valid one was used",
    ]
    last = _frames(events)[8]
    left, top, right, bottom = box_of(6)
    assert not np.array_equal(last[top:bottom, left:right], plate(8)[top:bottom, left:right])
    outside = np.s_[:, right + 10 :]
    assert np.array_equal(last[outside], plate(8)[outside])


def test_without_a_face_clip_it_says_that_expression_is_not_driven(parts: TinyParts) -> None:
    pack = shot(10)
    pack = replace(pack, characters=(replace(pack.characters[0], face=()),))
    events = _events(parts, request(pack, 10))
    assert _said(events) == ["Ada has no face clip, so its expression is not driven: no face is shown"]
    assert len(_frames(events)) == 10


def test_one_person_of_several_is_driven(parts: TinyParts) -> None:
    pack = shot(2)
    second = replace(pack.characters[0], index=3, name="Bob")
    first = replace(pack.characters[0], reference=None, index=1, name="Cy")
    pack = replace(pack, characters=(first, *pack.characters, second))
    job = request(pack, 2, animate=settings(relight=True))
    assert _said(_events(parts, job)) == [
        "Animate knows one person: Ada is driven, Cy, Bob are not; use one job for each",
        "relighting is for replacement only: it has no effect on this job",
    ]


def test_matching_colours_changes_later_segments_only(parts: TinyParts, monkeypatch: pytest.MonkeyPatch) -> None:
    job = request(shot(17), 17, animate=settings(1))
    off = _frames(_events(parts, job))
    monkeypatch.setattr(animate, "match_seam", lambda *_: pytest.fail("off is off"))
    assert np.array_equal(_frames(_events(parts, job)), off)
    monkeypatch.undo()
    on = _frames(_events(parts, replace(job, animate=settings(1, match_color=True))))
    assert np.array_equal(on[:9], off[:9])
    assert not np.array_equal(on[9:], off[9:])
    assert len(on) == 17


def test_matching_colours_in_a_plate_with_the_longer_overlap(parts: TinyParts) -> None:
    job = request(shot(10), 10, "replace", animate=settings(5, match_color=True))
    assert len(_frames(_events(parts, job))) == 10


def test_the_relighting_lora_goes_with_replacement() -> None:
    job = request(shot(1), 1, "replace", animate=settings(relight=True))
    assert [lora.name for lora in animate.job_loras(ROW, job)] == ["wan2.2-animate-relighting"]
    assert animate.job_loras(ROW, replace(job, task="animate")) == ()
    assert animate.job_loras(ROW, replace(job, animate=settings())) == ()


def test_depth_is_never_read_in_animation(parts: TinyParts) -> None:
    pack = shot(3, depth=Counted(3, depth))
    _events(parts, request(pack, 3))
    assert not pack.depth.reads
    assert not pack.mask.reads
    assert not pack.plate.reads
