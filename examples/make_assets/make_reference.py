"""Makes ``examples/assets/reference_man.png`` and its joints: the clothed MakeHuman man of the MORSE simulator.

Run with a Python that has bpy: ``python make_reference.py --blend .../robots/human_rig.blend --out reference_man.png``.
The file's old materials are wired anew to its packed textures, the man is put into a relaxed A-pose and rendered by
Cycles on a transparent film; the joints come from his own rig and meshes through the same camera.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from pathlib import Path

import bpy
import numpy as np
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Matrix, Vector

WIDTH, HEIGHT = 768, 1152
RIG, HEAD, EYES, SHOES = (
    "HumanSkeleton",
    "MakeHuman skeleton_man1-male1591",
    "MakeHuman skeleton_man1-eyes",
    "MakeHuman skeleton_man1-classic_shoes_lres",
)
TEXTURES = {
    "BrownClassicShoesMaterial": ("classicshoes_texture_diffuse.png", 0.45),
    "Eye_brown": ("brown_eye.png", 0.15),
    "jeans01Material": ("jeans_basic_diffuse.png", 0.85),
    "mhair02black": ("male02_diffuse_black.png", 0.5),
    "tshirt02Material": ("tshirt02_texture.png", 0.85),
    "young_caucasian_male": ("young_lightskinned_male_diffuse.png", 0.5),
}
BODY = {  # rig bones whose heads are body points; the rest is derived from the meshes
    "shoulder": "shoulder02", "elbow": "lowerarm01", "wrist": "wrist",
    "hip": "upperleg01", "knee": "lowerleg01", "ankle": "foot",
}  # fmt: skip
BODY_ORDER = (
    "nose", "neck", "shoulder.R", "elbow.R", "wrist.R", "shoulder.L", "elbow.L", "wrist.L", "hip.R", "knee.R",
    "ankle.R", "hip.L", "knee.L", "ankle.L", "eye.R", "eye.L", "ear.R", "ear.L", "toe.L", "toe.R",
)  # fmt: skip


def open_man(path: Path) -> bpy.types.Object:
    """Opens the file, leaves only the man, and gives back his rig without its walk."""
    bpy.ops.wm.open_mainfile(filepath=str(path), load_ui=False)
    for thing in list(bpy.data.objects):
        if thing.name.endswith("_bb") or thing.name.startswith("_"):
            bpy.data.objects.remove(thing)
    rig = bpy.data.objects[RIG]
    rig.animation_data_clear()
    for bone in rig.pose.bones:
        bone.matrix_basis = Matrix.Identity(4)
    for material in bpy.data.materials:
        if material.name in TEXTURES:
            wire(material)
    return rig


def wire(material: bpy.types.Material) -> None:
    """A Principled material that shows the packed texture, transparent where the texture is."""
    image, roughness = TEXTURES[material.name]
    tree = material.node_tree
    tree.nodes.clear()
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    shader = tree.nodes.new("ShaderNodeBsdfPrincipled")
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = bpy.data.images[image]
    shader.inputs["Roughness"].default_value = roughness
    tree.links.new(texture.outputs["Color"], shader.inputs["Base Color"])
    if material.name == "mhair02black":
        tree.links.new(texture.outputs["Alpha"], shader.inputs["Alpha"])
    tree.links.new(shader.outputs["BSDF"], output.inputs["Surface"])


def relax(rig: bpy.types.Object) -> None:
    """A relaxed A-pose: upper arms 28 degrees off the body, forearms a little outwards and forwards."""
    for side, sign in (("L", 1.0), ("R", -1.0)):
        aim(rig, f"shoulder02_{side}", f"lowerarm01_{side}", Vector((0.0, sign * math.sin(0.49), -math.cos(0.49))))
        aim(rig, f"lowerarm01_{side}", f"wrist_{side}", Vector((0.16, sign * 0.40, -0.90)))


def aim(rig: bpy.types.Object, bone: str, child: str, direction: Vector) -> None:
    """Turns ``bone`` about its head so that ``child``'s head lies in ``direction`` (armature space)."""
    bpy.context.view_layer.update()
    posed = rig.pose.bones[bone]
    turn = (rig.pose.bones[child].head - posed.head).rotation_difference(direction).to_matrix().to_4x4()
    pivot = Matrix.Translation(posed.head)
    posed.matrix = pivot @ turn @ pivot.inverted() @ posed.matrix
    bpy.context.view_layer.update()


def light_and_camera() -> bpy.types.Object:
    """A key, a fill and two rims around a long-lens camera in front of the man (he faces +X)."""
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    scene.render.pixel_aspect_x = scene.render.pixel_aspect_y = 1.0
    for name, place, size, watts in (
        ("key", (2.6, 1.7, 2.6), 1.4, 122), ("fill", (2.8, -2.4, 1.5), 2.5, 42),
        ("rim left", (-1.8, 1.6, 2.3), 1.0, 38), ("rim right", (-1.8, -1.6, 2.3), 1.0, 38),
    ):  # fmt: skip
        lamp = bpy.data.lights.new(name, "AREA")
        lamp.energy, lamp.size = watts, size
        made = bpy.data.objects.new(name, lamp)
        made.location = place
        made.rotation_euler = (Vector((0, 0, 1.0)) - Vector(place)).to_track_quat("-Z", "Y").to_euler()
        scene.collection.objects.link(made)
    scene.world = bpy.data.worlds.new("Studio")
    scene.world.use_nodes = True
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.9, 0.95, 1.0, 1.0)
    scene.world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.28
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens, camera.data.sensor_fit, camera.data.sensor_height = 85.0, "VERTICAL", 24.0
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def frame_man(camera: bpy.types.Object) -> None:
    """Puts the camera straight in front, the man at 93 percent of the picture's height."""
    points = np.concatenate([posed_vertices(o) for o in bpy.data.objects if o.type == "MESH"])
    low, high = points.min(0), points.max(0)
    tall = (high[2] - low[2]) / 0.93
    distance = tall * camera.data.lens / camera.data.sensor_height
    middle = (low + high) / 2
    camera.location = (middle[0] + distance, middle[1], middle[2])
    camera.rotation_euler = (math.pi / 2, 0.0, math.pi / 2)
    bpy.context.view_layer.update()


