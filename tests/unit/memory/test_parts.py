"""Opening parts: the same tensors and precisions as diffusers' own loader, nothing loaded that is not needed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.unit.memory.test_stream import run
from tests.unit.memory.tiny import ANIMATE, TinyCheckpoint, numbers
from wan_models.engine import RequestRefused
from wan_models.memory.load import build, fill, move_buffers, onto
from wan_models.memory.plan import Plan, PlanName
from wan_models.pipelines.encodings import EncodingCache, clean
from wan_models.pipelines.parts import OpenParts
from wan_models.pipelines.tiles import TiledVae
from wan_models.rows import PartName

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
    assert cache.get("large", lambda: torch.ones(13)).sum() == 13
    assert "large" not in cache
    assert "c" in cache


def test_cleaning_as_the_official_code_does() -> None:
    assert clean(" a  man&amp;amp;\n dog ") == "a man& dog"


class Watched(TinyCheckpoint):
    """In bfloat16, which the network is not; notes how many tensors it gave are held when the next is asked for."""

    most = 0

    def tensors(self, part: PartName) -> Iterator[tuple[str, Tensor]]:
        given: list[weakref.ref[Tensor]] = []
        values = dict(super().tensors(part))
        while values:
            name, tensor = values.popitem()
            given.append(weakref.ref(tensor))
            pair = (name, tensor)
            del tensor
            yield pair
            del pair
            self.most = max(self.most, sum(each() is not None for each in given))


@pytest.mark.parametrize("name", ["resident", "swap", "stream"])
def test_no_part_is_held_twice_while_it_is_loaded(name: PlanName) -> None:
    checkpoint = Watched(dtype=torch.bfloat16)
    plan = Plan(name=name, together=name == "resident", resident_blocks=0 if name == "stream" else None)
    parts = OpenParts(checkpoint.row, checkpoint, plan, CPU, torch.float32, cache=EncodingCache())
    with parts.transformer():
        pass
    assert checkpoint.most <= 1  # the one that the loop over them has in hand


def save_lora(path: Path) -> Path:
    make = torch.Generator().manual_seed(9)
    pair = {"lora_A": (2, 24), "lora_B": (24, 2)}
    names = ("blocks.0.attn1.to_q", "blocks.2.attn2.to_v")
    tensors = {f"{n}.{k}.weight": torch.randn(*shape, generator=make) for n in names for k, shape in pair.items()}
    save_file(tensors, path)
    return path


def test_loras_work_under_every_plan_and_leave_nothing_behind(tmp_path: Path) -> None:
    file = save_lora(tmp_path / "look.safetensors")
    results = []
    for name in ("resident", "swap", "stream"):
        checkpoint = TinyCheckpoint()
        plan = Plan(name=name, together=name == "resident", resident_blocks=0 if name == "stream" else None)
        parts = OpenParts(checkpoint.row, checkpoint, plan, CPU, cache=EncodingCache())
        outs = []
        for loras in ((), ((file, 1.0, "both"),), ((file, 0.5, "low"),), ((file, 1.0, "both"),)):
            parts.set_loras(loras)
            for _ in range(2):
                with parts.transformer() as module:
                    outs.append(run(module))
        plain, _, with_lora, _, for_other_expert, _, again, _ = outs
        assert torch.equal(plain, for_other_expert)
        assert torch.equal(with_lora, again)
        assert not torch.equal(plain, with_lora)
        assert torch.equal(outs[0], outs[1])
        results.append(with_lora)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_a_wrong_lora_is_refused_before_any_weight_is_read(tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_file({"unet.down.lora_A.weight": torch.zeros(2, 4), "unet.down.lora_B.weight": torch.zeros(4, 2)}, file)
    checkpoint = TinyCheckpoint()
    with pytest.raises(RequestRefused, match=r"other\.safetensors"):
        opened(checkpoint).set_loras([(file, 1.0, "both")])
    assert checkpoint.reads == []


class Doubling:
    """A VAE that repeats pixels: the same in tiles as in one."""

    spatial, channels = 8, 16

    def encode(self, pixels: Tensor) -> Tensor:
        return pixels[:, :, ::4, ::8, ::8]

    def decode(self, latents: Tensor, skip: int = 0) -> Iterator[Tensor]:
        for index in range(latents.shape[2]):
            chunk = latents[:, :, index : index + 1].repeat_interleave(8, 3).repeat_interleave(8, 4)
            yield chunk[:, :, :0] if index < skip else chunk


@pytest.mark.parametrize(("height", "width"), [(64, 64), (136, 200), (48, 320)])
def test_tiles_are_joined_where_they_belong(height: int, width: int) -> None:
    tiled = TiledVae(Doubling(), 64)  # type: ignore[arg-type]
    pixels = torch.rand(1, 3, 5, height, width)
    latents = Doubling().encode(pixels)
    assert torch.allclose(tiled.encode(pixels), latents, atol=1e-6)
    chunks = list(tiled.decode(latents))
    assert len(chunks) == 2
    for chunk, whole in zip(chunks, Doubling().decode(latents), strict=True):
        assert torch.allclose(chunk, whole, atol=1e-6)
    unwanted, wanted = tiled.decode(latents, 1)
    assert unwanted.shape == (1, 3, 0, height, width)
    assert torch.equal(wanted, chunks[1])
