"""The people of a scene: its armatures, which of them the panel shows, and what a model can do with several."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import bpy

from . import catalog, objects, shots, state
from .words import tr

THROTTLE_S = 0.5


@dataclass(frozen=True)
class _Known:
    """The armatures of a scene by their full names, with name and library, and what they were looked for from."""

    lengths: tuple[int, int]
    revision: int
    at: float
    names: dict[str, tuple[str, str | None]]


_known: dict[str, _Known] = {}


def names(scene: bpy.types.Scene) -> dict[str, tuple[str, str | None]]:
    """Full name -> name and library of every armature of the scene, by name.

    For drawing: a scene may have thousands of objects, so they are looked through again when something changed only,
    and after edits not more often than twice a second.
    """
    lengths, revision = (len(bpy.data.objects), len(bpy.data.armatures)), state.now.revision
    found, now = _known.get(scene.name_full), time.monotonic()
    fresh = found is not None and found.lengths == lengths and not bpy.app.background
    if found is None or not fresh or (found.revision != revision and now - found.at > THROTTLE_S):
        items = sorted((item for item in scene.objects if item.type == "ARMATURE"), key=lambda item: item.name)
        listed = {item.name_full: (item.name, item.library.filepath if item.library else None) for item in items}
        found = _known[scene.name_full] = _Known(lengths, revision, now, listed)
    return found.names


def forget() -> None:
    """As after a file load."""
    _known.clear()


def armatures(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Every armature of the scene, by name; cheap, for drawing."""
    found = (objects.named(key) for key in names(scene).values())
    return [item for item in found if item is not None and item.type == "ARMATURE"]


def find(scene: bpy.types.Scene, full_name: str) -> bpy.types.Object | None:
    """One of them by its full name; None."""
    key = names(scene).get(full_name)
    item = objects.named(key) if key is not None else None
    return item if item is not None and item.type == "ARMATURE" else None


def selected(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The armature whose settings the panel shows: the one that was clicked in the list, else the first; None."""
    chosen = scene.wanstage.cast
    if chosen is not None and chosen.type == "ARMATURE" and chosen.name_full in names(scene):
        return chosen
    return next(iter(armatures(scene)), None)


def get_index(shot: Any) -> int:
    """The row of the selected armature in the list; -1 = none."""
    chosen = selected(shot.id_data)
    return list(names(shot.id_data)).index(chosen.name_full) if chosen is not None else -1


def set_index(shot: Any, index: int) -> None:
    """Select the armature of a row."""
    items = armatures(shot.id_data)
    if 0 <= index < len(items):
        shot.cast = items[index]


def rows_match(scene: bpy.types.Scene) -> bool:
    """Whether the list has the rows that it should have; drawing may not write them."""
    return [row.name for row in bpy.context.window_manager.wanstage_cast] == list(names(scene))


def fill_rows(scene: bpy.types.Scene) -> None:
    """The list's rows: the full names of the armatures."""
    if not rows_match(scene):
        rows = bpy.context.window_manager.wanstage_cast
        rows.clear()
        for name in names(scene):
            rows.add().name = name


def drives_one(shot: Any) -> bool:
    """Whether the chosen model puts a person on one character a job: all video models, while the draft takes many."""
    return bool(shot.engine == "wan" and shot.task in shots.WAN_PARTS)


def with_people(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The driven characters that have a reference picture; cheap, for drawing too."""
    return [item for item in armatures(scene) if shots.is_character(item) and shots.has_reference(item)]


def too_many(scene: bpy.types.Scene) -> str:
    """Why not all characters that have a person are driven, and what to do; empty when they are."""
    shot = scene.wanstage
    people = with_people(scene) if drives_one(shot) else []
    if len(people) < 2:
        return ""
    info = catalog.model_info(shot.engine, shot.model)
    return tr(
        "{model} puts a person on one character a shot: only {name} is driven. Select whom to drive, or make a take "
        "for each",
        model=(info.title or info.name) if info is not None else tr("The model"),
        name=people[0].name,
    )


def drive_only(scene: bpy.types.Scene, chosen: bpy.types.Object) -> list[str]:
    """Keep every other driven character that has a person as it is; returns their names."""
    kept = [item for item in with_people(scene) if item != chosen]
    for item in kept:
        item.wanstage.use = False
    return [item.name for item in kept]
