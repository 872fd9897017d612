"""The one door to ``protocol``: the copy vendored inside the extension when there is one, else the top-level package.

``wire.specs``, ``wire.assets``, ``wire.client`` and so on are the modules of ``protocol``, imported when first
asked for (a panel that only draws never loads ZeroMQ). Needs no bpy.
"""

from __future__ import annotations

import importlib
from types import ModuleType

_VENDORED = f"{__package__}.protocol"
_MODULES = frozenset(
    {
        "assets",
        "buffers",
        "client",
        "codec",
        "connection",
        "errors",
        "known",
        "limits",
        "messages",
        "pairing",
        "pairing_code",
        "redo",
        "refs",
        "session",
        "specs",
    }
)


def load(name: str) -> ModuleType:
    """The module ``protocol.<name>``; ModuleNotFoundError when this protocol has no such module."""
    try:
        return importlib.import_module(f"{_VENDORED}.{name}")
    except ModuleNotFoundError as missing:
        if missing.name != _VENDORED:
            raise
    return importlib.import_module(f"protocol.{name}")


def __getattr__(name: str) -> ModuleType:
    if name in _MODULES:
        return load(name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
