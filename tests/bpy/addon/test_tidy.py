"""Captured maps do not pile up: a day later they go, unless a pack of this session needs them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

DAYS = 3 * 86400.0


def ids(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*/*") if path.is_file()}


def age(folder: Path) -> None:
    then = time.time() - DAYS
    for path in folder.glob("*/*"):
        os.utime(path, (then, then))


def test_old_captures_go_and_present_ones_stay(connected: Any) -> None:
    from blender_addon import generation, state, wire

    folder = generation.assets()
    stray = folder.add(b"of a shot that nobody needs any more")
    assert bpy.ops.wanstage.capture(force=True) == {"FINISHED"}
    assert stray.id in ids(folder.root), "a young file stays: another Blender may be sending it"
    age(folder.root)
    assert bpy.ops.wanstage.capture(force=True) == {"FINISHED"}
    needed = {ref.id for pack in state.now.packs.values() for ref in wire.refs.asset_refs(pack.pack)}
    assert needed
    assert needed <= ids(folder.root)
    assert stray.id not in ids(folder.root)
