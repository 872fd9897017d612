"""What works on diffusers' transformers works on this one: attention backends, compiled blocks, plans, LoRAs."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.unit.s2v.tiny_net import answer, error, fixture, network, run, values
from wan_models import attention, compiling
from wan_models.lora_keys import original_name
from wan_models.loras import attached, read_lora
from wan_models.memory.fp8 import Fp8Linear
from wan_models.memory.lean import lean_blocks
from wan_models.memory.load import build, fill
from wan_models.memory.place import transformer_groups
from wan_models.memory.stream import StreamedModule
from wan_models.s2v.attention import S2VAttention

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def net() -> Any:
    return network()


def test_attention_backends_are_set_as_on_others(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention._registry, "_active_backend", attention._registry._active_backend)  # to be put back
    other = copy.deepcopy(net)
    assert len(other.attn_processors) == 2 * 4 + 2
    other.set_attention_backend("_native_math")
    used = {each.processor._attention_backend for each in other.modules() if isinstance(each, S2VAttention)}
    assert {str(backend.value) for backend in used} == {"_native_math"}
    assert error(run(other), answer("later_posed")) < 1e-6
    other.reset_attention_backend()
    assert all(p._attention_backend is None for p in other.attn_processors.values())


def test_the_native_kernels_place_is_the_only_way_to_attention(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """FlashAttention 3 is put there (attention.use_attention)."""
    native, shapes = attention._registry._backends[attention._NATIVE], []

    def noted(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
        shapes.append((tuple(query.shape), key.shape[1]))
        return native(query, key, value, **options)

    monkeypatch.setitem(attention._registry._backends, attention._NATIVE, noted)
    run(net, "first")
    own, still = 3 * 4 * 12, 4 * 12
    block = [((1, own + still, 4, 16), own + still), ((1, own, 4, 16), 16), ((1, still, 4, 16), 16)]
    sound = [((3, 48, 4, 16), 5)]
    assert shapes == [*block, *sound, *block, *block, *sound, *block]


def test_blocks_are_found_compiled_and_give_the_same(net: Any) -> None:
    other = copy.deepcopy(net)
    lean_blocks(other)  # nothing to do: they are so themselves
    compiling.compile_blocks(other)
    assert all("forward" in vars(block) for block in other.blocks)
    compiling.uncompile_blocks(other)
    assert not any("forward" in vars(block) for block in other.blocks)
    torch._dynamo.reset()
    for block in other.blocks:
        block.compile(fullgraph=True, backend="eager")
    assert error(run(other), answer("later_posed")) < 1e-6
    torch._dynamo.reset()


@pytest.mark.parametrize("resident", [0, 2])
def test_blocks_stream_with_the_injectors_that_follow_them(net: Any, resident: int) -> None:
    module: Any = build("WanS2VTransformer3DModel", fixture()[0])
    groups = transformer_groups(module)
    assert groups[2] == ["blocks.2", "audio_injector.injector.1", "audio_injector.injector_adain_layers.1"]
    placed = StreamedModule(module, groups, CPU, torch.float32, resident=resident)
    fill(module, values().items(), torch.float32, placed.put, "tiny")
    placed.bind()
    for case in ("first", "later_posed"):
        assert torch.equal(run(module, case), run(net, case))
    placed.release()
    assert module.blocks[0].self_attn.q.weight.is_meta


def test_in_fp8_it_is_near(net: Any) -> None:
    module: Any = build("WanS2VTransformer3DModel", fixture()[0])
    placed = StreamedModule(module, transformer_groups(module), CPU, torch.bfloat16, weights="fp8")
    fill(module, values().items(), torch.bfloat16, placed.put, "tiny")
    placed.bind()
    assert isinstance(module.audio_injector.injector[1].q, Fp8Linear)
    assert isinstance(module.blocks[1].ffn[0], Fp8Linear)
    assert error(run(module), answer("later_posed")) < 0.1


def test_diffusers_fp8_storage(net: Any) -> None:
    other = copy.deepcopy(net).to(torch.bfloat16)
    other.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.bfloat16)
    assert other.blocks[0].ffn[0].weight.dtype is torch.float8_e4m3fn
    assert error(run(other), answer("later_posed")) < 0.2


@pytest.mark.parametrize("how", ["block_level", "leaf_level"])
def test_diffusers_group_offload(net: Any, how: str) -> None:
    other = copy.deepcopy(net)
    blocks = {"num_blocks_per_group": 1} if how == "block_level" else {}
    other.enable_group_offload(onload_device=CPU, offload_device=CPU, offload_type=how, **blocks)
    assert error(run(other), answer("later_posed")) < 1e-6


LAYERS = (
    "blocks.0.self_attn.q", "blocks.0.self_attn.k", "blocks.1.self_attn.v", "blocks.1.self_attn.o",
    "blocks.2.cross_attn.q", "blocks.2.cross_attn.k", "blocks.3.cross_attn.o", "blocks.3.ffn.0", "blocks.3.ffn.2",
    "text_embedding.0", "time_embedding.2", "time_projection.1", "patch_embedding", "head.head",
)  # fmt: skip
OWN = (
    "audio_injector.injector.1.q", "audio_injector.injector.0.v", "audio_injector.injector_adain_layers.1.linear",
    "casual_audio_encoder.encoder.final_linear", "casual_audio_encoder.encoder.conv2.conv", "cond_encoder",
    "frame_packer.proj_4x", "trainable_cond_mask",
)  # fmt: skip
DIFFERENCES = (
    "blocks.0.modulation", "blocks.3.modulation", "head.modulation", "blocks.1.norm3.weight", "blocks.1.norm3.bias",
    "blocks.2.self_attn.norm_q.weight", "blocks.2.ffn.2.bias", "trainable_cond_mask.weight", "cond_encoder.bias",
)  # fmt: skip


def changed(net: Any, changes: dict[str, Tensor]) -> nn.Module:
    other = copy.deepcopy(net)
    for name, change in changes.items():
        module, _, parameter = name.rpartition(".")
        getattr(other.get_submodule(module), parameter).data += change
    return other


def low_rank(net: Any, names: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A file's tensors under the original names, and what they change."""
    make = torch.Generator().manual_seed(4)
    file, changes = {}, {}
    for name in names:
        shape = net.get_submodule(name).weight.shape
        down = torch.randn(3, *shape[1:], generator=make) * 0.1
        up = torch.randn(shape[0], 3, generator=make) * 0.1
        file |= {f"diffusion_model.{name}.lora_A.weight": down, f"diffusion_model.{name}.lora_B.weight": up}
        changes[f"{name}.weight"] = torch.einsum("or,r...->o...", up, down)
    return file, changes


