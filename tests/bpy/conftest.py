"""Every test here starts from an empty file of Blender's own factory settings."""

from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")


@pytest.fixture(autouse=True)
def empty_file() -> None:
    """A new, empty main database."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
