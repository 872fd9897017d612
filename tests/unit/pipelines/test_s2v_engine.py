"""S2V through the engine, from a spoken sentence to frames: tiny weights in the released layout, lossless plans."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.unit.pipelines.s2v_shot import ROW, SIDE, picture, shot
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, StageStarted
from wan_models.options import Options
from wan_models.pipelines.engine import WanEngine
from wan_models.requests import Request, SamplerSettings, Sound, TalkSettings
from wan_models.weights.tiny import make_tiny

SENTENCE = Path(__file__).parents[2] / "fixtures" / "speech" / "sentence.flac"
TALK = Request(
    "s2v", ROW.name, SIDE, SIDE, 5, 16.0, seed=5, prompt="a man speaks", image=picture(),
    sound=Sound(SENTENCE, 0.5), sampler=SamplerSettings(steps=2), previews=False,
)  # fmt: skip
"""One clip of 8, of which the first three are not used."""
POSED = replace(TALK, pack=shot(6), talk=TalkSettings(follow_pose=True))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WanEngine]:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    make_tiny(folder, (ROW.name,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("wan_models.pipelines.engine.model_row", lambda name: ROW)
        engine = WanEngine(Options(folders=(folder,)))
        yield engine
        engine.close()


def _events(engine: WanEngine, request: Request) -> list[Event]:
    engine.check(request)
    return list(engine.generate(request, lambda: False))


def _frames(engine: WanEngine, request: Request) -> NDArray[np.uint8]:
    decoded = [event for event in _events(engine, request) if isinstance(event, FramesDecoded)]
    assert [event.first for event in decoded] == list(np.cumsum([0, *(len(event.frames) for event in decoded[:-1])]))
    return np.concatenate([event.frames for event in decoded])


def test_lossless_plans_give_the_same_bytes(engine: WanEngine) -> None:
    """Of two clips: the second one is shown the first."""
    frames = [_frames(engine, replace(POSED, frames=6, plan=plan)) for plan in ("resident", "swap", "stream")]
    assert frames[0].shape == (6, SIDE, SIDE, 3)
    assert np.ptp(frames[0]) > 10
    assert np.array_equal(frames[0], frames[1])
    assert np.array_equal(frames[0], frames[2])


def test_another_sound_a_pose_and_another_beginning_make_other_frames(engine: WanEngine) -> None:
    other = replace(TALK, sound=Sound(SENTENCE, 2.0))
    start = replace(TALK, talk=TalkSettings(start_from_reference=True))
    made = [_frames(engine, job) for job in (TALK, other, POSED, start)]
    for index, frames in enumerate(made):
        assert all(not np.array_equal(frames, each) for each in made[:index])
    assert np.array_equal(_frames(engine, TALK), made[0])


def test_its_stages(engine: WanEngine) -> None:
    stages = [event.name for event in _events(engine, TALK) if isinstance(event, StageStarted)]
    assert stages == ["load", "encode", "denoise", "decode"]


def test_a_sound_that_cannot_drive_it_is_refused_before_weights_are_read(engine: WanEngine, tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match="cannot start at 60 s"):
        engine.check(replace(TALK, sound=Sound(SENTENCE, 60.0)))
