"""What tests measure: where the limbs of a rig point, how feet slide, and a hash of all that must stay as it is."""

from __future__ import annotations

import hashlib
from typing import Any

import bpy
import numpy as np

from blender_addon.capture import bonemap
from blender_addon.retarget import rig as rigs

SEGMENTS = [
    (f"{a}.{side}", f"{b}.{side}")
    for side in "LR"
    for a, b in (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot"))
]


def joint_paths(rig: Any, frames: range, bones: dict[str, str] | None = None) -> dict[str, np.ndarray]:
    """World positions (T,3) of each joint of the bone map in the evaluated scene."""
    bones = bones or bonemap.find_bone_map(rig).bones
    scene, made = bpy.context.scene, {joint: [] for joint in bones}
    for frame in frames:
        scene.frame_set(frame)
        seen = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
        for joint, bone in bones.items():
            made[joint].append(np.array(seen.matrix_world @ seen.pose.bones[bone].head))
    return {joint: np.array(path) for joint, path in made.items()}


def directions(paths: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Unit vectors (T,3) of arms and legs from joint to joint."""
    found = {}
    for a, b in SEGMENTS:
        way = paths[b] - paths[a]
        found[a] = way / np.linalg.norm(way, axis=1, keepdims=True)
    return found


def worst_angle(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> float:
    """Degrees between the same segments, the worst of all frames."""
    worst = 0.0
    for name in a:
        cross = np.linalg.norm(np.cross(a[name], b[name]), axis=1)
        worst = max(worst, float(np.degrees(np.arctan2(cross, np.sum(a[name] * b[name], 1))).max()))
    return worst


def rig_hash(item: Any, without: tuple[str, ...] = ()) -> str:
    """Of rest pose, rotation modes, locks, constraints, drivers, custom properties, selection, and every action
    (``without`` names those that are new)."""
    parts: list[Any] = [item.name, [round(x, 6) for row in item.matrix_world for x in row], item.mode]
    for bone in item.data.bones:
        parts.append((bone.name, bone.parent.name if bone.parent else "", np.array(bone.matrix_local).round(6).tolist(),
                      bone.use_connect, bone.use_deform, getattr(bone, "select", None), bone.inherit_scale))  # fmt: skip
    for bone in item.pose.bones:
        parts.append((bone.name, bone.rotation_mode, tuple(bone.lock_location), tuple(bone.lock_rotation),
                      [_properties(each) for each in bone.constraints], sorted(_custom(bone))))  # fmt: skip
    data = item.animation_data
    drivers = data.drivers if data is not None else ()
    parts.append([(each.data_path, each.array_index, each.driver.expression, each.mute) for each in drivers])
    parts.append(
        [(each.name, each.use_fake_user, _action(each)) for each in bpy.data.actions if each.name not in without]
    )
    parts.append(sorted(_custom(item)))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _properties(constraint: Any) -> list[tuple[str, str]]:
    return [
        (prop.identifier, str(getattr(constraint, prop.identifier)))
        for prop in constraint.bl_rna.properties
        if prop.type in {"FLOAT", "INT", "BOOLEAN", "STRING", "ENUM"} and not prop.identifier.startswith("error")
    ]


def _custom(owner: Any) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in owner.items() if not key.startswith("wanstage")]


def _action(action: Any) -> list[Any]:
    if hasattr(action, "layers"):
        bags = [bag for layer in action.layers for strip in layer.strips for bag in strip.channelbags]
        curves = [curve for bag in bags for curve in bag.fcurves]
    else:
        curves = list(action.fcurves)
    return [
        (curve.data_path, curve.array_index, [tuple(round(x, 6) for x in key.co) for key in curve.keyframe_points])
        for curve in curves
    ]


def title(rig: Any) -> str:
    """The family that the retarget finds."""
    return rigs.read_rig(rig).family
