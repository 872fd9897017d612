"""Characters that are linked or overridden, a linked scene with takes of its own, and a linked camera."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "bpy" / "capture"))
import people  # noqa: E402

PERSON = ROOT / "examples" / "assets" / "reference_man.png"


@pytest.fixture
def library(tmp_path: Path, empty_file: None) -> Path:
    """A file with a collection "Cast" (the walker and its body), a scene "Stage", and a camera "Filmed"."""
    people.make_stage(128, 72)
    cast = bpy.data.collections.new("Cast")
    bpy.context.scene.collection.children.link(cast)
    rig = bpy.data.objects["Walker"]
    for item in [rig, *(each for each in bpy.data.objects if each.parent == rig)]:
        cast.objects.link(item)
    bpy.data.objects["Camera"].name = "Filmed"
    bpy.context.scene.name = "Stage"
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


def link(path: Path, kind: str, name: str) -> Any:
    with bpy.data.libraries.load(str(path), link=True) as (_, wanted):
        setattr(wanted, kind, [name])
    return getattr(wanted, kind)[0]


@pytest.fixture
def saved(library: Path, connected: Any, tmp_path: Path) -> Any:
    """A shot of five frames, saved beside the library."""
    connected.frame_end = 5
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return bpy.context.scene


def characters(scene: Any) -> list[str]:
    """Names of the characters in the last pack."""
    from blender_addon import state

    return [each.name for each in state.now.packs[scene.name].pack.characters]


def test_a_linked_character(saved: Any, library: Path, hold: Any, tmp_path: Path) -> None:
    """Linked as it is: it cannot be posed, but it is captured; after a reload the take is there."""
    cast = link(library, "collections", "Cast")
    saved.collection.children.link(cast)
    held = hold(saved, 2)
    held.finish()
    assert held.told() == ("finished", "", 5)
    assert characters(saved) == ["Walker"]
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert held.told() == ("finished", "", 5)


def test_a_library_override(saved: Any, library: Path, hold: Any, tmp_path: Path) -> None:
    """A person is put on the overridden rig."""
    cast = link(library, "collections", "Cast")
    saved.collection.children.link(cast)
    local = cast.override_hierarchy_create(saved, saved.view_layers[0])
    saved.collection.children.unlink(cast)
    rig = next(item for item in local.all_objects if item.type == "ARMATURE")
    assert rig.library is None
    rig.wanstage.reference = str(PERSON)
    saved.wanstage.task = "animate"
    held = hold(saved, 2)
    held.finish()
    assert held.told() == ("finished", "", 5)
    assert characters(saved) == [rig.wanstage.name or rig.name]
    name = rig.name
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert held.told() == ("finished", "", 5)
    assert bpy.data.objects[name, None].wanstage.reference == str(PERSON), "kept in our file"


def test_a_choice_on_an_override_through_undo(saved: Any, library: Path, tmp_path: Path) -> None:
    """Undo takes the choice back, redo brings it, and a save after that keeps it."""
    cast = link(library, "collections", "Cast")
    saved.collection.children.link(cast)
    local = cast.override_hierarchy_create(saved, saved.view_layers[0])
    saved.collection.children.unlink(cast)
    name = next(item.name for item in local.all_objects if item.type == "ARMATURE")
    bpy.ops.ed.undo_push(message="Override")
    bpy.data.objects[name, None].wanstage.reference = str(PERSON)
    bpy.ops.ed.undo_push(message="Person")
    bpy.ops.ed.undo()
    assert bpy.data.objects[name, None].wanstage.reference == ""
    bpy.ops.ed.redo()
    assert bpy.data.objects[name, None].wanstage.reference == str(PERSON)
    for _ in range(2):
        bpy.ops.wm.save_mainfile()
        bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
        assert bpy.data.objects[name, None].wanstage.reference == str(PERSON)


def test_a_choice_on_an_override_in_what_blender_saves_by_itself(saved: Any, library: Path, tmp_path: Path) -> None:
    """An autosave asks nobody: once the panel has looked at the rigs, it keeps the choice too."""
    from blender_addon import bonemap_store, handlers

    cast = link(library, "collections", "Cast")
    saved.collection.children.link(cast)
    local = cast.override_hierarchy_create(saved, saved.view_layers[0])
    saved.collection.children.unlink(cast)
    rig = next(item for item in local.all_objects if item.type == "ARMATURE")
    name = rig.name
    bonemap_store.look()
    rig.wanstage.reference = str(PERSON)
    bpy.app.handlers.save_pre.remove(handlers.wanstage_save_pre)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "auto.blend"), copy=True)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "auto.blend"))
    assert bpy.data.objects[name, None].wanstage.reference == str(PERSON)


def test_a_linked_character_beside_a_local_namesake(saved: Any, library: Path, hold: Any) -> None:
    """A local armature of the same name in another scene is not the one that is captured."""
    from blender_addon import shots

    away = bpy.data.scenes.new("Away")
    stray = bpy.data.objects.new("Walker", bpy.data.armatures.new("Stray"))
    away.collection.objects.link(stray)
    saved.collection.children.link(link(library, "collections", "Cast"))
    assert [item.library is not None for item in shots.characters(saved)] == [True]
    held = hold(saved, 2)
    held.finish()
    assert held.told() == ("finished", "", 5)


def test_two_linked_rigs_of_one_name(saved: Any, library: Path, refused: Any, tmp_path: Path) -> None:
    """Two libraries with a rig of the same name: they cannot be told apart, which is said."""
    twin = tmp_path / "twin.blend"
    twin.write_bytes(library.read_bytes())
    for path in (library, twin):
        saved.collection.children.link(link(path, "collections", "Cast"))
    sentence = refused(bpy.ops.wanstage.generate)
    assert "Two characters are named Walker" in sentence
    assert "library override" in sentence
    assert len(saved.wanstage.takes) == 0


def test_an_instance_of_a_linked_collection(saved: Any, library: Path, refused: Any) -> None:
    """An empty that instances the cast has no armature that could be captured: the sentence names the way."""
    empty = bpy.data.objects.new("Cast", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", link(library, "collections", "Cast")
    saved.collection.objects.link(empty)
    sentence = refused(bpy.ops.wanstage.generate, task="animate")
    assert "Cast is an instance" in sentence
    assert "library override" in sentence


def test_a_linked_camera(saved: Any, library: Path, hold: Any, tmp_path: Path) -> None:
    from blender_addon import playback

    camera = link(library, "objects", "Filmed")
    saved.collection.objects.link(camera)
    saved.camera = camera
    held = hold(saved, 2)
    held.finish()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert held.told() == ("finished", "", 5)
    plane = playback.find_plane(held.job)
    assert plane.parent.library is not None
    assert plane.library is None


def test_takes_of_a_linked_scene_are_left_alone(saved: Any, hold: Any, backend: Any, tmp_path: Path) -> None:
    """An unfinished take in a linked scene belongs to the other file: nothing of it is followed or written here."""
    from blender_addon import handlers, state, takes

    held = hold(saved, 2)
    held.arrived()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.read_factory_settings(use_empty=True)
    there = tmp_path / "elsewhere"
    there.mkdir()
    scene = link(tmp_path / "shot.blend", "scenes", "Scene")
    assert len(scene.wanstage.takes) == 1
    bpy.ops.wm.save_as_mainfile(filepath=str(there / "edit.blend"))
    assert handlers.attach_unfinished() == 0
    assert list(takes.all_takes()) == []
    bpy.ops.wm.open_mainfile(filepath=str(there / "edit.blend"))
    assert state.now.runs == {}
    assert sorted(path.name for path in there.rglob("*")) == ["edit.blend"]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    held.finish()
    assert held.told() == ("finished", "", 5)
