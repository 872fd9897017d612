"""Finds people: the joints of one in a picture, the motion of all in a film. Imports nothing heavy until asked.

``estimate_image`` serves references; ``clip.estimate_clip`` makes pose files (docs/pose-file.md).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .estimate import Found, PoseUnavailable, estimate_image, unavailable

__all__ = ["Found", "PoseUnavailable", "estimate_image", "unavailable"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever the module has; the model store asks for none of it
    if name in __all__:
        return getattr(import_module(".estimate", __name__), name)
    problem = f"module {__name__} has no attribute {name}"
    raise AttributeError(problem)
