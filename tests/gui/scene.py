"""Runs inside the window's Blender: a small shot, the sidebar opened, and what is going on written to a file.

WANSTAGE_GUI_STATE names that file (JSON, renamed into place); WANSTAGE_GUI_BLEND where to save. Files beside it tell
what to do: ``.save`` saves, ``.draft`` chooses the draft engine, ``.wan`` and ``.video`` a video model for Animate and
for Image to Video. They are removed when that is done.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import bpy
from wanstage import catalog, compat, follow, framefiles, playback, pump, state, takes

sys.path.append(str(Path(__file__).resolve().parents[1] / "bpy" / "capture"))
import people

TARGET = Path(os.environ["WANSTAGE_GUI_STATE"])
BLEND = Path(os.environ["WANSTAGE_GUI_BLEND"])
drawn: set[str] = set()
draw_ms: dict[str, list[float]] = {}
parts_ms: dict[str, float] = {}
PANELS = ("connection", "shot", "characters", "generate", "takes")


COLORS = {"Floor": (0.45, 0.4, 0.34), "Crate": (0.6, 0.3, 0.12), "Wall": (0.2, 0.34, 0.45),
          "Walker body": (0.75, 0.55, 0.1)}  # fmt: skip


def build() -> None:
    """The test people's walker in a small set."""
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    people.make_stage(416, 240)
    bpy.context.scene.camera.data.lens = 26.0
    people.make_box("Wall", (12.0, 0.2, 5.0), (0.0, 2.6, 2.5))
    for name, color in COLORS.items():
        made = bpy.data.materials.new(name)
        made.use_nodes = True
        made.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*color, 1.0)
        made.diffuse_color = (*color, 1.0)
        bpy.data.objects[name].data.materials.append(made)
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 33
    own = scene.wanstage
    own.size, own.width, own.height, own.engine, own.model, own.task = "CUSTOM", 416, 240, "test", "test", "i2v"
    own.prompt = json.dumps({"delay_s": 0.1, "preview_side": 64})
    scene.view_settings.view_transform = "Standard"
    bpy.ops.wm.save_as_mainfile(filepath=str(BLEND))


def show() -> None:
    """The 3D view alone, its sidebar open, the camera's view."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    space = area.spaces[0]
    space.show_region_ui = True
    space.shading.type = "SOLID"
    space.shading.color_type = "TEXTURE"
    space.region_3d.view_perspective = "CAMERA"
    space.region_3d.view_camera_zoom, space.region_3d.view_camera_offset = 7.0, (0.09, 0.0)


def more() -> dict[str, Any]:
    """What another script of a window adds."""
    return {}


def note() -> float:
    """What the test waits for, every tenth of a second."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "UI")
    kinds = ("scenes", "objects", "meshes", "materials", "images", "actions", "armatures", "cameras", "worlds")
    takes = [
        {
            "state": take.state,
            "frames_done": take.frames_done,
            "problem": take.problem,
            "plane": playback.find_plane(take.job_id) is not None,
        }
        for take in bpy.context.scene.wanstage.takes
    ]
    seen = {
        "region": [region.x, region.y, region.width, region.height],
        "window": [window.width, window.height],
        "drawn": sorted(drawn),
        "status": state.now.status,
        "sentence": state.now.sentence,
        "capturing": state.now.capture is not None,
        "takes": takes,
        "blocks": {kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds},
        "here": [bpy.context.scene.frame_current, [item.name for item in bpy.context.selected_objects]],
        "timer": bpy.app.timers.is_registered(pump.tick),
        "tick_ms": state.now.longest_tick_s * 1000,
        "parts_ms": parts_ms,
        "model": bpy.context.scene.wanstage.model_menu,
        "models": [item[0] for item in catalog.model_items(bpy.context.scene.wanstage)],
        "draw_ms": {name: round(sorted(values)[len(values) // 2], 3) for name, values in draw_ms.items()},
    }
    seen |= more()
    scratch = TARGET.with_suffix(".part")
    scratch.write_text(json.dumps(seen))
    scratch.replace(TARGET)
    wish = TARGET.with_suffix(".save")
    if wish.exists():
        bpy.ops.wm.save_mainfile()
        wish.unlink()
    wish = TARGET.with_suffix(".draft")
    if wish.exists():
        own = bpy.context.scene.wanstage
        own.engine, own.model, own.prompt = "draft", "draft", ""
        bpy.context.scene.frame_set(26)
        wish.unlink()
    for name, (task, model) in WAN.items():
        wish = TARGET.with_suffix(f".{name}")
        if wish.exists():
            choose(task, model)
            wish.unlink()
    return 0.1


WAN = {"wan": ("animate", "wan2.2-animate-14b"), "video": ("i2v", "wan2.2-i2v-a14b")}


def choose(task: str, model: str) -> None:
    """A video model, from the menu that the panel shows."""
    own = bpy.context.scene.wanstage
    own.size, own.task, own.prompt = "832x480", task, "a woman in a red coat walks through an empty hall"
    own.model_menu = f"wan/{model}"
    bpy.data.objects["Walker"].wanstage.reference = "//reference.png"
    playback.redraw()


build()


def watch(name: str) -> None:
    """Note that a panel was drawn, and how long our own draw took."""
    began = [0.0]

    def before(_panel: bpy.types.Panel, _context: bpy.types.Context) -> None:
        began[0] = time.perf_counter()

    def after(_panel: bpy.types.Panel, _context: bpy.types.Context) -> None:
        draw_ms.setdefault(name, []).append((time.perf_counter() - began[0]) * 1000)
        drawn.add(name)

    getattr(bpy.types, f"WANSTAGE_PT_{name}").prepend(before)
    getattr(bpy.types, f"WANSTAGE_PT_{name}").append(after)


def time_calls(module: Any, name: str) -> None:
    """Note the longest call of a function of ours, milliseconds."""
    call = getattr(module, name)

    def timed(*values: object, **named: object) -> object:
        began = time.perf_counter()
        try:
            return call(*values, **named)
        finally:
            parts_ms[name] = max(parts_ms.get(name, 0.0), round((time.perf_counter() - began) * 1000, 1))

    setattr(module, name, timed)


for module, name in ((compat, "undo_push"), (takes, "place"), (takes, "relink"), (playback, "show_frame"),
                     (playback, "show_preview"), (framefiles, "write"), (follow, "_job_changed"),
                     (pump, "open_client")):  # fmt: skip
    time_calls(module, name)
for panel in PANELS:
    watch(panel)
bpy.app.timers.register(lambda: show() or None, first_interval=0.2)
bpy.app.timers.register(note, first_interval=0.5)
