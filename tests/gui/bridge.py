"""Runs inside the window's Blender, for the driver outside: draws words and icons as Blender does, and runs Python.

Requests are files beside WANSTAGE_GUI_STATE, removed when they are done: ``.labels`` (JSON list of texts; the answer is
``.labels.npz`` with one uint8 (h,w) picture each), ``.icons`` (JSON list of icon names: a panel that shows them at the
top of the Properties editor's scene tab, none to take it away) and ``.run`` (Python with ``bpy``, the 3D view's
context; what it raises goes to ``.failed``).
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import blf
import bpy
import gpu
import numpy as np
from mathutils import Matrix

TARGET = Path(os.environ["WANSTAGE_GUI_STATE"])
POINTS = 11.5  # what Blender 3.4's labels are drawn with at scale 1; found by comparing
HEIGHT, BASELINE, MARGIN = 24, 8, 4
shown_icons: list[str] = []


def label(text: str) -> np.ndarray:
    """The text as the interface draws it, white on black; uint8 (h,w)."""
    blf.size(0, POINTS)
    width = int(blf.dimensions(0, text)[0]) + 2 * MARGIN
    screen = gpu.types.GPUOffScreen(width, HEIGHT)
    with screen.bind(), gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        frame = gpu.state.active_framebuffer_get()
        frame.clear(color=(0, 0, 0, 1))
        gpu.matrix.load_matrix(Matrix.Identity(4))
        to_clip = ((2 / width, 0, 0, -1), (0, 2 / HEIGHT, 0, -1), (0, 0, 1, 0), (0, 0, 0, 1))
        gpu.matrix.load_projection_matrix(Matrix(to_clip))
        gpu.state.blend_set("ALPHA")
        blf.position(0, MARGIN, BASELINE, 0)
        blf.color(0, 1, 1, 1, 1)
        blf.draw(0, text)
        pixels = frame.read_color(0, 0, width, HEIGHT, 4, 0, "UBYTE")
    pixels.dimensions = width * HEIGHT * 4
    drawn = np.array(pixels, np.uint8).reshape(HEIGHT, width, 4)[::-1, :, 0]
    screen.free()
    return np.ascontiguousarray(drawn)


class GUI_PT_icons(bpy.types.Panel):  # noqa: N801 (Blender's rule for names)
    """Icons beside their names, for the driver to cut out."""

    bl_label = "Icons"
    bl_space_type, bl_region_type, bl_context = "PROPERTIES", "WINDOW", "scene"
    bl_order = -100

    def draw(self, _context: bpy.types.Context) -> None:
        """A row each."""
        for name in shown_icons:
            self.layout.label(text=name, icon=name)


def area_of(kind: str) -> bpy.types.Area:
    """The first editor of a kind."""
    return next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == kind)


def _labels(words: str) -> None:
    texts = json.loads(words)
    part = TARGET.with_suffix(".labels.part.npz")
    np.savez(part, *[label(text) for text in texts])
    part.replace(TARGET.with_suffix(".labels.npz"))


def _icons(words: str) -> None:
    shown_icons[:] = json.loads(words)
    if hasattr(bpy.types, "GUI_PT_icons"):
        bpy.utils.unregister_class(GUI_PT_icons)
    area = area_of("PROPERTIES")
    if shown_icons:
        area.spaces[0].context = "SCENE"
        bpy.utils.register_class(GUI_PT_icons)
    area.tag_redraw()


def _run(words: str) -> None:
    area = area_of("VIEW_3D")
    region = next(region for region in area.regions if region.type == "WINDOW")
    window = bpy.context.window_manager.windows[0]
    try:
        with bpy.context.temp_override(window=window, area=area, region=region):
            exec(compile(words, "window.run", "exec"), {"bpy": bpy, "area_of": area_of})  # noqa: S102 (our own tests)
    except Exception:  # the driver tells it
        TARGET.with_suffix(".failed").write_text(traceback.format_exc())
    for each in window.screen.areas:
        each.tag_redraw()


KINDS: dict[str, Callable[[str], None]] = {".labels": _labels, ".icons": _icons, ".run": _run}


def answer() -> float:
    """Requests, twenty times a second."""
    for suffix, do in KINDS.items():
        file = TARGET.with_suffix(suffix)
        if file.exists():
            do(file.read_text())
            file.unlink()
    return 0.05


bpy.app.timers.register(answer, first_interval=0.5, persistent=True)
