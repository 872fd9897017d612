"""Every layout gives the networks that diffusers and transformers load from the released one, bit for bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers
import gguf
import numpy as np
import pytest
import torch
import transformers
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from wan_models.engine import RequestRefused
from wan_models.options import Options
from wan_models.pipelines.contracts import Checkpoint
from wan_models.registry import model_row
from wan_models.rows import ModelRow, PartName, PartRow
from wan_models.store import find
from wan_models.store.found import Found
from wan_models.store.layouts import diffusers as diffusers_layout
from wan_models.store.layouts import original as original_layout
from wan_models.weights import open_checkpoint
from wan_models.weights.networks import build
from wan_models.weights.sources import open_source
from wan_models.weights.tiny import ALL, make_tiny, tiny_config, tiny_network
from wan_models.weights.tiny_original import official
from wan_models.weights.tokens import write_tokenizer

ORIGINAL = tuple(name for name in ALL if "animate-2" not in name)
MODELS_HERE = ("wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-animate-14b", "wan2.2-animate-2-14b")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_tiny(tmp_path_factory.mktemp("released"), MODELS_HERE)


@pytest.fixture(scope="module")
def official_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_tiny(tmp_path_factory.mktemp("official"), MODELS_HERE, "original")


def loaded(checkpoint: Checkpoint, part: PartName) -> nn.Module:
    """The part's network without any help of the loader that the engines use."""
    with init_empty_weights(include_buffers=False):
        network = build(checkpoint.row.parts[part].cls, checkpoint.config(part))
    tensors = dict(checkpoint.tensors(part))
    if part == "text_encoder":
        tensors["encoder.embed_tokens.weight"] = tensors["shared.weight"]
    network.load_state_dict(tensors, assign=True, strict=True)
    return network


def reference(row: ModelRow, folder: Path, part: PartName) -> nn.Module:
    cls = row.parts[part].cls
    kind: Any = getattr(diffusers if hasattr(diffusers, cls) else transformers, cls)
    return kind.from_pretrained(str(folder / part)).eval()  # type: ignore[no-any-return]


def same(ours: nn.Module, theirs: nn.Module, *, tolerance: float = 0.0) -> None:
    mine, wanted = ours.state_dict(), theirs.state_dict()
    assert mine.keys() == wanted.keys()
    for name, tensor in wanted.items():
        scale = float(tensor.float().abs().max())
        difference = (mine[name].float() - tensor.float()).abs().max()
        assert float(difference) <= tolerance * scale, name


def hidden(network: nn.Module, part: PartName) -> Tensor:
    """What the network says to a fixed input."""
    generator = torch.Generator().manual_seed(5)
    # Mapped tensors lie at any address, and kernels of CPUs round by alignment: the same numbers, in memory of torch.
    network.load_state_dict(
        {name: tensor.float().clone() for name, tensor in network.state_dict().items()}, assign=True
    )
    network = nn.Module.float(network)
    with torch.no_grad():
        if part == "text_encoder":
            return network(torch.arange(24)[None]).last_hidden_state  # type: ignore[no-any-return]
        if part == "image_encoder":
            pixels = torch.randn(1, 3, 224, 224, generator=generator)
            return network(pixels, output_hidden_states=True).hidden_states[-2]  # type: ignore[no-any-return]
        if part == "vae":
            frames = torch.randn(1, 3, 5, 32, 32, generator=generator)
            return network.encode(frames).latent_dist.mode()  # type: ignore[no-any-return, operator]
        latents = torch.randn(1, int(network.config["in_channels"]), 2, 4, 4, generator=generator)  # type: ignore[index, arg-type]
        text = torch.randn(1, 8, 32, generator=generator)
        return network(latents, torch.tensor([500]), text).sample  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", MODELS_HERE)
def test_diffusers_folders_are_what_from_pretrained_gives(released: Mapping[str, Path], name: str) -> None:
    row = model_row(name)
    checkpoint = open_checkpoint(diffusers_layout(row, released[name]))
    for part in row.parts:
        theirs = reference(row, released[name], part)
        same(loaded(checkpoint, part), theirs)
        assert checkpoint.nbytes(part) > 1000
    assert checkpoint.tokenizer()("a woman walks").input_ids[-1] == 1


@pytest.mark.parametrize("name", [name for name in MODELS_HERE if name in ORIGINAL])
def test_the_official_layout_gives_the_same_networks(
    released: Mapping[str, Path], official_folders: Mapping[str, Path], name: str
) -> None:
    row = model_row(name)
    checkpoint = open_checkpoint(original_layout(row, official_folders[name]))
    for part in row.parts:
        ours, theirs = loaded(checkpoint, part), reference(row, released[name], part)
        same(ours, theirs)
        if part != "transformer_2" and row.parts[part].cls != "WanAnimateTransformer3DModel":
            out = hidden(ours, part)
            assert torch.equal(out, hidden(theirs, part))
            assert out.isfinite().all()
            assert float(out.std()) > 0.01
    text = "a woman walks, 色调艳丽"
    released_tokens = open_checkpoint(diffusers_layout(row, released[name])).tokenizer()(text).input_ids
    assert checkpoint.tokenizer()(text).input_ids == released_tokens


