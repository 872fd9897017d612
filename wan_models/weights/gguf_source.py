"""GGUF files. Numbers come out dequantised by the gguf package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wan_models.engine import RequestRefused

_KERNELS: Mapping[str, tuple[int, int, int]] = {
    "patch_embedding.weight": (1, 2, 2),
    "cond_encoder.weight": (1, 2, 2),
    "frame_packer.proj.weight": (1, 2, 2),
    "frame_packer.proj_2x.weight": (2, 4, 4),
    "frame_packer.proj_4x.weight": (4, 8, 8),
}
"""Wan's tensors of five dimensions: the last three."""


class GgufSource:
    """A GGUF file, mapped; one tensor at a time is dequantised, to float32 (float16 stays float16)."""

    def __init__(self, path: Path) -> None:
        try:
            from gguf import GGUFReader
        except ImportError as error:
            problem = f"{path} needs the package gguf: install it with 'pip install gguf'"
            raise RequestRefused(problem) from error
        try:
            reader = GGUFReader(path)
        except (OSError, ValueError, KeyError, IndexError) as error:
            problem = f"{path} cannot be read as a GGUF file ({error}): download it again"
            raise RequestRefused(problem) from error
        self._path = path
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: _shape(reader, name, self._tensors[name]) for name in self._tensors
        }

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name. Raises RequestRefused for a quantisation that the package cannot undo."""
        from gguf import dequantize

        stored = self._tensors[name]
        try:
            numbers = dequantize(stored.data, stored.tensor_type)
        except NotImplementedError as error:
            problem = f"{self._path}: {name} is quantised as {stored.tensor_type.name}, which cannot be read here"
            raise RequestRefused(problem) from error
        return torch.from_numpy(np.array(numbers)).reshape(self.shapes[name])


def _shape(reader: Any, name: str, tensor: Any) -> tuple[int, ...]:  # noqa: ANN401 - the package has no types
    """As torch has it. Tensors of five dimensions are stored with fewer, and their own shape in a field or nowhere."""
    field = reader.fields.get(f"comfy.gguf.orig_shape.{name}")
    if field is not None:
        return tuple(int(field.parts[index][0]) for index in field.data)
    shape = tuple(int(size) for size in reversed(tensor.shape))
    kernel = next((kernel for end, kernel in _KERNELS.items() if name.endswith(end)), None)
    if kernel is not None and len(shape) < 5:
        return (shape[0], int(np.prod(shape[1:])) // int(np.prod(kernel)), *kernel)
    return shape
