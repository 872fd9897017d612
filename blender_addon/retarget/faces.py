"""Shape keys with ARKit names on a rig's meshes, for the face of a pose file."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from . import actions
from .turns import Array


def _plain(name: str) -> str:
    """``ARKit_jawOpen``, ``jaw_open`` and ``JawOpen`` alike."""
    return "".join(letter for letter in name.lower().removeprefix("arkit") if letter.isalnum())


def face_keys(scene: Any, armature: Any, names: tuple[str, ...]) -> list[tuple[Any, dict[str, int]]]:
    """Shape key datablocks of the meshes that the rig moves, each with key name -> row of ``names``."""
    rows = {_plain(name): i for i, name in enumerate(names) if not name.startswith("_")}
    found: dict[str, tuple[Any, dict[str, int]]] = {}
    for item in scene.objects:
        if item.type != "MESH" or item.data.shape_keys is None or not _moved_by(item, armature):
            continue
        keys = item.data.shape_keys
        if keys.library is not None:
            continue
        known = {block.name: rows[_plain(block.name)] for block in keys.key_blocks[1:] if _plain(block.name) in rows}
        driven = {driver.data_path for driver in keys.animation_data.drivers} if keys.animation_data else set()
        known = {name: row for name, row in known.items() if _path(name) not in driven}
        if known:
            found[keys.name] = (keys, known)
    return list(found.values())


def _moved_by(item: Any, armature: Any) -> bool:
    return item.parent == armature or any(
        modifier.type == "ARMATURE" and modifier.object == armature for modifier in item.modifiers
    )


def _path(name: str) -> str:
    return f'key_blocks["{bpy.utils.escape_identifier(name)}"].value'


def bake(keys: Any, rows: dict[str, int], action: Any, frames: Array, face: Array) -> Any:
    """Key the shape keys: in a slot of ``action`` where Blender has slots, else in an action of their own.

    Returns the action that was written.
    """
    if not actions.SLOTTED:
        action = bpy.data.actions.new(f"{action.name} face")
    actions.stash(keys)
    curves = actions.curves_of(action, keys)
    for name, row in rows.items():
        actions.write_curve(curves, _path(name), 0, frames, face[:, row])
    actions.assign(keys, action)
    return action


def show(keys: Any, rows: dict[str, int], face: Array, t: int) -> None:
    """Put sample ``t`` on the shape keys, without a key."""
    for name, row in rows.items():
        keys.key_blocks[name].value = float(np.float32(face[t, row]))
