"""As scene.py, with three cameras bound to the timeline and only one sub-panel open.

Files beside WANSTAGE_GUI_STATE tell what to do: ``.wide`` makes a shot that has problems, ``.small`` one that is made
in no time. What happens is in scene.py's file.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import bpy

sys.path.append(str(Path(__file__).resolve().parent))
import scene as base
from wanstage import findings, panels, playback, preflight_panel, sequence, state, timeline_panel
from wanstage.operators import generate

steps_ms: list[float] = []
seen_batches: list[str] = []
OPEN = {"generate": {"preflight"}, "shot": {"timeline"}}


def cameras() -> None:
    """Three of them, each with a marker; the walker is in all."""
    scene = bpy.context.scene
    wide = scene.camera
    for number, (name, frame, lens) in enumerate(
        (("Wide", 1, 26.0), ("Close on Walker", 13, 60.0), ("Side", 23, 30.0))
    ):
        camera = wide if not number else bpy.data.objects.new(f"Camera {name}", wide.data.copy())
        if number:
            scene.collection.objects.link(camera)
            camera.matrix_world = wide.matrix_world.copy()
            camera.location.x -= number * 0.5
        camera.data.lens = lens
        scene.timeline_markers.new(name, frame=frame).camera = camera
    scene.timeline_markers.new("Beat", frame=18)


def leave_open(parent: str) -> None:
    """Panels open or closed, as if they had been clicked; only before they are first drawn."""
    classes = [getattr(bpy.types, name) for name in dir(panels) + dir(preflight_panel) + dir(timeline_panel)
               if name.startswith("WANSTAGE_PT_")]  # fmt: skip
    for each in sorted(classes, key=lambda each: hasattr(each, "bl_parent_id")):
        name = each.__name__.removeprefix("WANSTAGE_PT_")
        bpy.utils.unregister_class(each)
        each.bl_options = set() if name in {parent, *OPEN[parent]} else {"DEFAULT_CLOSED"}
        bpy.utils.register_class(each)


def act(name: str) -> None:
    """Carry out a wish."""
    window = bpy.context.window_manager.windows[0]
    area = next(area for area in window.screen.areas if area.type == "VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    own = bpy.context.scene.wanstage
    with bpy.context.temp_override(window=window, area=area, region=region):
        if name == "wide":
            own.size, own.width, own.height = "CUSTOM", 411, 240
            bpy.data.objects["Walker"].wanstage.reference = ""
            bpy.context.scene.camera.data.lens = 95.0
        elif name == "small":
            own.size, own.width, own.height = "CUSTOM", 208, 120
    playback.redraw()


def note() -> float:
    """Wishes, every tenth of a second."""
    for name in ("wide", "small"):
        wish = base.TARGET.with_suffix(f".{name}")
        if wish.exists():
            act(name)
            wish.unlink()
    if state.now.batch and state.now.batch not in seen_batches:
        seen_batches.append(state.now.batch)
    return 0.1


def extra() -> dict[str, Any]:
    """What the test waits for besides."""
    found, fresh = findings.kept(bpy.context.scene)
    strips = base.compat.strips_of(bpy.context.scene)
    return {
        "findings": [each.id for each in found or ()],
        "fresh": fresh,
        "batch": state.now.batch,
        "batches": seen_batches,
        "step_ms": max(steps_ms, default=0.0),
        "strips": sorted(each.get(sequence.MARK) for each in strips if each.get(sequence.MARK)),
        "shots": [take.shot for take in bpy.context.scene.wanstage.takes],
    }


def timed_modal() -> None:
    """Note how long our modal operators hold the window at most."""
    call = generate.Stepwise.modal

    def modal(self: Any, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        began = time.perf_counter()
        try:
            return call(self, context, event)
        finally:
            steps_ms.append(round((time.perf_counter() - began) * 1000, 1))

    generate.Stepwise.modal = modal


base.more = extra
cameras()
leave_open(base.os.environ.get("WANSTAGE_GUI_OPEN", "generate"))
for panel in ("preflight", "timeline"):
    base.watch(panel)
timed_modal()
bpy.app.timers.register(note, first_interval=0.5)
