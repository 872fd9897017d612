"""Linear weights stored in eight bits: e4m3 with one scale for each output channel, made bf16 again where they are
used. Halves memory and transfers, not arithmetic. Lossy: three bits of mantissa, so up to 1/16 of each weight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FP8 = torch.float8_e4m3fn
_LARGEST = 448.0  # of e4m3fn


def quantised(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in) -> e4m3 of the same shape and float32 scales (out, 1): weight ~ e4m3 * scale."""
    wide = weight.float()
    scale = wide.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / _LARGEST
    return (wide / scale).clamp(-_LARGEST, _LARGEST).to(FP8), scale


class Fp8Linear(nn.Linear):
    """A Linear whose ``weight`` is e4m3 with ``scale`` float32 (out, 1) beside it."""

    scale: Tensor

    def __init__(self, like: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = like.in_features, like.out_features
        shape = (like.out_features, like.in_features)
        self.weight = nn.Parameter(torch.empty(shape, dtype=FP8, device="meta"), requires_grad=False)
        self.bias = like.bias
        self.register_buffer("scale", torch.empty(like.out_features, 1, device="meta"), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight.to(input.dtype) * self.scale.to(input.dtype)
        return nn.functional.linear(input, weight, self.bias)


def convert(module: nn.Module) -> None:
    """Replace every Linear inside a network that has no numbers yet."""
    for owner in module.modules():
        for name, child in owner.named_children():
            if type(child) is nn.Linear:
                setattr(owner, name, Fp8Linear(child))
