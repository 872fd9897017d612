"""Small pictures of takes for the list: the middle frame of each, loaded outside of drawing."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews

from . import framefiles, playback, takes

logger = logging.getLogger(__name__)

LOAD_S = 0.05


class _Loaded:
    """The collection of previews, and what drawing has asked for since."""

    previews: Any = None
    wanted: dict[str, int] = {}
    files: dict[str, Path] = {}


now = _Loaded()


def icon(take: Any) -> int:
    """The icon number of a take's picture; 0 until it is loaded. Cheap: for drawing."""
    if not take.frames_done or take.state not in takes.ENDED:
        return 0
    key = f"{take.job_id} {take.frames_done}"
    if now.previews is not None and key in now.previews:
        return now.previews[key].icon_id
    if take.job_id not in now.wanted:
        now.wanted[take.job_id] = take.frames_done
        if not bpy.app.background and not bpy.app.timers.is_registered(load):
            bpy.app.timers.register(load, first_interval=LOAD_S)
    return 0


def file_icon(key: str, path: Path) -> int:
    """As ``icon`` of any picture; another ``key`` where the file has changed."""
    if now.previews is not None and key in now.previews:
        return now.previews[key].icon_id
    if key not in now.files:
        now.files[key] = path
        if not bpy.app.background and not bpy.app.timers.is_registered(load):
            bpy.app.timers.register(load, first_interval=LOAD_S)
    return 0


def load() -> float | None:
    """Load the pictures of files, then one of a take that drawing asked for; a timer calls this until none is left."""
    for key, path in now.files.items():
        if path.is_file() and (now.previews is None or key not in now.previews):
            now.previews = now.previews or bpy.utils.previews.new()
            now.previews.load(key, str(path), "IMAGE")
            playback.redraw()
    if not now.wanted:
        return None
    job_id, frames = now.wanted.popitem()
    found = takes.find(job_id)
    path = framefiles.path_of(takes.folder(found[1]), frames // 2) if found else None
    if path is not None and path.is_file():
        now.previews = now.previews or bpy.utils.previews.new()
        with contextlib.suppress(KeyError):  # loaded meanwhile
            now.previews.load(f"{job_id} {frames}", str(path), "IMAGE")
        playback.redraw()
    return LOAD_S if now.wanted else None


def register() -> None:
    """Nothing yet: the first take that is drawn begins it."""
    now.wanted.clear()
    now.files.clear()


def unregister() -> None:
    """Give the pictures back."""
    if bpy.app.timers.is_registered(load):
        bpy.app.timers.unregister(load)
    if now.previews is not None:
        bpy.utils.previews.remove(now.previews)
        now.previews = None
