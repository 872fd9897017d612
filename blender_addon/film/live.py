"""Who was found so far, drawn over the 3D view while the backend looks: a figure of lines that moves as frames come.

Nothing of it is data of the file. The newest frame is drawn; where the view looks through the camera of a take, what
was found at the scene's own frame lies over the film, and the newest is pale. Without a known camera the figure stands
at the rig. Geometry is made once a frame, when it is drawn (figure.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import atan2
from typing import Any

import bpy
import gpu
import numpy as np
from gpu_extras.batch import batch_for_shader
from mathutils import Matrix

from .. import compat, playback, takes
from . import figure

BONE_PX, JOINT_PX = 2.5, 6.0
PALE = 0.35


@dataclass(frozen=True)
class Watched:
    """The film of a search: pixels, frames a second, its camera where that is known."""

    width: int
    height: int
    fps: float = 0.0
    views: figure.Path | None = None


@dataclass
class Shown:
    """What came of a search. ``frames``: of a take all (3 kB each), else the newest; ``drawn``: what ``wanted`` gave to
    its batches."""

    film: Watched
    newest: int = -1
    frames: dict[int, bytes] = field(default_factory=dict)
    drawn: dict[tuple[int, float], list[Any]] = field(default_factory=dict)
    distances: dict[int, float] = field(default_factory=dict)
    base: Any = None  # turn (3,3) and shift (3,) from the guessed camera's world to the rig


_shown: dict[str, Shown] = {}


def watch(job_id: str, film: Watched) -> None:
    """A search begins or goes on; one that is known keeps its camera."""
    known = _shown.get(job_id)
    _shown[job_id] = Shown(film if known is None or film.views is not None else known.film)


def came(job_id: str, index: int, data: Any) -> None:
    """The people of a frame, as ``pose_ready`` has them."""
    shown = _shown.get(job_id)
    if shown is None:
        return
    if shown.film.views is None:
        shown.frames.clear()
    shown.newest, shown.frames[index] = index, bytes(data)
    if not compat.is_drawing():
        compat.draw_in_views(draw)
    playback.redraw()


def hide() -> None:
    """Until the next frame comes: the backend is out of reach."""
    for shown in _shown.values():
        shown.newest = -1
        shown.frames.clear()
        shown.drawn.clear()
    compat.drop_drawing()
    playback.redraw()


def end(job_id: str = "") -> None:
    """A search is over; without its name, all are."""
    for each in [job_id] if job_id else list(_shown):
        _shown.pop(each, None)
    if not any(shown.frames for shown in _shown.values()):
        compat.drop_drawing()
    playback.redraw()


def wanted(shown: Shown, scene: Any, *, through: str = "") -> list[tuple[int, float]]:
    """Which frames are drawn, and how strongly. ``through``: the camera that the view looks through."""
    views = shown.film.views
    if shown.newest < 0:
        return []
    if views is None or through != views.camera:
        return [(shown.newest, 1.0)]
    own = scene.wanstage_retarget.motion
    here = round((scene.frame_current_final - own.first) * shown.film.fps / takes.scene_fps(scene))
    if here == shown.newest or here not in shown.frames:
        return [(shown.newest, 1.0)]
    return [(shown.newest, PALE), (here, 1.0)]


def lines(shown: Shown, frame: int, strength: float, place: Any) -> list[tuple[Any, Any]]:
    """Places and colours of a frame's bones and joints in the world. ``place``: (4,4), where an unknown camera's person
    begins."""
    views = shown.film.views
    view = views.at(frame) if views is not None else figure.guessed(shown.film.width, shown.film.height)
    rows = figure.people(shown.frames[frame])
    points, sure = figure.placed(rows, view, shown.distances if frame == shown.newest else {})
    if views is None and len(rows):
        if shown.base is None:
            turn = place[:3, :3]
            shown.base = turn, figure.standing(points @ turn.T, sure, place[:3, 3])
        turn, shift = shown.base
        points = points @ turn.T + shift
    return [figure.bones(points, sure, strength), figure.joints(points, sure, strength)]


def place_of(scene: Any, active: Any) -> Any:
    """(4,4) where the rig that will take the motion stands, and which way it looks; the origin when there is none."""
    rig = scene.wanstage_retarget.armature or active
    if rig is None or rig.type != "ARMATURE":
        return np.eye(4)
    there = rig.matrix_world
    return np.array(Matrix.Translation(there.translation) @ Matrix.Rotation(atan2(there[1][0], there[0][0]), 4, "Z"))


def draw() -> None:
    """Called by Blender for each 3D view."""
    context = bpy.context
    scene, space = context.scene, context.space_data
    shown = _shown.get(scene.wanstage_retarget.motion.job_id)
    if shown is None or not scene.wanstage_retarget.live or not space.overlay.show_overlays:
        return
    camera = space.camera if context.region_data.view_perspective == "CAMERA" else None
    asked = wanted(shown, scene, through=camera.name if camera is not None else "")
    shown.drawn = {each: shown.drawn[each] for each in asked if each in shown.drawn}
    for each in asked:
        if each not in shown.drawn:
            made = lines(shown, *each, place_of(scene, context.view_layer.objects.active))
            shown.drawn[each] = [_batch(*part) for part in made]
        for batch, width in zip(shown.drawn[each], (BONE_PX, JOINT_PX), strict=True):
            _draw(batch, width * context.preferences.system.ui_scale, context.region)


def _batch(places: Any, colours: Any) -> Any:
    shader = gpu.shader.from_builtin(compat.LINES)
    return batch_for_shader(shader, "LINES", {"pos": places, "color": colours}) if len(places) else None


def _draw(batch: Any, width: float, region: Any) -> None:
    if batch is None:
        return
    shader = gpu.shader.from_builtin(compat.LINES)
    before = gpu.state.depth_test_get()
    gpu.state.blend_set("ALPHA")
    gpu.state.depth_test_set("NONE")
    shader.bind()
    shader.uniform_float("viewportSize", (region.width, region.height))
    shader.uniform_float("lineWidth", width)
    batch.draw(shader)
    gpu.state.depth_test_set(before)
    gpu.state.blend_set("NONE")
