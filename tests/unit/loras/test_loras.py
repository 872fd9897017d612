"""LoRAs of every layout do what merging them into the weights would do, leave no trace, and bad files are named."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import WanAnimate2Transformer3DModel, WanAnimateTransformer3DModel, WanTransformer3DModel
from safetensors.torch import save_file
from torch import Tensor, nn

from wan_models.engine import RequestRefused
from wan_models.lora_keys import original_name, read_key
from wan_models.loras import attached, read_lora

RANK = 3
LAYERS = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.o", "ffn.0", "ffn.2")
DIFFUSERS = {
    "self_attn.q": "attn1.to_q", "self_attn.k": "attn1.to_k", "self_attn.v": "attn1.to_v",
    "self_attn.o": "attn1.to_out.0", "cross_attn.q": "attn2.to_q", "cross_attn.o": "attn2.to_out.0",
    "ffn.0": "ffn.net.0.proj", "ffn.2": "ffn.net.2",
}  # fmt: skip


@pytest.fixture(scope="module")
def wan() -> WanTransformer3DModel:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=8, freq_dim=8,
        ffn_dim=16, num_layers=2, cross_attn_norm=True, rope_max_seq_len=32,
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.05
    return model


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    make = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(1, 4, 2, 4, 6, generator=make),
        "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 5, 8, generator=make),
    }


def run(model: nn.Module, inputs: dict[str, Tensor]) -> Tensor:
    with torch.no_grad():
        return model(**inputs, return_dict=False)[0]


def low_rank(model: nn.Module, names: dict[str, str], rank: int = RANK, seed: int = 2) -> dict[str, Tensor]:
    """{name.A, name.B} for each name of ``names`` (in the file) and its module (in the network)."""
    make = torch.Generator().manual_seed(seed)
    made = {}
    for name, module in names.items():
        weight = model.get_submodule(module).weight
        made[f"{name}.A"] = torch.randn(rank, *weight.shape[1:], generator=make) * 0.3
        made[f"{name}.B"] = torch.randn(weight.shape[0], rank, *[1] * (weight.ndim - 2), generator=make) * 0.3
    return made


def block_names() -> dict[str, str]:
    return {f"blocks.{n}.{name}": f"blocks.{n}.{DIFFUSERS[name]}" for n in (0, 1) for name in LAYERS}


def merged(model: nn.Module, names: dict[str, str], tensors: dict[str, Tensor], scale: float) -> nn.Module:
    other = copy.deepcopy(model)
    for name, module in names.items():
        down, up = tensors[f"{name}.A"], tensors[f"{name}.B"]
        change = torch.einsum("or,r...->o...", up.flatten(1), down)
        other.get_submodule(module).weight.data += scale * change
    return other


def lightx2v(name: str) -> dict[str, str]:
    return {"A": f"diffusion_model.{name}.lora_down.weight", "B": f"diffusion_model.{name}.lora_up.weight"}


def comfy(name: str) -> dict[str, str]:
    return {"A": f"diffusion_model.{name}.lora_A.weight", "B": f"diffusion_model.{name}.lora_B.weight"}


def kohya(name: str) -> dict[str, str]:
    flat = "lora_unet_" + name.replace(".", "_")
    return {"A": f"{flat}.lora_down.weight", "B": f"{flat}.lora_up.weight"}


def peft(name: str) -> dict[str, str]:
    return {"A": f"base_model.model.{name}.lora_A.weight", "B": f"base_model.model.{name}.lora_B.weight"}


def diffsynth(name: str) -> dict[str, str]:
    return {"A": f"pipe.dit.{name}.lora_A.default.weight", "B": f"pipe.dit.{name}.lora_B.default.weight"}


def in_diffusers(name: str) -> dict[str, str]:
    block, _, layer = name.partition(".")[2].partition(".")
    module = f"blocks.{block}.{DIFFUSERS[layer]}"
    return {"A": f"transformer.{module}.lora_A.weight", "B": f"transformer.{module}.lora_B.weight"}


def spell(tensors: dict[str, Tensor], how: Callable[[str], dict[str, str]]) -> dict[str, Tensor]:
    return {how(key[:-2])[key[-1]]: tensor.contiguous() for key, tensor in tensors.items()}


@pytest.mark.parametrize("how", [lightx2v, comfy, kohya, peft, diffsynth, in_diffusers], ids=lambda how: how.__name__)
@pytest.mark.parametrize("alpha", [None, 6.0])
def test_layouts(
    how: Callable[[str], dict[str, str]], alpha: float | None, wan: nn.Module, inputs: dict[str, Tensor], tmp_path: Path
) -> None:
    tensors = low_rank(wan, block_names())
    file = spell(tensors, how)
    if alpha is not None:
        file |= {how(name)["A"].rsplit(".lora_", 1)[0] + ".alpha": torch.tensor(alpha) for name in block_names()}
    save_file(file, tmp_path / "mine.safetensors")
    lora = read_lora(tmp_path / "mine.safetensors", wan)
    assert set(lora.pairs) == set(block_names().values())
    assert lora.nbytes == sum(tensor.nbytes for tensor in tensors.values())

    base = run(wan, inputs)
    wanted = run(merged(wan, block_names(), tensors, 0.7 * (1.0 if alpha is None else alpha / RANK)), inputs)
    assert (wanted - base).abs().max() > 0.01
    with attached(wan, [(lora, 0.7)]):
        torch.testing.assert_close(run(wan, inputs), wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(run(wan, inputs), base)
    with attached(wan, [(lora, 0.0)]):
        assert torch.equal(run(wan, inputs), base)


def test_several_with_weights_and_copies_per_use(wan: nn.Module, inputs: dict[str, Tensor], tmp_path: Path) -> None:
    first = {"blocks.0.self_attn.q": "blocks.0.attn1.to_q", "patch_embedding": "patch_embedding"}
    second = {"blocks.0.self_attn.q": "blocks.0.attn1.to_q", "text_embedding.2":
              "condition_embedder.text_embedder.linear_2", "head.head": "proj_out"}  # fmt: skip
    one, two = low_rank(wan, first), low_rank(wan, second, rank=2, seed=5)
    save_file(spell(one, comfy), tmp_path / "one.safetensors")
    save_file(spell(two, lightx2v), tmp_path / "two.safetensors")
    loras = [(read_lora(tmp_path / f"{name}.safetensors", wan), weight) for name, weight in (("one", 0.5), ("two", -1))]
    wanted = run(merged(merged(wan, first, one, 0.5), second, two, -1.0), inputs)
    base = run(wan, inputs)
    for resident in (True, False):
        with attached(wan, loras, resident=resident):
            torch.testing.assert_close(run(wan, inputs), wanted, atol=1e-5, rtol=1e-5)
    assert torch.equal(run(wan, inputs), base)


def test_differences_of_whole_weights(wan: nn.Module, inputs: dict[str, Tensor], tmp_path: Path) -> None:
    """What lightx2v's distilled LoRAs carry beside the low-rank part, modulation tables among it."""
    make = torch.Generator().manual_seed(7)
    other = copy.deepcopy(wan)
    changes = {
        "blocks.0.diff_m": "blocks.0.scale_shift_table",
        "blocks.1.modulation.diff": "blocks.1.scale_shift_table",
        "head.modulation.diff": "scale_shift_table",
        "head.head.diff": "proj_out.weight",
        "head.head.diff_b": "proj_out.bias",
        "patch_embedding.diff": "patch_embedding.weight",
        "patch_embedding.diff_b": "patch_embedding.bias",
        "blocks.0.norm3.diff": "blocks.0.norm2.weight",
        "blocks.0.norm3.diff_b": "blocks.0.norm2.bias",
        "blocks.0.self_attn.norm_q.diff": "blocks.0.attn1.norm_q.weight",
        "blocks.1.ffn.0.diff_b": "blocks.1.ffn.net.0.proj.bias",
        "blocks.1.cross_attn.v.diff": "blocks.1.attn2.to_v.weight",
        "time_projection.1.diff_b": "condition_embedder.time_proj.bias",
    }
    file = {}
    for key, name in changes.items():
        module, _, parameter = name.rpartition(".")
        target = getattr(other.get_submodule(module), parameter)
        file[f"diffusion_model.{key}"] = torch.randn(target.shape, generator=make) * 0.2
        target.data += 0.8 * file[f"diffusion_model.{key}"]
    file["diffusion_model.blocks.1.self_attn.norm_k.diff"] = torch.zeros(24)
    save_file(file, tmp_path / "diff.safetensors")
    lora = read_lora(tmp_path / "diff.safetensors", wan)
    assert "blocks.1.attn1.norm_k" not in lora.weights  # zeros do nothing
    base = run(wan, inputs)
    with attached(wan, [(lora, 0.8)]):
        torch.testing.assert_close(run(wan, inputs), run(other, inputs), atol=1e-5, rtol=1e-5)
    assert torch.equal(run(wan, inputs), base)


