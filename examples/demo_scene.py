"""The demo's scene, built under plain bpy: a street corner, daylight, a moving camera, and the previz human.

``python examples/demo_scene.py --out scene.blend`` writes it; ``build()`` gives it to a running Blender. 81 frames at
16 fps, 832x480, Cycles, view transform Standard. All surfaces are procedural; nothing is random.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import sys
from pathlib import Path
from typing import Any

import bpy
from mathutils import Vector

ASSETS = Path(__file__).resolve().parent / "assets"
HERO, CAMERA = "Hero", "Camera"
FRAMES, FPS, WIDTH, HEIGHT, SAMPLES = 81, 16, 832, 480, 32
HERO_HEADING = math.radians(22)  # he starts facing a little to the right of the camera and turns through it
DOLLY = (  # frame, camera place, point it looks at, metres
    (1, (1.35, -4.7, 1.45), (0.02, 0.0, 1.0)),
    (FRAMES, (-1.2, -4.6, 1.2), (0.06, 0.0, 1.0)),
)
Colour = tuple[float, float, float]
Triple = tuple[float, float, float]


def build(scene_path: Path | None = None) -> bpy.types.Scene:
    """Empties the open file, builds the demo's scene in it, saves it if given a path, and returns it."""
    clear()
    scene = bpy.context.scene
    set_up(scene)
    street(scene)
    daylight(scene)
    hero(scene)
    camera(scene)
    scene.frame_set(1)
    if scene_path is not None:
        bpy.ops.wm.save_as_mainfile(filepath=str(scene_path.resolve()), compress=True)
    return scene


def describe() -> dict[str, Any]:
    """What the scene is, for callers that must not open it; from frame ``turns_away_at`` on he shows his back."""
    return {
        "hero": HERO, "camera": CAMERA, "frames": FRAMES, "fps": FPS, "width": WIDTH, "height": HEIGHT,
        "reference": str(ASSETS / "reference_man.png"), "turns_away_at": 50,
        "prompt": "a man jumps forward, turns round and jumps back on a sunny street corner",
    }  # fmt: skip


def clear() -> None:
    """Removes every object and what hung on it, and every scene but the first."""
    for scene in bpy.data.scenes[1:]:
        bpy.data.scenes.remove(scene)
    kinds = ("objects", "meshes", "materials", "cameras", "lights", "armatures", "actions", "worlds", "images")
    bpy.data.batch_remove([block for kind in kinds for block in getattr(bpy.data, kind)])
    for collection in list(bpy.data.collections):
        bpy.data.collections.remove(collection)


def set_up(scene: bpy.types.Scene) -> None:
    """Frame range, size, renderer and view."""
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples, scene.cycles.seed = "CPU", SAMPLES, 0
    scene.cycles.use_denoising = True
    scene.cycles.max_bounces, scene.cycles.diffuse_bounces, scene.cycles.glossy_bounces = 3, 2, 1
    scene.cycles.caustics_reflective = scene.cycles.caustics_refractive = False
    scene.cycles.adaptive_threshold, scene.cycles.adaptive_min_samples = 0.05, 8
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0


def hero(scene: bpy.types.Scene) -> bpy.types.Object:
    """Appends the previz human; his armature object is named Hero."""
    with bpy.data.libraries.load(str(ASSETS / "previz_human.blend"), link=False) as (_, wanted):
        wanted.objects = [HERO, f"{HERO} body"]
    for thing in wanted.objects:
        scene.collection.objects.link(thing)
    rig: bpy.types.Object = bpy.data.objects[HERO]
    rig.rotation_euler = (0.0, 0.0, HERO_HEADING)
    return rig


def camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """A 35 mm camera on a dolly: two keys, eased at both ends."""
    made = bpy.data.objects.new(CAMERA, bpy.data.cameras.new(CAMERA))
    made.data.lens, made.data.sensor_width, made.data.clip_start, made.data.clip_end = 35.0, 36.0, 0.1, 60.0
    scene.collection.objects.link(made)
    scene.camera = made
    for frame, place, target in DOLLY:
        made.location = place
        made.rotation_euler = (Vector(target) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
        made.keyframe_insert("location", frame=frame)
        made.keyframe_insert("rotation_euler", frame=frame)
    for curve in curves(made):
        for key in curve.keyframe_points:
            key.interpolation, key.easing = "SINE", "EASE_IN_OUT"
    return made


def curves(thing: bpy.types.Object) -> list[bpy.types.FCurve]:
    """The F-curves of an object's action, in layered actions (4.4 and later) too."""
    action = thing.animation_data.action
    if hasattr(action, "fcurves"):
        return list(action.fcurves)
    return [c for layer in action.layers for strip in layer.strips for bag in strip.channelbags for c in bag.fcurves]


def daylight(scene: bpy.types.Scene) -> None:
    """A warm, low sun from the front right, a blue sky all round, and a soft fill."""
    world = bpy.data.worlds.new("Sky")
    scene.world = world
    if bpy.app.version < (5, 0, 0):
        world.use_nodes = True
    background = world.node_tree.nodes["Background"]
    background.inputs["Color"].default_value = (0.46, 0.62, 0.9, 1.0)
    background.inputs["Strength"].default_value = 0.36
    light(scene, ("Sun", "SUN"), ((4.6, -3.4, 5.2), (0.0, 0.0, 0.6)), 3.9, (1.0, 0.9, 0.76), angle=math.radians(3))
    light(scene, ("Fill", "AREA"), ((-2.6, -4.5, 3.0), (0.0, 0.3, 0.9)), 30.0, (0.9, 0.95, 1.0), size=3.0)
    light(scene, ("Shop light", "AREA"), ((-1.75, 2.0, 2.6), (-1.6, 0.6, 0.0)), 22.0, (1.0, 0.75, 0.45), size=0.9)


def light(
    scene: bpy.types.Scene,
    named: tuple[str, str],
    ray: tuple[Triple, Triple],
    power: float,
    colour: Colour,
    **more: float,
) -> None:
    """A light by name and kind, at a place, aimed at another."""
    (name, kind), (at, to) = named, ray
    data = bpy.data.lights.new(name, kind)
    data.energy, data.color = power, colour
    for key, value in more.items():
        setattr(data, key, value)
    made = bpy.data.objects.new(name, data)
    made.location = at
    made.rotation_euler = (Vector(to) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
    scene.collection.objects.link(made)


def street(scene: bpy.types.Scene) -> None:
    """The set; the camera looks along +Y, the house front stands at y = 2.2, the side wall at x = -3.4."""
    specification = importlib.util.spec_from_file_location("demo_set", ASSETS.parent / "demo_set.py")
    assert specification is not None
    assert specification.loader is not None
    demo_set = importlib.util.module_from_spec(specification)  # found whatever the caller's import path is
    specification.loader.exec_module(demo_set)
    demo_set.build(scene)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the .blend to write")
    parser.add_argument("--still", type=Path, help="also render frame 1 as a PNG")
    args = parser.parse_args()
    scene = build(args.out)
    if args.still:
        scene.render.filepath = str(args.still.resolve())
        bpy.ops.render.render(write_still=True)
    print(f"{args.out}: {len(scene.objects)} objects, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
