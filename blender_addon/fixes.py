"""What the Fix buttons do: one function a finding, each told which of the finding's remedies was pressed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import bpy
from mathutils import Vector

from . import cast_findings, catalog, estimates, findings, shots, takes, talking, timeline
from .problems import UserProblem
from .words import tr

LENS = 35.0  # mm, of a camera that we add
MARGIN = 1.25  # times the way at which the characters fill its view


def apply(scene: bpy.types.Scene, finding: str, how: str) -> str:
    """Put a finding right; returns what was done, in a sentence. Raises UserProblem when there is nothing to do."""
    fix = _FIXES.get(finding)
    if fix is None:
        problem = tr(
            "There is no fix for '{finding}': there are {known}", finding=finding, known=", ".join(sorted(_FIXES))
        )
        raise UserProblem(problem)
    return fix(scene, how)


# ---- camera ------------------------------------------------------------------------------------------------


def _no_camera(scene: bpy.types.Scene, _how: str) -> str:
    there = next((item for item in scene.objects if item.type == "CAMERA"), None)
    if there is None:
        there = add_camera(scene)
    scene.camera = there
    return tr("{camera} is the scene's camera", camera=there.name)


def add_camera(scene: bpy.types.Scene) -> bpy.types.Object:
    """A camera in front of the characters, or of all there is, that sees them whole over the shot's range."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.lens = LENS
    scene.collection.objects.link(camera)
    points = _corners(scene) or [Vector((x, y, z)) for x in (-1, 1) for y in (-1, 1) for z in (0, 2)]
    camera.rotation_euler = (math.radians(90), 0.0, 0.0)
    middle = sum(points, Vector()) / len(points)
    camera.location = middle + Vector((0.0, -10.0, 0.0))
    bpy.context.view_layer.update()
    flat = [value for point in points for value in point]
    place, _ = camera.camera_fit_coords(bpy.context.evaluated_depsgraph_get(), flat)
    camera.location = middle + (place - middle) * MARGIN
    camera.location.z = middle.z
    return camera


def _corners(scene: bpy.types.Scene) -> list[Vector]:
    """Corners of the boxes round the characters' meshes, else round everything that is rendered."""
    people = shots.characters(scene)
    seen = [item for item in scene.objects if item.type == "MESH" and not item.hide_render]
    own = [item for item in seen if item.parent in people or item.find_armature() in people]
    return [item.matrix_world @ Vector(corner) for item in own or seen for corner in item.bound_box]


def _camera(scene: bpy.types.Scene, _how: str) -> str:
    first = shots.frame_range(scene)[0]
    bound = [each for each in timeline.bound(scene) if each.frame <= first]
    if not bound:
        problem = tr("No camera is bound to the timeline at frame {frame}", frame=first)
        raise UserProblem(problem)
    scene.wanstage.camera = bound[-1].camera
    return tr("The shot's camera is {camera}", camera=bound[-1].camera.name)


def _cut(scene: bpy.types.Scene, _how: str) -> str:
    first, last = shots.frame_range(scene)
    camera = shots.camera(scene)
    cuts = [each.frame for each in timeline.bound(scene) if first < each.frame <= last and each.camera != camera]
    if not cuts:
        problem = tr("The timeline does not change the camera inside the shot")
        raise UserProblem(problem)
    if scene.wanstage.camera is None:
        scene.wanstage.camera = camera  # the scene's own changes with the markers
    return set_last(scene, cuts[0] - 1, own=True)


# ---- range and rate ----------------------------------------------------------------------------------------


def set_last(scene: bpy.types.Scene, last: int, *, own: bool = False) -> str:
    """End the shot at a frame: in the range it uses, or (``own``) in one of its own, so that the scene's stays."""
    shot = scene.wanstage
    if own and shot.use_scene_range:
        shot.frame_start, shot.use_scene_range = scene.frame_start, False
    if shot.use_scene_range:
        scene.frame_end = last
    else:
        shot.frame_end = last
    return tr("The shot ends at frame {frame}", frame=last)


def last_for(scene: bpy.types.Scene, count: int) -> int:
    """The first last frame with which the shot has so many samples (or more, when the model is the faster)."""
    first = shots.frame_range(scene)[0]
    return first + math.ceil((count - 1) * takes.scene_fps(scene) / scene.wanstage.fps - 1e-6)


def _set_count(scene: bpy.types.Scene, count: int) -> str:
    said = set_last(scene, last_for(scene, count))
    if shots.sample_count(scene) != count:  # at a faster rate than the scene's some counts cannot be had
        scene.wanstage.fit_frames = True
    return tr("{said}: {count} frames", said=said, count=count)


def _frames(scene: bpy.types.Scene, how: str) -> str:
    rule = shots.rule(scene.wanstage)
    shorter = rule.fitting(shots.sample_count(scene))
    return _set_count(scene, shorter + rule.step if how == "longer" and shorter + rule.step <= rule.most else shorter)


