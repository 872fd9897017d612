"""Lean blocks: the numbers of diffusers' own, in less memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.unit.memory.tiny import WAN, numbers
from wan_models import compiling
from wan_models.memory import lean
from wan_models.memory.lean import LeanBlock, lean_blocks
from wan_models.memory.load import build, fill, onto


def network(dtype: torch.dtype = torch.float32) -> nn.Module:
    module = build("WanTransformer3DModel", {**WAN, "num_layers": 2})
    fill(module, numbers(module, 1).items(), dtype, onto(module, torch.device("cpu")), "tiny")
    return module


def called(module: Any, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    make = torch.Generator().manual_seed(5)
    latents = torch.randn(1, 16, 3, 6, 8, generator=make).to(dtype)
    text = torch.randn(1, 8, 32, generator=make).to(dtype)
    with torch.no_grad():
        out: torch.Tensor = module(latents, torch.tensor([700.0]), text, return_dict=False)[0]
    return out


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_chunk_has_the_same_bits(dtype: torch.dtype) -> None:
    module = network(dtype)
    theirs = called(module, dtype)
    lean_blocks(module)
    assert all(isinstance(vars(block)["forward"], LeanBlock) for block in module.get_submodule("blocks"))
    assert torch.equal(called(module, dtype), theirs)


def test_many_chunks_agree_to_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    module = network()
    theirs = called(module)
    monkeypatch.setattr(lean, "CHUNK", 7)
    lean_blocks(module)
    assert (called(module) - theirs).abs().max() < 1e-6 * theirs.abs().max()


def test_hooks_of_the_blocks_and_their_parts_still_work() -> None:
    module = network()
    lean_blocks(module)
    seen: list[str] = []
    module.get_submodule("blocks.0").register_forward_pre_hook(lambda *_: seen.append("block"))
    module.get_submodule("blocks.0.attn1.to_q").register_forward_hook(lambda *_: seen.append("q"))
    called(module)
    assert seen == ["block", "q"]
    compiling.uncompile_blocks(module)
    assert "forward" not in vars(module.get_submodule("blocks.0"))


@pytest.mark.parametrize("chunk", [8192, 7])
def test_two_timesteps_as_one_a_token(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(lean, "CHUNK", chunk)
    module: Any = network()
    block = module.blocks[1]
    make = torch.Generator().manual_seed(2)
    hidden, words = torch.randn(1, 30, 24, generator=make), torch.randn(1, 5, 24, generator=make)
    temb = torch.randn(1, 2, 6, 24, generator=make)
    table = torch.randn(1, 30, 1, 12, generator=make)
    each = temb[:, [0] * 10 + [1] * 20]
    with torch.no_grad():
        theirs = block(hidden.clone(), words, each, (table, table))
        lean_blocks(module)
        ours = block(hidden.clone(), words, temb, (table, table), 10)
    assert (ours - theirs).abs().max() < 1e-6 * theirs.abs().max()
