"""S2V's memory: what plans count is what its networks hold, its audio injectors stream with their blocks, and its audio
encoder comes and goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.unit.memory.test_stream import STREAM, LateCopier
from wan_models.memory import sizes, stream
from wan_models.memory.fp8 import Fp8Linear
from wan_models.memory.load import build
from wan_models.memory.place import transformer_groups
from wan_models.memory.plan import Plan, choose
from wan_models.pipelines.encodings import EncodingCache
from wan_models.pipelines.parts import OpenParts
from wan_models.registry import model_row
from wan_models.rows import PartName
from wan_models.weights import RandomCheckpoint
from wan_models.weights.tiny import tiny_config

CPU = torch.device("cpu")
ROW = model_row("wan2.2-s2v-14b")
SWAP = replace(STREAM, name="swap", resident_blocks=None, text_stream=False)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Counting(RandomCheckpoint):
    """A tiny random S2V that notes which parts were read."""

    def __init__(self) -> None:
        parts = {part: replace(there, config=tiny_config(ROW, part)) for part, there in ROW.parts.items()}
        super().__init__(replace(ROW, parts=parts), CPU)
        self.reads: list[PartName] = []

    def config(self, part: PartName) -> Mapping[str, Any]:
        return self.row.parts[part].config

    def tensors(self, part: PartName) -> Iterator[tuple[str, Tensor]]:
        self.reads.append(part)
        return super().tensors(part)


def opened(plan: Plan) -> tuple[OpenParts, Counting]:
    checkpoint = Counting()
    return OpenParts(checkpoint.row, checkpoint, plan, CPU, cache=EncodingCache()), checkpoint


def run(module: nn.Module, *, motion: bool = True) -> Tensor:
    make = torch.Generator().manual_seed(7)
    latents = torch.randn(3, 1, 16, 2, 8, 8, generator=make)
    with torch.no_grad():
        out: Tensor = module(
            latents[0],
            torch.tensor([500.0]),
            torch.randn(1, 9, 32, generator=make),
            latents[1][:, :, :1],
            latents[2],
            torch.randn(1, 25, 32, 8, generator=make),
            torch.randn(1, 16, 19, 8, 8, generator=make) if motion else None,
        )
    return out


def wave(seconds: float) -> Any:
    return np.random.default_rng(5).standard_normal(int(seconds * 16000)).astype(np.float32)


def test_what_plans_count_is_what_the_network_holds() -> None:
    with torch.device("meta"):
        network = build("WanS2VTransformer3DModel", ROW.parts["transformer"].config)
    groups = transformer_groups(network)
    assert sum(len(group) for group in groups) == 40 + 2 * 12
    assert groups[27] == ["blocks.27", "audio_injector.injector.7", "audio_injector.injector_adain_layers.7"]
    held = [
        sum(each.numel() for path in group for each in network.get_submodule(path).parameters()) for group in groups
    ]
    counted = sizes.blocks(ROW, "bf16")
    assert counted.whole == pytest.approx(2 * ROW.parts["transformer"].params, rel=0.001)
    assert 2 * max(held) <= counted.unit <= 2.01 * max(held)
    assert counted.all == pytest.approx(2 * sum(held), rel=0.002)
    small = sizes.blocks(ROW, "fp8")
    whole_ones = sum(held[1:-1]) + 2 * (held[0] + held[-1])
    assert small.all == pytest.approx(whole_ones, rel=0.005)


def test_tokens_are_those_of_the_facts_page() -> None:
    """Of a later clip, which the first is not larger than."""
    assert sizes.tokens(ROW, 832, 448, 77) == 32760
    assert sizes.tokens(ROW, 1280, 704, 157) == 79200
    assert sizes.tokens(ROW, 1280, 704, 3000) == 79200


def test_a_short_sound_needs_less_than_a_long_one_but_no_more_than_a_window() -> None:
    assert sizes.audio_work(ROW, 77) < sizes.audio_work(ROW, 3300) == sizes.audio_work(ROW, 30000) < 10**9


def test_a_plan_names_the_audio_encoder() -> None:
    plan = choose(ROW, width=832, height=448, frames=77, free_card=24 * 10**9, free_host=64 * 10**9)
    assert plan.lossless
    needs = {need.what: need for need in plan.needs}
    assert 1.2e9 < needs["audio encoder"].card < 2.5e9
    assert needs["VAE"].host > 0
    resident = choose(ROW, width=832, height=448, frames=77, free_card=80 * 10**9, free_host=64 * 10**9)
    assert resident.name == "resident"


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("plan", [SWAP, STREAM, replace(STREAM, source="mapped"), replace(STREAM, resident_blocks=2)])
def test_every_plan_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch, plan: Plan, late: bool) -> None:
    if late:
        monkeypatch.setattr(stream, "open_copier", lambda slots, units: LateCopier(slots))
    whole, _ = opened(Plan())
    parts, _ = opened(plan)
    for motion in (False, True):
        with whole.transformer() as theirs, parts.transformer() as ours:
            expected = run(theirs, motion=motion)
            assert torch.equal(run(ours, motion=motion), expected)
    assert expected.isfinite().all()
    assert float(expected.std()) > 0.01
    parts.close()
    whole.close()


def test_fp8_reaches_the_injectors_between_the_first_and_the_last_block() -> None:
    exact, _ = opened(Plan())
    parts, _ = opened(replace(STREAM, name="stream-fp8", weights="fp8"))
    with exact.transformer() as theirs, parts.transformer() as ours:
        small = {name for name, module in ours.named_modules() if isinstance(module, Fp8Linear)}
        injectors = {name.split(".")[2] for name in small if name.startswith("audio_injector.")}
        assert {name.split(".")[1] for name in small if name.startswith("blocks.")} == {"1", "2"}
        assert injectors == {"1"}  # after block 1; those of the first and the last block stay whole
        near, expected = run(ours), run(theirs)
    assert not torch.equal(near, expected)
    assert float((near - expected).norm() / expected.norm()) < 0.05


@pytest.mark.parametrize("plan", [Plan(), SWAP, STREAM])
def test_the_audio_encoder_is_loaded_used_and_released(plan: Plan) -> None:
    parts, checkpoint = opened(plan)
    states = parts.hear(wave(1.0))
    assert states.shape == (25, 49, 32)
    assert states.dtype == torch.float32
    assert states.isfinite().all()
    assert torch.equal(parts.hear(wave(1.0)), states)
    assert checkpoint.reads == ["audio_encoder"]
    assert ("audio_encoder" in parts._placed) == plan.together
    assert parts.hear(wave(0.5)).shape[1] == 24
    assert checkpoint.reads.count("audio_encoder") == (1 if plan.together else 2)
    parts.close()
    assert not parts._placed
