"""Wan2.2-S2V: sound drives a person of one picture. diffusers has no such network; this package has it.

``WanS2VTransformer3DModel`` is imported when it is first asked for, so that the rest can be used without torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .network import WanS2VTransformer3DModel

__all__ = ["WanS2VTransformer3DModel"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute
    if name in __all__:
        return getattr(import_module(".network", __name__), name)
    problem = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(problem)
