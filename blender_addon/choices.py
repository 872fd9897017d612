"""The choice between takes: solo, star, accept, reject, clear. All of it is in the .blend, so undo has it.

Files are the exception: what is cleared is gone, and a row that undo brings back says so.
"""

from __future__ import annotations

import random
from typing import Any

import bpy

from . import framefiles, playback, sequence, state, takes
from .words import noted

GONE = noted("Its frames were deleted, which undo cannot bring back: make it again")


def selected(scene: bpy.types.Scene) -> Any:
    """The selected take of a scene; None."""
    shot = scene.wanstage
    return shot.takes[shot.take_index] if 0 <= shot.take_index < len(shot.takes) else None


def seconds_long(take: Any) -> float:
    """How long the take plays."""
    return take.frames / take.fps if take.fps > 0 else 0.0


def scene_frames(scene: bpy.types.Scene, take: Any) -> tuple[int, int]:
    """First and last scene frame at which the take's own samples are seen."""
    length = max(round(max(take.frames_done, 1) / take.fps * takes.scene_fps(scene)), 1)
    first = round(take.frame_start)
    return first, first + length - 1


def rivals(scene: bpy.types.Scene, take: Any) -> list[Any]:
    """The other takes of the same shot: those of its camera whose time overlaps."""
    first, last = scene_frames(scene, take)
    camera = playback.camera_of(take)
    found = []
    for other in scene.wanstage.takes:
        left, right = scene_frames(scene, other)
        if other.job_id != take.job_id and playback.camera_of(other) == camera and left <= last and right >= first:
            found.append(other)
    return found


def accept(scene: bpy.types.Scene, take: Any) -> None:
    """The take is the shot's: its plane is seen, its rivals' are hidden; who was accepted before is not any more."""
    for other in rivals(scene, take):
        if other.choice.verdict == "accepted":
            other.choice.verdict = "none"
    take.choice.verdict = "accepted"
    show(scene, take)


def show(scene: bpy.types.Scene, take: Any) -> None:
    """The take's plane instead of its rivals', with its sound; other shots stay as they are."""
    for each in (take, *rivals(scene, take)):
        plane = playback.find_plane(each.job_id)
        if plane is not None:
            playback.set_visible(plane, each.job_id == take.job_id)
        takes.hear(scene, each, each.job_id == take.job_id)
    if take.shot:
        sequence.lay(scene, take)


def reject(scene: bpy.types.Scene, take: Any) -> None:
    """Hide it; if it was seen, the accepted take comes instead, else the newest that was not rejected."""
    take.choice.verdict = "rejected"
    plane = playback.find_plane(take.job_id)
    was_seen = plane is not None and playback.is_shown(plane)
    if plane is not None:
        playback.set_visible(plane, False)
    takes.hear(scene, take, False)
    left = [other for other in rivals(scene, take)
            if other.choice.verdict != "rejected" and playback.find_plane(other.job_id) is not None]  # fmt: skip
    if was_seen and left:
        show(scene, next((other for other in left if other.choice.verdict == "accepted"), left[-1]))


def is_seen(take: Any) -> bool:
    """Whether the take's plane is visible."""
    plane = playback.find_plane(take.job_id)
    return plane is not None and playback.is_shown(plane)


def set_seen(take: Any, wanted: bool) -> None:
    """The eye of the list: show the take alone, or hide it."""
    found = takes.find(take.job_id)
    if found is None:
        return
    scene, _ = found
    if not wanted:
        plane = playback.find_plane(take.job_id)
        if plane is not None:
            playback.set_visible(plane, False)
        takes.hear(scene, take, False)
        return
    if playback.find_plane(take.job_id) is None:
        takes.relink(scene, take)
    if playback.find_plane(take.job_id) is not None:
        takes.solo(scene, take.job_id)


def disposable(scene: bpy.types.Scene) -> list[Any]:
    """What Clear All but Starred removes: takes that have ended and are neither starred nor accepted."""
    return [take for take in scene.wanstage.takes
            if take.state in takes.ENDED and not take.choice.starred and take.choice.verdict != "accepted"]  # fmt: skip


def disk_bytes(found: list[Any]) -> int:
    """What the files of these takes hold on the disk."""
    return sum(framefiles.size(takes.folder(take)) for take in found)


def clear(scene: bpy.types.Scene) -> tuple[int, int]:
    """Remove what is disposable, with planes, strips and files; returns how many, and the bytes. UserProblem."""
    jobs = [take.job_id for take in disposable(scene)]
    freed = disk_bytes(disposable(scene))
    for job_id in jobs:
        takes.remove(scene, job_id)
        state.now.runs.pop(job_id, None)
    return len(jobs), freed


def another_seed(scene: bpy.types.Scene, take: Any) -> int:
    """A seed that no take of the scene has: the next free one behind the take's."""
    used = {each.seed for each in scene.wanstage.takes}
    seed = take.seed
    while seed in used:
        seed = seed + 1 if seed < 2**31 - 1 else random.randrange(2**20)  # noqa: S311  any free number will do
    return seed


def after_undo() -> None:
    """Rows that came back without their files say so, and their planes show nothing."""
    for _, take in takes.all_takes():
        if take.job_id not in state.now.removed:
            continue
        if framefiles.count(takes.folder(take)):
            state.now.removed.discard(take.job_id)
            continue
        take.frames_done, take.state = 0, "lost"
        take.problem = GONE  # in the file, so English: the panel translates it
        plane = playback.find_plane(take.job_id)
        if plane is not None:
            playback.set_visible(plane, False)
