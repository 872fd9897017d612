"""Networks from checkpoints: built without numbers first, then filled tensor by tensor, so that no part is ever held
twice. Precisions are those of diffusers' ``from_pretrained(torch_dtype=...)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from wan_models.engine import RequestRefused
from wan_models.weights import networks

Put = Callable[[str, Tensor, torch.dtype], None]
"""Takes a tensor as the checkpoint gives it: (name, tensor, precision to keep it in)."""


def build(cls: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of class ``cls`` (diffusers or transformers) with parameters on the meta device; buffers that no
    checkpoint holds (rotary tables, blur kernels) have their values.
    """
    with init_empty_weights(include_buffers=False):
        return networks.build(cls, config)


def fp32_names(module: nn.Module) -> frozenset[str]:
    """Name components whose tensors stay float32 whatever the network's precision is (diffusers' rule; transformers
    has the same attribute but applies it to float16 only, which is not used here).
    """
    if isinstance(module, diffusers.ModelMixin):
        names: list[str] | None = type(module)._keep_in_fp32_modules
        return frozenset(names or ())
    return frozenset()


def precision(name: str, tensor: Tensor, dtype: torch.dtype, keep: frozenset[str]) -> torch.dtype:
    """The precision in which the tensor of this name is kept."""
    if not tensor.is_floating_point():
        return tensor.dtype
    return torch.float32 if keep.intersection(name.split(".")) else dtype


def fill(module: nn.Module, tensors: Iterable[tuple[str, Tensor]], dtype: torch.dtype, put: Put, what: str) -> None:
    """Give every parameter and buffer its value, one at a time.

    Names that the network lacks are left out (``norm_added_q`` of old files). Raises RequestRefused for a wrong shape
    or a missing tensor, by name.
    """
    keep = fp32_names(module)
    wanted = {name: tensor.shape for name, tensor in module.state_dict(keep_vars=True).items()}
    for name, tensor in tensors:
        shape = wanted.pop(name, None)
        if shape is None:
            continue
        if tensor.shape != shape:
            problem = f"{what}: {name} is {tuple(tensor.shape)} and should be {tuple(shape)}: is it another model's?"
            raise RequestRefused(problem)
        put(name, tensor, precision(name, tensor, dtype, keep))
    _tie(module, wanted)
    if wanted:
        first = ", ".join(sorted(wanted)[:3])
        problem = f"{what}: {len(wanted)} tensors are missing ({first}): download the model again"
        raise RequestRefused(problem)


def onto(module: nn.Module, device: torch.device) -> Put:
    """Puts every tensor straight into its place, on ``device``."""

    def put(name: str, tensor: Tensor, dtype: torch.dtype) -> None:
        assign(module, name, tensor.to(device, dtype))

    return put


def assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Put ``tensor`` in the place of the parameter or buffer of this name."""
    path, _, leaf = name.rpartition(".")
    owner = module.get_submodule(path)
    if leaf in owner._parameters:
        owner._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        owner._buffers[leaf] = tensor


def move_buffers(module: nn.Module, device: torch.device) -> None:
    """Buffers that no checkpoint holds follow the weights."""
    for owner in module.modules():
        for name, buffer in owner._buffers.items():
            if buffer is not None and not buffer.is_meta:
                owner._buffers[name] = buffer.to(device)


def _tie(module: nn.Module, missing: dict[str, torch.Size]) -> None:
    """UMT5's embedding has two names; a file may hold it under either or both."""
    pairs = getattr(module, "_tied_weights_keys", None)
    if not isinstance(pairs, dict):
        return
    for target, source in pairs.items():
        there, gone = (source, target) if source not in missing else (target, source)
        if there not in missing:
            path, _, leaf = there.rpartition(".")
            assign(module, gone, getattr(module.get_submodule(path), leaf).data)
            missing.pop(gone, None)
