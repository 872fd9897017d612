"""From a scene to what capture and the backend are asked: parameters, names and the key of a drive pack."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from pathlib import Path
from typing import Any

import bpy

from . import bonemap_store, catalog, playback, state
from .capture import params as capture_params
from .capture import plate as capture_plate
from .problems import UserProblem
from .words import tr

MAX_FRAMES = state.MAX_FRAMES
TALKING = "s2v"
WAN_PARTS = {"animate": frozenset({"face"}), "replace": frozenset({"face", "plate", "mask", "depth"})}
"""What the video models need of a shot's samples, by task; tasks that are not here need no samples."""
STILLS = {"i2v": frozenset({"first"}), "ti2v": frozenset({"first"}), "flf2v": frozenset({"first", "last"})}
"""Pictures that tasks without samples begin from."""
DRIVEN_BY_CLAY = "wan2.2-animate-2"
"""Models of this name are driven by the pictures themselves, not by a skeleton."""

size = catalog.size_of


def rule(shot: Any, task: str | None = None) -> catalog.Rule:
    """What the chosen model allows."""
    return catalog.rule(shot.engine, shot.model, task or shot.task)


def frame_range(scene: bpy.types.Scene) -> tuple[int, int]:
    """First and last scene frame of the shot."""
    shot = scene.wanstage
    return (scene.frame_start, scene.frame_end) if shot.use_scene_range else (shot.frame_start, shot.frame_end)


def sample_count(scene: bpy.types.Scene) -> int:
    """Samples at the take's own rate within the range; 0 = empty range."""
    first, last = frame_range(scene)
    if last < first:
        return 0
    fps = scene.render.fps / scene.render.fps_base
    return math.floor((last - first) * scene.wanstage.fps / fps + 1e-6) + 1


def frame_count(scene: bpy.types.Scene, task: str | None = None) -> int:
    """How many frames are made: all samples, or with Fit Frames as many of them as the model can make."""
    count = sample_count(scene)
    shot = scene.wanstage
    return rule(shot, task).fitting(count) if shot.fit_frames else count


def camera(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The shot's camera, else the scene's."""
    return scene.wanstage.camera or scene.camera


def characters(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The armatures that take part, by name: those that are driven and not hidden in renders."""
    return sorted((item for item in _armatures(scene) if is_character(item)), key=lambda item: item.name)


def is_character(item: bpy.types.Object) -> bool:
    """Whether an armature takes part: driven, and not hidden in renders."""
    return bool(item.wanstage.use and not item.wanstage.left_out and not item.hide_render)


def left_out(scene: bpy.types.Scene) -> tuple[str, ...]:
    """The names of the armatures that are not to be seen, by name."""
    return tuple(sorted(item.name for item in _armatures(scene) if item.wanstage.left_out))


def _armatures(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    return [item for item in scene.objects if item.type == "ARMATURE" and not item.hide_render]


def needs_samples(shot: Any, task: str) -> bool:
    """Whether the task needs the whole shot; the others need a picture or two, or none."""
    if task == TALKING:  # poses cost little; the draft finds a face by the joints of who speaks
        return bool(shot.follow_pose or (shot.engine != "wan" and shot.person != "file"))
    return shot.engine != "wan" or task in WAN_PARTS


def stills(shot: Any, task: str) -> frozenset[str]:
    """The pictures that a task without samples needs."""
    if task == TALKING:
        return frozenset({"first"}) if shot.person == "camera" else frozenset()
    found = STILLS.get(task, frozenset())
    return found - {"first"} if shot.first_image and "last" not in found else found


def sampled_parts(shot: Any, task: str) -> frozenset[str]:
    """What a task needs of the shot's samples, besides camera and poses."""
    if task == TALKING:
        return frozenset({"look"}) if shot.person == "camera" else frozenset()
    if shot.engine != "wan":
        return capture_params.DRAFT_PARTS
    return frozenset({"clay"}) if shot.model.startswith(DRIVEN_BY_CLAY) else WAN_PARTS.get(task, frozenset())


def parameters(scene: bpy.types.Scene, task: str | None = None) -> capture_params.ShotParams:
    """What to capture for a task (None = the shot's): for the draft everything, so that its tasks share one pack."""
    shot = scene.wanstage
    task = task or shot.task
    width, height = size(shot)
    wan = shot.engine == "wan"
    everybody = characters(scene)
    driven = next((item for item in everybody if has_reference(item)), None)
    people = tuple(
        _character(item, index, wan and task in WAN_PARTS, driven in {item, None})
        for index, item in enumerate(everybody, start=1)
    )
    parts = sampled_parts(shot, task)
    return capture_params.ShotParams(
        scene=scene.name, camera=camera(scene).name, frame_start=frame_range(scene)[0],
        frames=frame_count(scene, task), fps=shot.fps, width=width, height=height, characters=people, parts=parts,
        occlusion=shot.occlusion, look_samples=shot.plate_samples,
        plate=shot.plate if wan else "clay", left_out=left_out(scene),
    )  # fmt: skip


def has_reference(item: bpy.types.Object) -> bool:
    """Whether a person was chosen for the character; the video models drive the first who has one."""
    return bool(item.wanstage.reference or item.wanstage.reference_image)


def bare_character(item: bpy.types.Object, index: int) -> capture_params.CharacterParams:
    """An armature and the value that it has in the masks."""
    bones = bonemap_store.overrides_of(item) or None
    return capture_params.CharacterParams(item.name, item.wanstage.name or item.name, index, bones)


def _character(item: bpy.types.Object, index: int, wan: bool, driven: bool) -> capture_params.CharacterParams:
    """A video model needs the face of the one whom it drives; the others stay in the plate."""
    own, bare = item.wanstage, bare_character(item, index)
    if not wan:
        return bare
    face = own.face if driven else "none"
    film = bpy.path.abspath(own.face_film, library=item.library) if face == "film" else ""
    return dataclasses.replace(bare, face=face, face_film=film, in_plate=not driven)


def files_seen(wanted: capture_params.ShotParams) -> list[tuple[str, int, int]]:
    """The user's own films that a capture would read: path, bytes, time of their last change."""
    paths = [Path(person.face_film) for person in wanted.characters if person.face_film]
    if wanted.plate == "film":
        footage = capture_plate.find_footage(bpy.data.objects[wanted.camera])
        paths += [footage.path] if footage else []
    return [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.is_file()]


def pack_key(scene: bpy.types.Scene, wanted: capture_params.ShotParams) -> str:
    """Equal keys within one run of Blender mean that a new capture would give the same parts.

    The key holds the parameters but the parts, the scene's rate and the objects with their places and visibility, the
    user's own films, and ``state.revision``: a count of every edit that the dependency graph reported for anything
    but our planes.
    What no graph reports (a script that writes a key frame without tagging it) is what "Capture Anew" is for.
    """
    bpy.context.view_layer.update()
    digest = hashlib.blake2b(digest_size=16)

    def add(*values: object) -> None:
        digest.update(repr(values).encode())

    add(dataclasses.replace(wanted, parts=frozenset()), state.now.revision, scene.render.fps, scene.render.fps_base)
    add(files_seen(wanted))
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
        problem = tr(
            "The reference image {image} cannot be written as a picture: choose a file instead", image=image.name
        )
        raise UserProblem(problem) from error
    finally:
        bpy.data.images.remove(copy)
    return target
