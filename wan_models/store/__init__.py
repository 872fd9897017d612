"""Where models and LoRAs lie on this machine, and how they come here. No torch, no numpy of its own."""

from __future__ import annotations

from .found import Found, ModelMissing

__all__ = ["Found", "ModelMissing"]
