"""Our frames, from tiny checkpoints' files on, against stock diffusers' pipelines: same inputs, same noise.

Where the semantics are the same, decoded video in [0, 1] must agree to 1e-5. What ours does otherwise, because the
official code does, and where it is tested:

| diffusers 0.42                               | ours, as official                         | test          |
| -------------------------------------------- | ----------------------------------------- | ------------- |
| noise levels from 1 to 0.001                 | from 0.999 to 0                           | test_denoise  |
| shift of the checkpoint (A14B: 3)            | 12, 5, 5                                  | test_checks   |
| no negative prompt                           | the official one                          | test_checks   |
| guidance 5, steps 50 by default              | 4 / 3, 3.5 / 3.5, 5; 40 or 50 steps       | test_checks   |
| the 5B's picture is squeezed to the size     | scaled to cover it and cut                | test_pictures |
| the A14B's picture is squeezed to any aspect | up to 3 %, beyond that cut, with a warning | test_pictures |
| the 5B ignores a last picture                | refused                                   | test_checks   |
| no second forward when the high value <= 1   | each expert's own value counts            | test_denoise  |
| guidance in the network's precision          | in float32                                | -             |
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from wan_models.memory.plan import Plan
from wan_models.options import Options
from wan_models.pipelines import i2v, t2v, ti2v
from wan_models.pipelines.clip import clip_noise
from wan_models.pipelines.parts import OpenParts
from wan_models.pipelines.settings import Settings, resolve
from wan_models.registry import model_row
from wan_models.requests import Request, SamplerSettings
from wan_models.rows import ModelRow
from wan_models.store import find
from wan_models.weights import open_checkpoint
from wan_models.weights.tiny import make_tiny

CPU = torch.device("cpu")
NAMES = ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b")


@dataclass
class Pair:
    """A tiny checkpoint opened by us, from its files, and by diffusers."""

    parts: OpenParts
    stock: Any


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.set_num_threads(1)
    return make_tiny(tmp_path_factory.mktemp("tiny"), NAMES)


def _opened(kind: Any, folder: Path) -> Pair:
    stock = kind.from_pretrained(str(folder), dtype=torch.float32)
    stock.set_progress_bar_config(disable=True)
    row = model_row(folder.name)
    checkpoint = open_checkpoint(find(row, Options(folders=(folder,))))
    return Pair(OpenParts(row, checkpoint, Plan(), CPU), stock)


@pytest.fixture(scope="module")
def t2v_pair(folders: dict[str, Path]) -> Pair:
    return _opened(diffusers.WanPipeline, folders["wan2.2-t2v-a14b"])


@pytest.fixture(scope="module")
def i2v_pair(folders: dict[str, Path]) -> Pair:
    return _opened(diffusers.WanImageToVideoPipeline, folders["wan2.2-i2v-a14b"])


@pytest.fixture(scope="module")
def ti2v_pair(folders: dict[str, Path]) -> Pair:
    return _opened(diffusers.WanPipeline, folders["wan2.2-ti2v-5b"])


@pytest.fixture(scope="module")
def ti2v_picture_pair(folders: dict[str, Path]) -> Pair:
    return _opened(diffusers.WanImageToVideoPipeline, folders["wan2.2-ti2v-5b"])


def _picture(width: int, height: int, seed: int) -> np.ndarray:
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def _request(row: ModelRow, task: str, **more: Any) -> Request:
    size = (64, 64) if row.family == "ti2v" else (64, 48)
    return Request(
        task=task, model=row.name, width=size[0], height=size[1], frames=9, fps=row.fps, seed=11,
        prompt="a dog runs", negative_prompt="blurry, dark", sampler=SamplerSettings(steps=4), previews=False, **more,
    )  # fmt: skip


def _drain(loop: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(loop)
        except StopIteration as end:
            return end.value


def _ours(family: Any, pair: Pair, request: Request, settings: Settings) -> Tensor:
    latents = _drain(family.sample(pair.parts, request, settings, lambda: False))
    return torch.cat(list(pair.parts.vae.decode(latents)), 2)[0] / 2 + 0.5


def _theirs(pair: Pair, request: Request, settings: Settings, **images: Any) -> Tensor:
    """(3, T, H, W) in [0, 1]."""
    stock = pair.stock
    stock.scheduler = diffusers.UniPCMultistepScheduler.from_config(stock.scheduler.config, flow_shift=settings.shift)
    frames = stock(
        prompt=settings.prompt, negative_prompt=settings.negative_prompt, width=request.width, height=request.height,
        num_frames=request.frames, num_inference_steps=settings.steps, guidance_scale=settings.guidance,
        guidance_scale_2=settings.guidance_low, latents=clip_noise(pair.parts, request), output_type="pt", **images,
    ).frames  # fmt: skip
    return frames[0].transpose(0, 1)


def _both_experts(settings: Settings) -> Settings:
    """Few steps in which both experts work."""
    return replace(settings, sigmas="diffusers", shift=5.0)


def test_t2v(t2v_pair: Pair) -> None:
    row = model_row("wan2.2-t2v-a14b")
    pair, request = t2v_pair, _request(row, "t2v")
    settings = _both_experts(resolve(row, request))
    assert settings.guidance != settings.guidance_low
    ours, theirs = _ours(t2v, pair, request, settings), _theirs(pair, request, settings)
    assert ours.shape == theirs.shape == (3, 9, 48, 64)
    assert (ours - theirs).abs().max() <= 1e-5
    assert theirs.std() > 0.01


@pytest.mark.parametrize("last", [False, True], ids=["first", "first and last"])
def test_i2v(i2v_pair: Pair, last: bool) -> None:
    row = model_row("wan2.2-i2v-a14b")
    first, end = _picture(64, 48, 1), _picture(64, 48, 2)
    more = {"last_image": end} if last else {}
    pair, request = i2v_pair, _request(row, "flf2v" if last else "i2v", image=first, **more)
    settings = _both_experts(resolve(row, request))
    images = {"image": Image.fromarray(first)} | ({"last_image": Image.fromarray(end)} if last else {})
    ours, theirs = _ours(i2v, pair, request, settings), _theirs(pair, request, settings, **images)
    assert (ours - theirs).abs().max() <= 1e-5


def test_ti2v_of_text(ti2v_pair: Pair) -> None:
    row = model_row("wan2.2-ti2v-5b")
    pair, request = ti2v_pair, _request(row, "t2v")
    settings = replace(resolve(row, request), sigmas="diffusers")
    assert (_ours(ti2v, pair, request, settings) - _theirs(pair, request, settings)).abs().max() <= 1e-5


def test_ti2v_of_a_picture(ti2v_picture_pair: Pair) -> None:
    row = model_row("wan2.2-ti2v-5b")
    image = _picture(64, 64, 3)
    pair, request = ti2v_picture_pair, _request(row, "ti2v", image=image)
    settings = replace(resolve(row, request), sigmas="diffusers")
    ours, theirs = (
        _ours(ti2v, pair, request, settings),
        _theirs(pair, request, settings, image=Image.fromarray(image)),
    )
    assert (ours - theirs).abs().max() <= 1e-5


def test_the_official_noise_levels_and_shift_give_other_frames(t2v_pair: Pair) -> None:
    row = model_row("wan2.2-t2v-a14b")
    pair, request = t2v_pair, _request(row, "t2v")
    official = resolve(row, request)
    assert (official.sigmas, official.shift) == ("official", 12.0)
    ours, theirs = _ours(t2v, pair, request, official), _theirs(pair, request, replace(official, shift=3.0))
    assert (ours - theirs).abs().max() > 1e-4
