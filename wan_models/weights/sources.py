"""Weight files as named tensors that are read one at a time: safetensors, PyTorch pickles, GGUF."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from wan_models.engine import RequestRefused


class Source(Protocol):
    """The tensors of one or more files. ``shapes`` as torch counts them; ``tensor`` gives one, on the CPU."""

    shapes: Mapping[str, tuple[int, ...]]

    def tensor(self, name: str) -> Tensor:
        """The tensor, mapped from its file where the format allows it."""


class SafeSource:
    """Safetensors files, all shards of one network. Tensors are views into the mapped files."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.shapes: Mapping[str, tuple[int, ...]] = {}
        self._files: dict[str, Any] = {}
        for path in paths:
            try:
                file: Any = safe_open(str(path), framework="pt", device="cpu")
                shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            except (SafetensorError, OSError) as error:
                raise _unreadable(path, "safetensors", error) from error
            self.shapes = {**self.shapes, **shapes}
            self._files |= dict.fromkeys(shapes, file)

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name."""
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


class TorchSource:
    """A ``.pth`` file: mapped, and nothing but tensors is unpickled."""

    def __init__(self, path: Path) -> None:
        try:
            told = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except Exception as error:  # pickles fail in as many ways as there are
            raise _unreadable(path, "PyTorch", error) from error
        for key in ("model_state", "state_dict", "module"):
            with suppress(KeyError, TypeError):
                told = told[key]
        self._tensors: dict[str, Tensor] = {}
        if isinstance(told, Mapping):
            self._tensors = {name: value for name, value in told.items() if isinstance(value, Tensor)}
        if not self._tensors:
            problem = f"{path} holds no tensors by name: download it again"
            raise RequestRefused(problem)
        self.shapes: Mapping[str, tuple[int, ...]] = {
            name: tuple(tensor.shape) for name, tensor in self._tensors.items()
        }

    def tensor(self, name: str) -> Tensor:
        """The tensor of this name."""
        return self._tensors[name]


def _unreadable(path: Path, kind: str, error: Exception) -> RequestRefused:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    problem = f"{path} cannot be read as a {kind} file ({reason}): download it again"
    return RequestRefused(problem)


def open_source(paths: Sequence[Path]) -> Source:
    """The tensors of a network's files, by the kind that their names end in. Raises RequestRefused."""
    first = paths[0]
    if first.suffix == ".safetensors":
        return SafeSource(paths)
    if first.suffix in (".pth", ".pt", ".bin", ".ckpt"):
        return TorchSource(first)
    if first.suffix == ".gguf":
        from .gguf_source import GgufSource

        return GgufSource(first)
    problem = f"{first} is no weight file that can be read here: there are .safetensors, .pth and .gguf"
    raise RequestRefused(problem)
