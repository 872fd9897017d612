"""Runs inside the window's Blender: a set with four takes made of drawn frames, the sidebar opened, and what is going
on written to WANSTAGE_GUI_STATE (JSON, renamed into place). Files beside it tell what to do: ``.edit`` moves the set,
``.material`` shows materials.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import bpy
import numpy as np
from wanstage import choices, madefrom, takes, thumbnails, watch

sys.path.append(str(Path(__file__).resolve().parents[1] / "bpy" / "capture"))
sys.path.append(str(Path(__file__).resolve().parents[1] / "bpy" / "addon"))
import made
import people

TARGET = Path(os.environ["WANSTAGE_GUI_STATE"])
BLEND = Path(os.environ["WANSTAGE_GUI_BLEND"])
WIDTH, HEIGHT, FRAMES = 416, 240, 33
LOOKS = {"1": (214, 150, 84), "2": (90, 160, 205), "3": (150, 190, 110), "4": (190, 120, 180)}
drawn: set[str] = set()
draw_ms: list[float] = []
sys.modules["blender_addon"] = sys.modules["wanstage"]  # the name that made.py knows the add-on by
for name, module in list(sys.modules.items()):
    if name.startswith("wanstage."):
        sys.modules["blender_addon" + name.removeprefix("wanstage")] = module


def picture(colour: tuple[int, int, int], at: int) -> np.ndarray:
    """A sky over a floor, and a figure that walks; uint8 (h,w,3)."""
    rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)
    shade = np.linspace(1.0, 0.45, HEIGHT)[:, None, None]
    rgb[:] = (np.array(colour) * shade).astype(np.uint8)
    rgb[HEIGHT * 2 // 3 :] = (np.array(colour) * 0.35).astype(np.uint8)
    left = 40 + at * 9
    rgb[70:190, left : left + 34] = (240, 232, 220)
    rgb[44:74, left + 5 : left + 29] = (70, 50, 45)
    return rgb


def signed(scene: bpy.types.Scene, span: madefrom.Span) -> dict[str, str]:
    """The hashes of the scene as it is."""
    steps = madefrom.signature(scene, span)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def build() -> None:
    """The test people's set, and four takes of it."""
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    people.make_stage(WIDTH, HEIGHT)
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, FRAMES
    scene.view_settings.view_transform = "Standard"
    bpy.ops.wm.save_as_mainfile(filepath=str(BLEND))
    scene = bpy.context.scene
    span = madefrom.Span(scene.camera.name, 1.0, FRAMES, 16.0)
    kept = madefrom.kept(span, signed(scene, span))
    for number, (job, colour) in enumerate(LOOKS.items()):
        frames = [picture(colour, at) for at in range(FRAMES)]
        take = made.finished(scene, job, pictures=frames, width=WIDTH, height=HEIGHT, seed=41 + number, engine="wan",
                             meta={"made_from": kept, "settings": {"shot": {}}})  # fmt: skip
        take.choice.model, take.choice.seconds = "wan2.2-animate-14b", 187.0 + 3 * number
    scene.frame_set(17)


def show() -> None:
    """The 3D view alone, its sidebar open, the camera's view."""
    space = view().spaces[0]
    space.show_region_ui = True
    space.shading.type, space.shading.color_type = "SOLID", "TEXTURE"
    space.region_3d.view_perspective = "CAMERA"


def view() -> bpy.types.Area:
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")


def note() -> float:
    """What the test waits for, every tenth of a second."""
    region = next(region for region in view().regions if region.type == "UI")
    scene = bpy.context.scene
    window = bpy.context.window_manager.windows[0]
    seen = {
        "region": [region.x, region.y, region.width, region.height],
        "window": [window.width, window.height],
        "drawn": sorted(drawn),
        "selected": scene.wanstage.take_index,
        "compare": scene.wanstage.compare.first,
        "thumbnails": len(thumbnails.now.previews or ()),
        "playing": window.screen.is_animation_playing,
        "draw_ms": sorted(draw_ms)[len(draw_ms) // 2] if draw_ms else 0.0,
        "check_ms": watch.now.longest_s * 1000,
        "takes": [
            {"starred": take.choice.starred, "verdict": take.choice.verdict, "outdated": take.choice.outdated,
             "seen": choices.is_seen(take), "files": takes.folder(take).is_dir()}
            for take in scene.wanstage.takes
        ],
    }  # fmt: skip
    scratch = TARGET.with_suffix(".part")
    scratch.write_text(json.dumps(seen))
    scratch.replace(TARGET)
    wishes = {"edit": edit, "material": material}
    for name, wish in wishes.items():
        if TARGET.with_suffix(f".{name}").exists():
            wish()
            TARGET.with_suffix(f".{name}").unlink()
    return 0.1


def edit() -> None:
    """What makes takes go out of date."""
    bpy.data.objects["Crate"].location.x += 0.4
    bpy.context.scene.camera.data.lens += 4


def material() -> None:
    """Materials, which show a comparison."""
    view().spaces[0].shading.type = "MATERIAL"
    view().tag_redraw()


def time_drawing() -> None:
    """Note that the panel was drawn, and how long our own draw took."""
    began = [0.0]

    def before(_panel: bpy.types.Panel, _context: bpy.types.Context) -> None:
        began[0] = time.perf_counter()

    def after(_panel: bpy.types.Panel, _context: bpy.types.Context) -> None:
        draw_ms.append((time.perf_counter() - began[0]) * 1000)
        drawn.add("takes")

    bpy.types.WANSTAGE_PT_takes.prepend(before)
    bpy.types.WANSTAGE_PT_takes.append(after)
    bpy.types.WANSTAGE_PT_compare.append(lambda _panel, _context: drawn.add("compare"))
    bpy.types.WANSTAGE_PT_connection.append(lambda _panel, _context: drawn.add("connection"))


build()
time_drawing()
bpy.app.timers.register(lambda: show() or None, first_interval=0.2)
bpy.app.timers.register(note, first_interval=0.5)
