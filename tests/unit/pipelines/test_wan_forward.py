"""The network driven by its parts predicts what its own forward predicts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel

from wan_models.pipelines.wan_forward import Constants, predict

TINY = {"num_attention_heads": 2, "attention_head_dim": 32, "in_channels": 16, "out_channels": 16, "text_dim": 24,
        "freq_dim": 32, "ffn_dim": 48, "num_layers": 3}  # fmt: skip


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=str)
def network(request: pytest.FixtureRequest) -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(2)
    network = WanTransformer3DModel(**TINY).eval().requires_grad_(False)
    for name, parameter in network.named_parameters():
        keep = any(part in name for part in ("time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"))
        parameter.data = parameter.data.to(torch.float32 if keep else request.param)
    return network


def _inputs(network: Any) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    dtype = network.patch_embedding.weight.dtype
    latents = torch.randn(1, 16, 3, 4, 6, generator=generator).to(dtype)
    return latents, torch.randn(1, 7, 24, generator=generator).to(dtype)


def test_one_timestep_has_the_same_bits(network: Any) -> None:
    latents, text = _inputs(network)
    time = torch.tensor([517.0])
    constants = Constants([text])
    ours = predict(network, latents, time, constants.words(network)[0], positions=constants.positions(network, latents))
    theirs = network(hidden_states=latents, timestep=time, encoder_hidden_states=text, return_dict=False)[0]
    assert torch.equal(ours, theirs)


def test_two_timesteps_are_one_for_each_token(network: Any) -> None:
    latents, text = _inputs(network)
    held, tokens = 6, 18
    times = torch.full((1, tokens), 517.0)
    times[:, :held] = 0.0
    constants = Constants([text])
    words, positions = constants.words(network)[0], constants.positions(network, latents)
    ours = predict(network, latents, torch.tensor([517.0]), words, positions=positions, held=held)
    theirs = network(hidden_states=latents, timestep=times, encoder_hidden_states=text, return_dict=False)[0]
    close = 1e-5 if latents.dtype == torch.float32 else 0.03
    assert (ours - theirs).abs().max() <= close * theirs.abs().max()
    assert "forward" not in vars(network.blocks[0])


def test_hooks_of_blocks_see_the_call(network: Any) -> None:
    latents, text = _inputs(network)
    constants, called = Constants([text]), []
    words, positions = constants.words(network)[0], constants.positions(network, latents)
    handle = network.blocks[1].register_forward_pre_hook(lambda _module, args: called.append(args[2].shape))
    for held in (0, 6):
        predict(network, latents, torch.tensor([3.0]), words, positions=positions, held=held)
    handle.remove()
    assert called == [(1, 6, 64), (1, 2, 6, 64)]


def test_what_is_constant_is_made_once(network: Any) -> None:
    latents, text = _inputs(network)
    constants = Constants([text, text])
    assert constants.words(network) is constants.words(network)
    assert constants.positions(network, latents) is constants.positions(network, latents)


def test_a_compiled_network_stays_compiled(network: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    latents, text = _inputs(network)
    constants = Constants([text])
    words, positions = constants.words(network)[0], constants.positions(network, latents)
    eager = predict(network, latents, torch.tensor([9.0]), words, positions=positions, held=6)
    asked = []

    def compile_(forward: Any, **options: Any) -> Any:
        asked.append(options)
        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    for block in network.blocks:
        block.forward = block.forward  # as compiling.compile_blocks does
    own = [block.forward for block in network.blocks]
    assert torch.equal(predict(network, latents, torch.tensor([9.0]), words, positions=positions, held=6), eager)
    assert asked == [{"fullgraph": True}] * len(network.blocks)
    assert [block.forward for block in network.blocks] == own
    for block in network.blocks:
        del block.forward
