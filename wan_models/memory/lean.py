"""Wan's transformer blocks in half the working memory: the same sums in the same order, a stretch of tokens at a time.

Diffusers' block (0.42) makes float32 copies of all tokens for each norm, modulation and gated sum, rotates all of q and
k through four temporaries, and holds the whole feed-forward layer: a peak of 12.9 hidden states. Here what works token
by token goes through ``CHUNK`` tokens at a time and into tensors that are there already. Elementwise work has the same
bits; matrix products of the feed-forward layer may round differently for other numbers of rows, so chunks are large,
of one size, and the same in every memory plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

CHUNK = 8192
"""Tokens at a time; a multiple of every matrix kernel's tile."""
_BLOCK = "WanTransformerBlock"  # the name of two classes: of transformer_wan and of transformer_wan_animate


class LeanBlock:
    """Takes the place of ``forward`` in a ``WanTransformerBlock``; the block's parts stay what they are."""

    def __init__(self, block: nn.Module) -> None:
        self._block: Any = block

    def __call__(
        self, hidden: Tensor, words: Tensor, temb: Tensor, positions: tuple[Tensor, Tensor], held: int = 0
    ) -> Tensor:
        """As the block's; hidden (1, L, dim) is changed in place. temb (1, 6, dim), or with two timesteps, the first
        of the first ``held`` tokens, (1, 2, 6, dim).
        """
        block = self._block
        if temb.ndim - bool(held) != 3 or hidden.shape[0] != 1:
            result: Tensor = type(block).forward(block, hidden, words, temb, positions)
            return result
        table = block.scale_shift_table + temb.flatten(0, -3).float()
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table.unbind(1)
        parts = _parts(hidden.shape[1], held)
        change = _self_attention(block.attn1, _modulated(block.norm1, hidden, scale, shift, parts), positions)
        for part, row in parts:
            _add_gated(hidden[:, part], change[:, part], gate[row])
        del change
        hidden += block.attn2(_normed(block.norm2, hidden), words, None, None)
        seen = _modulated(block.norm3, hidden, ffn_scale, ffn_shift, parts)
        for part, row in parts:
            _add_gated(hidden[:, part], block.ffn(seen[:, part]).float(), ffn_gate[row])
        return hidden


def lean_blocks(module: nn.Module) -> None:
    """Make every block of a Wan transformer lean; others stay as they are."""
    for block in module.modules():
        if type(block).__name__ == _BLOCK:
            vars(block)["forward"] = LeanBlock(block)


def _chunks(length: int) -> Iterator[slice]:
    for start in range(0, length, CHUNK):
        yield slice(start, start + CHUNK)


def _parts(length: int, held: int) -> list[tuple[slice, int]]:
    """Chunks of the first ``held`` tokens and of the others, each with the row of its timestep."""
    if not held:
        return [(part, 0) for part in _chunks(length)]
    first = [(slice(part.start, min(part.stop, held)), 0) for part in _chunks(held)]
    return first + [(slice(held + part.start, held + part.stop), 1) for part in _chunks(length - held)]


def _modulated(
    norm: Any,  # noqa: ANN401 - diffusers' modules
    hidden: Tensor,
    scale: Tensor,
    shift: Tensor,
    parts: Sequence[tuple[slice, int]],
) -> Tensor:
    """norm(hidden) * (1 + scale) + shift, computed in float32; scale, shift (timesteps, dim)."""
    result = torch.empty_like(hidden)
    for part, row in parts:
        result[:, part] = norm(hidden[:, part].float()) * (1 + scale[row]) + shift[row]
    return result


def _normed(norm: Any, hidden: Tensor) -> Tensor:  # noqa: ANN401
    result = torch.empty_like(hidden)
    for part in _chunks(hidden.shape[1]):
        result[:, part] = norm(hidden[:, part].float())
    return result


def _add_gated(hidden: Tensor, change: Tensor, gate: Tensor) -> None:
    """hidden + change * gate in place, summed in float32."""
    hidden.copy_(hidden.float() + change * gate)


def _self_attention(attn: Any, seen: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:  # noqa: ANN401
    """As diffusers' ``WanAttnProcessor`` without text; ``seen`` (1, L, dim)."""
    dtype = seen.dtype
    query = _rotated(attn.norm_q, attn.to_q(seen), attn.heads, positions)
    key = _rotated(attn.norm_k, attn.to_k(seen), attn.heads, positions)
    value = attn.to_v(seen).unflatten(2, (attn.heads, -1))
    del seen
    mixed = dispatch_attention_fn(query, key, value, backend=attn.processor._attention_backend)
    del query, key, value
    result: Tensor = attn.to_out[0](mixed.flatten(2, 3).to(dtype))
    return result


def _rotated(norm: Any, vectors: Any, heads: int, positions: tuple[Tensor, Tensor]) -> Tensor:  # noqa: ANN401
    """Normed and rotated in place: (1, L, dim) -> (1, L, heads, dim / heads)."""
    cosines, sines = positions[0][..., 0::2], positions[1][..., 1::2]
    result: Tensor = vectors.unflatten(2, (heads, -1))
    for part in _chunks(vectors.shape[1]):
        x, y = norm(vectors[:, part]).unflatten(2, (heads, -1, 2)).unbind(-1)
        cosine, sine = cosines[:, part], sines[:, part]
        first, second = x * cosine - y * sine, x * sine + y * cosine
        result[:, part, :, 0::2] = first
        result[:, part, :, 1::2] = second
    return result
