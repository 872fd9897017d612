"""Opening parts: the same tensors and precisions as diffusers' own loader, nothing loaded that is not needed."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch

from tests.unit.memory.tiny import ANIMATE, TinyCheckpoint, numbers
from wan_models.engine import RequestRefused
from wan_models.memory.load import build, fill, move_buffers, onto
from wan_models.memory.plan import Plan
from wan_models.pipelines.encodings import EncodingCache, clean
from wan_models.pipelines.parts import OpenParts

CPU = torch.device("cpu")


def opened(checkpoint: TinyCheckpoint, dtype: torch.dtype | None = None) -> OpenParts:
    return OpenParts(checkpoint.row, checkpoint, Plan(), CPU, dtype, cache=EncodingCache())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_precisions_and_values_are_those_of_diffusers_own_loader(tmp_path: Path, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    saved = diffusers.WanAnimateTransformer3DModel(**ANIMATE)
    saved.save_pretrained(tmp_path)
    theirs = diffusers.WanAnimateTransformer3DModel.from_pretrained(tmp_path, torch_dtype=dtype)
    ours = build("WanAnimateTransformer3DModel", ANIMATE)
    fill(ours, saved.state_dict().items(), dtype, onto(ours, CPU), "tiny")
    move_buffers(ours, CPU)
    want = dict(theirs.named_parameters()) | dict(theirs.named_buffers())
    have = dict(ours.named_parameters()) | dict(ours.named_buffers())
    assert have.keys() == want.keys()
    for name, tensor in want.items():
        assert torch.equal(have[name].float(), tensor.float()), name
        if "blur_kernel" not in name:  # cast to the input's precision where it is used
            assert have[name].dtype == tensor.dtype, name


def test_a_missing_tensor_and_a_wrong_shape_are_named() -> None:
    ours = build("WanAnimateTransformer3DModel", ANIMATE)
    values = numbers(ours, 0)
    short = {name: value for name, value in values.items() if name != "proj_out.bias"}
    with pytest.raises(RequestRefused, match=r"1 tensors are missing \(proj_out\.bias\)"):
        fill(ours, short.items(), torch.float32, onto(ours, CPU), "tiny")
    with pytest.raises(RequestRefused, match=r"proj_out\.bias is"):
        fill(ours, [("proj_out.bias", torch.zeros(3))], torch.float32, onto(ours, CPU), "tiny")


def test_text_is_padded_with_zeros_and_encoded_once() -> None:
    checkpoint = TinyCheckpoint()
    parts = opened(checkpoint)
    first, second = parts.text(["a man walks", "a man  walks"])
    assert first.shape == (1, 512, 32)
    assert first.dtype == torch.float32
    assert torch.equal(first, second)  # white space is cleaned
    assert not first[:, 12:].any()
    assert first[:, :12].abs().sum(dim=-1).min() > 0
    again = opened(checkpoint)
    again._cache = parts._cache
    checkpoint.reads.clear()
    assert torch.equal(again.text(["a man walks"])[0], first)
    assert checkpoint.reads == []


def test_clip_gives_the_layer_before_the_last() -> None:
    checkpoint = TinyCheckpoint()
    parts = opened(checkpoint)
    assert parts.clip(torch.randn(1, 3, 28, 28)).shape == (1, 5, 16)


def test_a_transformer_is_loaded_once_and_is_ready() -> None:
    checkpoint = TinyCheckpoint()
    parts = opened(checkpoint)
    with parts.transformer() as first, torch.no_grad():
        out = first(
            torch.randn(1, 36, 2, 4, 4), torch.tensor([500.0]), torch.randn(1, 512, 32), torch.randn(1, 5, 16),
            torch.randn(1, 16, 1, 4, 4), torch.randn(1, 3, 4, 16, 16), return_dict=False,
        )[0]  # fmt: skip
    assert out.isfinite().all()
    with parts.transformer() as second:
        assert second is first
    assert checkpoint.reads == ["transformer"]


def test_the_cache_forgets_the_oldest_first() -> None:
    cache = EncodingCache(limit=100)
    for key in "abc":
        cache.get(key, lambda: torch.zeros(12))
    assert "a" not in cache
    assert "c" in cache


def test_cleaning_as_the_official_code_does() -> None:
    assert clean(" a  man&amp;amp;\n dog ") == "a man& dog"
