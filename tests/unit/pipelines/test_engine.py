"""The engine on tiny checkpoints: stages, cancelling, determinism, parts that are kept, memory, what is missing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, Preview, StageStarted, StepDone, Warned, WeightsRead
from wan_models.memory.plan import Plan
from wan_models.options import Options
from wan_models.pipelines import clip
from wan_models.pipelines import engine as engine_module
from wan_models.pipelines.engine import DidNotFit, WanEngine
from wan_models.registry import model_row
from wan_models.requests import Lora, Request, SamplerSettings
from wan_models.weights.tiny import make_tiny

NAMES = ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b")


def _picture(width: int, height: int) -> np.ndarray:
    small = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height)))  # not writable, as the backend's


T2V = Request(
    task="t2v", model=NAMES[0], width=64, height=48, frames=9, fps=16, seed=3, prompt="a dog",
    sampler=SamplerSettings(steps=3),
)  # fmt: skip
I2V = replace(T2V, task="i2v", model=NAMES[1], image=_picture(64, 48))
TI2V = replace(T2V, task="ti2v", model=NAMES[2], width=64, height=64, fps=24, image=_picture(64, 64))


def _never() -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    make_tiny(folder, NAMES)
    return folder


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[WanEngine]:
    engine = WanEngine(Options(folders=(folder,)))
    yield engine
    engine.close()


def _events(engine: WanEngine, request: Request, cancelled: Callable[[], bool] = _never) -> list[Event]:
    engine.check(request)
    return list(engine.generate(request, cancelled))


def _frames(events: list[Event]) -> np.ndarray:
    decoded = [event for event in events if isinstance(event, FramesDecoded)]
    firsts = np.cumsum([0, *(len(event.frames) for event in decoded)])[:-1].tolist()
    assert [event.first for event in decoded] == firsts
    return np.concatenate([event.frames for event in decoded])


def _stages(events: list[Event]) -> list[str]:
    return [event.name for event in events if isinstance(event, StageStarted)]


@pytest.mark.parametrize(
    "request_",
    [T2V, I2V, replace(I2V, task="flf2v", last_image=_picture(64, 48)), TI2V, replace(TI2V, task="t2v", image=None)],
    ids=lambda request: f"{request.model}-{request.task}",
)
def test_every_frame_once_and_every_stage_in_order(engine: WanEngine, request_: Request) -> None:
    events = _events(engine, request_)
    assert _stages(events) == ["load", "encode", "denoise", "decode"]
    frames = _frames(events)
    assert (frames.shape, frames.dtype) == ((9, request_.height, request_.width, 3), np.uint8)
    assert frames.std() > 1
    kinds = [type(event) for event in events if not isinstance(event, Preview)]
    decoded = [FramesDecoded, StepDone] * 3
    assert kinds == [StageStarted] * 3 + [StepDone] * 3 + [StageStarted, *decoded]
    steps = [(event.step, event.steps) for event in events if isinstance(event, StepDone)]
    assert steps == [(1, 3), (2, 3), (3, 3), (1, 9), (5, 9), (9, 9)]


def test_previews_only_where_they_are_wanted(engine: WanEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module.store, "find_previewer", lambda *_: None)  # whatever this machine has
    request = replace(T2V, sampler=SamplerSettings(steps=1))
    previews = [event for event in _events(engine, request) if isinstance(event, Preview)]
    assert len(previews) == 1
    assert previews[0].image.shape == (6, 8, 3)
    assert previews[0].index == 1
    assert not [event for event in _events(engine, replace(request, previews=False)) if isinstance(event, Preview)]


def test_a_seed_gives_the_same_frames_whatever_was_made_before(engine: WanEngine, folder: Path) -> None:
    first = _frames(_events(engine, T2V))
    assert not np.array_equal(first, _frames(_events(engine, replace(T2V, seed=4))))
    _events(engine, replace(T2V, prompt="a cat", width=48, frames=5))
    fresh = WanEngine(Options(folders=(folder,)))
    assert np.array_equal(first, _frames(_events(engine, T2V)))
    assert np.array_equal(first, _frames(_events(fresh, T2V)))
    fresh.close()


@pytest.mark.parametrize("plan", ["swap", "stream"])
def test_a_lossless_plan_gives_the_same_frames(engine: WanEngine, plan: str) -> None:
    assert np.array_equal(_frames(_events(engine, T2V)), _frames(_events(engine, replace(T2V, plan=plan))))


def test_parts_stay_for_the_next_job_of_the_model(engine: WanEngine) -> None:
    _events(engine, T2V)
    kept = engine._opened
    assert kept is not None
    _events(engine, replace(T2V, prompt="a cat", frames=5))
    assert engine._opened is kept
    _events(engine, TI2V)
    assert engine._opened is not kept


def test_cancelled_at_any_time_the_engine_makes_the_next_clip(engine: WanEngine) -> None:
    request, asked = replace(I2V, frames=5, sampler=SamplerSettings(steps=2)), _count()
    _events(engine, request)  # reads the weights, between whose tensors it asks too
    whole = _frames(_events(engine, request, asked))
    for after in range(asked.calls):
        stop = _count(after)
        events = _events(engine, request, stop)
        assert stop.calls == after + 1
        assert "decode" not in _stages(events) or after >= asked.calls - 2
    assert np.array_equal(whole, _frames(_events(engine, request)))


def test_cancelled_while_weights_are_read_the_next_job_reads_them(folder: Path) -> None:
    for after in (0, 3, 40):
        engine, stop = WanEngine(Options(folders=(folder,))), _count(after)
        assert not any(isinstance(event, FramesDecoded) for event in _events(engine, T2V, stop))
        assert stop.calls == after + 1
        assert len(_frames(_events(engine, T2V))) == T2V.frames
        engine.close()


class _count:  # noqa: N801 - used as a function
    """Says no, and how often it was asked; yes from call ``after`` on."""

    def __init__(self, after: int = 10**9) -> None:
        self.calls, self._after = 0, after

    def __call__(self) -> bool:
        self.calls += 1
        return self.calls > self._after


def test_what_is_read_is_reported_while_the_engine_is_silent(folder: Path) -> None:
    engine = WanEngine(Options(folders=(folder,)))
    said: list[WeightsRead] = []

    def report(event: Event) -> None:
        assert isinstance(event, WeightsRead)
        said.append(event)

    engine.report = report
    list(engine.generate(replace(TI2V, prompt="a word unheard of"), _never))
    engine.close()
    assert list(dict.fromkeys(each.what for each in said)) == ["text encoder", "vae", "transformer"]
    for what in ("text encoder", "vae", "transformer"):
        mine = [each for each in said if each.what == what]
        assert [each.done for each in mine] == sorted(each.done for each in mine)
        assert (mine[0].done, mine[-1].done) == (0, mine[0].total)
        assert all(each.done < each.total for each in mine[:-1])


def test_cancelled_between_chunks_no_more_are_decoded(engine: WanEngine) -> None:
    done: list[Event] = []

    def cancelled() -> bool:
        return any(isinstance(event, FramesDecoded) for event in done)

    for event in engine.generate(T2V, cancelled):
        done.append(event)  # noqa: PERF402 - cancelled looks at them meanwhile
    assert len(_frames(done)) == 1


def test_a_job_that_is_dropped_half_way_leaves_the_engine_usable(engine: WanEngine) -> None:
    whole = _frames(_events(engine, T2V))
    job = engine.generate(T2V, _never)
    for event in job:
        if isinstance(event, FramesDecoded):
            break
    job.close()  # type: ignore[attr-defined]
    assert np.array_equal(whole, _frames(_events(engine, T2V)))


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate")],
    ids=lambda error: type(error).__name__,
)
def test_memory_that_runs_out_is_one_sentence(
    engine: WanEngine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(clip, "latent_frames", fail)
        with pytest.raises(DidNotFit) as short:
            _events(engine, T2V)
    assert str(short.value) == (
        "wan2.2-t2v-a14b at 64 x 48, 9 frames did not fit the memory with the plan resident: "
        "choose the plan swap, or a smaller size or fewer frames"
    )
    assert engine._opened is None
    assert len(_frames(_events(engine, T2V))) == 9


def test_a_plan_that_changes_frames_is_told_and_not_kept_for_a_job_that_needs_none(
    engine: WanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = _frames(_events(engine, T2V))
    with monkeypatch.context() as patch:
        patch.setattr(engine_module, "choose", lambda *_, **__: Plan(vae="bfloat16"))
        events = _events(engine, T2V)
        told = [event.sentence for event in events if isinstance(event, Warned)]
        assert len(told) == 1
        assert "the VAE works in bfloat16" in told[0]
        assert not np.array_equal(plain, _frames(events))
        asked = _events(engine, replace(T2V, plan="resident"))
        assert not [event for event in asked if isinstance(event, Warned)]
    assert np.array_equal(plain, _frames(_events(engine, T2V)))


def test_a_larger_job_keeps_the_parts_if_its_plan_is_the_same(
    engine: WanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _events(engine, T2V)
    kept = engine._opened
    _events(engine, replace(T2V, width=80))
    assert engine._opened is kept
    monkeypatch.setattr(engine_module, "choose", lambda *_, **__: Plan("stream", resident_blocks=0, together=False))
    _events(engine, replace(T2V, width=96))
    assert engine._opened is not kept


@pytest.fixture
def loras(folder: Path) -> Iterator[None]:
    """LoRAs in the models' folder, one of them for another network."""
    where = folder / "loras"
    where.mkdir()
    names = ("soft", "wan2.2-t2v-lightx2v-4step-high", "wan2.2-t2v-lightx2v-4step-low")
    for number, name in enumerate(names):
        save_file(_lora(64, number), str(where / f"{name}.safetensors"))
    save_file(_lora(80, 9), str(where / "other.safetensors"))
    yield
    shutil.rmtree(where)


