"""Frames in front of a clip that only its decoder must have seen: no more of it works than is remembered later.

What follows a frame is decoded with the caches of the VAE's causal convolutions, and each of these reaches two frames
back. So the last and largest layers need not see latent frames far in front, only the first and smallest, which reach
through all the others, must. The frames that are wanted have the same bits (tests/unit/pipelines/test_decode.py): they
are made of nothing that a layer made of too short a past.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from diffusers.models.autoencoders import autoencoder_kl_wan
from torch import Tensor, nn

_wan: Any = autoencoder_kl_wan  # diffusers' functions have no annotations
Decoder: TypeAlias = Any
"""A ``WanDecoder3d``."""
Caches: TypeAlias = list[Tensor | str | None]


def beginnings(decoder: Decoder, skip: int) -> list[int]:
    """For each of the decoder's upsampling blocks: the first latent frame that it must see, where the frames of the
    first ``skip`` are not wanted. The last block's is the head's too. Never falls; Wan2.2's VAE must see all.
    """
    blocks = list(decoder.up_blocks)
    found = [0] * len(blocks)
    if not all(isinstance(block, _wan.WanUpBlock) for block in blocks):
        return found
    wanted = skip
    for number in range(len(blocks) - 1, 0, -1):
        rate = 2 ** sum(_doubles_time(block) for block in blocks[:number])
        past = _reach(blocks[number].modules())
        if number == len(blocks) - 1:
            past += _reach([decoder.conv_out])
        # A block that doubles the frames does not do so in its first two turns.
        wanted -= max(-(-past // rate), 2 if _doubles_time(blocks[number]) else 0)
        found[number] = wanted = max(wanted, 0)
    return found


def warm(decoder: Decoder, code: Tensor, caches: Caches, begins: list[int], index: int) -> None:
    """Let the decoder see latent frame ``index``, ``code`` (1, z, 1, h, w), as far as ``beginnings`` says; in place."""
    place = [0]
    hidden = _cached(decoder.conv_in, code, caches, place)
    hidden = decoder.mid_block(hidden, feat_cache=caches, feat_idx=place)
    for block, begin in zip(decoder.up_blocks, begins, strict=True):
        if index < begin:
            return
        hidden = block(hidden, feat_cache=caches, feat_idx=place, first_chunk=index == 0)
    _cached(decoder.conv_out, decoder.nonlinearity(decoder.norm_out(hidden)), caches, place)


def _cached(conv: nn.Module, hidden: Tensor, caches: Caches, place: list[int]) -> Tensor:
    """A causal convolution with its cache, as ``WanDecoder3d.forward`` does it."""
    before = caches[place[0]]
    kept = hidden[:, :, -_wan.CACHE_T :].clone()
    if kept.shape[2] < _wan.CACHE_T and isinstance(before, Tensor):
        kept = torch.cat([before[:, :, -1:], kept], dim=2)
    made: Tensor = conv(hidden, before)
    caches[place[0]] = kept
    place[0] += 1
    return made


def _doubles_time(block: Decoder) -> bool:
    return block.upsamplers is not None and block.upsamplers[0].mode == "upsample3d"


def _reach(modules: Iterable[nn.Module]) -> int:
    """How many frames before one its output depends on."""
    return sum(each.kernel_size[0] - 1 for each in modules if isinstance(each, _wan.WanCausalConv3d))
