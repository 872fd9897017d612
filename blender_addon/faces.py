"""Whether rigs have a face that could be filmed: looked up outside of drawing, once an edit."""

from __future__ import annotations

from typing import Any

import bpy

from . import bonemap_store, playback, state
from .capture.bonemap import find_bone_map
from .capture.face import has_head
from .capture.params import CaptureProblem

_known: dict[str, tuple[int, bool]] = {}
_wanted: set[str] = set()


def known(item: Any) -> bool | None:
    """Whether the armature's character has a head; None while nobody has looked. For drawing: it only asks for it."""
    found = _known.get(item.name)
    if (found is None or found[0] != state.now.revision) and not bpy.app.background:
        _wanted.add(item.name)
        if not bpy.app.timers.is_registered(look):
            bpy.app.timers.register(look, first_interval=0.05)
    return found[1] if found is not None else None


def look() -> None:
    """Look at the rigs that were asked about."""
    for name in _wanted:
        item = bpy.data.objects.get(name)
        if item is not None and item.type == "ARMATURE":
            _known[name] = (state.now.revision, find(item))
    _wanted.clear()
    playback.redraw()


def find(item: bpy.types.Object) -> bool:
    """Whether some mesh hangs on the rig's head."""
    try:
        head = find_bone_map(item, bonemap_store.overrides_of(item)).bones.get("head")
    except CaptureProblem:
        return False
    return head is not None and has_head(bpy.context.scene, item, head)


def unregister() -> None:
    """A timer that is left registered makes some Blenders hang at exit."""
    if bpy.app.timers.is_registered(look):
        bpy.app.timers.unregister(look)
    _known.clear()
    _wanted.clear()


def register() -> None:
    """Nothing to do: the timer starts when a panel asks."""
