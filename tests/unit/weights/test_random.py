"""Random checkpoints and tiny ones: repeatable, finite, not constant."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights

from wan_models.engine import RequestRefused
from wan_models.models import MODELS
from wan_models.registry import model_row
from wan_models.rows import ModelRow, PartName, PartRow
from wan_models.weights import RandomCheckpoint
from wan_models.weights.networks import build, tensor_shapes
from wan_models.weights.tiny import make_tiny, tiny_config


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def small(name: str) -> ModelRow:
    row = model_row(name)
    parts: dict[PartName, PartRow] = {
        part: replace(there, config=tiny_config(row, part)) for part, there in row.parts.items()
    }
    return replace(row, parts=parts)


@pytest.mark.parametrize(
    "name", ["wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-animate-14b", "wan2.2-animate-2-14b", "wan2.2-s2v-14b"]
)
def test_random_networks_are_whole_and_finite(name: str) -> None:
    checkpoint = RandomCheckpoint(small(name), "cpu")
    for part, row in checkpoint.row.parts.items():
        if part in ("text_encoder", "vae"):
            continue
        with init_empty_weights(include_buffers=False):
            network = build(row.cls, checkpoint.config(part))
        tensors = dict(checkpoint.tensors(part))
        network.load_state_dict(tensors, assign=True, strict=True)
        assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
        assert all(tensor.isfinite().all() for tensor in tensors.values())
        assert all(float(tensor.float().std()) > 0 for tensor in tensors.values() if tensor.numel() > 1)


def test_a_random_vae_decodes_to_a_picture() -> None:
    checkpoint = RandomCheckpoint(small("wan2.2-t2v-a14b"), "cpu")
    vae = build("AutoencoderKLWan", checkpoint.config("vae"))
    vae.load_state_dict(dict(checkpoint.tensors("vae")), strict=True)
    latents = torch.randn(1, 16, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        pixels = vae.decode(latents).sample  # type: ignore[operator]
    assert pixels.shape == (1, 3, 5, 32, 32)
    assert pixels.isfinite().all()
    assert 0.05 < float(pixels.std()) < 0.9


def test_seeds_and_parts_differ_and_repeat() -> None:
    row = small("wan2.2-t2v-a14b")

    def first(seed: int, part: PartName) -> torch.Tensor:
        return next(tensor for name, tensor in RandomCheckpoint(row, "cpu", seed).tensors(part) if tensor.ndim > 1)

    assert torch.equal(first(0, "transformer"), first(0, "transformer"))
    assert not torch.equal(first(0, "transformer"), first(1, "transformer"))
    assert not torch.equal(first(0, "transformer"), first(0, "transformer_2"))
    assert RandomCheckpoint(row, "cpu", 0).identity != RandomCheckpoint(row, "cpu", 1).identity


def test_the_rows_count_what_the_classes_hold() -> None:
    counted = {}
    for row in MODELS:
        for part, told in row.parts.items():
            if id(told) not in counted:
                counted[id(told)] = told.cls
                numbers = sum(torch.Size(shape).numel() for shape in tensor_shapes(told.cls, told.config).values())
                assert numbers == told.params, (row.name, part)
    assert set(counted.values()) >= {"UMT5EncoderModel", "CLIPVisionModel", "AutoencoderKLWan"}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_tiny_checkpoints_are_the_same_every_time(tmp_path: Path) -> None:
    name = "wan2.2-ti2v-5b"
    first = make_tiny(tmp_path / "a", [name])[name]
    second = make_tiny(tmp_path / "b", [name])[name]
    assert first == tmp_path / "a" / name
    assert digests(first) == digests(second)
    assert sum(path.stat().st_size for path in first.rglob("*") if path.is_file()) < 8_000_000


def test_an_unknown_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestRefused, match="there is no model wan3"):
        make_tiny(tmp_path, ["wan3"])
