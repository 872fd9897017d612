"""Takes in the Video Sequencer: one strip of pictures each, chosen scene frame by scene frame.

An image strip shows one picture a scene frame. So that time is kept whatever the scene's and the take's rates are, the
strip names for every scene frame the sample that the plane shows there: at 24 frames a second a take of 16 shows some
pictures twice, at 8 it leaves some out. No speed control, no drift. The pictures are read in the colour space of the
scene's view, so that they are seen as they were made.

A shot of the timeline has one strip, whichever of its takes is in it; other takes have one each when they are sent.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import bpy

from . import colors, compat, framefiles, paths, playback
from .capture.sound import scene_rate
from .problems import UserProblem
from .soundtrack import MOST_CHANNELS, free_channel
from .words import tr

MARK = "wanstage_shot"  # the timeline's shot that a strip is of; empty for takes of the scene's own
TAKE = "wanstage_pictures"  # the job of the take in it
FIRST = "wanstage_first"  # where the take begins; a strip that was moved by hand stays where it is
CHANNEL = "Wanstage"


def find(scene: bpy.types.Scene, job_id: str) -> Any:
    """The strip that a take is in, whatever it is called now; None."""
    return next((each for each in compat.strips_of(scene) if each.get(TAKE) == job_id), None)


def of_shot(scene: bpy.types.Scene, shot: str) -> Any:
    """The strip of a timeline's shot; None."""
    return next((each for each in compat.strips_of(scene) if shot and each.get(MARK) == shot), None)


def lay(scene: bpy.types.Scene, take: Any) -> Any:
    """The strip of the take's shot with the take's pictures; None without frames, or when no strips are wanted."""
    if not take.frames_done or not scene.wanstage_timeline.use_sequencer:
        return None
    return _put(scene, take, paths.absolute(take.frames_dir), of_shot(scene, take.shot), take.frames)


def send(scene: bpy.types.Scene, take: Any, folder: Path, instead: Iterable[str] = ()) -> Any:
    """The take's strip at its first frame, on a free channel. A strip that it is in already, that of its shot or one of
    the takes ``instead`` gets its pictures, where it lies. Raises UserProblem without frames on disk."""
    if not framefiles.count(folder):
        problem = tr("{take} has no frames on disk in {folder}", take=take.name, folder=folder)
        raise UserProblem(problem)
    there = (find(scene, job_id) for job_id in (take.job_id, *instead))
    old = of_shot(scene, take.shot) or next((strip for strip in there if strip is not None), None)
    return _put(scene, take, folder, old, take.frames_done)


def names(scene: bpy.types.Scene, take: Any, frames: int) -> list[str]:
    """The file of each scene frame at which ``frames`` of the take play, within its shot of the timeline."""
    rate, first = scene_rate(scene), round(take.frame_start)
    count = max(round(frames / take.fps * rate + take.slip), 1)
    if take.shot:
        count = max(min(count, take.frame_end - first + 1), 1)
    shown = (playback.sample_at(frame, take, rate) for frame in range(first, first + count))
    return [framefiles.PATTERN.format(sample + 1) for sample in shown]


def _put(scene: bpy.types.Scene, take: Any, folder: Path, strip: Any, frames: int) -> Any:
    """Into this strip, or a new one in its place when the take is longer, shorter or elsewhere; None: a new one."""
    files, first = names(scene, take, frames), round(take.frame_start)
    if strip is None:
        strip = _new(scene, take, folder / files[0], _channel(scene, take, first, first + len(files)), first)
    elif len(strip.elements) != len(files) or strip.get(FIRST) != first:
        moved = strip.get(FIRST) == first
        place = strip.channel, math.floor(compat.strip_times(strip).start) if moved else first
        compat.remove_strip(scene, strip)
        strip = _new(scene, take, folder / files[0], *place)
    while len(strip.elements) < len(files):
        strip.elements.append(files[len(strip.elements)])
    for element, name in zip(strip.elements, files, strict=True):
        if element.filename != name:
            element.filename = name
    _look_in(strip, folder)
    strip.colorspace_settings.name = colors.view_space(scene)
    strip[MARK], strip[TAKE], strip[FIRST] = take.shot, take.job_id, first
    return strip


def dress(scene: bpy.types.Scene) -> None:
    """The scene's view has changed: its strips read their pictures in the colour space of it."""
    space = colors.view_space(scene)
    for strip in compat.strips_of(scene):
        if strip.get(TAKE) and strip.colorspace_settings.name != space:
            strip.colorspace_settings.name = space


def _new(scene: bpy.types.Scene, take: Any, file: Path, channel: int, first: int) -> Any:
    strips = compat.strip_collection(scene)
    return strips.new_image(take.shot or take.name, str(file), channel, first, fit_method="FIT")


def _channel(scene: bpy.types.Scene, take: Any, first: int, until: int) -> int:
    """For the timeline's shots that of the others, where it is free, else one above all; for other takes any free."""
    if not take.shot:
        return free_channel(scene, first, until)
    own = next((each.channel for each in compat.strips_of(scene) if each.get(MARK)), 0)
    if own and own not in compat.channels_taken(scene, first, until):
        return own
    channel = min(max((each.channel for each in compat.strip_collection(scene)), default=0) + 1, MOST_CHANNELS)
    channels = getattr(scene.sequence_editor, "channels", ())
    if channel < len(channels):
        channels[channel].name = CHANNEL
    return channel


def _look_in(strip: Any, folder: Path) -> None:
    """Relative to the file once that is saved."""
    where = paths.relative(folder).rstrip("/\\") + os.sep
    if strip.directory != where:
        strip.directory = where


def point_at(scene: bpy.types.Scene, job_id: str, folder: Path) -> None:
    """The take's files have moved."""
    strip = find(scene, job_id)
    if strip is not None:
        _look_in(strip, folder)


def remove(scene: bpy.types.Scene, job_id: str) -> None:
    """The strip that shows a take, if one does."""
    strip = find(scene, job_id)
    if strip is not None:
        compat.remove_strip(scene, strip)


def picture_at(strip: Any, frame: int) -> str:
    """The file name that a strip shows at a scene frame."""
    at = frame - math.floor(compat.strip_times(strip).start)
    return str(strip.elements[min(max(at, 0), len(strip.elements) - 1)].filename)
