"""Renders a small textured scene by Cycles, with everything that the draft's i2v needs, to one npz (run where bpy is).

    python tests/bpy/make_textured_scene.py OUT.npz

A set of floor, wall and boxes, an armature-deformed column that bends, a camera that moves; 17 frames, looks of frames
1, 5, 9 and 17. The origin map is exact: the world position at frame 1 is stored as a vertex attribute and rendered.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import bpy
import numpy as np

WIDTH, HEIGHT, FRAMES, LOOKS = 416, 240, 17, (0, 4, 8, 16)


def material(name: str, color: tuple[float, float, float], scale: float) -> Any:
    """A matte material with a procedural texture in generated coordinates, which follow a deforming mesh."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = 1.0
    shader.inputs["Specular IOR Level"].default_value = 0.0
    place, noise, ramp = (nodes.new(f"ShaderNode{kind}") for kind in ("TexCoord", "TexNoise", "ValToRGB"))
    noise.inputs["Scale"].default_value = scale
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.35, 0.65
    ramp.color_ramp.elements[0].color = (*(c * 0.25 for c in color), 1)
    ramp.color_ramp.elements[1].color = (*color, 1)
    links.new(place.outputs["Generated"], noise.inputs["Vector"])
    links.new(noise.outputs[0], ramp.inputs[0])
    links.new(ramp.outputs[0], shader.inputs["Base Color"])
    return made


def emission(name: str, source: str, attribute: str = "") -> Any:
    """What an override render shows as raw numbers: a vertex attribute, or the shading position."""
    made = bpy.data.materials.new(name)
    made.use_nodes = True
    nodes, links = made.node_tree.nodes, made.node_tree.links
    nodes.clear()
    out, shader = nodes.new("ShaderNodeOutputMaterial"), nodes.new("ShaderNodeEmission")
    node = nodes.new(source)
    if attribute:
        node.attribute_name = attribute
    links.new(node.outputs["Vector" if attribute else "Position"], shader.inputs["Color"])
    links.new(shader.outputs[0], out.inputs["Surface"])
    return made


def build() -> tuple[Any, Any]:
    """The scene and its camera."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    ops = bpy.ops.mesh
    things = []
    ops.primitive_plane_add(size=14)
    things.append((bpy.context.object, (0.8, 0.7, 0.5), 25.0))
    ops.primitive_plane_add(size=14, location=(0, 4, 3), rotation=(math.pi / 2, 0, 0))
    things.append((bpy.context.object, (0.4, 0.6, 0.8), 18.0))
    for x, y, size in ((-1.8, 0.6, 0.9), (2.0, 1.4, 1.2)):
        ops.primitive_cube_add(size=size, location=(x, y, size / 2), rotation=(0, 0, 0.5))
        things.append((bpy.context.object, (0.7, 0.35, 0.3), 6.0))
    ops.primitive_cylinder_add(radius=0.4, depth=2.4, location=(0, 0, 1.2), vertices=48)
    column = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    ops.select_all(action="SELECT")
    ops.bisect(plane_co=(0, 0, 1.2), plane_no=(0, 0, 1))
    ops.select_all(action="SELECT")
    ops.subdivide(number_cuts=10)
    bpy.ops.object.mode_set(mode="OBJECT")
    things.append((column, (0.85, 0.75, 0.2), 7.0))
    bend(column)
    for thing, color, scale in things:
        thing.data.materials.append(material(thing.name, color, scale))
    bpy.ops.object.light_add(type="AREA", location=(-3, -4, 6))
    light = bpy.context.object
    light.data.energy, light.data.size = 700, 4
    light.rotation_euler = (0.7, -0.4, 0)
    world = bpy.data.worlds.new("world")
    scene.world = world
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs[0].default_value = (0.5, 0.55, 0.6, 1)
    bpy.ops.object.camera_add(location=(0.2, -6.0, 1.8), rotation=(1.45, 0, 0))
    camera = bpy.context.object
    scene.camera = camera
    camera.keyframe_insert("location", frame=1)
    camera.keyframe_insert("rotation_euler", frame=1)
    camera.location, camera.rotation_euler = (1.2, -5.6, 2.0), (1.43, 0.0, 0.12)
    camera.keyframe_insert("location", frame=FRAMES)
    camera.keyframe_insert("rotation_euler", frame=FRAMES)
    return scene, column


def bend(column: Any) -> None:
    """Two bones that bend the column forth and sideways."""
    bpy.ops.object.armature_add(location=(0, 0, 0))
    rig = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    low = rig.data.edit_bones[0]
    low.tail = (0, 0, 1.2)
    top = rig.data.edit_bones.new("top")
    top.head, top.tail, top.parent = (0, 0, 1.2), (0, 0, 2.4), low
    bpy.ops.object.mode_set(mode="OBJECT")
    column.select_set(True)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.parent_set(type="ARMATURE_AUTO")
    bone = rig.pose.bones["top"]
    bone.rotation_mode = "XYZ"
    bone.keyframe_insert("rotation_euler", frame=1)
    bone.rotation_euler = (0.25, 0.3, 0.6)
    bone.keyframe_insert("rotation_euler", frame=FRAMES)


def store_first_positions(scene: Any, column: Any) -> None:
    """Frame 1's world position and the mask value as vertex attributes of every mesh."""
    scene.frame_set(1)
    graph = bpy.context.evaluated_depsgraph_get()
    for thing in [o for o in scene.objects if o.type == "MESH"]:
        shown = thing.evaluated_get(graph)
        places = np.array([shown.matrix_world @ v.co for v in shown.data.vertices], np.float32)
        assert len(places) == len(thing.data.vertices)
        where = thing.data.attributes.new("first", "FLOAT_VECTOR", "POINT")
        where.data.foreach_set("vector", places.ravel())
        who = thing.data.attributes.new("who", "FLOAT_VECTOR", "POINT")
        who.data.foreach_set("vector", np.full(places.size, float(thing is column), np.float32))


