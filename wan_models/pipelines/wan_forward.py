"""The transformer of T2V, I2V and TI2V, driven by its parts: text tokens and positions are made once a clip.

Diffusers' own forward (0.42) and the official code make both again at every step. The same modules are called in the
same order on the same numbers, so with one timestep the prediction has the same bits.

TI2V with a picture has two timesteps: 0 for the first latent frame's tokens, the step's for all others. Diffusers and
the official code make one modulation for each token (at 1280 x 704 x 121: 2 GB in float32, and as much again in each
block); here there are two, laid on their tokens in place: the same sums, from matrix products of two rows.

Blocks are called as modules, since plans stream their weights, and LoRAs are attached, by hooks on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MethodType
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from wan_models.compiling import Compiled
from wan_models.memory.lean import LeanBlock

Network: TypeAlias = Any
"""A ``WanTransformer3DModel``; diffusers has no types."""
Positions: TypeAlias = tuple[Tensor, Tensor]


@dataclass
class Constants:
    """What each expert makes of a clip's texts and shape, made when first asked for. ``texts``: (1, 512, 4096) each."""

    texts: list[Tensor]
    _words: WeakKeyDictionary[nn.Module, list[Tensor]] = field(default_factory=WeakKeyDictionary)
    _positions: WeakKeyDictionary[nn.Module, Positions] = field(default_factory=WeakKeyDictionary)

    def words(self, net: Network) -> list[Tensor]:
        """Tokens for cross-attention (1, 512, dim), one a text."""
        if net not in self._words:
            self._words[net] = [net.condition_embedder.text_embedder(text) for text in self.texts]
        return self._words[net]

    def positions(self, net: Network, latents: Tensor) -> Positions:
        """Tables for the tokens of ``latents``, whose shape is the same at every step."""
        if net not in self._positions:
            self._positions[net] = net.rope(latents)
        return self._positions[net]


def predict(
    net: Network, latents: Tensor, timestep: Tensor, words: Tensor, *, positions: Positions, held: int = 0
) -> Tensor:
    """The velocity (1, out, t, h, w) at ``latents`` (1, in, t, h, w), both in the network's precision.

    ``timestep`` (1,) float32; the first ``held`` tokens have timestep 0 instead.
    """
    hidden = net.patch_embedding(latents)
    grid = hidden.shape[2:]
    hidden = hidden.flatten(2).transpose(1, 2).contiguous()
    times = torch.cat([torch.zeros_like(timestep), timestep]) if held else timestep
    time, modulation = _embed_time(net.condition_embedder, times, words)
    with _two_times(net, held):
        for block in net.blocks:
            hidden = (
                block(hidden, words, modulation[None], positions, held)
                if held
                else block(hidden, words, modulation, positions)
            )
    return _head(net, hidden, time, grid, held)


def _embed_time(embedder: Network, times: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
    """(n, dim) and (n, 6, dim) of n timesteps."""
    precision = embedder.time_embedder.linear_1.weight.dtype
    waves = embedder.timesteps_proj(times).to(precision if precision.is_floating_point else words.dtype)
    time = embedder.time_embedder(waves).type_as(words)
    return time, embedder.time_proj(embedder.act_fn(time)).unflatten(1, (6, -1))


def _head(net: Network, hidden: Tensor, time: Tensor, grid: torch.Size, held: int) -> Tensor:
    shift, scale = (net.scale_shift_table + time.unsqueeze(1)).chunk(2, dim=1)  # (n, 1, dim)
    normed = net.norm_out(hidden.float())
    seen = _laid(normed, scale.transpose(0, 1), shift.transpose(0, 1), held) if held else normed * (1 + scale) + shift
    patches = net.proj_out(seen.type_as(hidden)).reshape(1, *grid, *net.config.patch_size, -1)
    velocity: Tensor = patches.permute(0, 7, 1, 4, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(2, 3)
    return velocity


@contextmanager
def _two_times(net: Network, held: int) -> Iterator[None]:
    """Within the block the network's blocks take modulations (1, 2, 6, dim) for two groups of tokens.

    Hooks stay, as they belong to the call; a block that is compiled (its forward is its own) is so here too.
    """
    if not held or all(isinstance(vars(block).get("forward"), LeanBlock) for block in net.blocks):
        yield  # lean blocks take both
        return
    before = [vars(block).get("forward") for block in net.blocks]
    for block, compiled in zip(net.blocks, before, strict=True):
        split = MethodType(_split_forward, block)
        block.forward = split if compiled is None else Compiled(split)
    try:
        yield
    finally:
        for block, compiled in zip(net.blocks, before, strict=True):
            if compiled is None:
                del block.forward
            else:
                block.forward = compiled


def _split_forward(  # noqa: PLR0917 - a block's forward
    block: Network, hidden: Tensor, words: Tensor, temb: Tensor, positions: Positions, held: int
) -> Tensor:
    """``WanTransformerBlock.forward`` for two timesteps."""
    table = block.scale_shift_table.unsqueeze(0) + temb.float()
    shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table.unbind(2)
    seen = _laid(block.norm1(hidden.float()), scale, shift, held).type_as(hidden)
    hidden = _gated(hidden, block.attn1(seen, None, None, positions), gate, held)
    seen = block.norm2(hidden.float()).type_as(hidden)
    hidden = hidden + block.attn2(seen, words, None, None)
    seen = _laid(block.norm3(hidden.float()), ffn_scale, ffn_shift, held).type_as(hidden)
    return _gated(hidden, block.ffn(seen), ffn_gate, held)


def _laid(normed: Tensor, scale: Tensor, shift: Tensor, held: int) -> Tensor:
    """normed (1, L, dim) float32 * (1 + scale) + shift in place; ``scale`` and ``shift`` (1, 2, dim)."""
    for row, part in enumerate((normed[:, :held], normed[:, held:])):
        part.mul_(1 + scale[:, row : row + 1]).add_(shift[:, row : row + 1])
    return normed


def _gated(hidden: Tensor, change: Tensor, gate: Tensor, held: int) -> Tensor:
    """hidden + change * gate, summed in float32; ``gate`` (1, 2, dim)."""
    change = change.float()
    for row, part in enumerate((change[:, :held], change[:, held:])):
        part.mul_(gate[:, row : row + 1])
    return change.add_(hidden.float()).type_as(hidden)
