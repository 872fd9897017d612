"""Animate's network, driven by its parts: what is the same at every step of a segment is computed once.

Diffusers' own forward (0.42) and the official code run the motion and face encoders, and the projections of text and
picture, at every step. Here the same modules are called in the same order on the same numbers, so the prediction is
bit-identical. Blocks and face adapters are called as modules: plans stream their weights by hooks on them.
The pose's patch embedding stays in the step: at 1280x720 it would be 0.7 GB to keep and is a millisecond to make.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Network: TypeAlias = Any
"""A ``WanAnimateTransformer3DModel``; diffusers has no types."""


@dataclass(frozen=True)
class SegmentInputs:
    """One segment's constants on the device: ``condition`` (1, 4 + z, t + 1, h, w) float32 and ``pose`` (1, z, t, h, w)
    latents, ``rotary`` position tables.
    """

    condition: Tensor
    pose: Tensor
    rotary: tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Guide:
    """What is told to the network: ``words`` (1, 257 + 512, dim), picture tokens before text tokens, and tokens of
    the ``face`` (1, t + 1, 5, dim).
    """

    words: Tensor
    face: Tensor


def embed_words(net: Network, text: Tensor, picture: Tensor) -> Tensor:
    """Tokens for cross-attention, of ``text`` (1, 512, 4096) and CLIP's ``picture`` (1, 257, 1280)."""
    embedder = net.condition_embedder
    words = embedder.text_embedder(text)
    return torch.cat([embedder.image_embedder(picture), words], dim=1)


def embed_face(net: Network, batches: Iterable[Tensor]) -> Tensor:
    """Face tokens of a segment's face pixels, in batches (n, 3, side, side) in [-1, 1]; zeros for the reference."""
    return _face_tokens(net, torch.cat([net.motion_encoder(batch) for batch in batches]))


def embed_no_face(net: Network, frames: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Face tokens of ``frames`` pictures that are -1 everywhere: the face of the unguided prediction."""
    side = net.motion_encoder.size
    motion = net.motion_encoder(torch.full((1, 3, side, side), -1.0, dtype=dtype, device=device))
    return _face_tokens(net, motion.expand(frames, -1))


def _face_tokens(net: Network, motions: Tensor) -> Tensor:
    tokens = net.face_encoder(motions[None])
    return torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1)


def predict(net: Network, latents: Tensor, timestep: Tensor, inputs: SegmentInputs, guide: Guide) -> Tensor:
    """The velocity (1, z, t + 1, h, w) at ``latents`` of the same shape, in the tokens' dtype."""
    hidden = torch.cat([latents, inputs.condition], dim=1).to(guide.words.dtype)
    hidden = net.patch_embedding(hidden)
    hidden[:, :, 1:] = hidden[:, :, 1:] + net.pose_patch_embedding(inputs.pose)
    grid = hidden.shape[2:]
    hidden = hidden.flatten(2).transpose(1, 2).contiguous()
    time, modulation = _embed_time(net.condition_embedder, timestep, guide.words)
    every = net.config.inject_face_latents_blocks
    for number, block in enumerate(net.blocks):
        hidden = block(hidden, guide.words, modulation, inputs.rotary)
        if number % every == 0:
            hidden = net.face_adapter[number // every](hidden, guide.face) + hidden
    return _head(net, hidden, time, grid)


def _embed_time(embedder: Network, timestep: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    weights = embedder.time_embedder.linear_1.weight.dtype
    waves = embedder.timesteps_proj(timestep.reshape(1)).to(weights if weights.is_floating_point else words.dtype)
    time = embedder.time_embedder(waves).type_as(words)
    return time, embedder.time_proj(embedder.act_fn(time)).unflatten(1, (6, -1))


def _head(net: Network, hidden: Tensor, time: Tensor, grid: torch.Size) -> Tensor:
    shift, scale = (net.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)
    normed = net.norm_out(hidden.float())
    tokens = net.proj_out((normed * (1 + scale) + shift).to(hidden.dtype))
    patches = tokens.reshape(1, *grid, *net.config.patch_size, -1)
    velocity: Tensor = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return velocity
