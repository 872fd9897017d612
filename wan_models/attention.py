"""Which attention kernel the networks use.

``WANSTAGE_ATTENTION``: native (torch chooses; on Hopper that is cuDNN), fa3 (FlashAttention 3 from the optional
``fa3-fwd`` wheel, Hopper only), or auto: fa3 where it works, else native.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from diffusers.models import attention_dispatch
from torch import Tensor

from wan_models.engine import RequestRefused

logger = logging.getLogger(__name__)

_HOPPER = 9
_registry: Any = attention_dispatch._AttentionBackendRegistry
_NATIVE: Any = attention_dispatch.AttentionBackendName.NATIVE


@cache
def use_attention(device: torch.device) -> str:
    """Put the chosen kernel in place of diffusers' native one, once; the name of what was chosen.

    Raises RequestRefused if ``fa3`` was asked for and cannot be had.
    """
    wanted = os.environ.get("WANSTAGE_ATTENTION", "auto")
    if wanted not in ("auto", "native", "fa3"):
        problem = f"WANSTAGE_ATTENTION is {wanted}: it may be auto, native or fa3"
        raise RequestRefused(problem)
    obstacle = "" if wanted == "native" else _obstacle(device)
    if wanted == "fa3" and obstacle:
        problem = f"WANSTAGE_ATTENTION is fa3, but {obstacle}: set it to auto"
        raise RequestRefused(problem)
    if wanted == "native" or obstacle:
        logger.info("attention: torch's own%s", f" ({obstacle})" if obstacle else "")
        return "native"
    _registry._backends[_NATIVE] = _with_fa3(_registry._backends[_NATIVE], _fa3())
    logger.info("attention: FlashAttention 3")
    return "fa3"


def _obstacle(device: torch.device) -> str:
    if device.type != "cuda":
        return "there is no card"
    if torch.cuda.get_device_capability(device)[0] != _HOPPER:
        return "the card is not of the Hopper family"
    if find_spec("fa3_fwd_interface") is None:
        return "the package fa3-fwd is not installed"
    return ""


def _fa3() -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    kernel = import_module("fa3_fwd_interface").flash_attn_func

    @torch.library.custom_op("wanstage::fa3", mutates_args=())
    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        out = kernel(query, key, value)
        first: Tensor = out[0] if isinstance(out, tuple) else out
        return first

    @attend.register_fake
    def _(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return query.new_empty(query.shape)

    result: Callable[[Tensor, Tensor, Tensor], Tensor] = attend
    return result


def _with_fa3(native: Callable[..., Tensor], fa3: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """diffusers' native attention, (batch, tokens, heads, width), with FA3 for what it can do."""

    def attend(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:  # noqa: ANN401 - passed on
        plain = options.get("attn_mask") is None and not options.get("is_causal") and options.get("scale") is None
        if plain and query.dtype is torch.bfloat16 and query.is_cuda and query.shape[-1] == 128:
            return fa3(query, key, value)
        return native(query, key, value, **options)

    return attend
