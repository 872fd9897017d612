"""Networks without numbers, to know their tensors' names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import diffusers
import transformers
from accelerate import init_empty_weights
from torch import nn

from wan_models import s2v


def build(cls: str, config: Mapping[str, Any]) -> nn.Module:
    """The network of diffusers, of this project or of transformers, as its constructor leaves it. ``cls`` is one of a
    part's row.
    """
    home: Any = diffusers if hasattr(diffusers, cls) else s2v
    if hasattr(home, cls):
        network: nn.Module = getattr(home, cls).from_config(dict(config))
    else:
        of = getattr(transformers, cls)
        network = of(of.config_class(**config))
    return network.eval().requires_grad_(False)


def tensor_shapes(cls: str, config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that a checkpoint of the class must hold, by name; of tied ones the first name only.

    Nothing is allocated.
    """
    with init_empty_weights(include_buffers=False):
        network = build(cls, config)
    tied = getattr(network, "_tied_weights_keys", None)
    left = set(tied) if isinstance(tied, Mapping) else set()
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items() if name not in left}
