"""A retarget worked out in full: what is keyed where, and what comes of it. Preview and bake both use it as it is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import bonemap_store, takes
from ..problems import UserProblem
from ..words import tr
from . import bones, feet, joints, report
from .posefile import Person, PoseFile, read_pose
from .rig import Rig, read_rig
from .solve import Motion, pole, positions, sample, solve, start_here
from .turns import Array

MOST_SLIDE_CM = 1.0  # of a foot that is held
MAX_KEYS = 20_000  # frames of one bake


@dataclass(frozen=True)
class Options:
    """``first`` scene frame at which the file begins; ``place`` "START", "FILE" or "WORLD" (see docs); ``limbs`` "FK",
    "IK" or "DEFORM" of control rigs; ``height`` added to the hips in scene units."""

    person: int = 0
    first: int = 1
    place: str = "AUTO"
    lock_feet: bool = True
    fingers: bool = True
    face: bool = True
    limbs: str = "FK"
    height: float = 0.0


@dataclass
class Plan:
    """``frames`` (T,) scene frames; the arrays of ``channels`` are of those. ``notes``: sentences for the user."""

    armature: str
    rig: Rig
    file: PoseFile
    frames: Array
    wanted: bones.Wanted
    channels: bones.Channels
    report: dict[str, Any]
    notes: tuple[str, ...]
    face: Array | None
    options: Options


def check(armature: Any) -> None:
    """Raise UserProblem when the armature's animation cannot be written."""
    if armature is None or armature.type != "ARMATURE":
        raise UserProblem(tr("Choose a character's armature."))
    if armature.library is not None and armature.override_library is None:
        raise UserProblem(
            tr(
                "{name} is linked: make a library override of it, then its animation can be written.",
                name=armature.name,
            )
        )
    override = armature.override_library
    if override is not None and getattr(override, "is_system_override", False):
        raise UserProblem(
            tr("The library override of {name} is not editable: make it editable in the Outliner.", name=armature.name)
        )
    if armature.mode == "EDIT":
        raise UserProblem(tr("{name} is in edit mode: leave it first.", name=armature.name))
    data = armature.animation_data
    if data is not None and data.use_tweak_mode:
        raise UserProblem(tr("An NLA strip of {name} is being tweaked: leave tweak mode first.", name=armature.name))
    if armature.data.pose_position == "REST":
        raise UserProblem(tr("{name} shows its rest position: set it to Pose Position first.", name=armature.name))


def key_frames(file: PoseFile, scene: Any, first: int) -> Array:
    """The scene frames (T,) during which the person is seen; time is kept whatever the rates are."""
    fps = takes.scene_fps(scene)
    start = int(np.ceil(file.person.first / file.fps * fps - 1e-6))
    end = int(np.floor(file.person.last / file.fps * fps + 1e-6))
    if end < start:
        raise UserProblem(tr("The pose file has no frames to key: it is shorter than one frame of the scene."))
    if end - start + 1 > MAX_KEYS:
        raise UserProblem(
            tr("The pose file lasts {count} frames of the scene: {most} at most, cut the film into pieces.",
               count=end - start + 1, most=MAX_KEYS)
        )  # fmt: skip
    return np.arange(start, end + 1) + first


def make_plan(scene: Any, armature: Any, path: Path, options: Options) -> Plan:
    """Work it out and see it evaluated. Raises UserProblem; nothing of the user's is changed."""
    check(armature)
    file = read_pose(path, options.person)
    rig = read_rig(armature, bonemap_store.overrides_of(armature), options.limbs)
    rig = _without_fingers(rig, _unseen(file.person) if options.fingers else set(joints.NAMES))
    frames = key_frames(file, scene, options.first)
    fps = takes.scene_fps(scene)
    samples = sample(file.person, file.fps, (frames - options.first) / fps)
    place = options.place if options.place != "AUTO" else "WORLD" if file.space == "world" else "START"
    free = solve(rig, file.person, samples)
    if place == "START":
        free = start_here(rig, free)
    metres = float(np.mean(armature.matrix_world.to_scale())) * scene.unit_settings.scale_length
    target = feet.lock(rig, free, fps, metres) if options.lock_feet else free
    wanted = _to_armature(rig, armature, target, place, options.height)
    with bones.stage(armature, rig, scene, frames) as on:
        channels, seen = bones.settle(on, wanted)
    found = _report(rig, target, free, seen, wanted, fps=fps, metres=metres)
    plan_face = samples.face if options.face else None
    return Plan(
        armature.name,
        rig,
        file,
        frames,
        wanted,
        channels,
        found,
        _notes(armature, rig, file, found),
        plan_face,
        options,
    )


def _unseen(person: Person) -> set[str]:
    """Joints that were seen in no frame."""
    return {name for i, name in enumerate(joints.NAMES) if not person.confidence[:, i].any()}


