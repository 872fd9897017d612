"""What tests measure: where the limbs of a rig point, how feet slide, and a hash of all that must stay as it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from blender_addon.capture import bonemap
from blender_addon.retarget import rig as rigs

ASSETS = Path(__file__).resolve().parents[3] / "examples" / "assets"
FRAMES = range(1, 82)
SEGMENTS = [
    (f"{a}.{side}", f"{b}.{side}")
    for side in "LR"
    for a, b in (("upper_arm", "forearm"), ("forearm", "hand"), ("thigh", "shin"), ("shin", "foot"))
]


class Truth:
    """A recorded file, and where the joints of the rig that was recorded truly were."""

    def __init__(self, path: Path, paths: dict[str, np.ndarray]) -> None:
        self.path, self.paths = path, paths


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
    for name, way in a.items():
        cross = np.linalg.norm(np.cross(way, b[name]), axis=1)
        worst = max(worst, float(np.degrees(np.arctan2(cross, np.sum(way * b[name], 1))).max()))
    return worst


STILL_M_S = 0.05  # of a ball of the foot that stands, in the recording


def stands(truth: dict[str, np.ndarray], side: str, fps: float = 16.0) -> list[tuple[int, int]]:
    """First and last+1 frame of each stretch in which the actor's own ball of the foot is still."""
    speed = np.linalg.norm(np.gradient(truth[f"toe.{side}"], axis=0), axis=1) * fps
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (speed < STILL_M_S).astype(int), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2) if b - a >= 3]


def worst_slide(found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> float:
    """Metres: the longest diagonal over the ground of the box around a ball of the foot while the actor's stands."""
    return max(
        float(np.linalg.norm(np.ptp(found[f"toe.{side}"][a:b, :2], axis=0)))
        for side in "LR"
        for a, b in stands(truth, side)
    )


def rig_hash(item: Any, without: tuple[str, ...] = (), keyed: tuple[str, ...] = ()) -> str:
    """Of rest pose, rotation modes, locks, constraints, drivers, custom properties, selection, and every action
    (``without`` names those that are new; ``keyed`` custom properties are switches that the new action moves)."""
    data = item.animation_data
    drivers = list(data.drivers) if data is not None else []
    driven = {each.data_path for each in drivers}
    parts: list[Any] = [item.name, [round(x, 6) for row in item.matrix_world for x in row], item.mode]
    parts += [
        (bone.name, bone.parent.name if bone.parent else "", np.array(bone.matrix_local).round(6).tolist(),
         bone.use_connect, bone.use_deform, getattr(bone, "select", None), bone.inherit_scale)
        for bone in item.data.bones
    ]  # fmt: skip
    parts += [
        (bone.name, bone.rotation_mode, tuple(bone.lock_location), tuple(bone.lock_rotation),
         [_properties(each, driven) for each in bone.constraints], sorted(_custom(bone, keyed)))
        for bone in item.pose.bones
    ]  # fmt: skip
    parts.append([(each.data_path, each.array_index, each.driver.expression, each.mute) for each in drivers])
    parts.append(
        [(each.name, each.use_fake_user, _action(each)) for each in bpy.data.actions if each.name not in without]
    )
    parts.append(sorted(_custom(item)))
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def _properties(constraint: Any, driven: set[str]) -> list[tuple[str, str]]:
    return [
        (prop.identifier, str(getattr(constraint, prop.identifier)))
        for prop in constraint.bl_rna.properties
        if prop.type in {"FLOAT", "INT", "BOOLEAN", "STRING", "ENUM"}
        and not prop.identifier.startswith(("error", "enabled", "is_valid"))
        and f"{constraint.path_from_id()}.{prop.identifier}" not in driven
    ]


def _custom(owner: Any, without: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in owner.items() if not key.startswith("wanstage") and key not in without]


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