def posed_vertices(thing: bpy.types.Object) -> np.ndarray:
    """World vertices (n,3) after the armature."""
    evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    flat = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", flat)
    evaluated.to_mesh_clear()
    matrix = np.array(thing.matrix_world)
    return flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]


def body_points(rig: bpy.types.Object) -> dict[str, np.ndarray]:
    """World positions of the 20 body points, left and right being the man's own (his left is +Y)."""
    found = {
        f"{name}.{side}": np.array(rig.matrix_world @ rig.pose.bones[f"{bone}_{side}"].head)
        for name, bone in BODY.items()
        for side in "LR"
    }
    found["neck"] = (found["shoulder.L"] + found["shoulder.R"]) / 2  # as the pose models define it
    eyes, shoes, skin = (posed_vertices(bpy.data.objects[name]) for name in (EYES, SHOES, HEAD))
    for side, sign in (("L", 1.0), ("R", -1.0)):
        found[f"eye.{side}"] = eyes[eyes[:, 1] * sign > 0].mean(0)
        shoe = shoes[shoes[:, 1] * sign > 0]
        tip = shoe[shoe[:, 0] > shoe[:, 0].max() - 0.035]
        found[f"toe.{side}"] = tip.mean(0)
    eye = found["eye.L"][2]
    face = skin[(np.abs(skin[:, 1]) < 0.02) & (skin[:, 2] < eye) & (skin[:, 2] > eye - 0.08)]
    found["nose"] = face[face[:, 0].argmax()]
    for side, sign in (("L", 1.0), ("R", -1.0)):
        near = skin[(skin[:, 1] * sign > 0) & (np.abs(skin[:, 2] - eye + 0.015) < 0.035)]
        found[f"ear.{side}"] = near[near[:, 1] * sign > (near[:, 1] * sign).max() - 0.012].mean(0)
    return found


def hand_points(rig: bpy.types.Object, side: str) -> list[np.ndarray]:
    """The wrist, then four points a finger from root to tip."""
    bones = rig.pose.bones
    points = [bones[f"wrist_{side}"].head]
    for finger in range(1, 6):
        chain = [bones[f"finger{finger}-{joint}_{side}"] for joint in (1, 2, 3)]
        last = chain[2].tail - chain[2].head
        before = chain[2].head - chain[1].head
        if last.length < 0.5 * before.length:  # this rig's thumb ends in a stub
            last = before.normalized() * before.length * 0.45
        points += [bone.head for bone in chain] + [chain[2].head + last]
    return [np.array(rig.matrix_world @ point) for point in points]


def in_pixels(camera: bpy.types.Object, points: list[np.ndarray]) -> list[list[float]]:
    """[x, y, score] in pixels from the top left corner."""
    scene = bpy.context.scene
    seen = [world_to_camera_view(scene, camera, Vector([float(v) for v in p])) for p in points]
    return [[round(v.x * WIDTH, 2), round((1.0 - v.y) * HEIGHT, 2), 1.0] for v in seen]


def render(path: Path, samples: int) -> None:
    """Cycles, transparent film, Standard view."""
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device, scene.cycles.samples, scene.cycles.seed = "CPU", samples, 0
    scene.cycles.use_denoising = True
    scene.render.film_transparent = True
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    scene.view_settings.exposure, scene.view_settings.gamma = 0.0, 1.0
    image = scene.render.image_settings
    image.file_format, image.color_mode, image.color_depth, image.compression = "PNG", "RGBA", "8", 90
    for name in (p.identifier for p in scene.render.bl_rna.properties if p.identifier.startswith("use_stamp_")):
        setattr(scene.render, name, False)  # no file names or host names in the picture
    scene.render.use_compositing = scene.render.use_sequencer = False
    scene.render.filepath = str(path.resolve())
    bpy.ops.render.render(write_still=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blend", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=96)
    args = parser.parse_args()
    rig = open_man(args.blend)
    relax(rig)
    camera = light_and_camera()
    frame_man(camera)
    found = body_points(rig)
    sidecar = {
        "wanstage_reference": 1, "width": WIDTH, "height": HEIGHT,
        "body": in_pixels(camera, [found[name] for name in BODY_ORDER]),
        "left_hand": in_pixels(camera, hand_points(rig, "L")),
        "right_hand": in_pixels(camera, hand_points(rig, "R")),
        "source": "rig",
    }  # fmt: skip
    args.out.with_name(args.out.name + ".joints.json").write_text(json.dumps(sidecar) + "\n")
    render(args.out, args.samples)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