def _empty_range(scene: bpy.types.Scene, _how: str) -> str:
    return _set_count(scene, findings.default_frames(scene.wanstage))


def _too_long(scene: bpy.types.Scene, _how: str) -> str:
    return _set_count(scene, shots.rule(scene.wanstage).fitting(shots.MAX_FRAMES))


def _rate(scene: bpy.types.Scene, _how: str) -> str:
    shot = scene.wanstage
    info = catalog.model_info(shot.engine, shot.model)
    if info is None:
        problem = tr("The backend does not tell this model's rate: connect first")
        raise UserProblem(problem)
    shot.fps = info.fps
    return tr("Rate is {fps:g} frames a second", fps=info.fps)


# ---- size, face, sound, model ------------------------------------------------------------------------------


def _set_size(scene: bpy.types.Scene, size: tuple[int, int] | None) -> str:
    if size is None:
        problem = tr("The model has no better size")
        raise UserProblem(problem)
    catalog.set_size(scene.wanstage, size)
    return tr("Size is {width} x {height}", width=size[0], height=size[1])


def _size(scene: bpy.types.Scene, _how: str) -> str:
    return _set_size(scene, findings.fitting_size(scene.wanstage))


def _aspect(scene: bpy.types.Scene, _how: str) -> str:
    render = scene.render
    seen = render.resolution_x * render.pixel_aspect_x / (render.resolution_y * render.pixel_aspect_y)
    return _set_size(scene, findings.official_size(scene.wanstage, seen))


def _face(scene: bpy.types.Scene, how: str) -> str:
    if how == "larger":
        found, _ = findings.kept(scene)
        fixing = [fix for each in found or () for fix in each.fixes if (each.id, fix.how) == ("face", how)]
        return _set_size(scene, fixing[0].size if fixing else None)
    people = [item for item in shots.characters(scene) if item.wanstage.face != "none"]
    for item in people:
        item.wanstage.face = "none"
    if not people:
        return tr("No character's face is driven")
    return tr("The face of {names} is no longer driven", names=", ".join(item.name for item in people))


def _sound(scene: bpy.types.Scene, _how: str) -> str:
    seconds = None if talking.problems(scene) else findings.sound_seconds(scene)
    if seconds is None:
        problem = tr("The end of the sound is not known: set the shot's last frame by hand")
        raise UserProblem(problem)
    return set_last(scene, findings.sound_end(scene, seconds))


def _model(scene: bpy.types.Scene, _how: str) -> str:
    shot = scene.wanstage
    found = catalog.first_for(shot.task, shot.engine)
    if found is None:
        problem = tr("This backend has no model for the task: choose another task")
        raise UserProblem(problem)
    catalog.choose(shot, *found)
    return tr("The model is {model}", model=found[1])


def _weights(scene: bpy.types.Scene, how: str) -> str:
    if how == "other":
        return _model(scene, how)
    if hasattr(bpy.types, "WANSTAGE_OT_pull"):
        bpy.ops.wanstage.pull("INVOKE_DEFAULT")
        return tr("The weights are being fetched")
    bpy.ops.wanstage.copy_pull()
    return tr("Copied: {text}", text=bpy.context.window_manager.clipboard)


def _memory(scene: bpy.types.Scene, how: str) -> str:
    """What the backend says would fit: "frames:49", "size:832x480", "both:832x480:49" or "plan:stream-fp8"."""
    if not how:
        told = estimates.of(scene)
        found = estimates.remedies(told, shots.size(scene.wanstage), shots.frame_count(scene)) if told else []
        how = found[0][1] if found else ""
    what, _, values = how.partition(":")
    size, _, frames = values.partition(":")
    width, _, height = size.partition("x")
    if what == "plan":
        scene.wanstage.plan = values
        return tr("The plan is {plan}", plan=values)
    if what == "frames":
        return _set_count(scene, int(values))
    if what not in {"size", "both"}:
        problem = tr("The backend knows of nothing that would fit: choose a smaller size or fewer frames")
        raise UserProblem(problem)
    said = _set_size(scene, (int(width), int(height)))
    return _set_count(scene, int(frames)) if frames else said


def _backend(_scene: bpy.types.Scene, _how: str) -> str:
    bpy.ops.wanstage.connect("INVOKE_DEFAULT")
    return tr("Connecting")


_FIXES: dict[str, Callable[[Any, str], str]] = {
    "no_camera": _no_camera, "camera": _camera, "cut": _cut, "frames": _frames, "empty_range": _empty_range,
    "too_long": _too_long, "rate": _rate, "size": _size, "aspect": _aspect, "face": _face, "sound": _sound,
    "people": cast_findings.fix_people, "bones": cast_findings.fix_bones,
    "no_bones": cast_findings.fix_no_bones, "likeness": cast_findings.fix_likeness,
    "model": _model, "weights": _weights, "backend": _backend,
    "memory": _memory,
}  # fmt: skip