def applied(net: Any, file: dict[str, Tensor], folder: Path, weight: float = 1.0) -> Tensor:
    """The network's answer with the LoRA of this file; without it the answer must be the old one again."""
    save_file(file, folder / "mine.safetensors")
    before = run(net)
    with attached(net, [(read_lora(folder / "mine.safetensors", net), weight)]):
        out = run(net)
    assert torch.equal(run(net), before)
    assert error(out, before) > 1e-3
    return out


def test_loras_in_the_original_layout(net: Any, tmp_path: Path) -> None:
    file, changes = low_rank(net, LAYERS + OWN)
    wanted = run(changed(net, {name: 0.7 * change for name, change in changes.items()}))
    assert error(applied(net, file, tmp_path, 0.7), wanted) < 1e-5


def test_loras_in_diffusers_names(net: Any, tmp_path: Path) -> None:
    """Those made for Wan's other 14B networks in diffusers fit the blocks."""
    file, changes = low_rank(net, LAYERS)
    names = {
        "self_attn": "attn1", "cross_attn": "attn2", ".q.": ".to_q.", ".k.": ".to_k.", ".v.": ".to_v.",
        ".o.": ".to_out.0.", "ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2",
        "text_embedding.0": "condition_embedder.text_embedder.linear_1",
        "time_embedding.2": "condition_embedder.time_embedder.linear_2",
        "time_projection.1": "condition_embedder.time_proj", "head.head": "proj_out", "diffusion_model": "transformer",
    }  # fmt: skip
    spelt = {}
    for key, tensor in file.items():
        name = key
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        spelt[name] = tensor
    assert {original_name(n.removeprefix("transformer.").rsplit(".lora_", 1)[0]) for n in spelt} == set(LAYERS)
    spelt["transformer.scale_shift_table.diff"] = torch.full((1, 2, 64), 0.3)
    spelt["transformer.blocks.0.scale_shift_table.diff"] = torch.full((1, 6, 64), 0.2)
    changes |= {"head.modulation": torch.tensor(0.3), "blocks.0.modulation": torch.tensor(0.2)}
    assert error(applied(net, spelt, tmp_path), run(changed(net, changes))) < 1e-5


def test_differences_of_whole_tensors(net: Any, tmp_path: Path) -> None:
    """What distilled LoRAs carry beside the low-rank part."""
    make = torch.Generator().manual_seed(6)
    changes = {n: torch.randn(net.state_dict()[n].shape, generator=make) * 0.2 for n in DIFFERENCES}
    file = {}
    for name, change in changes.items():
        module, _, parameter = name.rpartition(".")
        ending = {"weight": "diff", "bias": "diff_b", "modulation": "diff_m"}[parameter]
        file[f"diffusion_model.{module}.{ending}"] = change
    assert error(applied(net, file, tmp_path), run(changed(net, changes))) < 1e-5
