"""Takes in the .blend: rows of a scene, their folders, their metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from . import behind, compare, framefiles, paths, playback, preferences, sequence, soundtrack, state
from .problems import UserProblem
from .words import tr

SCHEMA = 1
FOLDER = "//wanstage/{scene}/{take}"
ROW = {"name": str, "task": str, "engine": str, "seed": int, "width": int, "height": int, "frames": int, "fps": float,
       "frame_start": float, "camera": str, "shot": str, "frame_end": int, "pixel_aspect": float}  # fmt: skip
"""Of a take's row, what its folder tells too."""
ENDED = frozenset({"finished", "failed", "cancelled", "lost"})


def all_takes() -> Iterator[tuple[bpy.types.Scene, Any]]:
    """Every take of every scene of the file; those of a linked scene are another file's."""
    for scene in bpy.data.scenes:
        for take in scene.wanstage.takes if scene.library is None else ():
            yield scene, take


def find(job_id: str) -> tuple[bpy.types.Scene, Any] | None:
    """The take of a job and its scene; None when undo or the user removed it."""
    return next(((scene, take) for scene, take in all_takes() if take.job_id == job_id), None)


def unfinished() -> list[Any]:
    """Takes whose job may still run."""
    return [take for _, take in all_takes() if take.state not in ENDED]


def add(scene: bpy.types.Scene, job_id: str, values: dict[str, Any], meta: dict[str, Any]) -> Any:
    """A new row, selected. ``values`` are properties of the take; its folder is made and proved writable first."""
    relative = new_folder(scene, job_id, values["task"])
    framefiles.make_folder(Path(bpy.path.abspath(relative)))
    shot = scene.wanstage
    take = shot.takes.add()
    take.name = f"Take {len(shot.takes)}"
    take.job_id = job_id
    take.state = "submitting"
    take.frames_dir = relative
    take.pixel_aspect = scene.render.pixel_aspect_x / scene.render.pixel_aspect_y
    for name, value in values.items():
        setattr(take, name, value)
    write_meta(take, {"schema": SCHEMA, "job_id": job_id, **meta})
    shot.take_index = len(shot.takes) - 1
    return take


def check_folder(scene: bpy.types.Scene, task: str, nbytes: int) -> None:
    """Before a long capture: whether a take of so many bytes could be written. Leaves nothing. Raises UserProblem."""
    framefiles.prove(Path(bpy.path.abspath(new_folder(scene, "0" * 32, task))), nbytes)


def new_folder(scene: bpy.types.Scene, job_id: str, task: str) -> str:
    """Where a take's frames go: as the shot says in a saved file, else the cache folder. Never one that is in use.

    Raises UserProblem when the shot's pattern cannot be filled in.
    """
    if not bpy.data.filepath:
        return str(preferences.settings().cache / job_id)
    pattern = scene.wanstage.frames_folder or FOLDER
    try:
        wanted = pattern.format(scene=framefiles.safe_name(scene.name), task=task, take=job_id[:8])
    except (KeyError, IndexError, ValueError) as error:
        problem = tr(
            "The frames folder '{pattern}' cannot be filled in: use {{scene}}, {{task}} and {{take}} only",
            pattern=pattern,
        )
        raise UserProblem(problem) from error
    return _unused(wanted)


def _unused(wanted: str) -> str:
    """``wanted``, or with the first number behind it that makes it an empty or new folder."""
    tried, number = wanted, 1
    while any(Path(bpy.path.abspath(tried)).glob("*")):
        number += 1
        tried = f"{wanted}_{number}"
    return tried


def folder(take: Any) -> Path:
    """The take's folder on this machine, as the file lies now."""
    return paths.absolute(take.frames_dir)


