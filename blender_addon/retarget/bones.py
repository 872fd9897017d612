"""From turns of a rig's joints to the channels of its bones, in the bones' own rotation modes, and back by evaluation.

The first guess is by the bones' parents; where constraints, drivers or a control rig's machinery come between, the rig
is evaluated with that guess and each control corrected by what it lacks, until the measured bones are where they shall
be. What is evaluated is a temporary scene that holds the rig alone, so that nothing of the user's is written to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bpy
import numpy as np
from mathutils import Quaternion

from ..capture.evaluate import bare_copy, scratch
from . import actions
from .rig import Rig
from .turns import Array, continuous, to_quaternion

TEMPORARY = ".wanstage_retarget"
UNTURNED = ("still", "pole", "carried")  # modes of nodes whose turn is not keyed
ROUNDS = 8  # of correction at most
ENOUGH_DEG, ENOUGH_SHARE = 0.02, 1e-5  # degrees; of the hip height
BETTER = 0.95  # a round is better when it brings the error below this share of the best
PATIENCE = 3  # rounds that are not better before giving up: a correction reaches one bone of a chain a round


@dataclass
class Channels:
    """What is keyed: ``turns`` (T,N,3,3), ``location`` (T,3) of the first node and ``places`` of others by row, in the
    bones' own spaces; ``values``: data path -> (T,k)."""

    turns: Array
    location: Array
    places: dict[int, Array] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)


@dataclass
class Wanted:
    """In the armature's space: ``turns`` (T,N,3,3) of the keyed bones, ``hips`` (T,3) of the first measured bone,
    ``places`` (T,3) of other keyed bones by row."""

    turns: Array
    hips: Array
    places: dict[int, Array] = field(default_factory=dict)


@dataclass
class Seen:
    """Evaluated, in the armature's space: keyed bones (T,N,4,4), heads and directions of the measured ones (T,N,3)."""

    controls: Array
    heads: Array
    directions: Array


def path_of(bone: str, channel: str) -> str:
    """The data path of a bone's channel."""
    return f'pose.bones["{bpy.utils.escape_identifier(bone)}"].{channel}'


def guess(armature: Any, rig: Rig, wanted: Wanted) -> Channels:
    """Channels by the parents alone: exact where no constraint or driver has a say."""
    pose, rows = armature.pose.bones, {node.control: i for i, node in enumerate(rig.nodes)}
    turns = np.empty_like(wanted.turns)
    places: dict[int, Array] = {}
    own = location_axes(armature, rig)
    for i, node in enumerate(rig.nodes):
        bone = pose[node.control]
        above, still = _above(bone, rows)
        parent = still[None] if above is None else _placed(wanted, above, still)
        rest = np.array(bone.bone.matrix_local, float)
        under = np.linalg.inv(np.array(bone.parent.bone.matrix_local, float)) @ rest if bone.parent else rest
        space = _rotation(parent[:, :3, :3] @ under[:3, :3]) if bone.bone.use_inherit_rotation else rest[None, :3, :3]
        turns[:, i] = np.swapaxes(space, 1, 2) @ wanted.turns[:, i]
        if node.mode in UNTURNED:
            turns[:, i] = _rotation(np.array(bone.matrix_basis, float)[:3, :3])
        if i == 0 or i in wanted.places:
            goal = wanted.places[i] if i else _control_place(rig, wanted, bone)
            origin = (parent @ under)[:, :3, 3]
            places[i] = np.einsum("tji,tj->ti", np.broadcast_to(space @ own[i], turns[:, 0].shape), goal - origin)
    return Channels(turns, places.pop(0), places)


def location_axes(armature: Any, rig: Rig) -> Array:
    """(N,3,3): the axes of a bone's location in those of its rotation; some bones have the armature's."""
    local = [armature.data.bones[node.control].use_local_location for node in rig.nodes]
    return np.where(np.array(local)[:, None, None], np.eye(3), np.swapaxes(rig.controls, 1, 2))


def _control_place(rig: Rig, wanted: Wanted, bone: Any) -> Array:
    """Head of the control that moves the hips, when it is carried by them like a rigid body."""
    rest = np.array(bone.bone.matrix_local, float)
    measured = rig.axes @ rig.head[0]
    return np.asarray(wanted.hips + np.einsum("tij,j->ti", wanted.turns[:, 0] @ rest[:3, :3].T, rest[:3, 3] - measured))


def _above(bone: Any, rows: dict[str, int]) -> tuple[int | None, Array]:
    """The nearest keyed bone above, and the matrix (4,4) of what lies between, as it is posed now."""
    still, parent = np.eye(4), bone.parent
    while parent is not None and parent.name not in rows:
        rest = np.array(parent.bone.matrix_local, float)
        under = np.linalg.inv(np.array(parent.parent.bone.matrix_local, float)) @ rest if parent.parent else rest
        still = under @ np.array(parent.matrix_basis, float) @ still
        parent = parent.parent
    return (rows[parent.name] if parent is not None else None), still


