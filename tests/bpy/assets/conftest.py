"""The demo scene is built once for a module: only the first of its tests starts from an empty file."""

from __future__ import annotations

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")


@pytest.fixture(scope="module", autouse=True)
def empty_file() -> None:
    """A new, empty main database."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