def test_animate_2_has_no_official_layout(official_folders: Mapping[str, Path]) -> None:
    assert set(official_folders) == {name for name in MODELS_HERE if name in ORIGINAL}


def tiny_row(name: str) -> ModelRow:
    """The model as if the tiny networks were the released ones: loose files tell their sizes but not all."""
    row = model_row(name)
    parts: dict[PartName, PartRow] = {
        part: replace(there, config=tiny_config(row, part)) for part, there in row.parts.items()
    }
    return replace(row, parts=parts)


def comfy(network: Any) -> dict[str, Tensor]:
    tensors = official("WanAnimateTransformer3DModel", network.state_dict())
    return {f"model.diffusion_model.{name}": tensor.contiguous() for name, tensor in tensors.items()}


def scaled_fp8(tensors: Mapping[str, Tensor], late: bool) -> dict[str, Tensor]:
    """As ComfyUI's scaled files: a scale beside each matrix; norms, biases and convolutions stay as they are."""
    packed: dict[str, Tensor] = {} if late else {"scaled_fp8": torch.zeros(0, dtype=torch.float8_e4m3fn)}
    for name, tensor in tensors.items():
        if tensor.ndim == 2 and name.endswith(".weight"):
            scale = tensor.float().abs().max() / 448
            start = name.removesuffix(".weight")
            packed[name] = (tensor.float() / scale).to(torch.float8_e4m3fn)
            packed[start + (".weight_scale" if late else ".scale_weight")] = scale
            if late:
                told = json.dumps({"format": "float8_e4m3fn"}).encode()
                packed[f"{start}.comfy_quant"] = torch.frombuffer(bytearray(told), dtype=torch.uint8)
        else:
            packed[name] = tensor
    return packed


