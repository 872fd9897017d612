"""Host memory that weights wait in: pinned where the driver allows it, so that copies run beside the work."""

from __future__ import annotations

import logging
import weakref
from typing import Any

import torch
from torch import Tensor

logger = logging.getLogger(__name__)
_PAGE = 4096
_cuda: Any = torch.cuda  # partly untyped


class HostBuffer:
    """``nbytes`` of host memory as uint8 in ``data``; ``pinned`` says whether the card can read it by itself.

    Registered with the driver rather than taken from torch's pool, which rounds up to powers of two.
    """

    def __init__(self, nbytes: int, pin: bool) -> None:
        pin = pin and torch.cuda.is_available()
        size = -(-nbytes // _PAGE) * _PAGE
        whole = torch.empty(size + _PAGE, dtype=torch.uint8)
        start = -whole.data_ptr() % _PAGE
        self.data: Tensor = whole[start : start + nbytes]
        self.pinned = pin and _registered(self.data.data_ptr(), size)
        if self.pinned:
            self._release = weakref.finalize(self, _unregister, self.data.data_ptr(), whole)
        elif pin:
            self._from_pool(nbytes)

    def _from_pool(self, nbytes: int) -> None:
        """Where drivers do not register memory (some containers), torch's own pinned memory may still be had."""
        try:
            self.data = torch.empty(nbytes, dtype=torch.uint8, pin_memory=True)
            self.pinned = True
        except RuntimeError as error:
            logger.warning("%.1f GB of host memory cannot be pinned, so copies are slower: %s", nbytes / 1e9, error)


class CardBuffer:
    """``nbytes`` of card memory as uint8 in ``data``, where there is no copy on the host."""

    pinned = False

    def __init__(self, nbytes: int, device: torch.device) -> None:
        self.data: Tensor = torch.empty(nbytes, dtype=torch.uint8, device=device)


def _registered(pointer: int, nbytes: int) -> bool:
    if int(_cuda.cudart().cudaHostRegister(pointer, nbytes, 0)) == 0:
        return True
    try:  # the error stays with CUDA until something asks for it: here, where it is known
        torch.zeros(1, device="cuda")
    except RuntimeError as error:
        logger.info("memory cannot be registered: %s", str(error).partition("\n")[0])
    return False


def _unregister(pointer: int, _memory: Tensor) -> None:
    _cuda.cudart().cudaHostUnregister(pointer)
