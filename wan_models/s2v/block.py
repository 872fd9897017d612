"""One of the network's transformer blocks, and its head.

As Wan's, with two modulations: of the clip's own tokens, at the step's timestep, and of those that stand still
(reference and motion), at timestep 0. (Wan-Video/Wan2.2, ``WanS2VAttentionBlock`` and ``Head_S2V``.)
The hidden state is float32, as there: what is added to it in 40 blocks is not rounded to the network's precision, in
which its layers work (that of the words). With random weights in bf16 this is four times nearer to float32 than a
hidden state in bf16 (relative L2 error 0.4 % rather than 1.7 % after 40 blocks), for a fifth more of memory.
"""

from __future__ import annotations

import torch
from diffusers.models.normalization import FP32LayerNorm
from torch import Tensor, nn

from .attention import S2VAttention
from .tokens import in_place, modulated, parts
from .wide import WideLinear


class WanS2VBlock(nn.Module):
    """Self-attention of all tokens, cross-attention to the words, feed-forward."""

    def __init__(self, dim: int, ffn_dim: int, heads: int, eps: float) -> None:
        super().__init__()
        self.norm1 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.self_attn = S2VAttention(dim, heads, eps)
        self.norm3 = FP32LayerNorm(dim, eps)
        self.cross_attn = S2VAttention(dim, heads, eps)
        self.norm2 = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.ffn = nn.Sequential(nn.Linear(dim, ffn_dim), nn.GELU("tanh"), nn.Linear(ffn_dim, dim))
        self.modulation = nn.Parameter(torch.randn(1, 6, dim) / dim**0.5)

    def forward(self, hidden: Tensor, words: Tensor, temb: Tensor, rotary: Tensor, own: int) -> Tensor:
        """hidden (b, l, dim) float32, changed in place where that may be; words (b, m, dim) in the network's precision;
        temb (b, 2, 6, dim) float32: of the first ``own`` tokens and of the others; rotary: ``positions.tables``.
        """
        table = self.modulation.float() + temb.float()
        if in_place():
            self._in_parts(hidden, words, table, rotary, own)
            return hidden
        return self._at_once(hidden, words, table, rotary, own)

    def _at_once(self, hidden: Tensor, words: Tensor, table: Tensor, rotary: Tensor, own: int) -> Tensor:
        dtype = words.dtype
        first = (torch.arange(hidden.shape[1], device=hidden.device) < own)[:, None]
        rows = (torch.where(first, each[:, 0], each[:, 1]) for each in table[:, :, None].unbind(3))  # compiled: no copy
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = rows  # (b, l, dim) each
        seen = modulated(self.norm1(hidden), scale, shift, dtype)
        hidden = hidden + self.self_attn(seen, rotary=rotary) * gate
        hidden = hidden + self.cross_attn(self.norm3(hidden).to(dtype), words)
        seen = modulated(self.norm2(hidden), ffn_scale, ffn_shift, dtype)
        changed: Tensor = hidden + self.ffn(seen) * ffn_gate
        return changed

    def _in_parts(self, hidden: Tensor, words: Tensor, table: Tensor, rotary: Tensor, own: int) -> None:
        length, dtype = hidden.shape[1], words.dtype
        rows = [(part, 0) for part in parts(0, own)] + [(part, 1) for part in parts(own, length)]
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = table[:, :, None].unbind(3)  # (b, 2, 1, dim) each
        seen = torch.empty_like(hidden, dtype=dtype)
        for part, row in rows:
            torch.addcmul(shift[:, row], self.norm1(hidden[:, part]), 1 + scale[:, row], out=seen[:, part])
        query = self.self_attn.queries(seen, rotary)
        key, value = self.self_attn.keys_values(seen, rotary)
        del seen
        mixed = self.self_attn.mix(query, key, value)
        del query, key, value
        for part, row in rows:
            hidden[:, part].addcmul_(self.self_attn.o(mixed[:, part]), gate[:, row])
        del mixed
        key, value = self.cross_attn.keys_values(words)
        for part, row in rows:
            piece = hidden[:, part]
            query = self.cross_attn.queries(self.norm3(piece).to(dtype))
            piece.add_(self.cross_attn.o(self.cross_attn.mix(query, key, value)))
            seen = modulated(self.norm2(piece), ffn_scale[:, row], ffn_shift[:, row], dtype)
            piece.addcmul_(self.ffn(seen), ffn_gate[:, row])


class Head(nn.Module):
    """From hidden states to patches of the prediction, in float32."""

    def __init__(self, dim: int, out: int, eps: float) -> None:
        super().__init__()
        self.norm = FP32LayerNorm(dim, eps, elementwise_affine=False)
        self.head = WideLinear(dim, out)
        self.modulation = nn.Parameter(torch.randn(1, 2, dim) / dim**0.5)

    def forward(self, hidden: Tensor, time: Tensor) -> Tensor:
        """hidden (b, l, dim), time (b, dim) -> (b, l, out), all float32."""
        shift, scale = (self.modulation.float() + time[:, None]).chunk(2, dim=1)
        patches = []
        for part in parts(0, hidden.shape[1]):
            seen = modulated(self.norm(hidden[:, part]), scale, shift, torch.float32)
            patches.append(self.head(seen))
        return torch.cat(patches, dim=1)
