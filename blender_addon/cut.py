"""A take in the Video Sequencer: one image strip whose pictures are chosen scene frame by scene frame.

An image strip shows one picture a scene frame. So that time is kept whatever the scene's and the take's rates are, the
strip names for every scene frame the sample that the plane shows there: at 24 frames a second a take of 16 shows some
pictures twice, at 8 it leaves some out. No speed control, no drift.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import bpy

from . import compat, framefiles, playback, soundtrack
from .capture.sound import scene_rate
from .problems import UserProblem
from .words import tr

MARK = "wanstage_pictures"


def relative(path: Path) -> str:
    """As the .blend keeps a path: from its own folder where both are on one drive, else whole."""
    home = bpy.data.filepath
    if not home or Path(home).drive.lower() != path.drive.lower():
        return str(path)
    return bpy.path.relpath(str(path))


def find(scene: bpy.types.Scene, job_id: str) -> Any:
    """The image strip of a take, whatever it is called now; None."""
    return next((each for each in compat.strips_of(scene) if each.get(MARK) == job_id), None)


def length(scene: bpy.types.Scene, take: Any) -> int:
    """Scene frames that the take plays."""
    return max(round(take.frames_done / take.fps * scene_rate(scene)), 1)


def names(scene: bpy.types.Scene, take: Any) -> list[str]:
    """The file of each scene frame, from the take's first on."""
    first = round(take.frame_start)
    rate = scene_rate(scene)
    found = (playback.sample_at(first + at, take, rate) for at in range(length(scene, take)))
    return [framefiles.PATTERN.format(sample + 1) for sample in found]


def send(scene: bpy.types.Scene, take: Any, folder: Path) -> Any:
    """The take's strip at its first frame, on a free channel; one that exists is made anew there. UserProblem."""
    if not framefiles.count(folder):
        problem = tr("{take} has no frames on disk in {folder}", take=take.name, folder=folder)
        raise UserProblem(problem)
    old = find(scene, take.job_id)
    first, count = round(take.frame_start), length(scene, take)
    channel = soundtrack.free_channel(scene, first, first + count)
    if old is not None:
        channel, first = old.channel, int(compat.strip_times(old).start)
        compat.remove_strip(scene, old)
    files = names(scene, take)
    strip = compat.strip_collection(scene).new_image(take.name, str(folder / files[0]), channel, first)
    for name in files[1:]:
        strip.elements.append(name)
    strip[MARK] = take.job_id
    point_at(scene, take.job_id, folder)
    return strip


def point_at(scene: bpy.types.Scene, job_id: str, folder: Path) -> None:
    """The pictures lie in this folder: relative to the .blend once that is saved."""
    strip = find(scene, job_id)
    if strip is not None:
        strip.directory = relative(folder)


def remove(scene: bpy.types.Scene, job_id: str) -> None:
    """The strip, if there is one."""
    strip = find(scene, job_id)
    if strip is not None:
        compat.remove_strip(scene, strip)


def picture_at(strip: Any, frame: int) -> str:
    """The file name that a strip shows at a scene frame."""
    at = frame - math.floor(compat.strip_times(strip).start)
    return strip.elements[min(max(at, 0), len(strip.elements) - 1)].filename
