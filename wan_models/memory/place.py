"""Networks where a plan has them: on the card for good, or on the host and brought to the card when they work."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .load import fill, move_buffers, onto
from .plan import Plan
from .stream import StreamedModule

Tensors = Iterable[tuple[str, Tensor]]
_EMBEDDINGS = frozenset({"shared.weight", "encoder.embed_tokens.weight"})


@dataclass(frozen=True)
class Target:
    """Where a network goes: the plan, the card, the precision; ``what`` names it in errors."""

    plan: Plan
    device: torch.device
    dtype: torch.dtype
    what: str


class Placed(Protocol):
    """A network with its numbers."""

    module: nn.Module

    def bind(self) -> bool:
        """Bring it to the card; whether it was not there."""

    def release(self) -> bool:
        """Take it away; whether it was there and could be."""


class Fixed:
    """A network that stays on the card."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def bind(self) -> bool:
        return False

    def release(self) -> bool:
        return False


def place_whole(module: nn.Module, tensors: Tensors, target: Target, *, stays: bool) -> Placed:
    """A small network (VAE, CLIP, audio encoder): in pinned memory, so that it comes to the card in hundredths of a
    second, and leaves it without a copy back; or on the card for good, if it ``stays`` and nothing must leave the card
    for another.
    """
    if stays and target.plan.together and target.device.type == "cuda":
        return _fixed(module, tensors, target)
    placed = StreamedModule(module, [], target.device, target.dtype)
    fill(module, tensors, target.dtype, placed.put, target.what)
    return placed


def place_transformer(module: nn.Module, tensors: Tensors, target: Target) -> Placed:
    """A transformer: for good if nothing must leave the card for it, else streamed or swapped."""
    plan = target.plan
    if plan.together and plan.weights == "bf16":
        return _fixed(module, tensors, target)
    placed = StreamedModule(
        module,
        transformer_groups(module),
        target.device,
        target.dtype,
        resident=plan.resident_blocks,
        weights=plan.weights,
        source="card" if plan.together else plan.source,
    )
    fill(module, tensors, target.dtype, placed.put, target.what)
    return placed


def place_encoder(module: nn.Module, tensors: Tensors, target: Target) -> Placed:
    """The text encoder: for one use on the card, or on the host with its embedding looked up there."""
    plan = target.plan
    if plan.together and not plan.text_stream and not plan.keep_text:
        return _fixed(module, tensors, target)
    layers: Any = module.get_submodule("encoder.block")
    groups = [[f"encoder.block.{index}"] for index in range(len(layers))]
    resident = len(groups) % 2 if plan.text_stream else None
    placed = StreamedModule(
        module, groups, target.device, target.dtype, resident=resident, source="mapped", outside=_EMBEDDINGS
    )
    fill(module, tensors, target.dtype, placed.put, target.what)
    return placed


def transformer_groups(module: Any) -> list[list[str]]:  # noqa: ANN401 - diffusers has no types
    """A transformer's units: its blocks, with every so-many-th one of Animate's its face adapter, and with those that
    S2V's config names the audio injector that follows them.
    """
    groups = [[f"blocks.{index}"] for index in range(len(module.blocks))]
    if hasattr(module, "audio_injector"):
        for index, block in enumerate(module.config.audio_inject_layers):
            own = f"audio_injector.injector.{index}", f"audio_injector.injector_adain_layers.{index}"
            groups[block] += own
    adapters = getattr(module, "face_adapter", ())
    for index in range(len(adapters)):
        groups[index * module.config.inject_face_latents_blocks].append(f"face_adapter.{index}")
    return groups


def _fixed(module: nn.Module, tensors: Tensors, target: Target) -> Placed:
    fill(module, tensors, target.dtype, onto(module, target.device), target.what)
    move_buffers(module, target.device)
    return Fixed(module)
