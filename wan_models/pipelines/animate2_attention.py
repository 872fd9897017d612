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

import logging
import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import torch
from diffusers.models import attention_dispatch
from torch import Tensor

dispatch: Any = attention_dispatch.dispatch_attention_fn  # the kernel that wan_models.attention chose
eager: Callable[[Callable[..., Tensor]], Callable[..., Tensor]] = torch.compiler.disable
HEADS_AT_ONCE = 8  # of which float32 copies exist at a time
QUERIES_AT_ONCE = 1024  # of the formula
HOPPER = 9  # compute capability


logger = logging.getLogger(__name__)

Qkv: TypeAlias = tuple[Tensor, Tensor, Tensor]


class Summed(NamedTuple):
    """Attention over some keys: ``out`` (B, H, L, D) and the log of its sum of weights, ``lse`` float32 (B, H, L)."""

    out: Tensor
    lse: Tensor


def attend(query: Tensor, key: Tensor, value: Tensor) -> Summed:
    """Full attention with its log-sum-exp; all (B, H, L, D). By the fastest of torch's kernels that works here."""
    kernel = kernel_for(query.device, query.dtype, query.shape[-1])
    return _run(kernel, query, key, value)


@cache
def kernel_for(device: torch.device, dtype: torch.dtype, width: int) -> str:
    """The first kernel that gives what the formula gives, tried out on a few numbers. cuDNN's is the fastest on Hopper
    and later cards; flash needs Ampere; efficient any CUDA card; plain is the formula.
    """
    names = {"cpu": ("cpu",), "cuda": ("cudnn", "flash", "efficient")}.get(device.type, ())
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] < HOPPER:
        names = names[1:]
    made = torch.Generator("cpu").manual_seed(0)
    probe = torch.randn(3, 1, 192, 2, width, generator=made).to(device, dtype).transpose(2, 3)
    query, key, value = probe.unbind()
    want = _run("plain", query, key, value)
    for name in names:
        try:
            got = _run(name, query, key, value)
        except RuntimeError as error:
            logger.info("attention by %s does not work on %s: %s", name, device, error)
            continue
        pairs = zip(got, want, strict=True)
        if all(torch.allclose(ours.float(), theirs.float(), atol=0.03, rtol=0.03) for ours, theirs in pairs):
            logger.info("attention of frames by %s", name)
            return name
        logger.warning("attention by %s is wrong on %s: another kernel is used", name, device)
    return "plain"


def _run(kernel: str, query: Tensor, key: Tensor, value: Tensor) -> Summed:
    ops: Any = torch.ops.aten
    if kernel == "cpu":
        out, lse = ops._scaled_dot_product_flash_attention_for_cpu(query, key, value)[:2]
    elif kernel == "cudnn":
        out, lse = ops._scaled_dot_product_cudnn_attention(query, key, value, None, True)[:2]
    elif kernel == "flash":
        out, lse = ops._scaled_dot_product_flash_attention(query, key, value)[:2]
    elif kernel == "efficient":
        out, lse = ops._scaled_dot_product_efficient_attention(query, key, value, None, True)[:2]
    else:
        out, lse = _plain(query, key, value)
    lse = lse.flatten(2)[..., : query.shape[2]]  # some have it padded, or as a column
    return Summed(out, lse.contiguous())


def _plain(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The formula, a head and some queries at a time."""
    out, lse = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
    for head in range(query.shape[1]):
        keys, values = key[:, head].float(), value[:, head].float()
        for start in range(0, query.shape[2], QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            scores = query[:, head, part].float() @ keys.transpose(1, 2) / math.sqrt(query.shape[-1])
            lse[:, head, part] = scores.logsumexp(dim=-1)
            out[:, head, part] = (scores.softmax(dim=-1) @ values).to(out.dtype)
    return out, lse


def add(total: Summed, other: Summed) -> None:
    """Merge ``other``, attention of the same queries over other keys, into ``total``, in place."""
    share = torch.sigmoid(other.lse - total.lse)[..., None]
    for start in range(0, share.shape[1], HEADS_AT_ONCE):
        heads = slice(start, start + HEADS_AT_ONCE)
        merged = torch.lerp(total.out[:, heads].float(), other.out[:, heads].float(), share[:, heads])
        total.out[:, heads] = merged
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

    @eager
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
            result: Tensor = dispatch(query, key, value)
        else:
            frames, height, width = (int(side) for side in grid_sizes[0].tolist())
            empty = max((origin_latent_frames or 0) + 1 - frames, 0) * height * width
            shape = Shape(height * width, self.bias, empty)
            result = framed((query, key, value), kv_cache.get(), shape)
        projected: Tensor = attn.to_out[0](result.flatten(2, 3).to(hidden_states.dtype))
        return projected
