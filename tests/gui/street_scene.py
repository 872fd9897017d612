"""As scene.py, with the street corner and the previz human of the examples: what the guide's pictures are taken of.

WANSTAGE_GUI_HERO is the human as glTF, which export_hero.py writes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "examples")]
for name, kind in (("bool", bool), ("object", object), ("int", int), ("float", float)):
    if name not in np.__dict__:
        setattr(np, name, kind)  # Blender 3.4's glTF importer is older than numpy 1.24, which took these names away
import demo_scene  # noqa: E402
import scene as base  # noqa: E402

FRAMES = 33
CLAY = (0.62, 0.47, 0.3, 1.0)


def build() -> None:
    """The street, the man, a camera; the panel as it is when one begins."""
    demo_scene.clear()
    scene = bpy.context.scene
    demo_scene.set_up(scene)
    demo_scene.street(scene)
    demo_scene.daylight(scene)
    bpy.ops.import_scene.gltf(filepath=os.environ["WANSTAGE_GUI_HERO"])
    rig = next(item for item in bpy.data.objects if item.type == "ARMATURE")
    rig.name = demo_scene.HERO
    demo_scene.camera(scene)
    for item in list(bpy.data.objects):
        if item.type == "MESH" and not item.users_scene:
            bpy.data.objects.remove(item)
    for item in rig.children:
        for made in item.data.materials:
            made.diffuse_color = CLAY
            shader = made.node_tree.nodes["Principled BSDF"].inputs
            shader["Base Color"].default_value = CLAY
            shader["Metallic"].default_value, shader["Roughness"].default_value = 0.0, 0.7
    scene.frame_end = FRAMES
    scene.cycles.samples, scene.cycles.use_denoising = 24, False
    own = scene.wanstage
    own.prompt, own.task, own.size = "", "i2v", "832x480"
    own.engine = own.model = "draft"
    own.plate_samples = 4
    scene.frame_set(1)
    bpy.ops.object.select_all(action="DESELECT")
    bpy.ops.wm.save_as_mainfile(filepath=str(base.BLEND))


def bare() -> None:
    """No lamps and no 3D cursor in the pictures; after base.show."""
    overlay = next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")
    overlay.spaces[0].overlay.show_extras = overlay.spaces[0].overlay.show_cursor = False
    overlay.spaces[0].overlay.show_bones = overlay.spaces[0].overlay.show_outline_selected = False


build()
bpy.app.timers.register(lambda: bare() or None, first_interval=0.4)
