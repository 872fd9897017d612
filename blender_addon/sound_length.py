"""How long a shot's sound lasts, so that silence at its end is told before anything is captured."""

from __future__ import annotations

import math
from pathlib import Path

import bpy

from . import compat, shots, takes, talking
from .capture.params import CaptureProblem
from .capture.sound import sound_path, speaker_starts
from .capture.waves import open_sound


def sound_seconds(scene: bpy.types.Scene) -> float | None:
    """Seconds from the shot's beginning to the end of its sound; None when that cannot be told."""
    shot, first = scene.wanstage, shots.frame_range(scene)[0]
    if shot.sound_from == "strip":
        return float(compat.strip_times(talking.find_strip(scene)).right - first) / takes.scene_fps(scene)
    if shot.sound_from == "speaker":
        return _speaker_seconds(scene, shot.sound_speaker)
    long = _file_seconds(bpy.path.abspath(shot.sound_file))
    return None if long is None else long - shot.sound_skip


def _speaker_seconds(scene: bpy.types.Scene, item: bpy.types.Object) -> float | None:
    """To the end of what a speaker begins last, at its pitch; packed sounds are not unpacked for that."""
    sound, first = item.data.sound, shots.frame_range(scene)[0]
    long = None if sound.packed_file else _file_seconds(str(sound_path(sound)))
    starts = speaker_starts(item) or [first]
    return None if long is None else (max(starts) - first) / takes.scene_fps(scene) + long / max(item.data.pitch, 0.01)


def _file_seconds(path: str) -> float | None:
    try:
        return float(open_sound(Path(path), bpy.path.basename(path)).seconds)
    except CaptureProblem:
        return None


def sound_end(scene: bpy.types.Scene, seconds: float) -> int:
    """The last scene frame in which the sound is heard."""
    return int(shots.frame_range(scene)[0] + math.ceil(seconds * takes.scene_fps(scene) - 1e-6) - 1)
