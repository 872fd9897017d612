"""One card for Blender and the backend: Blender's share of its memory given back while a job runs on this machine.

Viewports in Material Preview or Rendered shading hold EEVEE's or Cycles' textures, and a render engine with persistent
data keeps a whole scene. Both are put away when a job begins and brought back when the last one has ended. Solid
shading with texture colours still shows the take.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import bpy

from . import playback, state

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """How a viewport was: the place of its area on a screen, its shading and what colours Solid had."""

    screen: str
    area: int
    shading: str
    colors: str


_views: list[Kept] = []
_persistent: list[str] = []  # scenes whose renders kept their data
_saving: list[Kept] = []  # what is put away again after a save
_still: list[str] = []


def is_here() -> bool:
    """Whether the backend runs on this machine, as far as its address says."""
    connection = state.now.connection
    if connection is None:
        return False
    host = connection.endpoint.partition("://")[2].rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name: another machine
        return False


def heavy() -> list[tuple[bpy.types.Screen, int, Any]]:
    """Viewports that hold materials on the card: their screen, the number of the area, the space."""
    found = []
    for screen in bpy.data.screens:
        for index, area in enumerate(screen.areas):
            if area.type == "VIEW_3D" and area.spaces.active.shading.type in {"MATERIAL", "RENDERED"}:
                found.append((screen, index, area.spaces.active))
    return found


def make() -> int:
    """Put viewports into Solid shading and free what renders kept; returns how many of both there were."""
    before = len(_views) + len(_persistent)
    for screen, index, space in heavy():
        _views.append(Kept(screen.name, index, space.shading.type, space.shading.color_type))
        space.shading.type = "SOLID"
        space.shading.color_type = "TEXTURE"  # the take is seen
    for scene in bpy.data.scenes:
        if scene.render.use_persistent_data:
            _persistent.append(scene.name)
            scene.render.use_persistent_data = False  # Blender frees what its engines kept
        for take in scene.wanstage.takes:
            plane = playback.find_plane(take.job_id)
            if plane is not None and plane.hide_viewport:
                playback.unload(plane)
    made = len(_views) + len(_persistent) - before
    if made:
        logger.info("%d viewports and renders gave their graphics memory back", made)
    return made


def restore() -> None:
    """Viewports and scenes as they were, unless the user changed them or they are gone."""
    while _views:
        kept = _views.pop()
        screen = bpy.data.screens.get(kept.screen)
        if screen is None or kept.area >= len(screen.areas) or screen.areas[kept.area].type != "VIEW_3D":
            continue
        shading = screen.areas[kept.area].spaces.active.shading
        if shading.type == "SOLID":
            shading.color_type, shading.type = kept.colors, kept.shading
    while _persistent:
        scene = bpy.data.scenes.get(_persistent.pop())
        if scene is not None:
            scene.render.use_persistent_data = True


def begin(scene: bpy.types.Scene) -> None:
    """A job is about to be sent."""
    if scene.wanstage.make_room and is_here():
        make()


def before_save() -> None:
    """The file is saved with the views as they were: nobody would bring them back after it is loaded."""
    _saving.extend(_views)
    _still.extend(_persistent)
    restore()


def after_save() -> None:
    """Put away again what was."""
    for kept in _saving:
        screen = bpy.data.screens.get(kept.screen)
        if screen is not None and kept.area < len(screen.areas) and screen.areas[kept.area].type == "VIEW_3D":
            shading = screen.areas[kept.area].spaces.active.shading
            if shading.type == kept.shading:
                shading.type, shading.color_type = "SOLID", "TEXTURE"
                _views.append(kept)
    for scene in (bpy.data.scenes.get(name) for name in _still):
        if scene is not None and scene.render.use_persistent_data:
            scene.render.use_persistent_data = False
            _persistent.append(scene.name)
    _saving.clear()
    _still.clear()


def watch() -> None:
    """Each turn of the pump: bring back what was put away once no job runs."""
    if (_views or _persistent) and not state.now.active():
        restore()


def forget() -> None:
    """Another file is open: its screens are its own."""
    _views.clear()
    _persistent.clear()


def is_made() -> bool:
    """Whether something is put away now."""
    return bool(_views or _persistent)


def is_offered() -> bool:
    """Whether the panel offers to make room: a job runs here and nothing is put away yet."""
    return bool(state.now.active()) and is_here() and not is_made()
