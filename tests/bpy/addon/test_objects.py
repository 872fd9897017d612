"""Objects that are remembered: renamed, removed, undone and linked ones are looked for again."""

from __future__ import annotations

from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

MARK = "mark"


def add(name: str, mark: str = "") -> Any:
    item = bpy.data.objects.new(name, None)
    if mark:
        item[MARK] = mark
    bpy.context.scene.collection.objects.link(item)
    return item


def test_renamed_and_removed(addon: Any) -> None:
    from blender_addon import objects

    item = add("One")
    assert objects.named(("One", None)) == item
    item.name = "Other"
    assert objects.named(("One", None)) is None
    assert objects.named(("Other", None)) == item
    bpy.data.objects.remove(item)
    assert objects.named(("Other", None)) is None
    again = add("Other")
    assert objects.named(("Other", None)) == again


def test_by_mark(addon: Any) -> None:
    """Whatever it is called; an object that comes later is found, one that goes is forgotten."""
    from blender_addon import objects

    assert objects.marked(MARK, "a", "Plane") is None
    item = add("Elsewhere", "a")
    assert objects.marked(MARK, "a", "Plane") == item
    item.name = "Called otherwise"
    assert objects.marked(MARK, "a", "Plane") == item
    assert objects.marked(MARK, "b", "Plane") is None
    bpy.data.objects.remove(item)
    assert objects.marked(MARK, "a", "Plane") is None
    named = add("Plane", "a")
    assert objects.marked(MARK, "a", "Plane") == named
    named[MARK] = "b"
    assert objects.marked(MARK, "a", "Plane") is None


def test_undo_and_another_file(addon: Any) -> None:
    """What is given after it is of the file as it is then."""
    from blender_addon import objects

    bpy.ops.ed.undo_push(message="Nothing")
    add("One", "a").location.x = 1.0
    bpy.ops.ed.undo_push(message="One")
    bpy.data.objects["One"].location.x = 2.0
    bpy.ops.ed.undo_push(message="Moved")
    for _ in range(3):
        for step, place in ((bpy.ops.ed.undo, 1.0), (bpy.ops.ed.redo, 2.0)):
            assert step() == {"FINISHED"}
            assert objects.named(("One", None)).location.x == place
            assert objects.marked(MARK, "a", "One") == objects.named(("One", None)) == bpy.data.objects["One"]
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    assert objects.named(("One", None)) is None
    assert objects.marked(MARK, "a", "One") is None
    add("One")
    assert objects.named(("One", None)) is not None
    bpy.ops.wm.read_homefile(use_empty=True)
    assert objects.named(("One", None)) is None