def _lora(width: int, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    key = "transformer.blocks.{}.attn1.to_q.lora_{}.weight"
    shapes = {"A": (4, width), "B": (width, 4)}
    return {
        key.format(block, which): torch.randn(shape, generator=generator) * 0.5
        for block in range(2)
        for which, shape in shapes.items()
    }


@pytest.mark.usefixtures("loras")
def test_loras_come_and_go_without_opening_the_model_again(engine: WanEngine) -> None:
    plain = _frames(_events(engine, T2V))
    kept = engine._opened
    soft = _frames(_events(engine, replace(T2V, loras=(Lora("soft"),))))
    high = _frames(_events(engine, replace(T2V, loras=(Lora("soft", expert="high"),))))
    assert not np.array_equal(plain, soft)
    assert not np.array_equal(high, soft)
    assert np.array_equal(plain, _frames(_events(engine, T2V)))
    assert engine._opened is kept


@pytest.mark.usefixtures("loras")
def test_the_fast_preset_is_four_steps_with_its_loras(engine: WanEngine) -> None:
    events = _events(engine, replace(T2V, sampler=SamplerSettings(preset="fast")))
    assert sum(isinstance(event, StepDone) and event.steps == 4 for event in events) == 4
    asked = engine._loras(model_row(T2V.model), replace(T2V, sampler=SamplerSettings(preset="fast")))
    assert [(path.stem[-4:], weight, expert) for path, weight, expert in asked] == [
        ("high", 1.0, "high"),
        ("-low", 1.0, "low"),
    ]


@pytest.mark.usefixtures("loras")
def test_a_lora_of_another_model_is_refused(engine: WanEngine) -> None:
    with pytest.raises(RequestRefused, match="other") as refused:
        _events(engine, replace(T2V, loras=(Lora("other"),)))
    assert "\n" not in str(refused.value)
    assert len(_frames(_events(engine, T2V))) == 9


def test_another_error_comes_out_as_it_is_and_the_parts_are_closed(
    engine: WanEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("something else")  # noqa: EM101

    with monkeypatch.context() as patch:
        patch.setattr(clip, "latent_frames", fail)
        with pytest.raises(RuntimeError, match="something else"):
            _events(engine, T2V)
    assert engine._opened is None


def test_a_picture_of_another_shape_is_cut_and_told(engine: WanEngine) -> None:
    for request in (I2V, TI2V):
        events = _events(engine, replace(request, image=_picture(64, 90)))
        sentences = [event.sentence for event in events if isinstance(event, Warned)]
        assert len(sentences) == 1
        assert "its edges were cut off" in sentences[0]


def test_what_is_not_there_is_named_before_anything_is_loaded(folder: Path, tmp_path: Path) -> None:
    engine = WanEngine(Options(folders=(tmp_path,)))
    with pytest.raises(RequestRefused, match=r"there are no weights of wan2\.2-t2v-a14b in .*wanstage models pull"):
        engine.check(T2V)
    engine = WanEngine(Options(folders=(folder,)))
    refused = [
        (replace(T2V, model="wan9"), "there is no model wan9"),
        (replace(T2V, frames=80), "ask for 77 or 81"),
        (replace(T2V, plan="huge"), "there is no plan huge: there are auto, resident"),
        (replace(TI2V, loras=(Lora("x", expert="low"),)), "no low-noise expert for the LoRA x: choose both"),
        (replace(T2V, loras=(Lora("no such file"),)), "no such file"),
        (replace(T2V, sampler=SamplerSettings(preset="fast")), "wan2.2-t2v-lightx2v-4step"),
    ]
    for request, sentence in refused:
        with pytest.raises(RequestRefused) as why:
            engine.check(request)
        assert sentence in str(why.value)
    assert engine._opened is None