def _placed(wanted: Wanted, row: int, still: Array) -> Array:
    """Matrices (T,4,4) of a keyed bone with what hangs on it; only the first node's children ask for its place."""
    made = np.repeat(np.eye(4)[None], len(wanted.hips), 0)
    made[:, :3, :3] = wanted.turns[:, row]
    return np.asarray(made @ still)


def _rotation(matrices: Array) -> Array:
    """Matrices (...,3,3) without their scale."""
    return np.asarray(matrices / np.maximum(np.linalg.norm(matrices, axis=-2, keepdims=True), 1e-12))


def to_values(armature: Any, rig: Rig, channels: Channels) -> None:
    """Fill ``channels.values`` in the rotation modes that the bones have; driven channels are left out."""
    driven = driven_paths(armature)
    quaternions = continuous(to_quaternion(channels.turns))
    values: dict[str, Array] = {}
    for i, node in enumerate(rig.nodes):
        if node.mode in UNTURNED:
            continue
        mode = armature.pose.bones[node.control].rotation_mode
        channel, numbers = _in_mode(quaternions[:, i], mode)
        if path_of(node.control, channel) not in driven:
            values[path_of(node.control, channel)] = numbers
    for row, location in {0: channels.location, **channels.places}.items():
        place = path_of(rig.nodes[row].control, "location")
        if place not in driven:
            values[place] = location
    channels.values = values


def driven_paths(armature: Any) -> set[str]:
    """Data paths that have drivers."""
    data = armature.animation_data
    return {driver.data_path for driver in data.drivers} if data is not None else set()


def _in_mode(quaternions: Array, mode: str) -> tuple[str, Array]:
    """Channel name and numbers of rotations (T,4) in a bone's rotation mode; Euler angles without jumps."""
    if mode == "QUATERNION":
        return "rotation_quaternion", quaternions
    made = []
    if mode == "AXIS_ANGLE":
        for each in quaternions:
            axis, angle = Quaternion(each).to_axis_angle()
            made.append((angle, *axis))
        return "rotation_axis_angle", np.array(made)
    before = None
    for each in quaternions:
        turn = Quaternion(each)
        before = turn.to_euler(mode, before) if before is not None else turn.to_euler(mode)
        made.append(tuple(before))
    return "rotation_euler", np.array(made)


class Stage:
    """A temporary scene with the rig alone, animated by a temporary action; see ``stage``."""

    def __init__(self, armature: Any, rig: Rig, scene: Any, frames: Array) -> None:
        self.armature, self.rig, self.scene, self.frames = armature, rig, scene, frames
        self.action = bpy.data.actions.new(TEMPORARY)

    def evaluate(self, channels: Channels) -> Seen:
        """Write the channels and see where everything comes to be."""
        curves = actions.curves_of(self.action, self.armature)
        write(curves, self.armature, self.rig, channels, self.frames)
        actions.assign(self.armature, self.action)
        names = {bone.name: i for i, bone in enumerate(self.armature.pose.bones)}
        controls = [names[node.control] for node in self.rig.nodes]
        measured = [names[node.measure] for node in self.rig.nodes]
        flat = np.empty(len(names) * 16, np.float32)
        seen = Seen(*(np.empty((len(self.frames), len(controls), *shape)) for shape in ((4, 4), (3,), (3,))))
        for t, frame in enumerate(self.frames):
            self.scene.frame_set(int(frame))
            self._read(flat)
            matrices = flat.reshape(-1, 4, 4).transpose(0, 2, 1).astype(float)
            seen.controls[t] = matrices[controls]
            seen.heads[t] = matrices[measured, :3, 3]
            seen.directions[t] = matrices[measured, :3, 1]
        return seen

    def _read(self, flat: Array) -> None:
        depsgraph = self.scene.view_layers[0].depsgraph
        self.armature.evaluated_get(depsgraph).pose.bones.foreach_get("matrix", flat)


CHANNELS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")
NUMBERS = (bool, int, float)


class Held:
    """What an armature's bones and numbers of its own hold, to be put back exactly."""

    def __init__(self, armature: Any) -> None:
        self._armature = armature
        self._bones = {
            bone.name: (
                {channel: tuple(getattr(bone, channel)) for channel in CHANNELS},
                {key: value for key, value in bone.items() if isinstance(value, NUMBERS)},
            )
            for bone in armature.pose.bones
        }
        self._own = {key: value for key, value in armature.items() if isinstance(value, NUMBERS)}

    def put_back(self) -> None:
        """Only what has changed is written."""
        for name, (channels, numbers) in self._bones.items():
            bone = self._armature.pose.bones.get(name)
            if bone is None:
                continue
            for channel, value in channels.items():
                if tuple(getattr(bone, channel)) != value:
                    setattr(bone, channel, value)
            _put_numbers(bone, numbers)
        _put_numbers(self._armature, self._own)


def _put_numbers(owner: Any, numbers: dict[str, Any]) -> None:
    for key, value in numbers.items():
        if owner.get(key) != value:
            owner[key] = value


