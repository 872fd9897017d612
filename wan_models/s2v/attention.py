"""Attention of the S2V network, with the official names of its layers, through diffusers' dispatcher.

In pieces, since callers work through long sequences in parts: ``queries`` and ``keys_values`` (normed over all heads,
rotated), ``mix``, and the layer ``o``; ``forward`` is all of them.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models import attention as diffusers_attention
from diffusers.models.attention_dispatch import dispatch_attention_fn
from torch import Tensor, nn

from .tokens import in_place, parts

_attention: Any = diffusers_attention  # partly typed


class S2VAttnProcessor:
    """Says which kernel is used (``set_attention_backend``); None is diffusers' native one."""

    _attention_backend: Any = None
    _parallel_config: Any = None

    def __call__(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """(batch, tokens, heads, width) each -> the queries' shape."""
        mixed: Tensor = dispatch_attention_fn(query, key, value, backend=self._attention_backend)
        return mixed.to(query.dtype)


class S2VAttention(nn.Module, _attention.AttentionModuleMixin):  # type: ignore[misc]
    """Self-attention, or cross-attention to ``context``; q and k are RMS-normed over all heads together."""

    set_processor: Any  # of the mixin
    processor: Any
    _default_processor_cls = S2VAttnProcessor
    _available_processors = (S2VAttnProcessor,)
    _supports_qkv_fusion = False

    def __init__(self, dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.o = nn.Linear(dim, dim)
        self.norm_q = nn.RMSNorm(dim, eps=eps)
        self.norm_k = nn.RMSNorm(dim, eps=eps)
        self.set_processor(S2VAttnProcessor())

    def forward(self, seen: Tensor, context: Tensor | None = None, rotary: Tensor | None = None) -> Tensor:
        """seen (b, l, dim), context (b, m, dim) or None for self-attention -> (b, l, dim)."""
        query = self.queries(seen, rotary)
        key, value = self.keys_values(seen if context is None else context, rotary)
        out: Tensor = self.o(self.mix(query, key, value))
        return out

    def queries(self, seen: Tensor, rotary: Tensor | None = None) -> Tensor:
        """(b, l, dim) -> (b, l, heads, width). ``rotary``: ``positions.tables``."""
        return _spread(self.norm_q, self.q(seen), self.heads, rotary)

    def keys_values(self, context: Tensor, rotary: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(b, m, dim) -> keys and values (b, m, heads, width)."""
        return _spread(self.norm_k, self.k(context), self.heads, rotary), self.v(context).unflatten(
            -1, (self.heads, -1)
        )

    def mix(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Values by the queries' attention to the keys, heads side by side again: (b, l, dim)."""
        mixed: Tensor = self.processor(query, key, value)
        return mixed.flatten(2, 3)


def _spread(norm: nn.Module, vectors: Tensor, heads: int, rotary: Tensor | None) -> Tensor:
    """Normed, spread over heads and rotated; in the vectors' own memory where that may be."""
    if not in_place():
        normed: Tensor = norm(vectors).unflatten(-1, (heads, -1))
        return normed if rotary is None else _rotated(normed, rotary)
    for part in parts(0, vectors.shape[1]):
        turned = norm(vectors[:, part])
        if rotary is not None:
            pairs = torch.view_as_complex(turned.float().unflatten(-1, (heads, -1, 2)))
            turned = torch.view_as_real(pairs * torch.view_as_complex(rotary[:, part])).flatten(-3)
        vectors[:, part] = turned
    spread: Tensor = vectors.unflatten(-1, (heads, -1))
    return spread


def _rotated(vectors: Tensor, rotary: Tensor) -> Tensor:
    """Pairs of channels turned: (b, l, heads, width), in float32."""
    cosine, sine = rotary.unbind(-1)
    x, y = vectors.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([x * cosine - y * sine, x * sine + y * cosine], dim=-1)
    return turned.flatten(-2).type_as(vectors)
