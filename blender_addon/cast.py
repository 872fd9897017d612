"""The people of a scene: its armatures, which of them the panel shows, and what a model can do with several."""

from __future__ import annotations

from typing import Any

import bpy

from . import catalog, shots, state
from .words import tr


def armatures(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """Every armature of the scene, by name."""
    return sorted((item for item in scene.objects if item.type == "ARMATURE"), key=lambda item: item.name)


def known_rows(scene: bpy.types.Scene) -> list[int]:
    """For drawing: the armatures' rows among the scene's objects, by name; looked for again when something changed,
    since a scene may have thousands of objects."""
    items = scene.objects
    key = (scene.name_full, len(items), state.now.revision)
    kept = _rows.get("last")
    if kept is None or kept[0] != key or not all(_is(items, row, name) for row, name in kept[1]):
        found = [(row, item.name) for row, item in enumerate(items) if item.type == "ARMATURE"]
        kept = _rows["last"] = (key, sorted(found, key=lambda each: each[1]))
    return [row for row, _ in kept[1]]


_rows: dict[str, tuple[object, list[tuple[int, str]]]] = {}


def _is(items: Any, row: int, name: str) -> bool:
    item = items[row]
    return bool(item.name == name and item.type == "ARMATURE")


def known_armatures(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """For drawing: ``armatures``."""
    return [scene.objects[row] for row in known_rows(scene)]


def selected(scene: bpy.types.Scene) -> bpy.types.Object | None:
    """The armature whose settings the panel shows: the one that was clicked in the list, else the first; None."""
    chosen = scene.wanstage.cast
    if chosen is not None and chosen.type == "ARMATURE" and scene.objects.get(chosen.name) == chosen:
        return chosen
    return next(iter(known_armatures(scene)), None)


def get_index(shot: Any) -> int:
    """The row of the selected armature among the scene's objects; -1 = none."""
    chosen = selected(shot.id_data)
    return shot.id_data.objects.find(chosen.name) if chosen is not None else -1


def set_index(shot: Any, index: int) -> None:
    """Select the armature of a row."""
    items = shot.id_data.objects
    if 0 <= index < len(items) and items[index].type == "ARMATURE":
        shot.cast = items[index]


def drives_one(shot: Any) -> bool:
    """Whether the chosen model puts a person on one character a job: all video models, while the draft takes many."""
    return bool(shot.engine == "wan" and shot.task in shots.WAN_PARTS)


def with_people(scene: bpy.types.Scene) -> list[bpy.types.Object]:
    """The driven characters that have a reference picture; cheap, for drawing too."""
    return [item for item in known_armatures(scene) if shots.is_character(item) and shots.has_reference(item)]


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
