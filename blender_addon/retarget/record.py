"""A pose file from an armature's own animation: BVH, FBX or a hand-made walk becomes something to retarget."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from .. import bonemap_store, takes
from ..capture.evaluate import bare_copy, scratch
from ..problems import UserProblem
from ..words import tr
from . import joints
from .align import align
from .posefile import write_pose
from .rig import Rig, read_rig
from .solve import mean_turn, standing_height
from .turns import Array, continuous, to_quaternion

SLOW, SLOWISH = 0.1, 0.15  # of the leg's length a second: a foot slower than the first comes to stand, and stands
DOWN, DOWNISH = 0.012, 0.022  # until it is faster than the second; the same for its height above the floor
LOW = 0.06  # of the leg's length: the floor is where feet are slow and this near to where they are in rest
LEAST = 3  # frames of a contact
MAX_FRAMES = 20_000


def record(
    scene: Any, armature: Any, path: Path, first: int, last: int, *, overrides: dict[str, str] | None = None
) -> int:
    """Write frames ``first`` to ``last`` of the scene to a pose file; returns how many. Raises UserProblem."""
    if not 0 <= last - first < MAX_FRAMES:
        raise UserProblem(tr("Choose a range of 1 to {most} frames.", most=MAX_FRAMES))
    rig = read_rig(armature, bonemap_store.overrides_of(armature) if overrides is None else overrides)
    matrices = _evaluate(scene, armature, rig, range(first, last + 1))
    scale = float(np.mean(armature.matrix_world.to_scale())) * scene.unit_settings.scale_length
    arrays = to_arrays(rig, matrices, scale, takes.scene_fps(scene))
    header = {
        "fps": takes.scene_fps(scene), "frames": last - first + 1,
        "source": {"name": armature.name, "width": 0, "height": 0, "sha256": hashlib.sha256(matrices).hexdigest()},
        "estimator": {"name": "armature", "version": "1", "models": {}}, "space": "camera", "joints": joints.NAMES,
        "parents": joints.PARENTS, "camera": None, "filters": {}, "warnings": [], "blendshapes": [],
        "people": [{"id": 0, "name": armature.name, "height": float(np.ptp(arrays["rest"][:, 2])), "first": 0,
                    "last": last - first}],
    }  # fmt: skip
    write_pose(path, header, [arrays])
    return last - first + 1


def _evaluate(scene: Any, armature: Any, rig: Rig, frames: range) -> Array:
    """Matrices (T,N,4,4) of the measured bones in the armature's space."""
    names = {bone.name: i for i, bone in enumerate(armature.pose.bones)}
    rows = [names[node.measure] for node in rig.nodes]
    flat, made = np.empty(16 * len(names), np.float32), np.empty((len(frames), len(rows), 4, 4))
    with scratch() as temporary:
        copy = bare_copy(temporary, scene, [armature], [armature])
        for t, frame in enumerate(frames):
            copy.frame_set(frame)
            armature.evaluated_get(copy.view_layers[0].depsgraph).pose.bones.foreach_get("matrix", flat)
            made[t] = flat.reshape(-1, 4, 4).transpose(0, 2, 1)[rows]
    rest = np.array([np.array(armature.data.bones[node.measure].matrix_local, float) for node in rig.nodes])
    turned = made[..., :3, :3] / np.linalg.norm(made[..., :3, :3], axis=-2, keepdims=True)
    delta = turned @ np.swapaxes(rest[:, :3, :3], 1, 2)
    made[..., :3, :3] = rig.axes.T @ delta @ rig.axes
    made[..., :3, 3] = made[..., :3, 3] @ rig.axes
    return made


