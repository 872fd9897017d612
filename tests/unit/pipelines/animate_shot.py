"""A small synthetic shot for Animate's tests, maps that count who reads them, and parts of tiny random networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch import Tensor, nn

from wan_models.pipelines.decode import StreamingVae
from wan_models.pipelines.settings import Settings
from wan_models.registry import model_row
from wan_models.requests import AnimateSettings, Character, DrivePack, PoseTrack, Reference, Request
from wan_models.rows import ModelRow
from wan_models.weights.tiny import tiny_network

WIDTH, HEIGHT = 64, 48
ROW = replace(model_row("wan2.2-animate-14b"), segment=9)
CPU = torch.device("cpu")


class Counted(Sequence[NDArray[Any]]):
    """Maps made when asked for; ``reads`` counts how often each was."""

    def __init__(self, count: int, make: Callable[[int], NDArray[Any]]) -> None:
        self._count, self._make = count, make
        self.reads: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self._count:
            raise IndexError(index)
        self.reads[index] += 1
        return self._make(index)


def box_of(t: int) -> tuple[int, int, int, int]:
    """left, top, right, bottom of the character in frame ``t``."""
    left = 20 + t % 8
    return left, 12, left + 8, 36


def body_track(frames: int) -> NDArray[np.float32]:
    """Joints within the character's box, all seen, three metres away."""
    track = np.zeros((frames, 20, 5), np.float32)
    spread = np.random.default_rng(3).random((20, 2))
    for t in range(frames):
        left, top, right, bottom = box_of(t)
        track[t, :, 0] = left + spread[:, 0] * (right - left)
        track[t, :, 1] = top + spread[:, 1] * (bottom - top)
    track[..., 2], track[..., 3] = 1.0, 3.0
    return track


def plate(t: int) -> NDArray[np.uint8]:
    """Noise that moves with the frames."""
    return np.random.default_rng(100 + t).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def mask(t: int, index: int = 2) -> NDArray[np.uint8]:
    """The character's box."""
    result = np.zeros((HEIGHT, WIDTH), np.uint8)
    left, top, right, bottom = box_of(t)
    result[top:bottom, left:right] = index
    return result


def depth(t: int) -> NDArray[np.float32]:
    """The character 3 m away before a wall at 9 m; a post at 1 m covers columns 18 and 19."""
    result = np.where(mask(t) > 0, 3.0, 9.0).astype(np.float32)
    result[:, 18:20] = 1.0
    return result


@cache
def face(t: int) -> NDArray[np.uint8]:
    """Soft blobs that move."""
    y, x = np.mgrid[0:512, 0:512] / 512.0
    waves = [np.sin(6 * x + t * 0.7 + k) * np.cos(5 * y - k) for k in range(3)]
    return np.asarray(np.stack(waves, axis=2) * 120 + 128, np.uint8)


def reference_picture(width: int = 40, height: int = 60) -> NDArray[np.uint8]:
    """RGBA, opaque."""
    picture = np.random.default_rng(5).integers(0, 256, (height // 4, width // 4, 4), np.uint8)
    picture = picture.repeat(4, axis=0).repeat(4, axis=1)
    picture[..., 3] = 255
    return picture


def shot(frames: int, **changes: Any) -> DrivePack:
    """The pack; ``changes`` replace its fields."""
    body = np.zeros((20, 3), np.float32)
    character = Character(
        2, "Ada", PoseTrack(body_track(frames)), Reference(reference_picture(), body), Counted(frames, face)
    )
    pack = DrivePack(
        WIDTH, HEIGHT, frames, 30.0, characters=(character,), plate=Counted(frames, plate),
        mask=Counted(frames, mask), depth=Counted(frames, depth),
    )  # fmt: skip
    return replace(pack, **changes)


def request(pack: DrivePack, frames: int, task: Any = "animate", **changes: Any) -> Request:
    """A job on ``pack``; ``changes`` replace its fields."""
    made = Request(task, ROW.name, WIDTH, HEIGHT, frames, 30.0, seed=7, pack=pack, previews=False)
    return replace(made, **changes)


def settings(overlap: Any = 1, **changes: Any) -> AnimateSettings:
    """Shorter to write."""
    return AnimateSettings(overlap, **changes)


def sampling(steps: int = 2, guidance: float = 1.0, sigmas: Any = "official") -> Settings:
    """The numbers of the sampling loop."""
    return Settings(ROW.prompt, ROW.negative_prompt, steps, guidance, ROW.shift, sigmas=sigmas)


class TinyParts:
    """contracts.Parts of the tiny Animate checkpoint in float32: text and CLIP give random numbers of their input."""

    device, dtype, eye = CPU, torch.float32, None

    def __init__(self, row: ModelRow = ROW, *, quick: bool = False) -> None:
        """``quick``: a VAE that is no more than the strides and the channels."""
        self.row = row
        self.network = tiny_network(row, "transformer").float()
        self.autoencoder = _quick_vae() if quick else tiny_network(row, "vae")
        self.log: list[str] = []

    def with_segment(self, length: int) -> TinyParts:
        """The same networks in a row of another segment length."""
        other = object.__new__(TinyParts)
        other.__dict__ = {**self.__dict__, "row": replace(self.row, segment=length), "log": []}
        return other

    def text(self, prompts: Sequence[str]) -> list[Tensor]:
        return [_random(1, 512, self.network.config.text_dim, seed=len(prompt)) for prompt in prompts]

    def clip(self, pixels: Tensor) -> Tensor:
        self.clip_input = pixels
        return _random(1, 257, self.network.config.image_dim, seed=int(pixels.abs().sum()))

    @property
    def vae(self) -> StreamingVae:
        return StreamingVae(self.autoencoder, CPU, torch.float32)

    @contextmanager
    def transformer(self, expert: str = "high") -> Iterator[nn.Module]:
        self.log.append("network")
        yield self.network

    def room(self) -> None:
        self.log.append("room")


def _random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _quick_vae() -> AutoencoderKLWan:
    torch.manual_seed(11)
    return AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1).eval().requires_grad_(False)
