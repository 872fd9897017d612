"""What each part took when it worked, written to the file that ``WANSTAGE_REPORT`` names; nothing is measured without.

``{"parts": {part: {"calls", "seconds", "peak_allocated", "peak_reserved"}}, "finite": bool, "plan": ..., ...}``; bytes.
Measuring waits for the card at the end of each call.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


class Report:
    """One for each opened model."""

    def __init__(self, device: torch.device, **facts: Any) -> None:  # noqa: ANN401 - JSON values
        told = os.environ.get("WANSTAGE_REPORT")
        self._path = Path(told) if told else None
        self._device = device
        self._content: dict[str, Any] = {**facts, "finite": True, "parts": {}}

    @contextmanager
    def working(self, part: str) -> Iterator[None]:
        """Measure what happens within the block."""
        if self._path is None:
            yield
            return
        cuda = self._device.type == "cuda"
        if cuda:
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
        began = time.perf_counter()
        try:
            yield
        finally:
            if cuda:
                torch.cuda.synchronize(self._device)
            self._add(part, time.perf_counter() - began)

    def say(self, **facts: Any) -> None:  # noqa: ANN401 - JSON values
        """Facts that are known only now."""
        self._content |= facts

    def look(self, pixels: Tensor) -> None:
        """Note whether all are finite."""
        if self._path is not None and not bool(pixels.isfinite().all()):
            self._content["finite"] = False

    def _add(self, part: str, seconds: float) -> None:
        entry = self._content["parts"].setdefault(
            part, {"calls": 0, "seconds": 0.0, "peak_allocated": 0, "peak_reserved": 0}
        )
        entry["calls"] += 1
        entry["seconds"] = round(entry["seconds"] + seconds, 4)
        entry["longest"] = round(max(entry.get("longest", 0.0), seconds), 4)
        entry.setdefault("first", round(seconds, 4))
        if self._device.type == "cuda":
            for name, value in (
                ("peak_allocated", torch.cuda.max_memory_allocated(self._device)),
                ("peak_reserved", torch.cuda.max_memory_reserved(self._device)),
            ):
                entry[name] = max(entry[name], value)
        self._content["peak_host_bytes"] = _peak_host()
        self._write()

    def _write(self) -> None:
        if self._path is not None:
            self._path.write_text(json.dumps(self._content))


def _peak_host() -> int:
    """The most memory of the host that this process has had, in bytes; 0 where the system does not say (Windows)."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
