"""What is looked at: a film, a movie clip of the file, or a take with its scene's camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy

from .. import capture, framefiles, generation, playback, shots, takes, wire
from ..capture.maps import array_ref
from ..problems import UserProblem
from ..words import tr
from . import figure
from .job import Film


def of_file(path: str) -> Film:
    """A film's size, rate and length, as Blender reads it. Raises UserProblem."""
    if not path:
        raise UserProblem(tr("Choose a film first."))
    whole = Path(bpy.path.abspath(path))
    if not whole.is_file():
        raise UserProblem(tr("There is no film at {path}: choose it again.", path=whole))
    try:
        clip = bpy.data.movieclips.load(str(whole))
    except RuntimeError as error:
        raise UserProblem(tr("{name} cannot be read as a film: choose another, or convert it to MP4.",
                             name=whole.name)) from error  # fmt: skip
    try:
        return of_clip(clip)
    finally:
        bpy.data.movieclips.remove(clip)


def of_clip(clip: Any) -> Film:
    """A movie clip datablock of one file. Raises UserProblem."""
    if clip is None:
        raise UserProblem(tr("Choose a movie clip first."))
    path = Path(bpy.path.abspath(clip.filepath, library=clip.library))
    width, height = clip.size
    if clip.source != "MOVIE":
        raise UserProblem(tr("{name} is a sequence of pictures: choose a film.", name=clip.name))
    if not path.is_file() or not width or not height or clip.fps <= 0:
        raise UserProblem(tr("{name} cannot be read as a film: choose another, or convert it to MP4.", name=path.name))
    fps = min(float(clip.fps), wire.limits.MAX_FPS)
    count = max(1, round(clip.frame_duration * fps / clip.fps))
    first = clip.frame_start
    return Film(path.name, width, height, count, fps, "", path=path, first=first)


def of_take(scene: bpy.types.Scene, take: Any, *, check: bool = False) -> tuple[Film, Any]:
    """A take's frames with the camera that saw them, and what was captured (None: no camera). Raises UserProblem."""
    if take is None:
        raise UserProblem(tr("There is no such take in this file"))
    folder = takes.folder(take)
    if take.state not in takes.ENDED:
        raise UserProblem(tr("{name} is still being made", name=take.name))
    count = framefiles.count(folder)
    if not count:
        raise UserProblem(tr("{name} has no frames on disk in {folder}", name=take.name, folder=folder))
    captured = rig_of(scene, take, count)
    camera = _camera(captured) if captured is not None else None
    is_part = bool(takes.meta(take).get("redo"))  # whose job has the frames of the part alone
    film = Film(
        take.name, take.width, take.height, count, take.fps, take.frames_dir,
        job="" if is_part or count < take.frames else take.job_id,
        pictures=tuple(framefiles.path_of(folder, at) for at in range(count)),
        take=take.job_id, camera=camera, views=_views(captured, playback.camera_of(take)),
        first=round(take.frame_start + take.slip), check=check,
    )  # fmt: skip
    return film, captured


def rig_of(scene: bpy.types.Scene, take: Any, count: int) -> Any:
    """Camera and characters as the scene has them at the take's sample times: a PoseCapture; None without camera.

    Raises UserProblem.
    """
    camera = playback.camera_of(take)
    if camera is None or camera.name not in scene.objects:
        return None
    people = shots.characters(scene)
    wanted = capture.ShotParams(
        scene=scene.name, camera=camera.name, frame_start=take.frame_start, frames=count, fps=take.fps,
        width=take.width, height=take.height, occlusion=scene.wanstage.occlusion, left_out=shots.left_out(scene),
        characters=tuple(
            replace(shots.bare_character(item, at), face="none") for at, item in enumerate(people, start=1)
        ),
    )  # fmt: skip
    try:
        return capture.capture_pose(wanted)
    except capture.CaptureProblem as problem:
        raise UserProblem(str(problem)) from problem


def _views(captured: Any, camera: Any) -> figure.Path | None:
    """As the live figure takes it."""
    if captured is None:
        return None
    return figure.Path(camera.name, captured.world_from_camera, captured.intrinsics, captured.orthographic)


def _camera(captured: Any) -> Any:
    """As a job takes it."""
    folder = generation.assets()
    try:
        return wire.specs.Camera(
            array_ref(captured.world_from_camera, folder),
            array_ref(captured.intrinsics, folder),
            "orthographic" if captured.orthographic else "perspective",
        )
    except (wire.errors.WanstageError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserProblem(tr("The camera's path cannot be kept ({reason}): free disk space.", reason=reason)) from error