def write_gguf(path: Path, tensors: Mapping[str, Tensor], kind: Any) -> None:
    """As the converters for ComfyUI: kernels of five dimensions flat, with their shape in a field."""
    writer = gguf.GGUFWriter(str(path), "wan")
    for name, tensor in tensors.items():
        numbers = tensor.float().numpy()
        if numbers.ndim > 4:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(numbers.shape))
            numbers = numbers.reshape(numbers.shape[0], -1)
        if numbers.ndim == 2 and numbers.shape[1] % 32 == 0:
            packed = gguf.quantize(numbers, kind)
            writer.add_tensor(name, packed, raw_dtype=kind)
        else:
            writer.add_tensor(name, numbers.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def single(row: ModelRow, part: PartName, path: Path) -> Checkpoint:
    return open_checkpoint(Found(row, "single", path.parent, {part: (path,)}, path))


@pytest.fixture(scope="module")
def animate() -> Any:
    return tiny_network(model_row("wan2.2-animate-14b"), "transformer")


def _bf16(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(tensors, str(path / "wan2.2_animate_14B_bf16.safetensors"))
    return path / "wan2.2_animate_14B_bf16.safetensors"


def _fp8(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(scaled_fp8(tensors, late=False), str(path / "old.safetensors"))
    return path / "old.safetensors"


def _fp8_late(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(scaled_fp8(tensors, late=True), str(path / "late.safetensors"))
    return path / "late.safetensors"


def _gguf(kind: str) -> Callable[[Path, dict[str, Tensor]], Path]:
    def write(path: Path, tensors: dict[str, Tensor]) -> Path:
        names = {name.removeprefix("model.diffusion_model."): tensor for name, tensor in tensors.items()}
        write_gguf(path / f"{kind}.gguf", names, gguf.GGMLQuantizationType[kind])
        return path / f"{kind}.gguf"

    return write


@pytest.mark.parametrize(
    ("write", "tolerance"),
    [
        (_bf16, 0.0),
        (_fp8, 1 / 16),  # e4m3 has three bits after the point: half a step is 1/16 of a number
        (_fp8_late, 1 / 16),
        (_gguf("F16"), 1e-3),
        (_gguf("BF16"), 0.0),
        (_gguf("Q8_0"), 1 / 127),  # of the largest of 32
        (_gguf("Q4_0"), 1 / 7),
    ],
)
def test_loose_files_of_a_transformer(
    tmp_path: Path, animate: Any, write: Callable[[Path, dict[str, Tensor]], Path], tolerance: float
) -> None:
    checkpoint = single(tiny_row("wan2.2-animate-14b"), "transformer", write(tmp_path, comfy(animate)))
    ours = loaded(checkpoint, "transformer")
    same(ours, animate, tolerance=tolerance)
    assert dict(ours.config) == dict(animate.config)  # type: ignore[arg-type]
    assert all(parameter.is_floating_point() for parameter in ours.parameters())


def test_a_number_of_a_k_quant(tmp_path: Path) -> None:
    # One block of 256: scale 2, no offset, the eight sub-scales 1 and the quants 0..15 over and over.
    block = np.zeros(144, dtype=np.uint8)
    block[0:2] = np.frombuffer(np.float16(2).tobytes(), dtype=np.uint8)
    block[4:8], block[12:16] = 1, 1
    low = np.arange(128) % 16
    block[16:] = low | (low << 4)
    writer = gguf.GGUFWriter(str(tmp_path / "k.gguf"), "wan")
    writer.add_tensor("w", block[None], raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    source = open_source((tmp_path / "k.gguf",))
    assert source.shapes == {"w": (1, 256)}
    expected = torch.arange(256).remainder(16).float()[None] * 2
    assert torch.equal(source.tensor("w"), expected)


def test_loose_files_of_the_other_parts(tmp_path: Path, released: Mapping[str, Path]) -> None:
    row = tiny_row("wan2.2-animate-14b")
    folder = released[row.name]
    vae = official("AutoencoderKLWan", load_file(str(folder / "vae" / "diffusion_pytorch_model.safetensors")))
    for prefix in ("", "model."):
        save_file({prefix + name: tensor for name, tensor in vae.items()}, str(tmp_path / "wan_2.1_vae.safetensors"))
        same(loaded(single(row, "vae", tmp_path / "wan_2.1_vae.safetensors"), "vae"), reference(row, folder, "vae"))
    encoder = reference(row, folder, "text_encoder")
    tensors = {name: tensor for name, tensor in encoder.state_dict().items() if "embed_tokens" not in name}
    save_file(scaled_fp8(tensors, late=False), str(tmp_path / "umt5_xxl_fp8_e4m3fn_scaled.safetensors"))
    ours = loaded(single(row, "text_encoder", tmp_path / "umt5_xxl_fp8_e4m3fn_scaled.safetensors"), "text_encoder")
    same(ours, encoder, tolerance=1 / 16)
    theirs = reference(row, folder, "image_encoder")
    whole = load_file(str(folder / "image_encoder" / "model.safetensors")) | {"visual_projection.weight": torch.ones(2)}
    tower = {
        name.removeprefix("visual."): tensor.contiguous()
        for name, tensor in official("CLIPVisionModel", theirs.state_dict()).items()
        if name.startswith("visual.")
    }
    for clip in (whole, tower):
        save_file(clip, str(tmp_path / "clip_vision_h.safetensors"))
        same(loaded(single(row, "image_encoder", tmp_path / "clip_vision_h.safetensors"), "image_encoder"), theirs)


_LLAMA = {
    "shared.": "token_embd.", "encoder.final_layer_norm.": "enc.output_norm.", "encoder.block.": "enc.blk.",
    "layer.0.SelfAttention.relative_attention_bias.": "attn_rel_b.", "layer.0.SelfAttention.": "attn_",
    "layer.0.layer_norm.": "attn_norm.", "layer.1.layer_norm.": "ffn_norm.",
    "layer.1.DenseReluDense.wi_0.": "ffn_gate.", "layer.1.DenseReluDense.wi_1.": "ffn_up.",
    "layer.1.DenseReluDense.wo.": "ffn_down.",
}  # fmt: skip


def test_a_text_encoder_of_llama_cpp(tmp_path: Path, released: Mapping[str, Path]) -> None:
    row = tiny_row("wan2.2-i2v-a14b")
    encoder = reference(row, released[row.name], "text_encoder")
    tensors = {}
    for name, tensor in encoder.state_dict().items():
        new = name
        for ours, theirs in _LLAMA.items():
            new = new.replace(ours, theirs)
        if "embed_tokens" not in name:
            tensors[new] = tensor
    write_gguf(tmp_path / "umt5-xxl-encoder-BF16.gguf", tensors, gguf.GGMLQuantizationType.BF16)
    same(loaded(single(row, "text_encoder", tmp_path / "umt5-xxl-encoder-BF16.gguf"), "text_encoder"), encoder)


def test_a_tree_of_comfyui_is_found_and_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = model_row("wan2.2-i2v-a14b")
    for name in ("diffusion_models", "text_encoders", "vae"):
        (tmp_path / "models" / name).mkdir(parents=True)
    for part, noise in (("transformer", "high"), ("transformer_2", "low")):
        network = tiny_network(row, part)  # type: ignore[arg-type]
        file = tmp_path / "models" / "diffusion_models" / f"wan2.2_i2v_{noise}_noise_14B_fp8_scaled.safetensors"
        save_file(scaled_fp8(comfy(network), late=False), str(file))
    write_tokenizer(tmp_path / "models" / "text_encoders" / "tokenizer")
    encoder = tiny_network(row, "text_encoder").state_dict()
    encoder.pop("encoder.embed_tokens.weight")
    save_file(encoder, str(tmp_path / "models" / "text_encoders" / "umt5_xxl_fp16.safetensors"))
    vae = official("AutoencoderKLWan", tiny_network(row, "vae").state_dict())
    save_file(vae, str(tmp_path / "models" / "vae" / "wan_2.1_vae.safetensors"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = find(row, Options(folders=(tmp_path,), offline=True))
    assert found.layout == "single"
    checkpoint = open_checkpoint(found)
    for part in row.parts:
        assert all(parameter.isfinite().all() for parameter in loaded(checkpoint, part).parameters())
    assert checkpoint.tokenizer()("sea").input_ids[-1] == 1


def test_the_identity_follows_the_files(released: Mapping[str, Path], tmp_path: Path) -> None:
    row = tiny_row("wan2.2-i2v-a14b")
    file = tmp_path / "vae.safetensors"
    save_file({"x": torch.zeros(2)}, str(file))
    before = single(row, "vae", file).identity
    assert single(row, "vae", file).identity == before
    save_file({"x": torch.zeros(3)}, str(file))
    assert single(row, "vae", file).identity != before


def refusal(checkpoint: Checkpoint, part: PartName) -> str:
    with pytest.raises(RequestRefused) as caught:
        list(checkpoint.tensors(part))
    return str(caught.value)


def test_what_is_wrong_is_named(tmp_path: Path, animate: Any) -> None:
    row = tiny_row("wan2.2-animate-14b")
    tensors = {name: tensor.contiguous() for name, tensor in animate.state_dict().items()}
    lacking = {name: tensor for name, tensor in tensors.items() if name != "blocks.3.attn1.to_q.weight"}
    save_file(lacking, str(tmp_path / "a.safetensors"))
    said = refusal(single(row, "transformer", tmp_path / "a.safetensors"), "transformer")
    assert "a.safetensors lacks 1 of the" in said
    assert "blocks.3.attn1.to_q.weight" in said
    save_file(tensors | {"blocks.3.attn1.to_q.weight": torch.zeros(3, 3)}, str(tmp_path / "b.safetensors"))
    said = refusal(single(row, "transformer", tmp_path / "b.safetensors"), "transformer")
    assert "blocks.3.attn1.to_q.weight is (3, 3)" in said
    save_file(tensors | {"proj_out.weight": torch.zeros(64, 64, dtype=torch.uint8)}, str(tmp_path / "c.safetensors"))
    said = refusal(single(row, "transformer", tmp_path / "c.safetensors"), "transformer")
    assert "proj_out.weight is stored as torch.uint8" in said


def test_files_that_are_none_are_named(tmp_path: Path) -> None:
    row = tiny_row("wan2.2-i2v-a14b")
    for name in ("x.safetensors", "x.pth", "x.gguf"):
        (tmp_path / name).write_bytes(b"no weights at all, but text that goes on for a while")
        assert str(tmp_path / name) in refusal(single(row, "vae", tmp_path / name), "vae")
    torch.save({"step": 3}, tmp_path / "y.pth")
    assert "holds no tensors by name" in refusal(single(row, "vae", tmp_path / "y.pth"), "vae")
    torch.save({"x": Path()}, tmp_path / "z.pth")  # not a tensor: nothing else is unpickled
    assert "cannot be read as a PyTorch file" in refusal(single(row, "vae", tmp_path / "z.pth"), "vae")
    (tmp_path / "x.onnx").touch()
    assert "is no weight file" in refusal(single(row, "vae", tmp_path / "x.onnx"), "vae")


def test_a_broken_config_is_named(tmp_path: Path) -> None:
    row = model_row("wan2.2-i2v-a14b")
    folder = tmp_path / "vae"
    folder.mkdir()
    save_file({"x": torch.zeros(2)}, str(folder / "diffusion_pytorch_model.safetensors"))
    found = Found(row, "diffusers", tmp_path, {"vae": (folder / "diffusion_pytorch_model.safetensors",)}, tmp_path)
    with pytest.raises(RequestRefused, match=r"config\.json cannot be read"):
        open_checkpoint(found).config("vae")
    (folder / "config.json").write_text("{")
    with pytest.raises(RequestRefused, match=r"config\.json is not JSON"):
        open_checkpoint(found).config("vae")
