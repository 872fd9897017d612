"""Where a take is seen and when: on its plane or behind the camera's view, earlier or later, held or hidden."""

from __future__ import annotations

from typing import Any

import bpy

from . import behind, colors, framefiles, playback, sequence, takes


def changed(take: Any, _context: Any = None) -> None:
    """Offset, outside or background were set: into the plane's drivers."""
    plane = playback.find_plane(take.job_id)
    if plane is None or plane.parent is None:
        return
    playback.make_plane(take.id_data, take, plane.parent, 0.0)
    if take.state in takes.ENDED and take.frames_done:
        playback.show_sequence(plane, framefiles.path_of(takes.folder(take), 0), take)
        show(take, plane)


def show(take: Any, plane: bpy.types.Object) -> None:
    """On the plane, or behind the camera's view."""
    scene = take.id_data
    if take.background:
        behind.put(scene, take, plane.parent)
        playback.set_visible(plane, False)
        return
    was_behind = behind.take_away(take.job_id)
    if was_behind:
        takes.solo(scene, take.job_id)


def watch(scene: bpy.types.Scene) -> None:
    """After any edit: when the view or the engine of a scene has changed, its planes read their pictures anew."""
    key = colors.key(scene)
    if colors.seen.get(scene.name) != key:
        sync(scene)
        colors.seen[scene.name] = key


def load_post() -> None:
    """Another file: its planes are looked at anew."""
    colors.seen.clear()
    for scene in bpy.data.scenes:
        watch(scene)


def sync(scene: bpy.types.Scene) -> None:
    """The view or the engine of a scene changed: its planes and strips read their pictures accordingly."""
    for take in scene.wanstage.takes:
        plane = playback.find_plane(take.job_id)
        if plane is not None:
            playback.dress(plane)
    sequence.dress(scene)
