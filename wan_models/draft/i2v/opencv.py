"""OpenCV without its type stubs: they call every result "integer or floating" and refuse the None that remap takes."""

from __future__ import annotations

from importlib import import_module
from typing import Any

cv2: Any = import_module("cv2")