def _without_fingers(rig: Rig, unwanted: set[str]) -> Rig:
    """Fingers of which nothing is known stay as they are, rather than being straightened."""
    fingers = ("Proximal", "Intermediate", "Distal")
    keep = [i for i, node in enumerate(rig.nodes) if not (node.first.endswith(fingers) and node.first in unwanted)]
    new = {old: row for row, old in enumerate(keep)}
    nodes = tuple(replace(rig.nodes[i], parent=new.get(rig.nodes[i].parent, -1)) for i in keep)
    return replace(rig, nodes=nodes, head=rig.head[keep], tail=rig.tail[keep], controls=rig.controls[keep])


def _to_armature(rig: Rig, armature: Any, motion: Motion, place: str, height: float) -> bones.Wanted:
    """From canonical axes to the armature's space. In the world, canonical axes are the scene's own."""
    turned, hips = rig.axes, motion.hips @ rig.axes.T
    unit = float(np.mean(armature.matrix_world.to_scale()))
    if place == "WORLD":
        world = np.array(armature.matrix_world.normalized().to_3x3(), float)
        turned = world.T
        path = _world_path(rig, motion, unit)
        hips = (path - np.array(armature.matrix_world.translation, float)) @ world / unit
    bones_turns = turned @ motion.turns @ rig.axes.T @ rig.controls
    hips = hips + turned @ np.array([0.0, 0.0, height / unit])
    shift = hips - motion.hips @ turned.T
    places = {i: place @ turned.T + shift for i, place in _places(rig, armature, motion).items()}
    return bones.Wanted(bones_turns, hips, places)


def _places(rig: Rig, armature: Any, motion: Motion) -> dict[int, Array]:
    """Where IK controls of hands and feet, poles and tweaks are to be, in the axes of the motion."""
    heads, found = positions(rig, motion.turns, motion.hips), {}
    for i, node in enumerate(rig.nodes):
        if node.mode in {"ik", "carried"}:
            by = rig.find(node.first)
            rest = np.array(armature.data.bones[node.control].head_local, float) @ rig.axes
            found[i] = heads[:, by] + motion.turns[:, by] @ (rest - rig.head[by])
        elif node.mode == "pole":
            found[i] = pole(rig, motion, heads, node.first)
    return found


def _world_path(rig: Rig, motion: Motion, unit: float) -> Array:
    """Hips in the scene: where the file has them at first, from there in the rig's proportions; metres."""
    path = motion.hips * unit
    if rig.standing:
        path = path - np.array([0.0, 0.0, rig.ground * unit])
    begin = path[0] / (motion.scale * unit) - path[0]
    return np.asarray(path + begin * [1.0, 1.0, 0.0])


def _report(
    rig: Rig, target: Motion, free: Motion, seen: bones.Seen, wanted: bones.Wanted, *, fps: float, metres: float
) -> dict[str, Any]:
    """Compared in canonical axes; the first wanted sample tells how those lie in the armature's space."""
    turned = wanted.turns[:, 0] @ rig.controls[0].T @ rig.axes @ np.swapaxes(target.turns[:, 0], 1, 2)
    back = turned[0].T
    shift = target.hips[0] - back @ wanted.hips[0]
    heads = seen.heads @ back.T + shift
    directions = seen.directions @ back.T
    rest = np.array([rig.tail[i] - rig.head[i] for i in range(len(rig.nodes))])
    found = report.make_report(rig, target, free, heads, directions=directions, rest=rest, fps=fps, metres=metres)
    lack = np.linalg.norm(seen.heads[:, 0] - wanted.hips, axis=1).max() * metres * 100.0
    found["hips_cm"] = round(float(lack), 4)
    return found


def _notes(armature: Any, rig: Rig, file: PoseFile, found: dict[str, Any]) -> tuple[str, ...]:
    notes = list(file.warnings)
    pose = armature.pose.bones
    held = [node.control for node in rig.nodes if any(not each.mute for each in pose[node.control].constraints)]
    off = [name for name in held if found["bones"].get(name, {}).get("worst_deg", 0.0) > 0.5]
    if off:
        notes.append(tr("Constraints hold these bones back: {names}", names=", ".join(off[:5])))
    paths = bones.driven_paths(armature)
    keyed = [node.control for node in rig.nodes if node.mode != "still"]
    driven = [name for name in keyed if any(f'"{name}"' in path for path in paths)]
    if driven:
        notes.append(tr("Drivers move these bones, their channels are not keyed: {names}", names=", ".join(driven[:5])))
    after, before = found["slide_after"]["worst_cm"], found["slide_before"]["worst_cm"]
    if after > max(MOST_SLIDE_CM, before):
        notes.append(tr("A foot could not be held in place: it slides {after} cm", after=f"{after:.1f}"))
    return tuple(notes)
