"""The result for other programs, by Blender's own exporters: FBX and glTF with meshes, BVH the bones alone, Z up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy

from ..problems import UserProblem
from ..words import tr

KINDS = {".bvh": "BVH", ".fbx": "FBX", ".glb": "glTF", ".gltf": "glTF"}


def export(scene: Any, armature: Any, path: Path) -> str:
    """Write the rig with the action that it has now, by the file's ending; returns the kind. Selection is restored.

    Raises UserProblem for another ending, when the rig has no action, and when the exporter fails.
    """
    kind = KINDS.get(path.suffix.lower())
    if kind is None:
        raise UserProblem(tr("{name} ends in none of .bvh, .fbx, .glb and .gltf: choose one of them.", name=path.name))
    data = armature.animation_data
    if data is None or data.action is None:
        raise UserProblem(tr("{name} has no motion: bake one first.", name=armature.name))
    if bpy.context.mode != "OBJECT":
        raise UserProblem(tr("Leave the mode that Blender is in first: export works in object mode."))
    first, last = (round(frame) for frame in data.action.frame_range)
    chosen = [armature, *([] if kind == "BVH" else _meshes(scene, armature))]
    before = (list(bpy.context.selected_objects), bpy.context.view_layer.objects.active)
    span = (scene.frame_start, scene.frame_end, scene.frame_current)
    try:
        for item in before[0]:
            item.select_set(False)
        for item in chosen:
            item.select_set(True)
        bpy.context.view_layer.objects.active = armature
        scene.frame_start, scene.frame_end = first, last
        _write(kind, path, first, last)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].removeprefix("Error: ")
        raise UserProblem(tr("Blender could not write {name}: {reason}", name=path.name, reason=reason)) from error
    finally:
        scene.frame_start, scene.frame_end = span[:2]
        for item in chosen:
            item.select_set(item in before[0])
        for item in before[0]:
            item.select_set(True)
        bpy.context.view_layer.objects.active = before[1]
        if scene.frame_current != span[2]:
            scene.frame_set(span[2])
    return kind


def _meshes(scene: Any, armature: Any) -> list[Any]:
    """What the rig deforms."""
    return [
        item
        for item in scene.objects
        if item.type == "MESH"
        and item.visible_get()
        and any(modifier.type == "ARMATURE" and modifier.object == armature for modifier in item.modifiers)
    ]


def _write(kind: str, path: Path, first: int, last: int) -> None:
    if kind == "BVH":
        bpy.ops.export_anim.bvh(
            filepath=str(path), frame_start=first, frame_end=last, rotate_mode="NATIVE", root_transform_only=False
        )
    elif kind == "FBX":
        bpy.ops.export_scene.fbx(
            filepath=str(path), use_selection=True, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False,
            bake_anim=True, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False,
            bake_anim_simplify_factor=0.0,
        )  # fmt: skip
    else:
        form = "GLB" if path.suffix.lower() == ".glb" else "GLTF_SEPARATE"
        bpy.ops.export_scene.gltf(
            filepath=str(path), use_selection=True, export_format=form,
            export_animations=True, export_animation_mode="ACTIVE_ACTIONS", export_optimize_animation_size=False,
        )  # fmt: skip
