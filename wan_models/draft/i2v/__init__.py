"""The draft's i2v: one picture, moved by what the scene knows of every later frame. No weights, no torch."""

from __future__ import annotations

from .checks import check
from .generate import generate
from .plate import plate_frames

__all__ = ["check", "generate", "plate_frames"]