def render(scene: Any, path: Path, override: Any, samples: int, *, raw: bool) -> Any:
    """One render as an array (h,w,4), rows from the top: float32 numbers when raw, else uint8 sRGB."""
    scene.view_layers[0].material_override = override
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = samples, samples > 32
    scene.cycles.use_adaptive_sampling = False
    scene.cycles.seed = 0
    scene.render.filter_size = scene.cycles.filter_width = 0.01 if raw else 1.5
    scene.render.film_transparent = raw
    scene.view_settings.view_transform = "Raw" if raw else "Standard"
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode = ("OPEN_EXR", "RGBA") if raw else ("PNG", "RGBA")
    settings.color_depth = "32" if raw else "8"
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    pixels = np.empty(WIDTH * HEIGHT * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    pixels = pixels.reshape(HEIGHT, WIDTH, 4)[::-1]
    return pixels.copy() if raw else np.rint(pixels[..., :3] * 255).astype(np.uint8)


def main(out: Path) -> None:
    """Build, render all, save."""
    scene, column = build()
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = WIDTH, HEIGHT, 100
    scene.frame_end = FRAMES
    store_first_positions(scene, column)
    first = emission("first", "ShaderNodeAttribute", "first")
    who = emission("who", "ShaderNodeAttribute", "who")
    now = emission("now", "ShaderNodeNewGeometry")
    grey = bpy.data.materials.new("grey")
    result: dict[str, list[Any]] = {
        k: [] for k in ("first", "mask", "now", "clay", "plate", "world", "look", "look_plate")
    }
    with tempfile.TemporaryDirectory() as folder:
        data, picture = Path(folder) / "a.exr", Path(folder) / "a.png"
        for t in range(FRAMES):
            scene.frame_set(t + 1)
            result["world"].append(np.array(scene.camera.matrix_world))
            position = render(scene, data, first, 1, raw=True)
            result["first"].append(np.where(position[..., 3:] > 0.5, position[..., :3], np.nan).astype(np.float32))
            result["mask"].append((render(scene, data, who, 1, raw=True)[..., 0] > 0.5).astype(np.uint8))
            result["now"].append(render(scene, data, now, 1, raw=True)[..., :3])
            result["clay"].append(render(scene, picture, grey, 8, raw=False))
            column.hide_render = True
            result["plate"].append(render(scene, picture, grey, 8, raw=False))
            if t in LOOKS:
                result["look_plate"].append(render(scene, picture, None, 64, raw=False))
            column.hide_render = False
            if t in LOOKS:
                result["look"].append(render(scene, picture, None, 64, raw=False))
    focal = scene.camera.data.lens / scene.camera.data.sensor_width * WIDTH
    arrays = {name: np.stack(maps) for name, maps in result.items()}
    np.savez_compressed(out, focal=focal, looks=np.array(LOOKS), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)
