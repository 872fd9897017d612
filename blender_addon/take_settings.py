"""The settings that a take was made with, as JSON in its metadata, and back into the shot.

Everything that the shot's own properties say is kept, so that a setting that is added later is kept too; what is about
the list of takes, or where planes and files go, is not a setting of a take.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import shots

NOT_OURS = frozenset({"rna_type", "name", "takes", "take_index", "lora_index", "frames_folder", "depth", "add_sound",
                      "compare"})  # fmt: skip
FIRST = ("task", "engine", "model")  # choosing these sets others
PLAIN = frozenset({"BOOLEAN", "INT", "FLOAT", "STRING", "ENUM"})


def snapshot(scene: bpy.types.Scene) -> dict[str, Any]:
    """All settings of the shot and of its characters. Values are JSON's own; datablocks are named."""
    shot = scene.wanstage
    found = {"shot": read(shot), "loras": [read(lora) for lora in shot.loras]}
    found["range"] = list(shots.frame_range(scene))
    found["characters"] = {item.name: read(item.wanstage) for item in shots.characters(scene)}
    return found


def read(group: Any) -> dict[str, Any]:
    """The plain properties of a group and the names of the datablocks that it points at."""
    values: dict[str, Any] = {}
    for prop in group.bl_rna.properties:
        if prop.identifier in NOT_OURS and not _is_lora_name(group, prop.identifier):
            continue
        value = getattr(group, prop.identifier)
        if prop.type == "POINTER" and prop.fixed_type.identifier in {"Object", "Image"}:
            values[prop.identifier] = value.name if value is not None else ""
        elif prop.type in PLAIN and not prop.is_skip_save and not prop.is_readonly:
            values[prop.identifier] = list(value) if getattr(prop, "is_array", False) else value
    return values


def _is_lora_name(group: Any, name: str) -> bool:
    """A LoRA or a character is told by its name; that of the shot's own group means nothing."""
    return name == "name" and not hasattr(group, "takes")


def apply(scene: bpy.types.Scene, found: dict[str, Any]) -> list[str]:
    """Put settings back into the shot; returns what could not be: names of properties, objects, images."""
    shot = scene.wanstage
    said = found.get("shot") or {}
    lost = write(shot, {name: said[name] for name in (*FIRST, *said) if name in said})
    if "loras" in found:
        shot.loras.clear()
        for lora in found["loras"]:
            lost += write(shot.loras.add(), lora)
    for name, values in (found.get("characters") or {}).items():
        item = scene.objects.get(name)
        lost += [name] if item is None else write(item.wanstage, values)
    if found.get("range") and tuple(found["range"]) != shots.frame_range(scene):
        shot.use_scene_range = False
        shot.frame_start, shot.frame_end = found["range"]
    return lost


def write(group: Any, values: dict[str, Any]) -> list[str]:
    """Set properties of a group; returns the names of those that this version or this file does not have."""
    lost = []
    for name, value in values.items():
        prop = group.bl_rna.properties.get(name)
        try:
            if prop is not None and prop.type == "POINTER":
                blocks = bpy.data.objects if prop.fixed_type.identifier == "Object" else bpy.data.images
                setattr(group, name, blocks[value] if value else None)
            elif prop is not None:
                setattr(group, name, value)
            else:
                lost.append(name)
        except (TypeError, KeyError, ValueError):  # an enumeration without that value, an object that was removed
            lost.append(str(value) if prop.type == "POINTER" else name)
    return lost
