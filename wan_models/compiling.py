"""Compiled blocks (torch.compile): a fifth faster, after 5 to 20 seconds at a worker's first job of a size.

``WANSTAGE_COMPILE``: ``auto`` compiles where it can and where the job is long enough to gain by it, ``1`` wherever it
can, ``0`` never. Which jobs are long enough is told by the job alone, so that a request gives the same frames in a
worker that has just begun as in another. One block's compilation serves all of a network; what was compiled is kept on
disk for the next worker. LoRAs switch it off for their job.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from platformdirs import user_cache_path
from torch import Tensor, nn

from wan_models.engine import RequestRefused, out_of_memory
from wan_models.memory import sizes
from wan_models.pipelines.settings import Settings
from wan_models.requests import Request
from wan_models.rows import Family, ModelRow

logger = logging.getLogger(__name__)
WORTH = 2e11
"""Tokens x width x blocks x predictions from which a job gains more than compiling takes: at 8.5e-11 s each (measured
on an H100: 0.57 s a prediction of Animate at 832x480, 0.21 s of TI2V at 1280x704) 17 s; slower cards gain more.
"""
FAMILIES: tuple[Family, ...] = ("t2v", "i2v", "ti2v", "animate", "s2v")
"""Animate 2's blocks fetch keys and values from the host within their forward, which no compiler follows."""
_problem: list[str] = []
"""Why compiling does not work in this process, once that is known."""


def wished() -> str:
    """``auto``, ``1`` or ``0``. Raises RequestRefused for anything else."""
    wanted = os.environ.get("WANSTAGE_COMPILE", "auto")
    if wanted not in ("auto", "0", "1"):
        problem = f"WANSTAGE_COMPILE is {wanted}: it may be auto, 1 or 0"
        raise RequestRefused(problem)
    return wanted


@cache
def obstacle(device: torch.device) -> str:
    """What stands against compiling for the device, or nothing."""
    if device.type != "cuda":
        return "there is no card"
    if sys.platform != "linux" or find_spec("triton") is None:
        return "Triton is not installed"
    if not any(shutil.which(name) for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if name):
        return "there is no C compiler"
    return ""


def wanted(row: ModelRow, request: Request, settings: Settings, device: torch.device) -> bool:
    """Whether the job's blocks are to be compiled."""
    if wished() == "0" or row.family not in FAMILIES or obstacle(device):
        return False
    return wished() == "1" or work(row, request, settings) >= WORTH


def work(row: ModelRow, request: Request, settings: Settings) -> float:
    """Tokens x width x blocks x predictions of a job."""
    passes = row.passes(request.frames, request.talk.start_from_reference)
    predictions = settings.steps * passes * (2 if settings.guides else 1)
    tokens = sizes.tokens(row, request.width, request.height, request.frames)
    return float(tokens * sizes.width(row) * sizes.blocks(row, "bf16").count * predictions)


def failure() -> str:
    """Why blocks that should have been compiled were not, or nothing."""
    return _problem[0] if _problem else ""


class Compiled:
    """Takes the place of ``forward`` in a block; hooks, which bring weights, stay outside. What cannot be compiled here
    works as it is written: see ``failure``.
    """

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self._plain = forward
        self._compiled: Callable[..., Tensor] = torch.compile(forward, fullgraph=True)

    def __call__(self, *given: Any, **named: Any) -> Tensor:  # noqa: ANN401 - a block's own arguments
        if not _problem:
            try:
                return self._compiled(*given, **named)
            except Exception as error:  # a compiler's errors are of many kinds; those of the block itself come again
                if out_of_memory(error):
                    raise
                logger.warning("blocks cannot be compiled here", exc_info=True)
                _problem.append(str(error).strip().partition("\n")[0] or type(error).__name__)
        return self._plain(*given, **named)


def compile_blocks(module: nn.Module) -> None:
    """Compile the blocks' own forwards."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(_cache()))
    for block in _blocks(module):
        vars(block)["forward"] = Compiled(MethodType(type(block).forward, block))


def uncompile_blocks(module: nn.Module) -> None:
    """Undo it: torch.compile would not notice hooks that are added to a block's parts later."""
    for block in _blocks(module):
        vars(block).pop("forward", None)


def _cache() -> Path:
    return Path(user_cache_path("wanstage")) / "compiled"


def _blocks(module: nn.Module) -> list[nn.Module]:
    names = getattr(module, "_repeated_blocks", None) or ()
    return [each for each in module.modules() if type(each).__name__ in names]
