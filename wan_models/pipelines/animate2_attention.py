"""Animate-2's attention without flex attention: each frame sees every frame of the video being made, and the one
driving frame that belongs to it.

diffusers asks flex attention for this, which must be compiled (Triton, a C++ compiler) or holds the whole score matrix.
The same sums come out of two ordinary attentions, whose results are merged by their log-sum-exp: all against all, and
each latent frame t >= 1 against driving frame t - 1. That needs no compiler, no padding and no mask. Rotary embeddings
are applied in float32 from float64 tables, in slices (diffusers: everything in complex128), and those of the driving
keys once a segment instead of in each step.

Two things are in the official code (``wanxiang/models/attention.py``) and not in diffusers; both are off at 0:
``bias`` is added to the scores of the keys of latent frame 1, the frame that a segment begins with (-1.3 in
``wan_animate_2_distillation.yaml``); and a segment shorter than the longest leaves empty places in a buffer of the full
length, whose zero keys take their share of the softmax.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

HEADS_AT_ONCE = 8  # of which the float32 copies of rotary embedding exist at a time
HALF = (torch.float16, torch.bfloat16)


Qkv: TypeAlias = tuple[Tensor, Tensor, Tensor]


class Summed(NamedTuple):
    """Attention over some keys: ``out`` (B, H, L, D) and the log of its sum of weights, ``lse`` float32 (B, H, L)."""

    out: Tensor
    lse: Tensor


def attend(query: Tensor, key: Tensor, value: Tensor) -> Summed:
    """Full attention with its log-sum-exp; all (B, H, L, D). Backends as scaled_dot_product_attention has them."""
    ops = torch.ops.aten
    if query.device.type == "cpu":
        out, lse = ops._scaled_dot_product_flash_attention_for_cpu(query, key, value)[:2]
    elif query.device.type == "cuda" and query.dtype in HALF and torch.cuda.get_device_capability(query.device)[0] >= 8:
        out, lse = ops._scaled_dot_product_flash_attention(query, key, value)[:2]
    elif query.device.type == "cuda":
        out, lse = ops._scaled_dot_product_efficient_attention(query, key, value, None, True)[:2]
    else:
        out, lse = _plain(query, key, value)
    return Summed(out, lse[..., : query.shape[2]])


def _plain(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Attention written out, a head at a time."""
    outs, sums = [], []
    for head in range(query.shape[1]):
        scores = query[:, head].float() @ key[:, head].float().transpose(1, 2) / math.sqrt(query.shape[-1])
        sums.append(scores.logsumexp(dim=-1))
        outs.append((scores - sums[-1][..., None]).exp() @ value[:, head].float())
    return torch.stack(outs, dim=1).to(query.dtype), torch.stack(sums, dim=1)


def add(total: Summed, other: Summed) -> None:
    """Merge ``other``, attention of the same queries over other keys, into ``total``, in place."""
    share = torch.sigmoid(other.lse - total.lse)[..., None]
    total.out.copy_(torch.lerp(total.out.float(), other.out.float(), share))
    total.lse.copy_(torch.logaddexp(total.lse, other.lse))


class Shape(NamedTuple):
    """``tokens``: of one latent frame; ``bias`` and ``empty`` (keys that are missing): see the module."""

    tokens: int
    bias: float = 0.0
    empty: int = 0


