"""Runs under bpy 4.2 or later: the previz human as glTF, which Debian's Blender 3.4 reads. Argument, the .glb."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))
import demo_scene

demo_scene.clear()
demo_scene.hero(bpy.context.scene)
bpy.context.scene.frame_end, bpy.context.scene.render.fps = demo_scene.FRAMES, demo_scene.FPS
bpy.ops.export_scene.gltf(
    filepath=sys.argv[-1], export_format="GLB", export_yup=True, export_optimize_animation_size=False
)
sys.stdout.flush()
os._exit(0)
