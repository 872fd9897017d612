"""LoRA files read into memory and checked against the network they are for."""

from __future__ import annotations

import json
import logging
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from .engine import RequestRefused
from .lora_keys import Key, match, read_key

_LOG = logging.getLogger(__name__)
_BROKEN = (OSError, ValueError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, struct.error,
           pickle.UnpicklingError)  # fmt: skip
"""What torch's unpickler raises for files that are none, cut short, or hold more than tensors."""


@dataclass(frozen=True)
class Pair:
    """``down`` (rank, in, ...), ``up`` (out, rank, ...); what is added is ``scale`` * up(down(x))."""

    down: Tensor
    up: Tensor
    scale: float


@dataclass(frozen=True)
class LoraWeights:
    """A LoRA that fits one kind of network. Keys are that network's module names ("" = the network); CPU tensors.

    ``pairs``: low-rank changes; ``weights``, ``biases``: differences of a module's own; ``modulations``: differences
    of a block's (1, 6, dim) or the output's (1, 2, dim) table.
    """

    name: str
    pairs: Mapping[str, Pair] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    biases: Mapping[str, Tensor] = field(default_factory=dict)
    modulations: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors, in the file's precision."""
        pairs = [tensor for pair in self.pairs.values() for tensor in (pair.down, pair.up)]
        others = [*self.weights.values(), *self.biases.values(), *self.modulations.values()]
        return sum(tensor.nbytes for tensor in (*pairs, *others))


def read_lora(path: Path, module: nn.Module) -> LoraWeights:
    """The LoRA in a file, checked against the network (which may be on the meta device, or stored in any way).

    Pickled files (.ckpt, .pt) are read for tensors only and run no code. Raises RequestRefused when the file cannot be
    read, holds no LoRA, or one of another model: the sentence names the file and what does not fit.
    """
    tensors, scale = _load(path)
    keys: dict[str, Key] = {}
    for key in tensors:
        read = read_key(key)
        if read is None:
            problem = f"{path.name} holds {key}, which is no plain LoRA: give one made of lora_A/B or lora_down/up"
            raise RequestRefused(problem)
        keys[key] = read
    if all(read.kind == "alpha" for read in keys.values()):
        problem = f"{path.name} holds no LoRA: give a file with lora_A/B or lora_down/up tensors"
        raise RequestRefused(problem)
    names = match([name for name, each in module.named_modules() if name and _can(name, each)], _names(keys))
    unknown = next((name for name in _names(keys) if name not in names), None)
    if unknown is not None:
        kind = type(module).__name__
        problem = f"{path.name} is a LoRA of another model: it changes {unknown}, which {kind} does not have"
        raise RequestRefused(problem)
    return _Reader(path.name, module, tensors, scale).read(keys, names)


def _names(keys: Mapping[str, Key]) -> list[str]:
    return list(dict.fromkeys(read.name for read in keys.values()))


def _can(name: str, module: nn.Module) -> bool:
    """Can a difference be added to what this module gives? (Animate's motion encoder scales its weights first.)"""
    return bool(weight_shape(module) or modulation_shape(module)) and not name.startswith("motion_encoder.")


def _load(path: Path) -> tuple[Mapping[str, Tensor], float | None]:
    """The file's tensors on the CPU, and alpha / rank where the file or its PEFT config says it for all of them."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {key: file.get_tensor(key) for key in file.keys()}, _peft_scale(path, file.metadata())  # noqa: SIM118
        told = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (*_BROKEN, SafetensorError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
        problem = f"{path.name} cannot be read as a LoRA ({reason}): download it again, best as .safetensors"
        raise RequestRefused(problem) from error
    told = told.get("state_dict", told) if isinstance(told, Mapping) else {}
    return {str(key): tensor for key, tensor in told.items() if isinstance(tensor, Tensor)}, None


def _peft_scale(path: Path, metadata: Mapping[str, str] | None) -> float | None:
    """alpha / rank from PEFT's adapter_config.json beside the file, or from what diffusers writes into its header."""
    beside = path.with_name("adapter_config.json")
    try:
        if path.name == "adapter_model.safetensors" and beside.is_file():
            told = json.loads(beside.read_bytes())
        else:
            written = json.loads((metadata or {}).get("lora_adapter_metadata", "{}"))
            told = {key.rpartition(".")[2]: value for key, value in written.items()}
        return float(told["lora_alpha"]) / float(told["r"]) if told.get("r") and "lora_alpha" in told else None
    except (ValueError, TypeError, AttributeError) as error:
        _LOG.warning("the LoRA settings of %s make no sense (%s): alpha is taken to be the rank", path.name, error)
        return None