def meta(take: Any) -> dict[str, Any]:
    """The take's metadata; empty when it has none or was written by a later version that we cannot read."""
    try:
        found = json.loads(take.meta or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def part_of(take: Any) -> tuple[int, int]:
    """First and last frame (from 0) of a take that its own job makes: all, or the part that was made again."""
    told = meta(take).get("redo")
    return (told["first"] - 1, told["last"] - 1) if told else (0, max(take.frames, 1) - 1)


def write_meta(take: Any, values: dict[str, Any]) -> None:
    """Into the .blend; ``tell`` writes the same beside the frames."""
    take.meta = json.dumps(values, ensure_ascii=False)


def tell(scene: bpy.types.Scene, take: Any) -> None:
    """What the row says beside its frames too, so that a file that was not saved since finds them, see lost.py."""
    values = {**meta(take), "row": {"scene": scene.name, **{name: getattr(take, name) for name in ROW}}}
    write_meta(take, values)
    framefiles.write_meta(folder(take), values)


def scene_fps(scene: bpy.types.Scene) -> float:
    """Frames a second of the scene's timeline."""
    return scene.render.fps / scene.render.fps_base


def solo(scene: bpy.types.Scene, job_id: str) -> None:
    """Show this take's plane and hide the others of the scene; it alone is heard, if it has a sound."""
    compare.stop()
    chosen = next((take.shot for take in scene.wanstage.takes if take.job_id == job_id), "")
    for take in scene.wanstage.takes:
        if take.shot != chosen:  # each shot of the timeline shows a take of its own
            continue
        plane = playback.find_plane(take.job_id)
        if plane is not None:
            playback.set_visible(plane, take.job_id == job_id and not take.background)
        hear(scene, take, take.job_id == job_id)
        if take.shot and take.job_id == job_id:
            sequence.lay(scene, take)


def hear(scene: bpy.types.Scene, take: Any, wanted: bool) -> None:
    """Whether a take's strip is heard: not while what it came from plays as well."""
    told = meta(take).get("sound") or {}
    doubled = soundtrack.plays(scene, told.get("from", ""), told.get("name", ""))
    soundtrack.set_heard(scene, take.job_id, wanted and not doubled)


def sound_file(take: Any) -> Path:
    """The sound that drove the take; there is none for takes of other tasks."""
    return folder(take) / framefiles.SOUND


def add_sound(scene: bpy.types.Scene, take: Any) -> bool:
    """The take's sound into the sequencer; whether it is there now."""
    path = sound_file(take)
    if not path.is_file() or soundtrack.add(scene, take, path) is None:
        return False
    take.sound_added = True
    plane = playback.find_plane(take.job_id)
    hear(scene, take, plane is None or playback.is_shown(plane))
    return True


def place(scene: bpy.types.Scene, take: Any, camera: bpy.types.Object) -> bpy.types.Object:
    """The take's plane; when it is new, the newest take that has one is the one that is seen."""
    is_new = playback.find_plane(take.job_id) is None
    plane = playback.make_plane(scene, take, camera, scene.wanstage.depth)
    if is_new and take.shot:
        playback.limit(plane, take.frame_start, take.frame_end)
    if is_new:
        mates = [item.job_id for item in scene.wanstage.takes if item.shot == take.shot]
        placed = [job_id for job_id in mates if playback.find_plane(job_id) is not None]
        solo(scene, placed[-1])
    return plane


def relink(scene: bpy.types.Scene, take: Any, *, sound: bool = True) -> None:
    """Put plane, sequence and driver of a take right from what is on disk; its sound too, unless that waits."""
    camera = playback.camera_of(take)
    frames = folder(take)
    take.frames_done = framefiles.count(frames)
    if camera is None or take.frames_done == 0:
        return
    plane = place(scene, take, camera)
    playback.show_sequence(plane, framefiles.path_of(frames, 0), take)
    if take.shot and playback.is_shown(plane):
        sequence.lay(scene, take)
    if take.background:
        behind.put(scene, take, camera)
        playback.set_visible(plane, False)
    if sound and sound_is_due(scene, take):
        add_sound(scene, take)


def sound_is_due(scene: bpy.types.Scene, take: Any) -> bool:
    """Whether the take has a sound that shall go into the sequencer: once, who deletes the strip does not want it."""
    return bool(scene.wanstage.add_sound) and not take.sound_added and sound_file(take).is_file()


def move_beside_file(target_blend: Path) -> int:
    """Before a file is saved: bring its takes from the cache next to it; returns how many moved."""
    moved, cache = 0, preferences.settings().cache
    for scene, take in all_takes():
        source = folder(take)
        if take.frames_dir.startswith("//") or take.state not in ENDED or not source.is_dir():
            continue
        if bpy.data.filepath and source.parent != cache:  # where the user's own pattern put it
            continue
        relative = f"//wanstage/{framefiles.safe_name(scene.name)}/{take.job_id[:8]}"
        target = target_blend.parent / relative.removeprefix("//")
        if target.exists():
            continue
        framefiles.move(source, target)
        take.frames_dir = relative
        plane = playback.find_plane(take.job_id)
        if plane is not None:
            playback.point_at(plane, framefiles.path_of(target, 0))
        sequence.point_at(scene, take.job_id, target)
        behind.point_at(take.job_id, framefiles.path_of(target, 0))
        soundtrack.point_at(scene, take.job_id, target / framefiles.SOUND)
        if Path(scene.wanstage.first_image).parent == source:
            scene.wanstage.first_image = f"{relative}/{Path(scene.wanstage.first_image).name}"
        shown = scene.wanstage_retarget
        if shown.pose_file and Path(shown.pose_file).parent == source:
            shown.pose_file = f"{relative}/{Path(shown.pose_file).name}"
        moved += 1
    return moved


def remove(scene: bpy.types.Scene, job_id: str) -> None:
    """The row, its plane and its files."""
    rows = scene.wanstage.takes
    index = next(i for i, take in enumerate(rows) if take.job_id == job_id)
    framefiles.remove(folder(rows[index]))  # first: when the disk refuses, the take stays whole
    state.now.removed.add(job_id)
    compare.forget(scene, job_id)
    soundtrack.remove(scene, job_id)
    sequence.remove(scene, job_id)
    behind.take_away(job_id)
    playback.remove_plane(job_id)
    rows.remove(index)
    scene.wanstage.take_index = min(index, len(rows) - 1) if len(rows) else 0
