"""The user's file before and after a capture: everything but the pack is as it was, also after errors and a closed
generator."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import people
import pytest

from blender_addon import capture
from protocol.assets import AssetFolder


def settings(block: Any) -> dict[str, Any]:
    """Every plain property of a struct."""
    found = {}
    for prop in block.bl_rna.properties:
        if prop.type in {"INT", "FLOAT", "BOOLEAN", "STRING", "ENUM"} and not prop.is_readonly:
            value = getattr(block, prop.identifier)
            found[prop.identifier] = tuple(value) if getattr(prop, "is_array", False) else value
    return found


def snapshot() -> dict[str, Any]:
    """All datablocks with their users, the scene's state, every object's place and every bone's pose."""
    blocks = {}
    for prop in bpy.data.bl_rna.properties:
        if prop.type == "COLLECTION":
            blocks[prop.identifier] = {
                (block.name, block.library and block.library.name): (block.users, block.use_fake_user)
                for block in getattr(bpy.data, prop.identifier)
                if hasattr(block, "users")
            }
    state: dict[str, Any] = {"blocks": blocks, "active": bpy.context.view_layer.objects.active}
    for scene in bpy.data.scenes:
        state[f"{scene.name} frame"] = (scene.frame_current, scene.frame_subframe, scene.camera)
        for part in ("render", "cycles", "view_settings", "display_settings"):
            state[f"{scene.name} {part}"] = settings(getattr(scene, part))
        state[f"{scene.name} image"] = settings(scene.render.image_settings)
        for layer in scene.view_layers:
            state[f"{scene.name} {layer.name}"] = settings(layer)
            state[f"{scene.name} {layer.name} objects"] = [
                (item.name, item.select_get(view_layer=layer), item.hide_get(view_layer=layer))
                for item in layer.objects
            ]
            state[f"{scene.name} {layer.name} collections"] = [
                (child.name, child.exclude, child.hide_viewport) for child in layer.layer_collection.children
            ]
    for item in bpy.data.objects:
        place = [tuple(row) for row in item.matrix_world]
        state[f"object {item.name}"] = (place, item.hide_viewport, item.hide_render, item.pass_index, item.mode)
        if item.pose is not None:
            state[f"pose {item.name}"] = {
                bone.name: ([tuple(row) for row in bone.matrix_basis], [tuple(row) for row in bone.matrix])
                for bone in item.pose.bones
            }
    return state


@pytest.fixture
def stage() -> Iterator[Any]:
    """A stage with odd settings, a selection, hidden things, and edits without keys on object, bone and camera."""
    rig, camera = people.make_stage()
    scene = bpy.context.scene
    scene.frame_set(7, subframe=0.25)
    scene.render.use_border, scene.render.border_max_x = True, 0.4
    scene.render.filepath, scene.render.engine = "//mine/", "BLENDER_WORKBENCH"
    away = bpy.data.collections.new("Away")
    scene.collection.children.link(away)
    crate = bpy.data.objects["Crate"]
    scene.collection.objects.unlink(crate)
    away.objects.link(crate)
    bpy.data.objects["Floor"].select_set(True)
    bpy.context.view_layer.objects.active = crate
    bpy.data.objects["Sun"].hide_set(True)
    rig.location.x = 0.3333
    rig.pose.bones[people.mixamo_name("thigh.L")].rotation_euler.y = 0.2222
    rig.pose.bones[people.mixamo_name("upper_arm.R")].rotation_euler.x = 0.1111
    camera.data.lens = 31.0
    bpy.context.view_layer.update()
    return rig


def params(**changes: Any) -> capture.ShotParams:
    values: dict[str, Any] = {
        "scene": bpy.context.scene.name,
        "camera": "Camera",
        "frame_start": 2.0,
        "frames": 2,
        "fps": 16.0,
        "width": 128,
        "height": 72,
        "characters": (capture.CharacterParams("Walker", "Walker", 1),),
        "look_samples": 1,
    }
    return capture.ShotParams(**(values | changes))


def same(before: dict[str, Any]) -> None:
    after = snapshot()
    for key in before | after:
        assert after.get(key) == before.get(key), key


def test_a_whole_capture(stage: Any, tmp_path: Path) -> None:
    before = snapshot()
    steps = list(capture.capture_shot(params(), AssetFolder(tmp_path)))
    assert [step.stage for step in steps] == ["prepare", "frames", "frames", "look", "look", "pack"]
    same(before)
    again = list(capture.capture_shot(params(), AssetFolder(tmp_path)))
    assert len(again) == len(steps)
    same(before)


def threads() -> set[str]:
    """Of this process, by their numbers: what Cycles keeps between renders has its own."""
    return set(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts a process's threads as Linux lists them")
def test_cycles_keeps_nothing(stage: Any, tmp_path: Path) -> None:
    """Its scene would be in memory until the next render, and its dependency graph point to a scene that is gone."""
    told = params(parts=frozenset({"clay"}))  # a later render of another kind would free it
    list(capture.capture_shot(params(), AssetFolder(tmp_path)))  # Blender's own threads are there now
    before, most = threads(), 0
    for _ in capture.capture_shot(told, AssetFolder(tmp_path)):
        most = max(most, len(threads() - before))
    assert most, "kept between the pictures of a capture"
    assert threads() <= before


@pytest.mark.parametrize("after", range(1, 5))
def test_a_closed_generator(stage: Any, tmp_path: Path, after: int) -> None:
    before = snapshot()
    steps = capture.capture_shot(params(), AssetFolder(tmp_path))
    for _ in range(after):
        next(steps)
    steps.close()
    same(before)


class FullDisk:
    """Fails at the n-th asset."""

    def __init__(self, room: int) -> None:
        self.room = room

    def add(self, data: bytes) -> Any:
        self.room -= 1
        if self.room < 0:
            msg = "No space left on device"
            raise OSError(msg)
        from protocol.specs import AssetRef

        return AssetRef("0" * 64, len(data))


@pytest.mark.parametrize("room", [0, 7, 11])
def test_an_error_midway(stage: Any, room: int) -> None:
    before = snapshot()
    with pytest.raises(OSError, match="No space"):
        list(capture.capture_shot(params(), FullDisk(room)))
    same(before)


def test_pose_and_reference(stage: Any, tmp_path: Path) -> None:
    before = snapshot()
    capture.capture_pose(params(occlusion=True))
    capture.capture_pose(params(occlusion=False))
    capture.render_reference(
        bpy.context.scene.name,
        "Camera",
        params().characters[0],
        3.0,
        tmp_path / "person.png",
        width=96,
        height=128,
        samples=1,
    )
    same(before)


def test_edits_without_keys_are_seen(stage: Any) -> None:
    """The capture shows the scene as it is: an unkeyed channel counts."""
    before = capture.capture_pose(params(occlusion=False)).characters[0].body
    bone = stage.pose.bones[people.mixamo_name("clavicle.L")]
    bone.rotation_mode = "XYZ"
    bone.rotation_euler.x = 0.4
    after = capture.capture_pose(params(occlusion=False)).characters[0].body
    assert abs(after - before).max() > 1.0