def to_arrays(rig: Rig, matrices: Array, scale: float, fps: float) -> dict[str, Array]:
    """The arrays of a person from turns and heads (T,N,4,4) in canonical axes; ``scale`` metres a unit. No bpy."""
    aligned = align(rig, None)
    rows = {node.name: i for i, node in enumerate(rig.nodes)}
    rows |= {"hips": rows["hips#1"]} if "hips#1" in rows else {}
    turns = matrices[..., :3, :3] @ np.swapaxes(aligned, 1, 2)
    spine = [i for i, node in enumerate(rig.nodes) if node.name.startswith("spine")]
    if spine:
        rows["spine"] = spine[0]
        turns[:, spine[0]] = mean_turn(turns[:, spine])
    frames, count = len(matrices), len(joints.NAMES)
    whole = np.repeat(np.eye(3)[None, None], frames, 0).repeat(count, 1)
    rest = np.zeros((count, 3))
    for j, name in enumerate(joints.NAMES):
        parent, row = joints.PARENTS[j], rows.get(name)
        whole[:, j] = turns[:, row] if row is not None else whole[:, parent]
        if parent < 0:
            continue
        above = next(each for each in _line(parent) if joints.NAMES[each] in rows)
        if row is None:
            rest[j] = rest[parent] + _stub(name)
            continue
        carried = _carried(rig, aligned, rows[joints.NAMES[above]], row)
        rest[j] = rest[above] + carried * scale
    legs = [joints.INDEX["leftUpperLeg"], joints.INDEX["rightUpperLeg"]]
    contact, floor = contacts(rig, matrices, fps)
    rest[:, 2] += (standing_height(rig, aligned) + floor) * scale - rest[legs, 2].mean()
    rotation = continuous(to_quaternion(whole))
    root = matrices[:, rows["hips"], :3, 3] * scale
    root[:, 2] -= rig.ground * scale if rig.standing else 0.0
    position = np.empty((frames, count, 3))
    position[:, 0] = root
    for j, parent in enumerate(joints.PARENTS):
        if parent >= 0:
            position[:, j] = position[:, parent] + whole[:, parent] @ (rest[j] - rest[parent])
    seen = np.array([name in rows for name in joints.NAMES], np.float32)
    return {
        "rest": rest.astype(np.float32), "rotation": rotation.astype(np.float32), "root": root.astype(np.float32),
        "position": position.astype(np.float32), "confidence": np.repeat(seen[None], frames, 0),
        "filled": np.zeros((frames, count), bool), "contact": contact,
        "landmarks": _none(frames, 33, 4), "world": _none(frames, 33, 4), "left_hand": _none(frames, 21, 3),
        "right_hand": _none(frames, 21, 3), "face": np.zeros((frames, 0), np.float32),
    }  # fmt: skip


def _none(*shape: int) -> Array:
    """What no estimator saw."""
    return np.full(shape, np.nan, np.float32)


def _line(joint: int) -> list[int]:
    found = []
    while joint >= 0:
        found.append(joint)
        joint = joints.PARENTS[joint]
    return found


def _carried(rig: Rig, aligned: Array, above: int, row: int) -> Array:
    """The way from one joint to another in the T-pose, by the bones between."""
    way, at = np.zeros(3), row
    while at not in (above, -1):
        parent = rig.nodes[at].parent
        if parent < 0:
            break
        way += aligned[parent] @ (rig.head[at] - rig.head[parent])
        at = parent
    return way if at == above else rig.head[row] - rig.head[above]


def _stub(name: str) -> Array:
    """A short bone for a joint that the rig lacks."""
    plain = joints.rest_direction(name)
    return (joints.FORWARD if "Toes" in name else joints.UP if plain is None else plain) * 0.03


def contacts(rig: Rig, matrices: Array, fps: float) -> tuple[Array, float]:
    """bool (T,4): heels and balls that are on the floor and slow, for at least three frames; and how far above the
    soles of the rest pose that floor is, in the rig's units: bones without a skin end above what they stand on."""
    from . import feet

    found = np.zeros((len(matrices), 4), bool)
    parts, leg = [], 0.0
    for foot in feet.find_feet(rig):
        ankle = matrices[:, foot.ankle]
        leg = feet.leg(rig, foot)
        for n, way in enumerate((foot.heel, foot.ball)):
            place = ankle[:, :3, 3] + ankle[:, :3, :3] @ way
            speed = np.linalg.norm(np.gradient(place, axis=0), axis=1) * fps if len(place) > 1 else np.zeros(1)
            height = place[:, 2] - rig.floor - (0.0 if n == 0 else foot.ball[2] - foot.heel[2])
            parts.append((n + (0 if foot.side == "left" else 2), speed / leg, height / leg))
    floor = _floor(parts)
    for column, speed, height in parts:
        for a, b in feet.runs((speed < SLOWISH) & (height < floor + DOWNISH)):
            sure = (speed[a:b] < SLOW) & (height[a:b] < floor + DOWN)
            found[a:b, column] = b - a >= LEAST and bool(sure.any())
    return found, floor * leg if abs(floor) > DOWNISH else 0.0


def _floor(parts: list[tuple[int, Array, Array]]) -> float:
    """The height at which most slow points are that are near the ground; bones need not end at the soles."""
    slow = [height[(speed < SLOW) & (np.abs(height) < LOW)] for _, speed, height in parts]
    heights = np.sort(np.concatenate([*slow, np.zeros(0)]))
    if not len(heights):
        return 0.0
    ends = np.searchsorted(heights, heights + DOWN, "right")
    return float(heights[int(np.argmax(ends - np.arange(len(heights))))])
