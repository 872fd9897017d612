"""Registration leaves nothing behind, on every Blender; a backend that cannot be started says why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

OPERATORS = ("connect", "disconnect", "attach", "capture", "generate", "cancel", "show_take", "retry", "remove_take",
             "relink_takes")  # fmt: skip
Refused = Callable[..., str]


def ours() -> list[str]:
    """Names of our classes and handlers that Blender knows."""
    classes = [name for name in dir(bpy.types) if name.startswith("WANSTAGE_")]
    listed = [getattr(bpy.app.handlers, kind) for kind in dir(bpy.app.handlers) if kind[0] != "_"]
    handlers = [
        item.__name__ for each in listed if isinstance(each, list) for item in each
        if getattr(item, "__name__", "").startswith("wanstage_")
    ]  # fmt: skip
    return classes + handlers


def test_register_and_unregister_many_times(addon: Any) -> None:
    first = ours()
    assert len(first) > 15
    for _ in range(50):
        addon.unregister()
        assert ours() == []
        assert not hasattr(bpy.types.Scene, "wanstage")
        addon.register()
    assert ours() == first


@pytest.mark.parametrize("name", OPERATORS)
def test_polls_in_an_empty_file(addon: Any, name: str) -> None:
    assert getattr(bpy.ops.wanstage, name).poll() is (name in {"connect", "relink_takes"})


def test_handlers_survive_a_file_load(addon: Any) -> None:
    before = ours()
    bpy.ops.wm.read_homefile(app_template="", use_empty=True)
    assert ours() == before


def test_no_backend_and_no_python(addon: Any, refused: Refused, tmp_path: Path, monkeypatch: Any) -> None:
    from blender_addon import state

    monkeypatch.delenv("WANSTAGE_BACKEND_PYTHON", raising=False)
    sentence = refused(bpy.ops.wanstage.connect, connection_file=str(tmp_path / "none.json"))
    assert "no backend Python is set" in sentence
    assert state.now.sentence == sentence
    assert "cannot be started" in refused(bpy.ops.wanstage.connect, python=str(tmp_path / "python"))
    assert state.now.client is None


def test_a_backend_that_dies_at_start_says_why(addon: Any, refused: Refused, tmp_path: Path) -> None:
    from blender_addon import launch

    launch._starts.clear()
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho no such module >&2\nexit 3\n")
    script.chmod(0o755)
    assert "ended with code 3: no such module" in refused(bpy.ops.wanstage.connect, python=str(script))
    refused(bpy.ops.wanstage.connect, python=str(script))
    refused(bpy.ops.wanstage.connect, python=str(script))
    assert "within a minute" in refused(bpy.ops.wanstage.connect, python=str(script))
    launch._starts.clear()


def test_another_machine_needs_permission(addon: Any, refused: Refused, tmp_path: Path, monkeypatch: Any) -> None:
    from blender_addon import compat

    monkeypatch.setattr(compat, "online_allowed", lambda: False)
    file = tmp_path / "far.json"
    file.write_text(json.dumps({"endpoint": "tcp://192.0.2.7:5555"}))
    assert "may not use the network" in refused(bpy.ops.wanstage.connect, connection_file=str(file))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(connected: Any, refused: Refused, tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written" in refused(bpy.ops.wanstage.generate)
    finally:
        tmp_path.chmod(0o700)
    assert len(bpy.context.scene.wanstage.takes) == 0
