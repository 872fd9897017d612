"""Random numbers for a network of any size, so scaled that its activations stay finite and are not constant."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

_RESIDUAL = (
    ".to_out.0.weight", ".to_out.weight", ".ffn.net.2.weight", ".ffn.2.weight", ".out_proj.weight", ".fc2.weight",
    ".o.weight", ".wo.weight", ".output_dense.weight",
)  # fmt: skip
"""Ends of the names of matrices whose output is added to a residual stream."""
_TABLES = ("scale_shift_table", ".modulation")
_KNOWN = {
    "relative_attention_bias.weight": (0.0, 0.3),
    "padding_tokens": (0.0, 0.02),
    "casual_audio_encoder.weights": (0.01, 0.001),
}
"""Ends of names, with mean and deviation. S2V divides by the sum of its shares of the audio encoder's layers."""
_UNIT = ("motion_encoder.", "shared.", "encoder.embed_tokens.")
"""Starts of the names whose numbers have unit variance: embeddings, and the motion encoder, which scales its weights
itself (equalised learning rate)."""


def number(
    name: str,
    shape: tuple[int, ...],
    config: Mapping[str, Any],
    *,
    seed: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The parameter ``name`` of a network built with ``config``; the same for the same seed, device and version of
    torch, whatever was made before.

    Matrices and kernels: N(0, 1 / inputs), as in transformers at their start, those that end a residual branch divided
    by sqrt(2 * layers) besides; norms: about 1; biases: about 0.
    """
    generator = torch.Generator(device).manual_seed(seed * 0x9E3779B1 + zlib.crc32(name.encode()))
    mean, std = moments(name, shape, config)
    tensor = torch.empty(shape, dtype=dtype, device=device)
    return tensor.normal_(mean, std, generator=generator)


def moments(name: str, shape: tuple[int, ...], config: Mapping[str, Any]) -> tuple[float, float]:
    """Mean and standard deviation of the parameter."""
    if name.endswith(_TABLES):
        return 0.0, float(shape[-1] ** -0.5)
    if name.endswith(".gamma") or (len(shape) == 1 and name.endswith(".weight")):
        return 1.0, 0.02
    if name.endswith(".parametrizations.weight.original0"):  # lengths of a normalised kernel's slices
        return float((config["hidden_size"] / shape[-1]) ** 0.5), 0.02
    known = next((told for end, told in _KNOWN.items() if name.endswith(end)), None)
    if known is not None or len(shape) < 2:
        return known or (0.0, 0.02)
    return 0.0, 1.0 if name.startswith(_UNIT) else _matrix(name, shape, config)


def _matrix(name: str, shape: tuple[int, ...], config: Mapping[str, Any]) -> float:
    inputs = 1
    for size in shape[1:]:
        inputs *= size
    std = float(inputs**-0.5)
    if name.endswith(_RESIDUAL):
        layers = config.get("num_layers") or config.get("num_hidden_layers") or 1
        return std * float((2 * layers) ** -0.5)
    if name.endswith("SelfAttention.q.weight"):  # T5 does not divide by sqrt(d_kv) when it runs
        return std * float(config["d_kv"] ** -0.5)
    if name == "decoder.conv_out.weight":  # Pixels mostly within [-1, 1]
        return std * 0.5
    return std
