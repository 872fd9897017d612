"""Shots of the timeline in the sequencer: one strip of pictures a shot, on a channel of its own, in time.

The strip has one picture for each scene frame, the one that the take's plane shows then; so a take of any rate keeps
its time, without speed effects. A redo puts its pictures into the strip that is there.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import bpy

from . import colors, compat, framefiles, paths, playback
from .capture.sound import scene_rate
from .soundtrack import MOST_CHANNELS

logger = logging.getLogger(__name__)

MARK = "wanstage_shot"
TAKE = "wanstage_shot_take"
CHANNEL = "Wanstage"


def find(scene: bpy.types.Scene, shot: str) -> Any:
    """The strip of a timeline's shot, whatever it is called now; None."""
    return next((each for each in compat.strips_of(scene) if each.get(MARK) == shot), None)


def lay(scene: bpy.types.Scene, take: Any) -> Any:
    """The strip of the take's shot with the take's pictures; None without frames, or when no strips are wanted."""
    if not take.frames_done or not scene.wanstage_timeline.use_sequencer:
        return None
    folder = paths.absolute(take.frames_dir)
    files = pictures(scene, take, folder)
    strip = find(scene, take.shot)
    if strip is not None and (len(strip.elements) != len(files) or not _starts(strip, take)):
        compat.remove_strip(scene, strip)
        strip = None
    if strip is None:
        strip = _new(scene, take, folder, files)
    for element, name in zip(strip.elements, files, strict=True):
        if element.filename != name:
            element.filename = name
    _look_in(strip, folder)
    strip.colorspace_settings.name = colors.view_space(scene)
    strip[MARK], strip[TAKE] = take.shot, take.job_id
    return strip


def pictures(scene: bpy.types.Scene, take: Any, folder: Path) -> list[str]:
    """File names, one for each scene frame of the shot for which the take has a sample."""
    fps = scene_rate(scene)
    first = round(take.frame_start)
    reach = first + int(
        take.slip + take.frames * fps / take.fps - 1e-6
    )  # the last scene frame within the last sample's time
    last = max(min(take.frame_end, reach), first)
    return [framefiles.path_of(folder, playback.sample_at(frame, take, fps)).name for frame in range(first, last + 1)]


def _starts(strip: Any, take: Any) -> bool:
    """Whether the strip still begins with the shot; one that was moved by hand lies where the user wants it."""
    return bool(strip.get("wanstage_first") == round(take.frame_start))


def _new(scene: bpy.types.Scene, take: Any, folder: Path, files: list[str]) -> Any:
    first = round(take.frame_start)
    channel = _channel(scene, first, first + len(files))
    strips = compat.strip_collection(scene)
    strip = strips.new_image(take.shot, str(folder / files[0]), channel, first, fit_method="FIT")
    for name in files[1:]:
        strip.elements.append(name)
    strip["wanstage_first"] = first
    return strip


def _channel(scene: bpy.types.Scene, first: int, until: int) -> int:
    """That of the shots' strips, where it is free; else one above all."""
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
    for strip in compat.strips_of(scene):
        if strip.get(TAKE) == job_id:
            _look_in(strip, folder)


def remove(scene: bpy.types.Scene, job_id: str) -> None:
    """The strip that shows a take, if one does."""
    strip = next((each for each in compat.strips_of(scene) if each.get(TAKE) == job_id), None)
    if strip is not None:
        compat.remove_strip(scene, strip)
