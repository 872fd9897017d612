"""The add-on's own fixtures, and a real scene with several cameras on its timeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import load  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


_addon = load("wanstage_addon_fixtures", ROOT / "tests" / "bpy" / "addon" / "conftest.py")
addon, shot, backend, connected, refused = (
    _addon.addon, _addon.shot, _addon.backend, _addon.connected, _addon.refused
)  # fmt: skip


@pytest.fixture
def demo(addon: Any) -> Any:
    """The demo's street corner with its man, 96 frames at 24 a second; the draft engine at a quarter of its size."""
    made = load("demo_scene", ROOT / "examples" / "demo_scene.py").build()
    made.render.fps, made.frame_end = 24, 96
    own = made.wanstage
    own.task, own.engine, own.model = "animate", "draft", "draft"
    own.size, own.width, own.height = "CUSTOM", 208, 120
    return made


@pytest.fixture
def edit(shot: Any) -> Any:
    """Three cameras bound to markers at frames 1, 11 and 21 of 30, at 24 a second; a marker without a camera at 15."""
    scene = shot
    scene.render.fps, scene.frame_start, scene.frame_end = 24, 1, 30
    for number, (name, frame) in enumerate((("Wide", 1), ("Close", 11), ("Übersicht", 21))):
        camera = bpy.data.objects.new(f"Cam {name}", bpy.data.cameras.new(name))
        camera.location = (number - 1.0, 0, 6)
        scene.collection.objects.link(camera)
        scene.timeline_markers.new(name, frame=frame).camera = camera
    scene.timeline_markers.new("Beat", frame=15)
    return scene
