"""A take's sound in the sequencer: one strip of the take's WAV file, named after the take, found again by its mark.

Only the take that is seen is heard, and not while the strip or speaker that its sound came from plays as well: the same
sound twice would be louder than it is.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import bpy

from . import compat, paths
from .capture import sound as capture_sound
from .capture.params import CaptureProblem
from .capture.waves import wav_seconds

logger = logging.getLogger(__name__)

MARK = "wanstage_take"
MOST_CHANNELS = 32  # Blender 3.4 has no more


def find(scene: bpy.types.Scene, job_id: str) -> Any:
    """The strip of a take, whatever it is called now; None."""
    return next((each for each in compat.strips_of(scene) if each.get(MARK) == job_id), None)


def add(scene: bpy.types.Scene, take: Any, path: Path) -> Any:
    """The take's strip at the take's first frame, on a channel that is free there; one that exists is kept.

    None when this Blender cannot play the file: that is logged, frames do not depend on it.
    """
    strip = find(scene, take.job_id)
    if strip is not None:
        return strip
    try:
        seconds = wav_seconds(path)
        first = round(take.frame_start)
        last = first + math.ceil(seconds * capture_sound.scene_rate(scene))
        channel = free_channel(scene, first, last)
        strip = compat.strip_collection(scene).new_sound(take.name, str(path), channel, first)
    except (RuntimeError, CaptureProblem) as problem:
        logger.warning("the sound of %s is not added to the sequencer: %s", take.name, problem)
        return None
    strip[MARK] = take.job_id
    strip.sound.name = take.name
    strip.sound.filepath = paths.relative(path)
    return strip


def free_channel(scene: bpy.types.Scene, first: int, last: int) -> int:
    """The lowest above all that lies at these frames, so that the shot's own strips stay where they are."""
    return min(max(compat.channels_taken(scene, first, last), default=0) + 1, MOST_CHANNELS)


def set_heard(scene: bpy.types.Scene, job_id: str, heard: bool) -> None:
    """Mute or unmute a take's strip, if it has one."""
    strip = find(scene, job_id)
    if strip is not None and strip.mute == heard:
        strip.mute = not heard


def plays(scene: bpy.types.Scene, source: str, name: str) -> bool:
    """Whether a strip or speaker of the scene is heard when the scene is played."""
    if source == "strip":
        strip = next((each for each in compat.strips_of(scene) if each.name == name), None)
        return strip is not None and not is_muted(scene, strip)
    item = scene.objects.get(name) if source == "speaker" else None
    if item is None or item.type != "SPEAKER" or item.data.sound is None:
        return False
    return not item.data.muted and bool(capture_sound.speaker_starts(item))


def is_muted(scene: bpy.types.Scene, strip: Any) -> bool:
    """By itself, by its channel or by a meta strip round it."""
    channels = getattr(scene.sequence_editor, "channels", ())
    while strip is not None:
        outer = strip.parent_meta()
        if strip.mute or (outer is None and strip.channel < len(channels) and channels[strip.channel].mute):
            return True
        strip = outer
    return False


def point_at(scene: bpy.types.Scene, job_id: str, path: Path) -> None:
    """The take's files have moved."""
    strip = find(scene, job_id)
    if strip is not None:
        strip.sound.filepath = paths.relative(path)


def remove(scene: bpy.types.Scene, job_id: str) -> None:
    """The strip, and its sound if nothing else plays it."""
    strip = find(scene, job_id)
    if strip is None:
        return
    sound = strip.sound
    compat.remove_strip(scene, strip)
    if sound is not None and sound.users == 0:
        bpy.data.sounds.remove(sound)
