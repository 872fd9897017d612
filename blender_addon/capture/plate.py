"""The picture to keep when somebody in it is replaced: each sample with materials and without the characters, or the
film behind the camera's view.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from ..words import tr
from .evaluate import bare_copy, character_objects, left_out_objects, scratch, set_frame
from .film import Film
from .look import raw_output, read_raw, rendered, set_render
from .maps import array_ref
from .params import CaptureProblem, CaptureProgress
from .pictures import cover, fit, resize
from .work import Work

Steps = Generator[CaptureProgress, None, tuple[Any, ...]]


@dataclass(frozen=True)
class Footage:
    """A camera's background: ``first`` is the scene frame of its first picture, ``method`` Blender's frame method."""

    path: Path
    first: int
    method: str
    still: bool


def capture_plates(work: Work, frames: tuple[float, ...]) -> Steps:
    """One ArrayRef u1 (h,w,3) a sample. Raises CaptureProblem."""
    if work.params.plate == "film":
        return (yield from _from_film(work, frames))
    return (yield from _from_scene(work, frames))


def _from_scene(work: Work, frames: tuple[float, ...]) -> Steps:
    params, scene, camera = work.params, work.scene, work.camera
    armatures = [scene.objects[person.armature] for person in params.characters]
    replaced = [scene.objects[person.armature] for person in params.characters if not person.in_plate]
    gone = {item for armature in replaced for item in character_objects(scene, armature)}
    gone |= left_out_objects(scene, params)
    found = []
    with scratch() as made:
        copy = bare_copy(made, scene, [item for item in rendered(scene) if item not in gone], armatures)
        if camera.name not in copy.objects:
            copy.collection.objects.link(camera)
        copy.camera = camera
        path = work.folder / "plate.tga"
        set_render(copy, (params.width, params.height), params.look_samples, path, alpha=False)
        raw_output(copy, path, alpha=False)
        copy.render.use_persistent_data = True
        for step, frame in enumerate(frames):
            set_frame(copy, frame)
            made.render(copy)
            found.append(array_ref(read_raw(path), work.sink))
            yield CaptureProgress("plate", step + 1, len(frames))
    return tuple(found)


def _from_film(work: Work, frames: tuple[float, ...]) -> Steps:
    params, camera = work.params, work.camera
    footage = find_footage(camera)
    if footage is None:
        msg = tr(
            "{camera} has no background film or picture: give it one, or render the plate from the scene.",
            camera=camera.name,
        )
        raise CaptureProblem(msg)
    place = {"CROP": cover, "FIT": fit}.get(footage.method, resize)
    found: dict[int, Any] = {}
    order = []
    with scratch() as made:
        film = Film(made, footage.path, work.folder, work.scene_fps, still=footage.still)
        for step, frame in enumerate(frames):
            index = min(max(int(frame + 1e-6) - footage.first, 0), film.frames - 1)
            if index not in found:
                found[index] = array_ref(place(film.picture(index), params.width, params.height), work.sink)
            order.append(found[index])
            yield CaptureProgress("plate", step + 1, len(frames))
    return tuple(order)


def find_footage(camera: bpy.types.Object) -> Footage | None:
    """What the camera shows behind the scene in the 3D view: the first background that is on and has a file."""
    for item in camera.data.background_images:
        if not item.show_background_image:
            continue
        if item.source == "IMAGE" and item.image is not None and item.image.filepath:
            image, user = item.image, item.image_user
            path = Path(bpy.path.abspath(image.filepath, library=image.library))
            still = image.source not in {"MOVIE", "SEQUENCE"}
            return Footage(path, user.frame_start - user.frame_offset, item.frame_method, still)
        if item.source == "MOVIE_CLIP" and item.clip is not None and item.clip.filepath:
            clip = item.clip
            path = Path(bpy.path.abspath(clip.filepath, library=clip.library))
            return Footage(path, clip.frame_start - clip.frame_offset, item.frame_method, False)
    return None
