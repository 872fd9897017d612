"""LoRAs on transformers: attached by forward hooks, any number with weights, swapped without loading the base again.

A module of the network gives y = W x + b; with LoRAs it gives y + sum of weight * scale * B (A x), and likewise for
the differences of whole weights, biases and modulation tables that distilled LoRAs carry. The network's own tensors
are never touched, so its weights may be streamed, stored in fp8 or mapped from a file, and once the LoRAs are detached
its outputs are bit for bit what they were.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - torch's own habit
from torch.nn.modules.conv import _ConvNd
from torch.utils.hooks import RemovableHandle

from .lora_weights import LoraWeights, Pair, read_lora

__all__ = ["LoraWeights", "Pair", "attached", "read_lora"]

Weighted = tuple[LoraWeights, float]


@contextmanager
def attached(module: nn.Module, loras: Sequence[Weighted], *, resident: bool = True) -> Iterator[nn.Module]:
    """``module`` with the LoRAs within the block; weight 0 attaches nothing.

    ``resident``: their tensors stay on the device where they were first used; else they are copied there (from pinned
    memory) at every use, for cards without room. They work in the dtype of the activations. Entering reads nothing,
    but a first use copies: enter once a job, not once a step.
    """
    used = [(lora, weight) for lora, weight in loras if weight]
    handles: list[RemovableHandle] = []
    try:
        for name in dict.fromkeys(name for lora, _ in used for name in (*lora.pairs, *lora.weights, *lora.biases)):
            change = _Change(used, name, resident)
            handles.append(module.get_submodule(name).register_forward_hook(change, with_kwargs=True))
        for name in dict.fromkeys(name for lora, _ in used for name in lora.modulations):
            tables = [lora.modulations[name].float() * weight for lora, weight in used if name in lora.modulations]
            handles += _attach_modulation(module.get_submodule(name), torch.stack(tables).sum(0))
        yield module
    finally:
        for handle in handles:
            handle.remove()


class _Sum(NamedTuple):
    """All LoRAs of one module as one: ``down`` (all ranks, in), ``up`` (out, all ranks) with weights and scales in it;
    the sums of the differences.
    """

    down: Tensor | None
    up: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


class _Change:
    """The forward hook of one module."""

    def __init__(self, loras: Sequence[Weighted], name: str, resident: bool) -> None:
        self._loras = loras
        self._name = name
        self._resident = resident
        self._kept: dict[tuple[torch.device, torch.dtype], _Sum] = {}

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        x: Tensor = args[0] if args else next(iter(kwargs.values()))
        change = self._on(x.device, x.dtype if x.is_floating_point() else output.dtype)
        if change.down is not None and change.up is not None:
            output = _add_pair(module, x, change.down, change.up, output)
        if change.weight is not None or change.bias is not None:
            output = output + _whole(module, x, change.weight, change.bias).to(output.dtype)
        return output

    def _on(self, device: torch.device, dtype: torch.dtype) -> _Sum:
        home = device if self._resident else torch.device("cpu")
        made = self._kept.get((home, dtype))
        if made is None:
            made = self._summed(home, dtype)
            if home != device and device.type == "cuda":
                made = _Sum(*(None if tensor is None else tensor.pin_memory() for tensor in made))
            self._kept[home, dtype] = made
        if home == device:
            return made
        return _Sum(*(None if tensor is None else tensor.to(device, non_blocking=True) for tensor in made))

    def _summed(self, device: torch.device, dtype: torch.dtype) -> _Sum:
        """Weights and scales are multiplied in float32, before the cast."""
        pairs = [(lora.pairs[self._name], weight) for lora, weight in self._loras if self._name in lora.pairs]
        downs = [pair.down.to(device, torch.float32) for pair, _ in pairs]
        ups = [pair.up.to(device, torch.float32).flatten(1) * (pair.scale * weight) for pair, weight in pairs]
        weights = [(lora.weights.get(self._name), weight) for lora, weight in self._loras]
        biases = [(lora.biases.get(self._name), weight) for lora, weight in self._loras]
        return _Sum(
            torch.cat(downs).to(dtype) if downs else None,
            torch.cat(ups, dim=1).to(dtype) if ups else None,
            *(_total(terms, device, dtype) for terms in (weights, biases)),
        )


def _total(terms: Sequence[tuple[Tensor | None, float]], device: torch.device, dtype: torch.dtype) -> Tensor | None:
    scaled = [tensor.to(device, torch.float32) * weight for tensor, weight in terms if tensor is not None]
    return torch.stack(scaled).sum(0).to(dtype) if scaled else None


def _add_pair(module: nn.Module, x: Tensor, down: Tensor, up: Tensor, output: Tensor) -> Tensor:
    """``output`` + up(down(x)); in the output's own memory where that can be, as it may be gigabytes."""
    if isinstance(module, _ConvNd):
        low = module._conv_forward(x, down, None)  # strides and padding as the module has them
        return output + torch.einsum("or,br...->bo...", up, low).to(output.dtype)
    if isinstance(module, nn.Embedding):
        return output + F.embedding(x, up) @ down
    low = F.linear(x, down)
    if output.is_contiguous() and output.dtype == low.dtype:
        output.view(-1, output.shape[-1]).addmm_(low.reshape(-1, low.shape[-1]), up.t())
        return output
    return output + F.linear(low, up).to(output.dtype)


