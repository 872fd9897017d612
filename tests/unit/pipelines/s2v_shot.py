"""A small sound-driven shot, parts of tiny random networks, and stand-ins that show which frame heard what."""

from __future__ import annotations

import wave
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool3d

from tests.unit.pipelines.animate_shot import body_track, reference_picture
from wan_models.pipelines.decode import StreamingVae
from wan_models.pipelines.schedule import make_schedule
from wan_models.pipelines.settings import Settings
from wan_models.registry import model_row
from wan_models.requests import Character, DrivePack, PoseTrack, Reference, Request, Sound, TalkSettings
from wan_models.s2v import WanS2VTransformer3DModel

SIDE = 64
RATE, HOP, FIELD = 16000, 320, 400
ROW = replace(model_row("wan2.2-s2v-14b"), segment=8)
"""Clips of 8 frames: quick, and the frames carried on reach over many of them."""
CPU = torch.device("cpu")
CONFIG = {
    "dim": 32, "ffn_dim": 32, "freq_dim": 16, "text_dim": 16, "text_len": 8, "num_heads": 2, "num_layers": 2,
    "audio_dim": 4, "audio_inject_layers": [0, 1],
}  # fmt: skip


def picture(seed: int = 1, width: int = SIDE, height: int = SIDE) -> NDArray[np.uint8]:
    """Soft noise, RGB."""
    coarse = np.random.default_rng(seed).integers(40, 216, (height // 8, width // 8, 3), np.uint8)
    return coarse.repeat(8, axis=0).repeat(8, axis=1)


def write_wave(path: Path, samples: NDArray[np.floating[Any]]) -> Sound:
    """A mono WAV of 16 bits at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return Sound(path)


def hum(seconds: float) -> NDArray[np.float64]:
    """A tone that swells and fades."""
    t = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * 220 * t) * (0.5 + 0.4 * np.sin(2 * np.pi * 3.1 * t))


def shot(frames: int, **changes: Any) -> DrivePack:
    """A pack of one moving person; ``changes`` replace its fields."""
    person = Character(2, "Ada", PoseTrack(body_track(frames)), Reference(reference_picture()))
    return replace(DrivePack(SIDE, SIDE, frames, 16.0, characters=(person,)), **changes)


def request(sound: Sound | None, frames: int, *, start: bool = False, pose: bool = False, **changes: Any) -> Request:
    """A job; ``changes`` replace its fields."""
    talk = TalkSettings(start_from_reference=start, follow_pose=pose)
    pack = shot(frames) if pose else None
    made = Request(
        "s2v", ROW.name, SIDE, SIDE, frames, 16.0, seed=7, image=picture(), pack=pack, sound=sound, talk=talk,
        previews=False,
    )  # fmt: skip
    return replace(made, **changes)


def sampling(steps: int = 2, guidance: float = 1.0) -> Settings:
    """The numbers of the sampling loop."""
    return Settings("a person speaks", "blurred", steps, guidance, ROW.shift)


def energy(samples: NDArray[np.float32], width: int = CONFIG["audio_dim"]) -> Tensor:  # type: ignore[assignment]
    """What an audio encoder might make of a sound, (25, T50, width): the root mean square of each state's span."""
    count = (len(samples) - FIELD) // HOP + 1
    spans = np.stack([samples[HOP * k : HOP * k + FIELD] for k in range(count)])
    loud = torch.from_numpy(np.sqrt(np.square(spans).mean(axis=1)).astype(np.float32))
    return loud[None, :, None].expand(25, -1, width)


def tiny_network() -> WanS2VTransformer3DModel:
    """The network with numbers in every tensor, those too that training begins at zero with."""
    torch.manual_seed(3)
    network = WanS2VTransformer3DModel(**CONFIG).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


class TinyParts:
    """contracts.Parts of a tiny network; texts are numbers of their length, states the sound's energy.

    The VAE is a stand-in of the released strides, unless a real one is asked for: that takes a second a clip.
    """

    device, dtype, eye = CPU, torch.float32, None

    def __init__(self, segment: int = ROW.segment, *, real_vae: bool = False) -> None:
        self.row = replace(ROW, segment=segment)
        self.network: Any = tiny_network()
        self.vae: Any = StreamingVae(tiny_vae(), CPU, torch.float32) if real_vae else FoldingVae()
        self.log: list[str] = []

    def with_segment(self, length: int) -> TinyParts:
        """The same networks in a row of another clip length."""
        other = object.__new__(TinyParts)
        other.__dict__ = {**self.__dict__, "row": replace(self.row, segment=length), "log": []}
        return other

    def text(self, prompts: Sequence[str]) -> list[Tensor]:
        return [torch.randn(1, 8, 16, generator=torch.Generator().manual_seed(len(each))) for each in prompts]

    def clip(self, pixels: Tensor) -> Tensor:
        raise AssertionError(pixels.shape)

    def hear(self, samples: NDArray[np.float32]) -> Tensor:
        return energy(samples)

    @contextmanager
    def transformer(self, expert: str = "high") -> Iterator[Any]:
        self.log.append("network")
        yield self.network

    def room(self) -> None:
        self.log.append("room")


def tiny_vae() -> Any:
    """The real class, narrow."""
    torch.manual_seed(11)
    vae = AutoencoderKLWan(base_dim=4, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1)
    return vae.eval().requires_grad_(False)


class FoldingVae:
    """Latents are the frames themselves, an eighth as large: channel 3 * f + c is colour c of a latent frame's frame f.

    The first latent frame has one frame, four times. Nothing remembers what came before.
    """

    spatial, channels = 8, 16

    def load(self, shape: Sequence[int] = ()) -> None:
        pass

    def encode(self, pixels: Tensor) -> Tensor:
        edges = [0, *range(1, pixels.shape[2] + 1, 4)]
        return self.encode_chunks(pixels[:, :, a:b] for a, b in pairwise(edges))

    def encode_chunks(self, chunks: Iterable[Tensor]) -> Tensor:
        return torch.cat([self._folded(chunk) for chunk in chunks], dim=2)

    def decode(self, latents: Tensor, skip: int = 0) -> Iterator[Tensor]:
        for place in range(latents.shape[2]):
            small = latents[:, :12, place].unflatten(1, (4, 3)).transpose(1, 2)
            frames = small.repeat_interleave(8, 3).repeat_interleave(8, 4).clamp(-1.0, 1.0)
            if place < skip:
                yield frames[:, :, :0]
            else:
                yield frames if place else frames[:, :, -1:]

    def _folded(self, chunk: Tensor) -> Tensor:
        small = avg_pool3d(chunk, (1, 8, 8)).expand(-1, -1, 4, -1, -1)
        folded = small.transpose(1, 2).flatten(1, 2)[:, :, None]
        return torch.cat([folded, torch.zeros_like(folded[:, :4])], dim=1)


class PaintingParts(TinyParts):
    """Each frame comes out as bright as what the network was told to hear at it: 0 black, 1 white."""

    def __init__(self, segment: int = 80) -> None:
        self.row = replace(ROW, segment=segment)
        self.vae = FoldingVae()
        self.log = []
        self.network = _Painter()


@dataclass(frozen=True)
class _Heard:
    guide: Tensor


class _Painter:
    """A network that paints the first of a step's heard numbers into that step's frame."""

    def prepare(self, words: Tensor, reference: Tensor, pose: Tensor, sound: Tensor, motion: Tensor | None) -> _Heard:
        assert sound.shape[-1] == 4 * pose.shape[2]
        return _Heard(self.guide(words, sound))

    def guide(self, words: Tensor, sound: Tensor) -> Tensor:
        return sound[0, 0, 0]

    def __call__(self, latents: Tensor, timestep: Tensor, conditions: _Heard) -> Tensor:
        """The velocity that ends, after one step, at latents of the heard numbers."""
        target = torch.zeros_like(latents)
        heard = conditions.guide.reshape(-1, 4).T.repeat_interleave(3, 0)  # (12, t)
        target[0, :12] = heard[:, :, None, None] * 2.0 - 1.0
        sigma = make_schedule(1, ROW.shift, CPU).scheduler.sigmas[0]
        return (latents - target) / sigma