@dataclass
class _Reader:
    """Sorts a file's tensors by module and checks their shapes. ``scale``: alpha / rank where no tensor says it."""

    file: str
    module: nn.Module
    tensors: Mapping[str, Tensor]
    scale: float | None
    pairs: dict[str, Pair] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)
    biases: dict[str, Tensor] = field(default_factory=dict)
    modulations: dict[str, Tensor] = field(default_factory=dict)

    def read(self, keys: Mapping[str, Key], names: Mapping[str, tuple[str, ...]]) -> LoraWeights:
        by_name: dict[str, dict[str, Tensor]] = {}
        for key, read in keys.items():
            by_name.setdefault(read.name, {})[read.kind] = self.tensors[key]
        for name, parts in by_name.items():
            targets = names[name]
            for number, target in enumerate(targets):
                share = {kind: _share(kind, tensor, number, len(targets)) for kind, tensor in parts.items()}
                self._one(name, target, share)
        return LoraWeights(Path(self.file).stem, self.pairs, self.weights, self.biases, self.modulations)

    def _one(self, name: str, target: str, parts: Mapping[str, Tensor]) -> None:
        module = self.module.get_submodule(target)
        shape = weight_shape(module)
        if ("down" in parts) != ("up" in parts):
            self._torn(name, "has one half of its LoRA only")
        if "down" in parts:
            self.pairs[target] = self._pair(name, parts, shape)
        for kind, kept, wanted in (
            ("weight", self.weights, shape),
            ("bias", self.biases, shape[:1]),
            ("modulation", self.modulations, modulation_shape(module)),
        ):
            if kind in parts and parts[kind].any():  # norms' differences are all zeros in many files
                self._check(name, kind, parts[kind].shape, wanted)
                kept[target] = parts[kind]

    def _pair(self, name: str, parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Pair:
        down, up = parts["down"], parts["up"]
        rank = down.shape[0] if down.ndim > 1 else 0
        if not rank:
            self._torn(name, "has a LoRA of rank 0")
        if len(shape) == 2:  # some files have 1x1 convolutions for linear layers
            down, up = down.flatten(1), up.flatten(1) if up.ndim > 1 else up
        elif down[0].numel() == math.prod(shape[1:]):
            down = down.view(rank, *shape[1:])
        self._check(name, "lora_A", down.shape, (rank, *shape[1:]))
        self._check(name, "lora_B", up.shape[:2], (*shape[:1], rank))
        scale = float(parts["alpha"].item()) / rank if "alpha" in parts else self.scale
        return Pair(down, up, 1.0 if scale is None else scale)

    def _torn(self, name: str, what: str) -> None:
        problem = f"{self.file} is not whole: {name} {what}: download it again"
        raise RequestRefused(problem)

    def _check(self, name: str, what: str, given: Sequence[int], wanted: Sequence[int]) -> None:
        if tuple(given) == tuple(wanted):
            return
        given_text, wanted_text = ("x".join(map(str, shape)) or "none" for shape in (given, wanted))
        problem = (
            f"{self.file} is a LoRA of another model: its {what} for {name} is {given_text}, "
            f"where this {type(self.module).__name__} takes {wanted_text}"
        )
        raise RequestRefused(problem)


def _share(kind: str, tensor: Tensor, number: int, of: int) -> Tensor:
    """Rows of a joint projection's LoRA for one of its parts; ``down`` and alpha are shared."""
    if of == 1 or kind in ("down", "alpha") or not tensor.ndim or tensor.shape[0] % of:
        return tensor
    return tensor.chunk(of, dim=0)[number]


def weight_shape(module: nn.Module) -> tuple[int, ...]:
    """The weight's shape, of a linear layer by what it says of itself: its storage may be packed. Empty: no weight."""
    inside, outside = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if isinstance(inside, int) and isinstance(outside, int):
        return (outside, inside)
    weight = getattr(module, "weight", None)
    return tuple(weight.shape) if isinstance(weight, Tensor) else ()


def modulation_shape(module: nn.Module) -> tuple[int, ...]:
    """The shape of a block's or head's table of shifts and scales; empty: it has none."""
    table = getattr(module, "scale_shift_table", getattr(module, "modulation", None))
    return tuple(table.shape) if isinstance(table, Tensor) else ()