def _whole(module: nn.Module, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """What the module would add with these differences of its weight and bias: every kind is linear in them."""
    if weight is None:
        shift = torch.zeros(()) if bias is None else bias
        return shift.view(-1, *[1] * (x.ndim - 2)) if isinstance(module, _ConvNd) else shift
    if isinstance(module, _ConvNd):
        return module._conv_forward(x, weight, bias)
    if isinstance(module, nn.Embedding):
        return F.embedding(x, weight)
    if isinstance(module, nn.LayerNorm):
        shifts = None if bias is None else bias.float()
        return F.layer_norm(x.float(), module.normalized_shape, weight.float(), shifts, module.eps)
    if isinstance(module, nn.RMSNorm):
        return F.rms_norm(x.float(), tuple(module.normalized_shape), weight.float(), module.eps)
    return F.linear(x, weight, bias)


def _attach_modulation(module: nn.Module, table: Tensor) -> list[RemovableHandle]:
    """Add to a table of shifts and scales without touching it.

    A block adds its table (1, 6, dim) to the time embedding ``temb``, so the difference goes there. The output's table
    (1, 2, dim) makes norm(x) * (1 + scale) + shift, so the difference is norm(x) * its scale + its shift, added to
    what the projection gets.
    """
    if table.shape[1] != 2:
        index = list(inspect.signature(module.forward).parameters).index("temb")
        return [module.register_forward_pre_hook(_AddToArgument(index, "temb", table), with_kwargs=True)]
    norm = getattr(module, "norm_out", None) or module.get_submodule("norm")
    projection = getattr(module, "proj_out", None) or module.get_submodule("head")
    shift, scale = table.chunk(2, dim=1)
    seen: list[Tensor] = []

    def note(_: nn.Module, __: tuple[Any, ...], normed: Tensor) -> None:
        seen[:] = [normed]

    def add(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        (normed,) = seen
        seen.clear()
        more = normed.float() * scale.to(normed.device) + shift.to(normed.device)
        return (args[0] + more.to(args[0].dtype), *args[1:])

    return [norm.register_forward_hook(note), projection.register_forward_pre_hook(add)]


class _AddToArgument:
    """A pre-hook that adds a table to one argument, in float32 (as the block itself adds its own)."""

    def __init__(self, index: int, name: str, table: Tensor) -> None:
        self._index = index
        self._name = name
        self._table = table

    def __call__(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self._name in kwargs:
            return args, {**kwargs, self._name: self._sum(kwargs[self._name])}
        return (*args[: self._index], self._sum(args[self._index]), *args[self._index + 1 :]), kwargs

    def _sum(self, value: Tensor) -> Tensor:
        self._table = self._table.to(value.device)
        return value.float() + self._table
