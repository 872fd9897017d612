"""A sound-driven shot from request to frames: order, clips, memory, cancelling, what is carried on, poses."""

from __future__ import annotations

import gc
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.pipelines.s2v_shot import SIDE, TinyParts, hum, picture, request, sampling, shot, write_wave
from wan_models.events import Event, FramesDecoded, Preview, StageStarted, StepDone, Warned
from wan_models.pipelines import s2v
from wan_models.pipelines.s2v import generate
from wan_models.pipelines.s2v_clips import MOTION_FRAMES, Carry, clips
from wan_models.pipelines.settings import Settings
from wan_models.requests import Request, Sound


@pytest.fixture(scope="module")
def parts() -> TinyParts:
    torch.set_num_threads(1)
    return TinyParts()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return write_wave(tmp_path_factory.mktemp("sound") / "hum.wav", hum(3.0))


def _events(parts: TinyParts, job: Request, numbers: Settings | None = None) -> list[Event]:
    return list(generate(parts, job, numbers or sampling(1), lambda: False))


def _frames(events: list[Event]) -> NDArray[np.uint8]:
    """All frames, in order and complete."""
    decoded = [event for event in events if isinstance(event, FramesDecoded)]
    assert [event.first for event in decoded] == list(np.cumsum([0, *(len(event.frames) for event in decoded[:-1])]))
    return np.concatenate([event.frames for event in decoded])


def _kinds(events: list[Event]) -> list[str]:
    return [event.name if isinstance(event, StageStarted) else type(event).__name__ for event in events]


def _said(events: list[Event]) -> list[str]:
    return [event.sentence for event in events if isinstance(event, Warned)]


@pytest.mark.parametrize(
    ("frames", "drop", "told"),
    [
        (1, 3, [(0, 3, 1, 0)]),
        (77, 3, [(0, 3, 77, 0)]),
        (78, 3, [(0, 3, 77, 0), (77, 0, 1, 80)]),
        (157, 3, [(0, 3, 77, 0), (77, 0, 80, 80)]),
        (200, 3, [(0, 3, 77, 0), (77, 0, 80, 80), (157, 0, 43, 160)]),
        (80, 0, [(0, 0, 80, 0)]),
        (81, 0, [(0, 0, 80, 0), (80, 0, 1, 80)]),
    ],
)
def test_a_shot_in_clips(frames: int, drop: int, told: list[tuple[int, ...]]) -> None:
    every = clips(frames, 80, drop)
    assert [(clip.first, clip.skip, clip.fresh, clip.heard) for clip in every] == told
    assert [clip.number for clip in every] == list(range(len(told)))


@pytest.mark.parametrize(("frames", "length"), [(0, 80), (5, 81), (5, 0)])
def test_no_clips_of_nothing(frames: int, length: int) -> None:
    with pytest.raises(ValueError, match="in clips of 4n is needed"):
        clips(frames, length, 3)


@pytest.mark.parametrize(
    ("frames", "start", "count"),
    [(1, False, 1), (5, False, 1), (6, False, 2), (21, False, 3), (8, True, 1), (9, True, 2)],
)
def test_every_frame_comes_once_and_in_order(
    parts: TinyParts, sound: Sound, frames: int, start: bool, count: int
) -> None:
    events = _events(parts, request(sound, frames, start=start))
    made = _frames(events)
    assert made.shape == (frames, SIDE, SIDE, 3)
    assert made.dtype == np.uint8
    assert sum(kind.startswith("denoise") for kind in _kinds(events)) == count


def test_a_clips_frames_are_out_before_the_next_one_is_begun(parts: TinyParts, sound: Sound) -> None:
    events = _events(parts, request(sound, 10), sampling(2))
    first = [
        "encode", "encode 1 of 2", "denoise 1 of 2", "StepDone", "StepDone", "decode 1 of 2",
        *["FramesDecoded", "StepDone"] * 2,
    ]  # fmt: skip
    second = ["encode 2 of 2", "denoise 2 of 2", "StepDone", "StepDone", "decode 2 of 2"]
    assert _kinds(events) == [*first, *second, *["FramesDecoded", "StepDone"] * 2]
    assert [len(event.frames) for event in events if isinstance(event, FramesDecoded)] == [1, 4, 4, 1]
    done = [(event.step, event.steps) for event in events if isinstance(event, StepDone)]
    assert done == [(1, 2), (2, 2), (1, 5), (5, 5), (1, 2), (2, 2), (4, 5), (5, 5)]


def test_a_clip_alone_is_not_numbered(parts: TinyParts, sound: Sound) -> None:
    kinds = _kinds(_events(parts, request(sound, 5)))
    assert [kind for kind in kinds if kind[0].islower()] == ["encode", "denoise", "decode"]