@contextmanager
def stage(armature: Any, rig: Rig, user_scene: Any, frames: Array) -> Iterator[Stage]:
    """A ``Stage``; whatever happens, the rig's own action animates it again and nothing temporary is left."""
    before, held = actions.assigned(armature), Held(armature)
    try:
        with scratch() as made:
            copy = bare_copy(made, user_scene, [armature], [armature])
            made_stage = Stage(armature, rig, copy, frames)
            try:
                yield made_stage
            finally:
                actions.restore(armature, before)
                bpy.data.actions.remove(made_stage.action)
    finally:
        if before.had_data:  # Blender would evaluate the action anew and lose what was posed without a key
            bpy.context.view_layer.update()
            held.put_back()


def write(curves: Any, armature: Any, rig: Rig, channels: Channels, frames: Array) -> None:
    """The channels as F-curves, and a key for each switch of a control rig."""
    to_values(armature, rig, channels)
    for path, numbers in channels.values.items():
        for index in range(numbers.shape[1]):
            actions.write_curve(curves, path, index, frames, numbers[:, index])
    for switch in rig.switches:
        path = f'pose.bones["{bpy.utils.escape_identifier(switch.bone)}"]["{switch.prop}"]'
        actions.write_curve(curves, path, 0, frames[:1], np.array([switch.value]), constant=True)


def settle(on: Stage, wanted: Wanted) -> tuple[Channels, Seen]:
    """The channels that bring the rig to ``wanted`` as nearly as it can go, and what is seen with them."""
    rig = on.rig
    channels = guess(on.armature, rig, wanted)
    seen = on.evaluate(channels)
    best = (channels, seen, _error(rig, wanted, seen))
    height = float(np.linalg.norm(rig.head[0])) + 1e-9
    error, idle, own = best[2], 0, location_axes(on.armature, rig)
    for _ in range(ROUNDS):
        if idle >= PATIENCE or (error[0] < ENOUGH_DEG and error[1] < ENOUGH_SHARE * height):
            break
        channels = _corrected(rig, wanted, channels, seen, own=own)
        seen = on.evaluate(channels)
        error = _error(rig, wanted, seen)
        better = _score(error, height) < BETTER * _score(best[2], height)
        idle = 0 if better else idle + 1
        if better:
            best = (channels, seen, error)
    return best[0], best[1]


def _score(error: tuple[float, float], height: float) -> float:
    return error[0] / ENOUGH_DEG + error[1] / (ENOUGH_SHARE * height)


def _error(rig: Rig, wanted: Wanted, seen: Seen) -> tuple[float, float]:
    """Mean turn in degrees of the worst frame, and the hips' largest distance."""
    have = _rotation(seen.controls[..., :3, :3])
    product = np.swapaxes(have, -1, -2) @ wanted.turns
    skew = np.linalg.norm(product - np.swapaxes(product, -1, -2), axis=(-2, -1)) / (2.0 * np.sqrt(2.0))
    angle = np.degrees(np.arctan2(skew, (np.trace(product, axis1=-2, axis2=-1) - 1.0) / 2.0))
    turned = [i for i, node in enumerate(rig.nodes) if node.mode not in UNTURNED]
    off = [np.linalg.norm(seen.heads[:, 0] - wanted.hips, axis=1).max()]
    off += [np.linalg.norm(seen.controls[:, i, :3, 3] - place, axis=1).max() for i, place in wanted.places.items()]
    return float(angle[:, turned].mean(1).max()), float(max(off))


def _corrected(rig: Rig, wanted: Wanted, channels: Channels, seen: Seen, *, own: Array) -> Channels:
    """Each control's own channels for the parents' spaces that were seen."""
    have = _rotation(seen.controls[..., :3, :3])
    space = have @ np.swapaxes(channels.turns, -1, -2)
    turns = np.swapaxes(space, -1, -2) @ wanted.turns
    fixed = [i for i, node in enumerate(rig.nodes) if node.mode in UNTURNED]
    turns[:, fixed] = channels.turns[:, fixed]
    lack = wanted.hips - seen.heads[:, 0]
    space = space @ own
    location = channels.location + np.einsum("tji,tj->ti", space[:, 0], lack)
    places = {
        i: channels.places[i] + np.einsum("tji,tj->ti", space[:, i], place - seen.controls[:, i, :3, 3])
        for i, place in wanted.places.items()
    }
    return Channels(_rotation(turns), location, places)


def pose_now(armature: Any, rig: Rig, channels: Channels, t: int) -> None:
    """Put sample ``t`` on the rig itself, without a key."""
    for node in rig.nodes:
        bone = armature.pose.bones[node.control]
        for channel in CHANNELS:
            numbers = channels.values.get(path_of(node.control, channel))
            if numbers is not None:
                setattr(bone, channel, numbers[t].astype(np.float32))
    for switch in rig.switches:
        bone = armature.pose.bones[switch.bone]
        if switch.prop in bone:
            bone[switch.prop] = type(bone[switch.prop])(switch.value)
