"""Where models and LoRAs lie on this machine, and how they come here. No torch."""

from __future__ import annotations

from .found import Found, ModelMissing
from .lora_store import find_lora, lora_files
from .previewers import find_previewer
from .search import find, installed

__all__ = ["Found", "ModelMissing", "find", "find_lora", "find_previewer", "installed", "lora_files"]
