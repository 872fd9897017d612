"""S2V's checkpoint, which diffusers has not: the released layout and loose files give the same networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import Wav2Vec2Model

from tests.unit.weights.test_layouts import loaded, refusal, same, scaled_fp8, single, tiny_row, write_gguf
from wan_models.memory.load import build, fill, onto
from wan_models.memory.measure import actual_row
from wan_models.options import Options
from wan_models.pipelines.contracts import Checkpoint
from wan_models.registry import model_row
from wan_models.rows import ModelRow
from wan_models.store import find
from wan_models.weights import RandomCheckpoint, open_checkpoint
from wan_models.weights.networks import tensor_shapes
from wan_models.weights.tiny import make_tiny, tiny_config, tiny_network

NAME = "wan2.2-s2v-14b"
ROW = model_row(NAME)
AUDIO = "wav2vec2-large-xlsr-53-english"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny(tmp_path_factory.mktemp("released"), [NAME])[NAME]


@pytest.fixture(scope="module")
def transformer() -> Any:
    return tiny_network(ROW, "transformer")


def opened(folder: Path) -> Checkpoint:
    return open_checkpoint(find(ROW, Options(folders=(folder,), offline=True)))


def heard(network: nn.Module) -> Tensor:
    wave = torch.randn(1, 4000, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        states = network.eval()(wave, output_hidden_states=True).hidden_states
    return torch.cat(states)


def test_the_released_network_has_the_released_tensors() -> None:
    """1260 of the transformer (the facts page), and of the audio encoder those that are used."""
    transformer, encoder = ROW.parts["transformer"], ROW.parts["audio_encoder"]
    shapes = tensor_shapes(transformer.cls, transformer.config)
    assert len(shapes) == 1260
    assert shapes["frame_packer.proj_4x.weight"] == (5120, 16, 4, 8, 8)
    assert len(tensor_shapes(encoder.cls, encoder.config)) == 421


def test_the_released_layout_is_written_whatever_is_asked_for(folder: Path, tmp_path: Path) -> None:
    again = make_tiny(tmp_path, [NAME], "original")[NAME]
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert names == sorted(str(path.relative_to(again)) for path in again.rglob("*") if path.is_file())
    assert "diffusion_pytorch_model.safetensors.index.json" in names
    assert f"{AUDIO}/preprocessor_config.json" in names
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 8_000_000
    told = json.loads((folder / "config.json").read_text())
    assert told["_class_name"] == "WanModel_S2V"
    assert "text_dim" not in told


def test_the_released_layout_is_what_was_written(folder: Path, transformer: nn.Module) -> None:
    checkpoint = opened(folder)
    ours = loaded(checkpoint, "transformer")
    same(ours, transformer)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.bfloat16}
    for part in ROW.parts:
        assert dict(checkpoint.config(part)) == tiny_config(ROW, part), part
    assert checkpoint.nbytes("audio_encoder") > 100_000
    assert checkpoint.tokenizer()("a woman speaks").input_ids[-1] == 1


def test_the_audio_encoder_is_what_transformers_reads(folder: Path, tmp_path: Path) -> None:
    theirs: Any = Wav2Vec2Model
    whole = heard(theirs.from_pretrained(str(folder / AUDIO)))
    assert whole.shape[0] == 25
    assert float(whole.std()) > 0.1
    checkpoint = opened(folder)
    assert torch.equal(heard(loaded(checkpoint, "audio_encoder")), whole)
    network = build("Wav2Vec2Model", checkpoint.config("audio_encoder"))
    fill(network, checkpoint.tensors("audio_encoder"), torch.float32, onto(network, torch.device("cpu")), "tiny")
    assert torch.equal(heard(network), whole)
    for name, data in loose_encoders(folder).items():
        path = tmp_path / name
        torch.save(data, path) if path.suffix == ".bin" else save_file(data, str(path))
        alone = loaded(single(tiny_row(NAME), "audio_encoder", path), "audio_encoder")
        assert (heard(nn.Module.float(alone)) - whole).abs().max() < (0.05 if "fp16" in name else 1e-6), name


def loose_encoders(folder: Path) -> dict[str, dict[str, Tensor]]:
    """As a pickle; as ComfyUI has it, half as wide, with and without the names before its own; by today's torch."""
    released = load_file(str(folder / AUDIO / "model.safetensors"))
    plain = {name.removeprefix("wav2vec2."): tensor for name, tensor in released.items()}
    now = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
    renamed = {}
    for name, tensor in plain.items():
        start, _, end = name.rpartition(".")
        renamed[f"{start}.{now.get(end, end)}" if start else name] = tensor
    return {
        "pytorch_model.bin": released,
        "wav2vec2_large_english_fp16.safetensors": {name: tensor.half() for name, tensor in released.items()},
        "plain_fp16.safetensors": {name: tensor.half() for name, tensor in plain.items()},
        "now.safetensors": renamed,
    }


def test_sizes_are_counted_from_the_files(folder: Path) -> None:
    row = actual_row(opened(folder))
    for part in ("transformer", "audio_encoder"):
        network = tiny_network(ROW, part)  # type: ignore[arg-type]
        assert row.parts[part].params == sum(each.numel() for each in network.parameters())  # type: ignore[index]


def _bf16(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({f"model.diffusion_model.{name}": each.contiguous() for name, each in tensors.items()}, str(path))
    return path


def _fp8(path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file(scaled_fp8(tensors, late=False), str(path))
    return path


def _gguf(path: Path, tensors: dict[str, Tensor]) -> Path:
    write_gguf(path.with_suffix(".gguf"), tensors, gguf.GGMLQuantizationType.Q8_0)
    return path.with_suffix(".gguf")


def _gguf_without_shapes(path: Path, tensors: dict[str, Tensor]) -> Path:
    """As converters that write kernels flat and do not say what they were."""
    flat = {name: each.flatten(1) if each.ndim > 4 else each for name, each in tensors.items()}
    write_gguf(path.with_suffix(".gguf"), flat, gguf.GGMLQuantizationType.F32)
    return path.with_suffix(".gguf")


@pytest.mark.parametrize(
    ("write", "tolerance"), [(_bf16, 0.0), (_fp8, 1 / 16), (_gguf, 1 / 127), (_gguf_without_shapes, 0.0)]
)
def test_loose_files(
    tmp_path: Path, transformer: Any, write: Callable[[Path, dict[str, Tensor]], Path], tolerance: float
) -> None:
    path = write(tmp_path / "wan2.2_s2v_14B.safetensors", dict(transformer.state_dict()))
    checkpoint = single(tiny_row(NAME), "transformer", path)
    same(loaded(checkpoint, "transformer"), transformer, tolerance=tolerance)
    assert dict(checkpoint.config("transformer")) == tiny_config(ROW, "transformer")


def test_a_shard_that_lacks_an_injector_is_named(tmp_path: Path, transformer: Any) -> None:
    tensors = {name: each for name, each in transformer.state_dict().items() if "injector.2.k.weight" not in name}
    save_file(tensors, str(tmp_path / "a.safetensors"))
    said = refusal(single(tiny_row(NAME), "transformer", tmp_path / "a.safetensors"), "transformer")
    assert "audio_injector.injector.2.k.weight" in said


def test_random_numbers_keep_it_finite() -> None:
    parts = {part: replace(there, config=tiny_config(ROW, part)) for part, there in ROW.parts.items()}
    row: ModelRow = replace(ROW, parts=parts)
    network = loaded(RandomCheckpoint(row, "cpu"), "audio_encoder")
    states = heard(nn.Module.float(network))
    assert states.isfinite().all()
    assert 0.1 < float(states.std()) < 100
