"""Files as ComfyUI has them: names below ``model.diffusion_model.`` (or below ``model.``, as its Wan wrapper's VAE
files), matrices in fp8 with a scale each.

Scales: ``X.scale_weight`` beside ``X.weight`` with a tensor ``scaled_fp8`` that marks the file, or, in later files,
``X.weight_scale`` with ``X.comfy_quant``; a number is weight * scale. (``comfy/ops.py`` and ``comfy/quant_ops.py`` of
ComfyUI.)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from wan_models.engine import RequestRefused

from .sources import Source

_PREFIXES = ("model.diffusion_model.", "diffusion_model.", "model.")
_SCALES = (".scale_weight", ".weight_scale")
_NOTES = (*_SCALES, ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8", "spiece_model")
_FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)


class PlainSource:
    """A source's weights without prefix, scales and notes, each with its scale applied (float32 where it has one)."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._names = {_stripped(name): name for name in source.shapes if not name.endswith(_NOTES)}
        self.shapes: Mapping[str, tuple[int, ...]] = {new: source.shapes[old] for new, old in self._names.items()}

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name. Raises RequestRefused for a way of packing numbers that is not known here."""
        stored = self._names[name]
        tensor = self._source.tensor(stored)
        if not tensor.is_floating_point():
            problem = f"{stored} is stored as {tensor.dtype}, which cannot be read here: take the bf16 or fp8 file"
            raise RequestRefused(problem)
        scale = self._scale(stored)
        if scale is not None:
            while 0 < scale.ndim < tensor.ndim:  # one of each row
                scale = scale.unsqueeze(-1)
            return tensor.to(torch.float32).mul_(scale.to(torch.float32))
        # bfloat16 has every number of both fp8 types.
        return tensor.to(torch.bfloat16) if tensor.dtype in _FP8 else tensor

    def _scale(self, stored: str) -> Tensor | None:
        start = stored.removesuffix(".weight")
        for end in _SCALES:
            if start != stored and start + end in self._source.shapes:
                return self._source.tensor(start + end)
        return None


def _stripped(name: str) -> str:
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name
