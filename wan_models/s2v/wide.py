"""Layers that work in float32 whatever precision their weights are kept in.

The official code makes the time embedding, its projection, the audio tokens and the output in float32 from bf16
weights. Here the weights stay as they are and are widened when used, some rows at a time.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit

_ROWS = 5120
"""Output channels at a time: of the released time projection that is 0.1 GB of float32."""


class WideLinear(nn.Linear):
    """(..., in) of any precision -> (..., out) float32."""

    def forward(self, input: Tensor) -> Tensor:
        wide = input.float()
        if self.weight.dtype is torch.float32:
            whole: Tensor = F.linear(wide, self.weight, self.bias)
            return whole
        parts = zip(self.weight.split(_ROWS), self.bias.split(_ROWS), strict=True)
        return torch.cat([F.linear(wide, weight.float(), bias.float()) for weight, bias in parts], dim=-1)


class WideConv1d(nn.Conv1d):
    """(batch, in, t) of any precision -> (batch, out, t') float32."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        out: Tensor = self._conv_forward(input.float(), self.weight.float(), bias)
        return out
