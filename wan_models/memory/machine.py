"""What memory this machine has free for models. No torch: a server asks before a worker does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

GIB = 2**30
HOST_SHARE = 0.9
"""Of the free host memory plans use this much at most."""
_CGROUP = Path("/sys/fs/cgroup")


def free_host() -> int:
    """Free bytes of the machine or of this container, whichever is less."""
    return min(psutil.virtual_memory().available, _container_free())


def host_for_plans(most_gib: float | None = None) -> int:
    """Bytes of the host that plans may use; no more than ``most_gib`` where the owner says so."""
    host = int(free_host() * HOST_SHARE)
    return host if most_gib is None else min(host, int(most_gib * GIB))


def pinnable_share() -> float:
    """How much of it may be pinned. WSL and Windows give half; elsewhere the rest of the system needs some."""
    half = sys.platform == "win32" or "microsoft" in os.uname().release.lower()
    return 0.5 if half else 0.8


def _container_free() -> int:
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text().strip() for name in ("max", "current"))
    except OSError:
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - int(used))
