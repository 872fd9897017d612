"""Actions in every Blender: slots and channel bags from 4.4 on, plain F-curves before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from .turns import Array

SLOTTED = bpy.app.version >= (4, 4, 0)
LINEAR, CONSTANT = 1, 0  # of Keyframe.interpolation
STASH = "[Action Stash]"  # the name that Blender's own Stash gives its tracks


@dataclass(frozen=True)
class Assigned:
    """Which action, and slot where there are slots, animates a datablock."""

    had_data: bool
    action: str
    slot: int


def curves_of(action: Any, owner: Any, create: bool = True) -> Any:
    """The F-curves of ``action`` for a datablock: of its slot, which is made if need be."""
    if not SLOTTED:
        return action.fcurves
    slot = next((each for each in action.slots if each.identifier == _identifier(owner)), None)
    if slot is None and create:
        slot = action.slots.new(owner.id_type, owner.name)
    if slot is None:
        return ()
    layer = action.layers[0] if len(action.layers) else action.layers.new("Layer")
    strip = layer.strips[0] if len(layer.strips) else layer.strips.new(type="KEYFRAME")
    return strip.channelbag(slot, ensure=True).fcurves


def _identifier(owner: Any) -> str:
    return {"OBJECT": "OB", "KEY": "KE"}.get(owner.id_type, "XX") + owner.name


def write_curve(curves: Any, path: str, index: int, frames: Array, values: Array, *, constant: bool = False) -> None:
    """One F-curve with a key at each frame, all in one go."""
    curve = curves.find(path, index=index) or curves.new(path, index=index)
    points = curve.keyframe_points
    if len(points) != len(frames):
        if hasattr(points, "clear"):
            points.clear()
        points.add(len(frames) - len(points))
    pairs = np.stack([np.asarray(frames, np.float32), np.asarray(values, np.float32)], 1)
    points.foreach_set("co", np.ascontiguousarray(pairs).ravel())
    kinds = np.full(len(frames), CONSTANT if constant else LINEAR, np.int32)
    points.foreach_set("interpolation", kinds)
    curve.update()


def assigned(owner: Any) -> Assigned:
    """What animates a datablock now."""
    data = owner.animation_data
    if data is None or data.action is None:
        return Assigned(data is not None, "", 0)
    slot = data.action_slot.handle if SLOTTED and data.action_slot is not None else 0
    return Assigned(True, data.action.name, slot)


def assign(owner: Any, action: Any) -> None:
    """Let ``action`` animate the datablock, through the slot that is its own."""
    data = owner.animation_data or owner.animation_data_create()
    data.action = action
    if SLOTTED:
        data.action_slot = next(each for each in action.slots if each.identifier == _identifier(owner))


def restore(owner: Any, before: Assigned) -> None:
    """Let what animated the datablock animate it again."""
    data = owner.animation_data
    if not before.had_data:
        owner.animation_data_clear()
        return
    if data is None:
        data = owner.animation_data_create()
    action = bpy.data.actions.get(before.action) if before.action else None
    data.action = action
    if SLOTTED and action is not None:
        data.action_slot = next((each for each in action.slots if each.handle == before.slot), None)


def stash(owner: Any) -> str:
    """Keep the action that animates the datablock in a muted NLA track, as Blender's own Stash does; its name.

    A muted track changes nothing in the pose; without it the action would be lost with the next save.
    """
    data = owner.animation_data
    if data is None or data.action is None:
        return ""
    action = data.action
    if any(strip.action == action for track in data.nla_tracks for strip in track.strips):
        return str(action.name)
    slot = data.action_slot if SLOTTED else None
    track = data.nla_tracks.new()
    track.name, track.mute = STASH, True
    strip = track.strips.new(action.name, int(action.frame_range[0]), action)
    if slot is not None and getattr(strip, "action_slot", None) != slot:
        strip.action_slot = slot
    track.lock = True
    return str(action.name)