def test_nothing_behind_the_end_is_decoded(parts: TinyParts, sound: Sound, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    whole = type(parts.vae).decode

    def counted(self: Any, latents: torch.Tensor, skip: int) -> Any:
        for chunk in whole(self, latents, skip):
            decoded.append(chunk.shape[2])
            yield chunk

    monkeypatch.setattr(type(parts.vae), "decode", counted)
    _events(parts.with_segment(80), request(sound, 3))
    assert decoded == [0, 4, 4]


def test_same_seed_same_frames_another_seed_others(sound: Sound) -> None:
    parts, job = TinyParts(real_vae=True), request(sound, 10)
    first, again, other = (_frames(_events(parts, each)) for each in (job, job, replace(job, seed=8)))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_sound_drives_the_frames(parts: TinyParts, sound: Sound) -> None:
    """Another part of the sound, other frames; without guidance the prompt's forward hears it, with it both count."""
    job = request(sound, 5)
    later = replace(job, sound=replace(sound, start=1.1))
    assert not np.array_equal(_frames(_events(parts, job)), _frames(_events(parts, later)))
    guided = _frames(_events(parts, job, sampling(1, 4.5)))
    assert not np.array_equal(_frames(_events(parts, job)), guided)


def test_the_unguided_half_hears_nothing_and_is_told_the_negative_prompt(parts: TinyParts, sound: Sound) -> None:
    told: list[tuple[float, torch.Tensor]] = []
    whole = parts.network.guide

    def guide(words: torch.Tensor, audio: torch.Tensor) -> Any:
        told.append((float(audio.abs().max()), words))
        return whole(words, audio)

    parts.network.guide = guide
    try:
        _events(parts, request(sound, 5), sampling(2, 4.5))
    finally:
        del parts.network.guide
    assert [loud > 0 for loud, _ in told] == [True, False]
    assert [
        bool(torch.equal(words, text))
        for (_, words), text in zip(told, parts.text(["a person speaks", "blurred"]), strict=True)
    ] == [True, True]


def test_starting_from_the_reference_the_first_frame_carries_on_from_it(parts: TinyParts, sound: Sound) -> None:
    """The frames before the shot end with the reference, so another one changes what the first clip is shown."""
    seen: list[torch.Tensor | None] = []
    whole = parts.network.stage

    def stage(picture: torch.Tensor, pose: torch.Tensor, motion: torch.Tensor | None = None) -> Any:
        seen.append(motion)
        return whole(picture, pose, motion)

    parts.network.stage = stage
    try:
        _events(parts, request(sound, 9))
        _events(parts, request(sound, 9, start=True))
    finally:
        del parts.network.stage
    assert [motion is None for motion in seen] == [True, False, False, False]
    pixels = torch.zeros(1, 3, MOTION_FRAMES, SIDE, SIDE)
    pixels[:, :, -6:] = torch.from_numpy(picture()).permute(2, 0, 1)[None, :, None] / 127.5 - 1.0
    assert torch.equal(seen[2], parts.vae.encode(pixels))  # type: ignore[arg-type]


def test_what_is_carried_on_is_the_last_frames_in_their_order() -> None:
    carry = Carry(None, 2, 2)
    carry.add(torch.arange(80.0).reshape(1, 1, 80, 1, 1).expand(1, 3, -1, 2, 2))
    assert [chunk.shape[2] for chunk in carry.chunks()] == [1] + [4] * 18
    assert torch.cat(list(carry.chunks()), 2)[0, 0, :, 0, 0].tolist() == list(range(7, 80))
    few = Carry(torch.full((1, 3, 1, 2, 2), 0.5), 2, 2)
    few.add(torch.ones(1, 3, 4, 2, 2))
    assert torch.cat(list(few.chunks()), 2)[0, 0, :, 0, 0].tolist() == [0.0] * 63 + [0.5] * 6 + [1.0] * 4


def test_no_more_than_one_clips_tensors_are_held(parts: TinyParts, sound: Sound) -> None:
    """However long the shot: what is alive between clips is the same after each, once enough frames were made."""

    def held() -> int:
        gc.collect()
        plain = (torch.Tensor, torch.nn.Parameter)  # others have no memory of their own: what tracing leaves behind
        tensors = (each for each in gc.get_objects() if type(each) in plain and each.device.type == "cpu")
        return sum({each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in tensors}.values())

    sizes = []
    for event in generate(parts.with_segment(40), request(sound, 40 * 6), sampling(1), lambda: False):
        if isinstance(event, StageStarted) and event.name.startswith("encode "):
            del event
            sizes.append(held())
    assert len(sizes) == 7
    assert sizes[3] == sizes[4] == sizes[5] == sizes[6]


def test_cancelling_stops_within_a_step_or_a_chunk(parts: TinyParts, sound: Sound) -> None:
    for kind, count in ((StepDone, 2), (FramesDecoded, 1)):
        seen: list[Event] = []
        stop = threading.Event()
        for event in generate(parts, request(sound, 15), sampling(4), stop.is_set):
            seen.append(event)
            if sum(isinstance(each, kind) for each in seen) >= count:
                stop.set()
        assert isinstance(seen[-1], StepDone)
        assert sum(isinstance(each, kind) for each in seen) == count
    events = list(generate(parts, request(sound, 9), sampling(4), lambda: True))
    assert _kinds(events) == ["encode"]


@pytest.mark.parametrize("after", [3, 5, 21, 22])
def test_cancelling_stops_between_chunks_of_encoding(parts: TinyParts, sound: Sound, after: int) -> None:
    """Asked twice when the job is opened, before each of 19 chunks of what came before, and 3 of the pose."""
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > after

    events = list(generate(parts, request(sound, 8, start=True, pose=True), sampling(2), cancelled))
    assert _kinds(events) == ["encode"]
    assert len(asked) == after + 1


def test_guidance_is_cancelled_between_its_two_halves(parts: TinyParts, sound: Sound) -> None:
    calls = []
    hook = parts.network.head.register_forward_pre_hook(lambda *_: calls.append(1))
    events = list(generate(parts, request(sound, 5), sampling(2, 2.0), lambda: len(calls) == 1))
    hook.remove()
    assert len(calls) == 1
    assert not any(isinstance(event, StepDone) for event in events)


@pytest.mark.parametrize(("start", "frames"), [(False, 157), (True, 160)])
def test_previews_are_of_the_clips_own_frames(parts: TinyParts, sound: Sound, start: bool, frames: int) -> None:
    events = _events(parts.with_segment(80), request(sound, frames, start=start, previews=True))
    indices = [event.index for event in events if isinstance(event, Preview)]
    middle = 40 if start else 37  # the first frame of the clip's eleventh latent frame
    assert len(indices) == 2
    assert middle <= indices[0] < middle + 4
    assert middle + 80 <= indices[1] < middle + 84


@pytest.mark.parametrize(("fresh", "index"), [(1, 77), (4, 80), (9, 82), (43, 98)])
def test_a_preview_of_the_last_clip_shows_what_will_be_kept(
    parts: TinyParts, sound: Sound, fresh: int, index: int
) -> None:
    """The middle of its new frames, not of all 80 that are made."""
    events = _events(parts.with_segment(80), request(sound, 77 + fresh, previews=True))
    assert [event.index for event in events if isinstance(event, Preview)][-1] == index


def test_previews_are_seen_through_what_there_is(
    parts: TinyParts, sound: Sound, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.full((4, 6, 3), 9, np.uint8)
    monkeypatch.setattr(parts, "eye", lambda latents, index: picture)
    events = _events(parts, request(sound, 5, previews=True))
    previews = [event.image for event in events if isinstance(event, Preview)]
    assert previews
    assert all(image is picture for image in previews)


def test_poses_change_the_frames_and_are_those_of_their_frame(parts: TinyParts, sound: Sound) -> None:
    still, moving = (_frames(_events(parts, request(sound, 10, pose=each))) for each in (False, True))
    assert not np.array_equal(still, moving)
    late = shot(10)
    body = late.characters[0].pose.body.copy()
    body[9, :, :2] += 20.0  # in the second clip only
    person = replace(late.characters[0], pose=replace(late.characters[0].pose, body=body))
    changed = _frames(_events(parts, request(sound, 10, pose=True, pack=replace(late, characters=(person,)))))
    assert np.array_equal(moving[:5], changed[:5])
    assert not np.array_equal(moving[5:], changed[5:])


def test_a_picture_of_another_shape_is_cut_and_it_is_said(parts: TinyParts, sound: Sound) -> None:
    wide = _events(parts, request(sound, 3, image=picture(width=2 * SIDE)))
    assert ["its edges were cut off" in each for each in _said(wide)] == [True]
    assert _said(_events(parts, request(sound, 3, image=picture(width=SIDE + 4)))) == []


def test_who_is_not_followed_is_said(parts: TinyParts, sound: Sound) -> None:
    pack = shot(3)
    other = replace(pack.characters[0], index=3, name="Bob", reference=None)
    job = request(sound, 3, pose=True, pack=replace(pack, characters=(other, pack.characters[0])))
    assert _said(_events(parts, job)) == [
        "s2v follows the pose of one person: of Ada, not of Bob; use one job for each"
    ]


def test_memory_is_freed_between_the_stages(parts: TinyParts, sound: Sound) -> None:
    mine = parts.with_segment(8)
    _events(mine, request(sound, 10), sampling(2))
    assert mine.log == ["room", "network", "network", "room", "room"] * 2


def test_the_family_is_named() -> None:
    assert s2v.FAMILY == "s2v"
