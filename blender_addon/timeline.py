"""Shots from the timeline: every marker that a camera is bound to begins one, which ends before the next.

Rows of the scene keep what a shot has of its own; where a shot begins and ends is always read from the markers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy

from . import shots, takes
from .words import tr

INHERITED = "scene"
"""What an enum of a row says when it takes the scene's."""


@dataclass(frozen=True)
class Cut:
    """A shot of the timeline: scene frames ``first`` to ``last``, both in it. Made anew whenever it is needed."""

    name: str
    camera: bpy.types.Object
    first: int
    last: int

    @property
    def frames(self) -> int:
        """How many scene frames."""
        return self.last - self.first + 1


def bound(scene: bpy.types.Scene) -> list[Any]:
    """The markers with a camera, by frame; of several at one frame the last, as in Blender."""
    found = {}
    for marker in scene.timeline_markers:
        if marker.camera is not None:
            found[marker.frame] = marker
    return [found[frame] for frame in sorted(found)]


def cuts(scene: bpy.types.Scene) -> list[Cut]:
    """The shots within the scene's range, in order, each with a name of its own."""
    markers, found, names = bound(scene), [], set()
    for place, marker in enumerate(markers):
        first = max(marker.frame, scene.frame_start)
        until = markers[place + 1].frame - 1 if place + 1 < len(markers) else scene.frame_end
        last = min(until, scene.frame_end)
        if last < first:
            continue
        name, number = marker.name, 1
        while name in names:
            number += 1
            name = f"{marker.name} {number}"
        names.add(name)
        found.append(Cut(name, marker.camera, first, last))
    return found


def find(scene: bpy.types.Scene, name: str) -> Cut | None:
    """The shot of this name as the markers lie now."""
    return next((cut for cut in cuts(scene) if cut.name == name), None)


def sentences(scene: bpy.types.Scene) -> list[str]:
    """What of the timeline makes no shot, and why."""
    markers = bound(scene)
    if not markers:
        return [tr("No camera is bound to the timeline: bind each shot's by Marker, Bind Camera to Markers (Ctrl B)")]
    found = [
        tr("The marker {name} at frame {frame} has no camera: it begins no shot", name=marker.name, frame=marker.frame)
        for marker in sorted(scene.timeline_markers, key=lambda each: each.frame) if marker.camera is None
    ]  # fmt: skip
    found += [
        tr("The marker {marker} lies at frame {frame}, behind the scene's last, {last}: no "
"shot", marker=marker.name, frame=marker.frame, last=scene.frame_end)
        for marker in markers if marker.frame > scene.frame_end
    ]  # fmt: skip
    if scene.frame_start < markers[0].frame <= scene.frame_end:
        found.append(
            tr(
                "Frames {first} to {last} are in no shot: no camera is bound before",
                first=scene.frame_start,
                last=markers[0].frame - 1,
            )
        )
    missing = {marker.camera.name for marker in markers if scene.objects.get(marker.camera.name) != marker.camera}
    return found + [tr("The camera {name} is not in this scene", name=name) for name in sorted(missing)]


# ---- rows --------------------------------------------------------------------------------------------------


def row(scene: bpy.types.Scene, cut: Cut) -> Any:
    """The row of a shot; None when there is none yet."""
    return next((each for each in scene.wanstage_timeline.rows if each.name == cut.name), None)


def is_listed(scene: bpy.types.Scene) -> bool:
    """Whether the rows are those of the markers, in their order."""
    return [cut.name for cut in cuts(scene)] == [each.name for each in scene.wanstage_timeline.rows]


def refresh(scene: bpy.types.Scene) -> int:
    """Make the rows those of the markers; a shot that was renamed or moved keeps what it has of its own."""
    rows, wanted = scene.wanstage_timeline.rows, cuts(scene)
    names = {cut.name for cut in wanted}
    free = [each for each in rows if each.name not in names]
    for cut in wanted:
        if row(scene, cut) is None:
            renamed = next((each for each in free if each.first == cut.first), None)
            if renamed is not None:
                renamed.name = cut.name
                free.remove(renamed)
            else:
                rows.add().name = cut.name
                free = [each for each in rows if each.name not in names]  # a new row moves the others in memory
        row(scene, cut).first = cut.first
    for place in reversed(range(len(rows))):
        if rows[place].name not in names:
            rows.remove(place)
    for place, cut in enumerate(wanted):
        rows.move(next(index for index, each in enumerate(rows) if each.name == cut.name), place)
    return len(wanted)


# ---- settings ----------------------------------------------------------------------------------------------

_KEPT = ("task", "engine", "model", "fps", "size", "width", "height", "quality", "seed", "prompt", "negative_prompt",
         "camera", "use_scene_range", "frame_start", "frame_end", "fit_frames")  # fmt: skip


@contextmanager
def settings(scene: bpy.types.Scene, cut: Cut) -> Iterator[None]:
    """Within this the scene's shot is the timeline's: its camera and range, and what its row has of its own."""
    shot, scene_name = scene.wanstage, scene.name
    before = {name: getattr(shot, name) for name in _KEPT}
    try:
        _use(shot, row(scene, cut))
        shot.camera, shot.use_scene_range = cut.camera, False
        shot.frame_start, shot.frame_end, shot.fit_frames = cut.first, cut.last, True
        shot.frame_end = whole_end(scene, cut)
        yield
    finally:
        found = bpy.data.scenes.get(scene_name)  # another file may have been opened meanwhile
        if found is not None:
            for name, value in before.items():  # task before model before rate and size: each sets what follows
                setattr(found.wanstage, name, value)


def _use(shot: Any, own: Any) -> None:
    """A row's own values over the scene's."""
    if own is None:
        return
    if INHERITED != own.task != shot.task:
        shot.task = own.task
    if own.quality != INHERITED:
        shot.quality = own.quality
    if own.own_seed:
        shot.seed = own.seed
    shot.prompt = own.prompt or shot.prompt
    shot.negative_prompt = own.negative_prompt or shot.negative_prompt


def whole_end(scene: bpy.types.Scene, cut: Cut) -> int:
    """The last frame to capture so that the model's number of frames covers the shot up to its cut.

    A model that makes 4n+1 frames makes up to three more than are seen: they lie behind the cut, as handles do.
    """
    rule, count = shots.rule(scene.wanstage), shots.sample_count(scene)
    covering = rule.fitting(count)
    if covering < count:
        covering = min(covering + rule.step, rule.fitting(rule.most))
    if covering <= count:
        return cut.last
    rate = takes.scene_fps(scene) / scene.wanstage.fps
    return cut.first + int(-(-((covering - 1) * rate - 1e-6) // 1))