def test_as_diffusers_reads_a_distilled_file(wan: nn.Module, inputs: dict[str, Tensor], tmp_path: Path) -> None:
    from diffusers.loaders.lora_conversion_utils import _convert_non_diffusers_wan_lora_to_diffusers

    names = block_names() | {
        f"blocks.{n}.cross_attn.{x}": f"blocks.{n}.attn2.to_{x}" for n in (0, 1) for x in ("k", "v")
    }
    file = spell(low_rank(wan, names), lightx2v)
    file |= {f"diffusion_model.{name}.alpha": torch.tensor(6.0) for name in names}
    save_file(file, tmp_path / "x.safetensors")
    theirs = _convert_non_diffusers_wan_lora_to_diffusers(dict(file))
    ours = read_lora(tmp_path / "x.safetensors", wan)
    assert {key.removeprefix("transformer.").rsplit(".lora_", 1)[0] for key in theirs} == set(ours.pairs)
    for name, pair in ours.pairs.items():
        down, up = (theirs[f"transformer.{name}.lora_{half}.weight"] for half in "AB")
        torch.testing.assert_close(pair.scale * pair.up @ pair.down, up @ down)


def animate_model() -> WanAnimateTransformer3DModel:
    return WanAnimateTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=12, latent_channels=4, out_channels=4, text_dim=8,
        freq_dim=8, ffn_dim=16, num_layers=2, image_dim=4, added_kv_proj_dim=24, rope_max_seq_len=32,
        motion_encoder_size=16, motion_style_dim=8, motion_dim=4, face_encoder_hidden_dim=16,
        face_encoder_num_heads=2, inject_face_latents_blocks=1,
    ).eval()  # fmt: skip


