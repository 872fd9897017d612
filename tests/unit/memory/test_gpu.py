"""Streaming on a real card: copies and work overlap, and the bits are still the same. Skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.memory.tiny import WAN, numbers
from wan_models.memory.lean import lean_blocks
from wan_models.memory.load import build, fill, move_buffers, onto
from wan_models.memory.place import transformer_groups
from wan_models.memory.stream import StreamedModule

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")]

CONFIG = {**WAN, "num_attention_heads": 8, "attention_head_dim": 128, "ffn_dim": 4096, "num_layers": 12, "text_dim": 64}


def outputs(module: Any, count: int) -> list[Tensor]:
    make = torch.Generator("cuda").manual_seed(3)
    results = []
    with torch.no_grad():
        for _ in range(count):
            latents = torch.randn(1, 16, 5, 32, 32, generator=make, device="cuda", dtype=torch.bfloat16)
            text = torch.randn(1, 512, 64, generator=make, device="cuda", dtype=torch.bfloat16)
            results.append(module(latents, torch.tensor([500.0], device="cuda"), text, return_dict=False)[0])
    return [result.cpu() for result in results]  # only now does the host wait


@pytest.mark.parametrize("lean", [False, True])
@pytest.mark.parametrize("source", ["pinned", "pageable", "mapped"])
@pytest.mark.parametrize("resident", [0, 4, None])
def test_streamed_blocks_give_the_bits_of_resident_ones(source: Any, resident: int | None, lean: bool) -> None:
    card = torch.device("cuda")
    whole = build("WanTransformer3DModel", CONFIG)
    values = numbers(whole, 1)
    fill(whole, values.items(), torch.bfloat16, onto(whole, card), "tiny")
    move_buffers(whole, card)
    module = build("WanTransformer3DModel", CONFIG)
    placed = StreamedModule(module, transformer_groups(module), card, torch.bfloat16, resident=resident, source=source)
    fill(module, values.items(), torch.bfloat16, placed.put, "tiny")
    if lean:
        lean_blocks(whole)
        lean_blocks(module)
    expected = outputs(whole, 20)
    for _ in range(2):
        placed.bind()
        for ours, theirs in zip(outputs(module, 20), expected, strict=True):
            assert torch.equal(ours, theirs)
        placed.release()


def test_lean_blocks_have_the_bits_of_diffusers_own() -> None:
    card = torch.device("cuda")
    module = build("WanTransformer3DModel", CONFIG)
    fill(module, numbers(module, 1).items(), torch.bfloat16, onto(module, card), "tiny")
    move_buffers(module, card)
    expected = outputs(module, 2)
    lean_blocks(module)
    assert all(torch.equal(a, b) for a, b in zip(outputs(module, 2), expected, strict=True))
