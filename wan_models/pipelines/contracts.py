"""What the tasks' modules see of a model: its parts, whatever plan put them where they are.

Tensors: latents (1, z, t, h, w) float32, normalised ((mu - mean) / std); pixels (1, 3, T, H, W) in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wan_models.rows import ModelRow, PartName

Expert = Literal["high", "low"]
"""A model of one transformer has ``high`` only."""
Cancelled: TypeAlias = Callable[[], bool]
Eye: TypeAlias = Callable[[Tensor, int], "NDArray[np.uint8] | None"]
"""(latents (1, z, t, h, w), normalised; which latent frame) -> uint8 RGB (H, W, 3) on the host, None = cannot now."""


class Checkpoint(Protocol):
    """Where a model's networks come from: a diffusers folder, the original layout, single files, random numbers."""

    row: ModelRow
    identity: str
    """Changes when the weights do; part of cache keys."""

    def config(self, part: PartName) -> Mapping[str, Any]:
        """Arguments for the part's class (``row.parts[part].cls``)."""

    def tensors(self, part: PartName) -> Iterator[tuple[str, Tensor]]:
        """Every tensor by its name in that class, one at a time: a CPU tensor (mapped from its file where it can be),
        or, of random weights, one on any device. Scaled fp8 and GGUF come out dequantised. Any order.
        """

    def nbytes(self, part: PartName) -> int:
        """Bytes on disk, for plans and progress."""

    def tokenizer(self) -> Any:  # noqa: ANN401 - transformers has no type for all of them
        """A transformers tokenizer."""


class VideoVae(Protocol):
    """The VAE, in causal chunks: 1 frame, then 4 at a time. Never more than one chunk's activations at once."""

    spatial: int
    channels: int

    def load(self, shape: Sequence[int] = ()) -> None:
        """Read its weights now, where the plan keeps them: else the first chunk waits for that. ``shape``: of latents
        that will be decoded, so that memory for them is made ready too, beside other work.
        """

    def encode(self, pixels: Tensor) -> Tensor:
        """(1, 3, T, H, W), T = 4n + 1, any device -> normalised latents float32 on the device. Uses mu itself."""

    def encode_chunks(self, chunks: Iterable[Tensor]) -> Tensor:
        """As ``encode``, of (1, 3, 1, H, W) and then (1, 3, 4, H, W) each: the clip need never be whole in memory."""

    def decode(self, latents: Tensor, skip: int = 0) -> Iterator[Tensor]:
        """Normalised latents -> pixels (1, 3, n, H, W) float32 in [-1, 1] on the device, n = 1, then 4 each:
        bit-identical to the decode of all at once. n = 0 for the first ``skip`` latent frames: nobody wants their
        frames, but those behind them follow from them.
        """


class Parts(Protocol):
    """One model, opened. Networks are loaded when first used and stay as the plan says."""

    row: ModelRow
    device: torch.device
    dtype: torch.dtype

    @property
    def eye(self) -> Eye | None:
        """What the job's previews are seen through; None = a sum of each latent point's channels."""

    def text(self, prompts: Sequence[str]) -> list[Tensor]:
        """One (1, 512, 4096) in ``dtype`` on ``device`` each, zeros after the last token; cached by content."""

    def clip(self, pixels: Tensor) -> Tensor:
        """(1, 3, 224, 224), normalised for CLIP -> the second-to-last layer's (1, 257, 1280); cached by content."""

    def hear(self, wave: NDArray[np.float32]) -> Tensor:
        """(n,) float32 mono at 16 kHz -> all hidden states of the audio encoder, float32 on the CPU (25, T50, 1024):
        50 a second, T50 = (n - 400) // 320 + 1; cached by content. Long sounds in bounded memory.
        """

    @property
    def vae(self) -> VideoVae: ...

    def transformer(self, expert: Expert = "high") -> AbstractContextManager[nn.Module]:
        """The network, ready to be called on ``device`` within the block, with the job's LoRAs attached. Cheap to enter
        again for the expert that is there already; entering another one may swap them.
        """

    def room(self) -> None:
        """Free cached memory of the card; called between stages."""


@dataclass(frozen=True)
class Schedule:
    """``timesteps`` (N,) float32 on the device, highest first; the solver's state is in ``scheduler`` (diffusers)."""

    timesteps: Tensor
    scheduler: Any


Velocity: TypeAlias = Callable[[nn.Module, Tensor, Tensor, float], Tensor]
"""(transformer, latents, timestep, guidance) -> the guided prediction, float32; the task's module supplies it."""


def to_pixels(frames: NDArray[np.uint8] | Tensor) -> Tensor:
    """uint8 (T, H, W, 3) or (H, W, 3) -> float32 (1, 3, T, H, W) in [-1, 1]."""
    if isinstance(frames, np.ndarray) and not frames.flags.writeable:
        frames = frames.copy()  # torch warns about arrays that must not be written, as decoded assets are
    tensor = torch.as_tensor(frames)
    if tensor.ndim == 3:
        tensor = tensor[None]
    return tensor.permute(3, 0, 1, 2)[None].to(torch.float32) / 127.5 - 1.0


def to_frames(pixels: Tensor) -> NDArray[np.uint8]:
    """(1, 3, n, H, W) in [-1, 1] -> uint8 (n, H, W, 3) on the host, rounded to nearest."""
    scaled = ((pixels[0].float() + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(1, 2, 3, 0).cpu().numpy())