@pytest.mark.parametrize("layout", ["ckpt", "adapter"])
def test_relighting(layout: str, tmp_path: Path) -> None:
    """The two files of the official repository: every linear layer of the blocks, in PEFT's names."""
    model = animate_model()
    linear = [name for name, each in model.named_modules() if isinstance(each, nn.Linear) and name.startswith("blocks")]
    names = {original_name(name): name for name in linear}
    assert {"blocks.0.cross_attn.k_img", "blocks.1.ffn.2", "blocks.1.self_attn.o"} <= set(names)
    tensors = low_rank(model, names)
    if layout == "ckpt":
        path = tmp_path / "relighting_lora.ckpt"
        halves = {"A": "lora_A.default.weight", "B": "lora_B.default.weight"}
        torch.save({"state_dict": {f"{key[:-2]}.{halves[key[-1]]}": x for key, x in tensors.items()}}, path)
    else:
        path = tmp_path / "adapter_model.safetensors"
        save_file(spell(tensors, peft), path)
        (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 2 * RANK}))
    lora = read_lora(path, model)
    assert set(lora.pairs) == set(linear)
    assert {pair.scale for pair in lora.pairs.values()} == {1.0 if layout == "ckpt" else 2.0}
    x = torch.randn(1, 3, 24)
    wanted = merged(model, names, tensors, lora.pairs[linear[0]].scale).blocks[0].attn2.add_k_proj(x)
    with attached(model, [(lora, 1.0)]):
        torch.testing.assert_close(model.blocks[0].attn2.add_k_proj(x), wanted)


