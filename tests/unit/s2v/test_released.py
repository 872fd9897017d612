"""The released checkpoint's tensors and settings."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from accelerate import init_empty_weights
from safetensors.torch import save_file

from tests.unit.s2v.tiny_net import answer, error, fixture, network, run, values
from wan_models.memory.load import build, fp32_names
from wan_models.s2v import WanS2VTransformer3DModel
from wan_models.s2v.config import LEFT_OUT, RELEASED

DIM, FFN, TEXT, AUDIO = 5120, 13824, 4096, 1024
FILE = {"_class_name": "WanModel_S2V", "_diffusers_version": "0.34.0", **RELEASED}
"""config.json as it is released."""


def layer(name: str, out: int, *inside: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (out, *inside), f"{name}.bias": (out,)}


def attention(name: str) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for projection in "qkvo":
        shapes |= layer(f"{name}.{projection}", DIM, DIM)
    return shapes | {f"{name}.norm_q.weight": (DIM,), f"{name}.norm_k.weight": (DIM,)}


def released() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the released index: WanModel's, and what S2V has beside them."""
    shapes = layer("patch_embedding", DIM, 16, 1, 2, 2) | layer("head.head", 64, DIM) | {"head.modulation": (1, 2, DIM)}
    shapes |= layer("text_embedding.0", DIM, TEXT) | layer("text_embedding.2", DIM, DIM)
    shapes |= layer("time_embedding.0", DIM, 256) | layer("time_embedding.2", DIM, DIM)
    shapes |= layer("time_projection.1", 6 * DIM, DIM)
    for number in range(40):
        block = f"blocks.{number}"
        shapes |= attention(f"{block}.self_attn") | attention(f"{block}.cross_attn")
        shapes |= {f"{block}.norm3.weight": (DIM,), f"{block}.norm3.bias": (DIM,)}
        shapes |= layer(f"{block}.ffn.0", FFN, DIM) | layer(f"{block}.ffn.2", DIM, FFN)
        shapes |= {f"{block}.modulation": (1, 6, DIM)}
    return shapes | sound() | layer("cond_encoder", DIM, 16, 1, 2, 2) | {"trainable_cond_mask.weight": (3, DIM)} | (
        layer("frame_packer.proj", DIM, 16, 1, 2, 2) | layer("frame_packer.proj_2x", DIM, 16, 2, 4, 4)
        | layer("frame_packer.proj_4x", DIM, 16, 4, 8, 8)
    )  # fmt: skip


def sound() -> dict[str, tuple[int, ...]]:
    name = "casual_audio_encoder.encoder"
    shapes: dict[str, tuple[int, ...]] = {"casual_audio_encoder.weights": (1, 25, 1, 1)}
    shapes |= {f"{name}.padding_tokens": (1, 1, 1, DIM)} | layer(f"{name}.final_linear", DIM, DIM)
    shapes |= layer(f"{name}.conv1_local.conv", DIM, AUDIO, 3) | layer(f"{name}.conv1_global.conv", 1280, AUDIO, 3)
    shapes |= layer(f"{name}.conv2.conv", 2560, 1280, 3) | layer(f"{name}.conv3.conv", DIM, 2560, 3)
    for number in range(12):
        shapes |= attention(f"audio_injector.injector.{number}")
        shapes |= layer(f"audio_injector.injector_adain_layers.{number}.linear", 2 * DIM, DIM)
    return shapes


@pytest.fixture(scope="module")
def full() -> Any:
    with init_empty_weights(include_buffers=False):
        return WanS2VTransformer3DModel.from_config(FILE)


def test_the_tensors_are_the_released_ones(full: Any) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in full.state_dict().items()}
    assert len(shapes) == 1260
    assert sum(tensor.numel() for tensor in full.state_dict().values()) == 16_295_755_609
    assert shapes == released()


def test_its_config_has_the_released_keys_and_the_classes_own(full: Any) -> None:
    assert isinstance(full, diffusers.ModelMixin)
    assert {**full.config} == {**RELEASED, **LEFT_OUT, "_class_name": "WanS2VTransformer3DModel",
                               "_diffusers_version": "0.34.0"}  # fmt: skip
    assert full.config.text_dim == 4096
    assert full.config.audio_inject_layers[-1] == 39


def test_the_official_tensors_load_strictly_and_come_back(tmp_path: Path) -> None:
    net = network()
    assert {name: tensor.shape for name, tensor in net.state_dict().items()} == {
        n: t.shape for n, t in values().items()
    }
    net.save_pretrained(tmp_path)
    again = WanS2VTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert {**again.config}["dim"] == 64
    kept = {name: tensor.dtype for name, tensor in again.state_dict().items()}
    assert kept["blocks.0.modulation"] is kept["head.modulation"] is torch.float32
    assert kept["blocks.0.self_attn.q.weight"] is kept["time_projection.1.weight"] is torch.bfloat16


def test_a_released_folder_opens_as_it_is(tmp_path: Path) -> None:
    told = {**FILE, **{key: fixture()[0][key] for key in fixture()[0]}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    save_file(values(), tmp_path / "diffusion_pytorch_model.safetensors")
    net = WanS2VTransformer3DModel.from_pretrained(tmp_path)
    assert error(run(net, "first"), answer("first")) < 1e-6


def test_it_is_built_by_name_like_the_other_networks() -> None:
    net = build("WanS2VTransformer3DModel", fixture()[0])
    assert isinstance(net, WanS2VTransformer3DModel)
    assert next(net.parameters()).is_meta
    assert fp32_names(net) == {"modulation"}


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"depth": 3}, "depth is no setting of an S2V network"),
        ({"enable_motioner": True}, "enable_motioner is True: only the released network's False is built"),
        ({"framepack_drop_mode": "drop"}, "framepack_drop_mode is 'drop'"),
        ({"window_size": [4, 4]}, "window_size is"),
        ({"dim": 5122}, "dim is 5122 for 40 heads"),
        ({"patch_size": [2, 2, 2]}, "patch_size is"),
        ({"audio_inject_layers": [0, 40]}, "there are layers 0 to 39"),
        ({"cond_dim": 0}, "cond_dim is 0"),
    ],
)
def test_settings_that_it_does_not_have_are_named(keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WanS2VTransformer3DModel({**RELEASED, **keys})


def test_the_package_is_imported_without_torch() -> None:
    told = "import sys, wan_models.s2v, wan_models.s2v.config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
