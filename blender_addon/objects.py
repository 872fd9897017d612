"""Objects by name or by mark, remembered: Blender looks through all of them, and a panel's rows ask often.

What is remembered is looked at before it is given: an object that was renamed or removed since is looked for again.
Undo and loading a file forget everything before they put other objects in place (see handlers.py).
"""

from __future__ import annotations

from typing import Any

import bpy

Key = tuple[str, str | None]

_held: dict[tuple[str, ...] | Key, bpy.types.Object] = {}
_absent: dict[tuple[str, str], int] = {}  # mark and value -> how many objects were looked through


def named(key: Key) -> bpy.types.Object | None:
    """As ``bpy.data.objects.get``: by name and library's path, None for the file's own objects."""
    held = _held.get(key)
    if held is not None and _key(held) == key:
        return held
    return _keep(key, bpy.data.objects.get(key))


def marked(mark: str, value: str, name: str) -> bpy.types.Object | None:
    """The object whose custom property ``mark`` is ``value``; the one that is called ``name``, if it is one of them."""
    key = (mark, value, name)
    held = _held.get(key)
    if held is not None and _is_marked(held, mark, value):
        return held
    found = bpy.data.objects.get(name)
    if found is None or found.get(mark) != value:
        count = len(bpy.data.objects)
        if _absent.get((mark, value)) == count:
            return None
        found = next((item for item in bpy.data.objects if item.get(mark) == value), None)
        if found is None:
            _absent[mark, value] = count
    return _keep(key, found)


def forget() -> None:
    """Before undo, redo and another file."""
    _held.clear()
    _absent.clear()


def _key(held: bpy.types.Object) -> Key | None:
    try:
        return held.name, held.library.filepath if held.library is not None else None
    except ReferenceError:  # removed since
        return None


def _is_marked(held: bpy.types.Object, mark: str, value: str) -> bool:
    try:
        return bool(held.get(mark) == value)
    except ReferenceError:
        return False


def _keep(key: Any, found: bpy.types.Object | None) -> bpy.types.Object | None:
    if found is None:
        _held.pop(key, None)
    else:
        _held[key] = found
    return found