def test_animates_joint_key_and_value(tmp_path: Path) -> None:
    model = animate_model()
    make = torch.Generator().manual_seed(3)
    down, up = torch.randn(RANK, 24, generator=make), torch.randn(48, RANK, generator=make)
    name = "diffusion_model.face_adapter.fuser_blocks.0.linear1_kv"
    save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, tmp_path / "face.safetensors")
    lora = read_lora(tmp_path / "face.safetensors", model)
    assert torch.equal(lora.pairs["face_adapter.0.to_k"].up, up[:24])
    assert torch.equal(lora.pairs["face_adapter.0.to_v"].up, up[24:])


def test_animate_2_has_the_original_names_itself(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = WanAnimate2Transformer3DModel(
            in_dim=12, dim=24, ffn_dim=16, freq_dim=8, text_dim=8, out_dim=4, num_heads=2, num_layers=1
        )
    names = ("blocks.0.self_attn.q", "blocks.0.cross_attn.o", "blocks.0.ffn.2", "text_embedding.0", "head.head")
    there = [name for name in names if name in dict(model.named_modules())]
    assert len(there) >= 3
    file: dict[str, Tensor] = {}
    for name in there:
        weight = model.get_submodule(name).weight
        file[f"diffusion_model.{name}.lora_A.weight"] = torch.ones(RANK, weight.shape[1])
        file[f"diffusion_model.{name}.lora_B.weight"] = torch.ones(weight.shape[0], RANK)
    file["diffusion_model.blocks.0.diff_m"] = torch.ones(1, 6, 24)
    file["diffusion_model.head.diff_m"] = torch.ones(1, 2, 24)
    save_file(file, tmp_path / "two.safetensors")
    lora = read_lora(tmp_path / "two.safetensors", model)
    assert set(lora.pairs) == set(there)
    assert set(lora.modulations) == {"blocks.0", "head"}


class Packed(nn.Module):
    """A linear layer whose weight is stored in fp8, as memory plans may do."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.register_buffer("packed", linear.weight.data.to(torch.float8_e4m3fn))
        self.register_buffer("bias", linear.bias.data.to(torch.bfloat16))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.packed.to(x.dtype), self.bias.to(x.dtype))


def test_fp8_storage_in_bfloat16(wan: nn.Module, tmp_path: Path) -> None:
    model = copy.deepcopy(wan)
    name = "blocks.0.attn1.to_q"
    model.blocks[0].attn1.to_q = Packed(model.blocks[0].attn1.to_q)
    tensors = low_rank(wan, {"blocks.0.self_attn.q": name})
    save_file(spell(tensors, comfy), tmp_path / "x.safetensors")
    lora = read_lora(tmp_path / "x.safetensors", model)
    x = torch.randn(1, 4, 24).to(torch.bfloat16)
    packed = model.get_submodule(name)
    before, stored = packed(x), packed.packed.clone()
    with attached(model, [(lora, 1.0)]):
        during = packed(x)
    wanted = before.float() + x.float() @ (lora.pairs[name].up @ lora.pairs[name].down).T
    assert during.dtype == torch.bfloat16
    torch.testing.assert_close(during.float(), wanted, atol=0.05, rtol=0.02)
    assert torch.equal(packed(x), before)
    assert torch.equal(stored.view(torch.uint8), packed.packed.view(torch.uint8))


def test_hooks_go_when_a_job_fails(wan: nn.Module, inputs: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(spell(low_rank(wan, block_names()), comfy), tmp_path / "x.safetensors")
    base = run(wan, inputs)

    def job() -> None:
        with attached(wan, [(read_lora(tmp_path / "x.safetensors", wan), 1.0)]):
            message = "out of memory"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="out of memory"):
        job()
    assert torch.equal(run(wan, inputs), base)


def _wide(wan: nn.Module) -> dict[str, Any]:
    key = "diffusion_model.blocks.0.self_attn.q"
    return {f"{key}.lora_A.weight": torch.zeros(2, 30), f"{key}.lora_B.weight": torch.zeros(30, 2)}


BAD: dict[str, tuple[Callable[[nn.Module], dict[str, Any]], str]] = {
    "wider": (_wide, r"x.safetensors is a LoRA of another model: its lora_A for blocks.0.self_attn.q is 2x30, "
                     r"where this WanTransformer3DModel takes 2x24"),
    "deeper": (lambda _: {"diffusion_model.blocks.7.ffn.0.lora_A.weight": torch.zeros(1, 24),
                          "diffusion_model.blocks.7.ffn.0.lora_B.weight": torch.zeros(16, 1)},
               "it changes blocks.7.ffn.0, which WanTransformer3DModel does not have"),
    "image keys": (lambda _: {"diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight": torch.zeros(1, 24),
                              "diffusion_model.blocks.0.cross_attn.k_img.lora_B.weight": torch.zeros(24, 1)},
                   "it changes blocks.0.cross_attn.k_img"),
    "half": (lambda _: {"diffusion_model.blocks.0.ffn.0.lora_A.weight": torch.zeros(1, 24)},
             "x.safetensors is not whole: blocks.0.ffn.0 has one half"),
    "whole model": (lambda wan: {key: value.clone() for key, value in wan.state_dict().items()}, "no plain LoRA"),
    "dora": (lambda _: {"diffusion_model.blocks.0.ffn.0.dora_scale": torch.zeros(16)}, "dora_scale, which is no plain"),
    "nothing": (lambda _: {"diffusion_model.blocks.0.ffn.0.alpha": torch.tensor(1.0)}, "holds no LoRA"),
    "table": (lambda _: {"diffusion_model.blocks.0.diff_m": torch.ones(1, 6, 30)}, "its modulation for blocks.0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_files_of_other_models_are_refused(kind: str, wan: nn.Module, tmp_path: Path) -> None:
    make, sentence = BAD[kind]
    save_file(make(wan), tmp_path / "x.safetensors")
    with pytest.raises(RequestRefused, match=sentence):
        read_lora(tmp_path / "x.safetensors", wan)


class Evil:
    """Would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return (Path.touch, (self.path,))


def test_files_that_cannot_be_read(wan: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    (tmp_path / "text.pt").write_text("<html>404</html>")
    (tmp_path / "evil.ckpt").write_bytes(pickle.dumps({"state_dict": Evil(tmp_path / "owned")}, protocol=2))
    torch.save([torch.zeros(1)], tmp_path / "list.pt")
    for name in ("torn.safetensors", "text.pt", "evil.ckpt", "missing.safetensors"):
        with pytest.raises(RequestRefused, match=f"^{name} cannot be read as a LoRA"):
            read_lora(tmp_path / name, wan)
    assert not (tmp_path / "owned").exists()
    with pytest.raises(RequestRefused, match="holds no LoRA"):
        read_lora(tmp_path / "list.pt", wan)


@pytest.mark.parametrize(
    ("key", "name", "kind"),
    [
        ("diffusion_model.blocks.0.ffn.0.lora_down.weight", "blocks.0.ffn.0", "down"),
        ("lora_unet__blocks_0_ffn_0.lora_up.weight", "blocks_0_ffn_0", "up"),
        ("transformer.proj_out.lora_B.bias", "proj_out", "bias"),
        ("base_model.model.blocks.3.cross_attn.k_img.lora_A.default.weight", "blocks.3.cross_attn.k_img", "down"),
        ("blocks.3.diff_m", "blocks.3", "modulation"),
        ("transformer.scale_shift_table.diff", "", "modulation"),
    ],
)
def test_keys(key: str, name: str, kind: str) -> None:
    read = read_key(key)
    assert read is not None
    assert (read.name, read.kind) == (name, kind)