def framed(made: Qkv, driving: tuple[Tensor, Tensor], shape: Shape) -> Tensor:
    """The attention of a denoising pass, (B, L, H, D) as its inputs.

    ``driving``: keys (rotated) and values of the driving frames, which belong to latent frames 1, 2, ..
    """
    tokens, bias, empty = shape
    q, k, v = (part.transpose(1, 2) for part in made)
    if bias:
        start, stop = tokens, 2 * tokens
        rest = [torch.cat([part[:, :, :start], part[:, :, stop:]], dim=2) for part in (k, v)]
        total = attend(q, *rest)
        seed = attend(q, k[:, :, start:stop], v[:, :, start:stop])
        add(total, Summed(seed.out, seed.lse + bias))
    else:
        total = attend(q, k, v)
    for frame in range(driving[0].shape[1] // tokens):
        here, own = slice(frame * tokens, (frame + 1) * tokens), slice((frame + 1) * tokens, (frame + 2) * tokens)
        matching = (part[:, here].transpose(1, 2) for part in driving)
        add(Summed(total.out[:, :, own], total.lse[:, :, own]), attend(q[:, :, own], *matching))
    if empty:
        total.out.mul_(torch.sigmoid(total.lse - math.log(empty))[..., None].to(total.out.dtype))
    return total.out.transpose(1, 2)


class Rotary:
    """Rotary embedding of (B, L, H, D) tokens on a grid (frames, rows, columns); tables are made once."""

    def __init__(self) -> None:
        self._tables: dict[tuple[int, tuple[int, ...], int], tuple[Tensor, Tensor]] = {}
        self._kept: list[Tensor] = []  # the tables that the keys name by their address

    def __call__(self, tokens: Tensor, grid: Tensor, table: Tensor, stride: int) -> Tensor:
        """``table``: complex128 (512, D / 2) for time, rows, columns; ``stride``: between the times of two frames."""
        turn, out = self._turns(grid, table, stride), torch.empty_like(tokens)
        cosine, sine = (part[None, :, None] for part in turn)
        for start in range(0, tokens.shape[2], HEADS_AT_ONCE):
            heads = slice(start, start + HEADS_AT_ONCE)
            pairs = tokens[:, :, heads].float().view(*tokens.shape[:2], -1, tokens.shape[3] // 2, 2)
            even, odd = pairs.unbind(-1)
            turned = torch.stack([even * cosine - odd * sine, even * sine + odd * cosine], dim=-1)
            out[:, :, heads] = turned.flatten(-2)
        return out

    def _turns(self, grid: Tensor, table: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        f, h, w = (int(side) for side in grid[0].tolist())
        key = (table.data_ptr(), (f, h, w), stride)
        if key not in self._tables:
            half = table.shape[1]
            times, rows, columns = torch.split(table, [half - 2 * (half // 3), half // 3, half // 3], dim=1)
            parts = (
                times[: f * stride : stride].view(f, 1, 1, -1).expand(f, h, w, -1),
                rows[:h].view(1, h, 1, -1).expand(f, h, w, -1),
                columns[:w].view(1, 1, w, -1).expand(f, h, w, -1),
            )
            turns = torch.view_as_real(torch.cat(parts, dim=-1).reshape(f * h * w, half)).float()
            self._tables[key] = turns[..., 0].contiguous(), turns[..., 1].contiguous()
            self._kept.append(table)
        return self._tables[key]


class FrameAttention:
    """Takes the place of diffusers' ``WanAnimate2AttnProcessor``; the cache holds rotated keys (see the module)."""

    _attention_backend = None
    _parallel_config = None

    def __init__(self, bias: float = 0.0) -> None:
        self.bias = bias
        self.rotary = Rotary()

    def __call__(
        self,
        attn: Any,  # noqa: ANN401 - diffusers' WanAnimate2Attention
        hidden_states: Tensor,
        *,
        rotary_emb: Tensor,
        grid_sizes: Tensor,
        kv_cache: Any,  # noqa: ANN401 - a layer of animate2_cache or of diffusers' own
        kv_cache_mode: str,
        rope_stride: int = 1,
        origin_latent_frames: int | None = None,
        **_: object,
    ) -> Tensor:
        """(1, L, C) -> (1, L, C). ``extract``: the driving pass, which fills ``kv_cache``; ``cached``: a step.

        What else diffusers gives, the block mask and the driving grid, is not needed.
        """
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        key = attn.norm_k(attn.to_k(hidden_states)).unflatten(2, (attn.heads, -1))
        value = attn.to_v(hidden_states).unflatten(2, (attn.heads, -1))
        query = self.rotary(query, grid_sizes, rotary_emb, rope_stride).type_as(value)
        key = self.rotary(key, grid_sizes, rotary_emb, rope_stride).type_as(value)
        if kv_cache_mode == "extract":
            kv_cache.store(key, value)
            q, k, v = (part.transpose(1, 2) for part in (query, key, value))
            result = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        else:
            frames, height, width = (int(side) for side in grid_sizes[0].tolist())
            empty = max((origin_latent_frames or 0) + 1 - frames, 0) * height * width
            shape = Shape(height * width, self.bias, empty)
            result = framed((query, key, value), kv_cache.get(), shape)
        projected: Tensor = attn.to_out[0](result.flatten(2, 3).to(hidden_states.dtype))
        return projected
