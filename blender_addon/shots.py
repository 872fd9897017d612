"""From a scene to what capture and the backend are asked: parameters, names and the key of a drive pack."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import bpy

from . import playback, state
from .capture import params as capture_params
from .problems import UserProblem
from .properties import SIZES

MAX_FRAMES = 4096


def size(shot: Any) -> tuple[int, int]:
    """Width and height of the frames, pixels."""
    return SIZES.get(shot.size, (shot.width, shot.height))


def frame_range(scene: bpy.types.Scene) -> tuple[int, int]:
    """First and last scene frame of the shot."""
    shot = scene.wanstage
    return (scene.frame_start, scene.frame_end) if shot.use_scene_range else (shot.frame_start, shot.frame_end)


def frame_count(scene: bpy.types.Scene) -> int:
    """Samples at the take's own rate within the range; 4n+1 for engines with a video model's rule. 0 = empty range."""
    first, last = frame_range(scene)
    if last < first:
        return 0
    fps = scene.render.fps / scene.render.fps_base
    count = math.floor((last - first) * scene.wanstage.fps / fps + 1e-6) + 1
    return count if scene.wanstage.engine != "wan" else (count - 1) // 4 * 4 + 1


def camera(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The shot's camera, else the scene's."""
    return scene.wanstage.camera or scene.camera


def characters(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The armatures that take part, by name: those switched on and not hidden in renders."""
    found = [item for item in scene.objects if item.type == "ARMATURE" and item.wanstage.use and not item.hide_render]
    return sorted(found, key=lambda item: item.name)


def parameters(scene: bpy.types.Scene) -> capture_params.ShotParams:
    """What to capture: everything a task may need, so that all tasks of a shot share one pack."""
    shot = scene.wanstage
    width, height = size(shot)
    people = tuple(
        capture_params.CharacterParams(armature=item.name, name=item.wanstage.name or item.name, index=index)
        for index, item in enumerate(characters(scene), start=1)
    )
    return capture_params.ShotParams(
        scene=scene.name, camera=camera(scene).name, frame_start=frame_range(scene)[0], frames=frame_count(scene),
        fps=shot.fps, width=width, height=height, characters=people, occlusion=shot.occlusion,
    )  # fmt: skip


def pack_key(scene: bpy.types.Scene, wanted: capture_params.ShotParams) -> str:
    """Equal keys within one run of Blender mean that a new capture would give the same pack.

    The key holds the parameters, the scene's rate and the objects with their places and visibility, and
    ``state.revision``: a count of every edit that the dependency graph reported for anything but our planes.
    What no graph reports (a script that writes a key frame without tagging it) is what "Capture Anew" is for.
    """
    bpy.context.view_layer.update()
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: object) -> None:
        digest.update(repr(values).encode())

    add(wanted, sorted(wanted.parts), state.now.revision, scene.render.fps, scene.render.fps_base)
    add(scene.view_settings.view_transform, scene.view_settings.exposure, scene.view_settings.look)
    for item in sorted(scene.objects, key=lambda item: item.name):
        if not item.get(playback.MARK):
            add(
                item.name,
                item.type,
                item.hide_render,
                item.hide_viewport,
                item.data.name if item.data else "",
                item.animation_data is None,
            )
    return digest.hexdigest()


def reference_path(item: bpy.types.Object, scratch: Path) -> Path | None:
    """The picture of a character's person as a file; an image datablock is written to ``scratch`` first."""
    own = item.wanstage
    if own.reference:
        return Path(bpy.path.abspath(own.reference, library=item.library))
    image = own.reference_image
    if image is None:
        return None
    path = Path(bpy.path.abspath(image.filepath, library=image.library)) if image.filepath else None
    if path is not None and path.is_file() and not image.is_dirty:
        return path
    target = scratch / "references" / f"{hashlib.blake2b(image.name.encode(), digest_size=8).hexdigest()}.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = image.copy()
    try:
        copy.filepath_raw, copy.file_format = str(target), "PNG"
        copy.save()
    except RuntimeError as error:
        problem = f"The reference image {image.name} cannot be written as a picture: choose a file instead"
        raise UserProblem(problem) from error
    finally:
        bpy.data.images.remove(copy)
    return target
