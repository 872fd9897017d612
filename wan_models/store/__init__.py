"""Where models and LoRAs lie on this machine, and how they come here. No torch."""

from __future__ import annotations

from .found import Found, ModelMissing
from .search import find, installed

__all__ = ["Found", "ModelMissing", "find", "installed"]
