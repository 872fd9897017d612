"""The same request gives the same bytes whatever lossless plan is chosen: of every family, through the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wan_models import bench
from wan_models.events import FramesDecoded
from wan_models.options import Options
from wan_models.pipelines.engine import WanEngine
from wan_models.registry import model_row
from wan_models.requests import Character, DrivePack, PoseTrack, Reference, Request, SamplerSettings, Sound
from wan_models.rows import ModelRow
from wan_models.weights import tiny
from wan_models.weights.tiny import make_tiny

NAMES = (
    "wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-animate-14b", "wan2.2-animate-2-14b",
    "wan2.2-s2v-14b",
)  # fmt: skip
WIDTH, HEIGHT, FRAMES = 64, 64, 5


def _picture(seed: int) -> np.ndarray:
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return np.repeat(np.repeat(blocks, HEIGHT // 8, 0), WIDTH // 8, 1)


def _pack() -> DrivePack:
    points = np.random.default_rng(5).uniform(8, 56, (FRAMES, 20, 5)).astype(np.float32)
    points[..., 2:] = (1.0, 3.0, 0.0)
    character = Character(
        1, "Ann", PoseTrack(points), Reference(np.dstack([_picture(2), np.full((64, 64), 255, "u1")]))
    )
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[16:56, 24:40] = 1
    pictures = [_picture(10 + t) for t in range(FRAMES)]
    return DrivePack(
        WIDTH, HEIGHT, FRAMES, 24.0, characters=(character,), clay=pictures, plate=pictures[::-1], mask=[mask] * FRAMES
    )


T2V = Request(
    task="t2v", model=NAMES[0], width=WIDTH, height=HEIGHT, frames=FRAMES, fps=16, seed=9, prompt="a dog",
    sampler=SamplerSettings(steps=3, shift=5.0), previews=False,
)  # fmt: skip
JOBS = {
    "t2v": T2V,
    "i2v": replace(T2V, task="i2v", model=NAMES[1], image=_picture(1)),
    "flf2v": replace(T2V, task="flf2v", model=NAMES[1], image=_picture(1), last_image=_picture(2)),
    "ti2v": replace(T2V, task="ti2v", model=NAMES[2], fps=24, image=_picture(1)),
    "animate": replace(T2V, task="animate", model=NAMES[3], pack=_pack(), sampler=SamplerSettings(steps=1)),
    "replace": replace(T2V, task="replace", model=NAMES[3], pack=_pack(), sampler=SamplerSettings(steps=1)),
    "animate 2": replace(T2V, task="animate", model=NAMES[4], pack=_pack(), sampler=SamplerSettings(steps=1)),
    "s2v": replace(T2V, task="s2v", model=NAMES[5], image=_picture(1), sampler=SamplerSettings(steps=2)),
}


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Animates work in segments of 77 and 81 frames, S2V in clips of 80: 9 and 8 are enough to see whether they
    depend on the plan.
    """

    def short(name: str) -> ModelRow:
        row = model_row(name)
        return replace(row, segment=min(row.segment, 8 if row.family == "s2v" else 9))

    monkeypatch.setattr("wan_models.pipelines.engine.model_row", short)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WanEngine]:
    torch.set_num_threads(1)
    folder: Path = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:  # Animate-2 leaves its layer 9 out in the unconditional pass
        patch.setitem(tiny._ANIMATE2, "num_layers", 12)
        make_tiny(folder, NAMES)
    engine = WanEngine(Options(folders=(folder,)))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    row, folder = model_row(NAMES[5]), tmp_path_factory.mktemp("voice")
    sound = bench.request(row, "s2v", width=WIDTH, height=HEIGHT, frames=FRAMES, steps=1, folder=folder).sound
    assert sound is not None
    return sound


def _frames(engine: WanEngine, request: Request) -> np.ndarray:
    engine.check(request)
    events = list(engine.generate(request, lambda: False))
    return np.concatenate([event.frames for event in events if isinstance(event, FramesDecoded)])


@pytest.mark.parametrize("job", JOBS)
def test_lossless_plans_give_the_same_bytes(engine: WanEngine, voice: Sound, job: str) -> None:
    """Also of the same seed again, after another one, in an engine that has made other things."""
    request = replace(JOBS[job], sound=voice if job == "s2v" else None)
    first = _frames(engine, replace(request, plan="resident"))
    assert first.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert np.ptp(first) > 10
    other = _frames(engine, replace(request, plan="resident", seed=10))
    assert not np.array_equal(other, first)
    for plan in ("swap", "stream", "resident"):
        assert np.array_equal(_frames(engine, replace(request, plan=plan)), first), plan
