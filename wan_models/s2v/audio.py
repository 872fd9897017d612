"""From what an audio encoder hears to tokens of each latent frame, and from them into the hidden state.

(Wan-Video/Wan2.2, ``CausalAudioEncoder``, ``MotionEncoder_tc`` and ``AudioInjector_WAN``; the names of modules, with
their spelling, are those of the released tensors.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.normalization import FP32LayerNorm
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

from wan_models.memory import lean

from .attention import S2VAttention
from .tokens import in_place, modulated
from .wide import WideConv1d, WideLinear

STATES = 25
"""Hidden states of the audio encoder: its input and 24 layers."""


@dataclass(frozen=True)
class Sound:
    """What each latent frame hears: ``local`` (b, frames, 5, dim), the context of cross-attention, in the network's
    precision; ``overall`` (b, frames, dim) float32, which modulates what asks.
    """

    local: Tensor
    overall: Tensor


class CausalConv(nn.Module):
    """A convolution along time of width 3 that sees no later step: the first one is repeated twice before it."""

    def __init__(self, inside: int, outside: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = WideConv1d(inside, outside, 3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """(b, t, in) -> (b, ceil(t / stride), out) float32."""
        out: Tensor = self.conv(F.pad(x.transpose(1, 2), (2, 0), mode="replicate"))
        return out.transpose(1, 2)


class AudioTokens(nn.Module):
    """Four steps of sound become one latent frame's tokens: ``count`` local ones and a padding one, and one overall."""

    def __init__(self, inside: int, dim: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.conv1_local = CausalConv(inside, dim // 4 * count)
        self.conv1_global = CausalConv(inside, dim // 4)
        self.conv2 = CausalConv(dim // 4, dim // 2, stride=2)
        self.conv3 = CausalConv(dim // 2, dim, stride=2)
        self.final_linear = WideLinear(dim, dim)
        self.padding_tokens = nn.Parameter(torch.zeros(1, 1, 1, dim))

    def forward(self, heard: Tensor) -> tuple[Tensor, Tensor]:
        """(b, t, in) -> local (b, ceil(t / 4), count + 1, dim) and overall (b, ceil(t / 4), dim), float32."""
        batch = heard.shape[0]
        voices = self.conv1_local(heard).unflatten(2, (self.count, -1)).transpose(1, 2).flatten(0, 1)
        local = self._shortened(voices).unflatten(0, (batch, self.count)).transpose(1, 2)
        padding = self.padding_tokens.float().expand(batch, local.shape[1], 1, -1)
        overall: Tensor = self.final_linear(self._shortened(self.conv1_global(heard)))
        return torch.cat([local, padding], dim=2), overall

    def _shortened(self, x: Tensor) -> Tensor:
        return _active(self.conv3(_active(self.conv2(_active(x)))))


def _active(x: Tensor) -> Tensor:
    return F.silu(F.layer_norm(x, x.shape[-1:], eps=1e-6))


class AudioEncoder(nn.Module):
    """A weighted mean of the audio encoder's states, then tokens."""

    def __init__(self, inside: int, dim: int, count: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((1, STATES, 1, 1), 0.01))
        self.encoder = AudioTokens(inside, dim, count)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 25, in, t) -> as ``AudioTokens``."""
        share = F.silu(self.weights.float())
        heard = (features.float() * (share / share.sum())).sum(dim=1)
        tokens: tuple[Tensor, Tensor] = self.encoder(heard.transpose(1, 2))
        return tokens


class AudioAdaptation(nn.Module):
    """Layer norm whose shift and scale come from what a frame hears overall (diffusers' ``AdaLayerNorm``)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, dim * 2)
        self.norm = FP32LayerNorm(dim, 1e-5, elementwise_affine=False)

    def forward(self, overall: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(b, frames, dim) -> shift and scale of the same shape, float32; worked out in ``dtype``."""
        shift, scale = self.linear(F.silu(overall.float()).to(dtype)).float().chunk(2, dim=-1)
        return shift, scale


class AudioInjector(nn.Module):
    """After some of the blocks each frame's tokens listen to what that frame hears."""

    def __init__(self, dim: int, heads: int, eps: float, count: int) -> None:
        super().__init__()
        self.injector = nn.ModuleList(S2VAttention(dim, heads, eps) for _ in range(count))
        self.injector_adain_layers = nn.ModuleList(AudioAdaptation(dim) for _ in range(count))

    def forward(self, number: int, hidden: Tensor, own: int, sound: Sound) -> Tensor:
        """hidden (b, l, dim) float32 with its first ``own`` tokens changed, in place where that may be."""
        attention: Any = self.injector[number]
        adaptation: Any = self.injector_adain_layers[number]
        frames = sound.local.shape[1]
        shift, scale = adaptation(sound.overall, sound.local.dtype)
        key, value = attention.keys_values(sound.local.flatten(0, 1))
        key, value = (each.unflatten(0, (-1, frames)) for each in (key, value))  # (b, frames, 5, heads, width)
        tokens = hidden[:, :own].unflatten(1, (frames, -1))
        step = max(1, lean.CHUNK // tokens.shape[2])
        apart = []
        for start in range(0, frames, step):
            part = slice(start, start + step)
            piece = tokens[:, part]
            normed = adaptation.norm(piece)
            seen = modulated(normed, scale[:, part, None], shift[:, part, None], sound.local.dtype).flatten(0, 1)
            mixed = attention.mix(attention.queries(seen), key[:, part].flatten(0, 1), value[:, part].flatten(0, 1))
            change = attention.o(mixed).unflatten(0, piece.shape[:2])
            if in_place():
                piece += change
            else:
                apart.append(piece + change)
        return hidden if in_place() else torch.cat([torch.cat(apart, dim=1).flatten(1, 2), hidden[:, own:]], dim=1)
