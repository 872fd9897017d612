"""Out of date: which edits are seen, which are not, and that looking changes nothing and is spread over ticks."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import made  # noqa: E402
import people  # noqa: E402

TIMEOUT_S = 60.0
HIPS = "mixamorig:Hips"


@pytest.fixture
def walker(addon: Any) -> Any:
    """A walker in a set, nine frames, and a take of it."""
    from blender_addon import madefrom

    people.make_stage(128, 72)
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 9
    for curve in curves(bpy.data.objects["Walker"]):
        curve.auto_smoothing = "NONE"  # else every key bends the whole curve
    span = madefrom.Span(scene.camera.name, 1.0, 9, 16.0)
    made.finished(scene, "a", meta={"made_from": madefrom.kept(span, signed(scene, span))})
    return scene


def signed(scene: Any, span: Any) -> dict[str, str]:
    from blender_addon import madefrom

    steps = madefrom.signature(scene, span)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


def outdated(scene: Any) -> str:
    from blender_addon import watch

    watch.check_now(scene)
    return scene.wanstage.takes[0].choice.outdated


def curves(rig: Any) -> list[Any]:
    from blender_addon import madefrom

    animation = rig.animation_data
    return list(madefrom.curves_of(rig, animation.action, getattr(animation, "action_slot", None)))


def move_key(scene: Any) -> None:
    """A key inside the shot."""
    curve = curves(bpy.data.objects["Walker"])[0]
    curve.keyframe_points[0].co.y += 0.2
    curve.update()


def key_behind(scene: Any) -> None:
    """Keys far behind the shot's last frame."""
    rig = bpy.data.objects["Walker"]
    for curve in curves(rig):
        for point in curve.keyframe_points:
            if point.co.x > 40:
                point.co.y += 0.5
        curve.update()


def unkeyed_bone(scene: Any) -> None:
    bone = next(bone for bone in bpy.data.objects["Walker"].pose.bones
                if not any(bone.name in curve.data_path for curve in curves(bpy.data.objects["Walker"])))  # fmt: skip
    bone.rotation_mode = "XYZ"
    bone.rotation_euler.x = 0.4


def constraint(scene: Any) -> None:
    rig = bpy.data.objects["Walker"]
    made = rig.pose.bones[0].constraints.new("COPY_LOCATION")
    made.target = bpy.data.objects["Crate"]


def lens(scene: Any) -> None:
    scene.camera.data.lens += 5


def camera_moves(scene: Any) -> None:
    scene.camera.delta_location.x += 0.1


def crate(scene: Any) -> None:
    bpy.data.objects["Crate"].location.x += 0.3


def vertex(scene: Any) -> None:
    bpy.data.objects["Crate"].data.vertices[0].co.x += 0.1


def paint(scene: Any) -> None:
    material = bpy.data.materials.new("Red")
    from blender_addon import compat

    compat.enable_nodes(material)
    bpy.data.objects["Crate"].data.materials.append(material)


def sun(scene: Any) -> None:
    next(item for item in scene.objects if item.type == "LIGHT").data.color = (1.0, 0.5, 0.2)


def strength(scene: Any) -> None:
    next(item for item in scene.objects if item.type == "LIGHT").data.energy += 1.0


def hidden(scene: Any) -> None:
    bpy.data.objects["Crate"].hide_render = True


def reference(scene: Any) -> None:
    bpy.data.objects["Walker"].wanstage.reference = __file__


def nothing(scene: Any) -> None:
    """Other frame, other selection, another prompt, a take's plane hidden."""
    from blender_addon import playback

    scene.frame_set(5)
    bpy.data.objects["Crate"].select_set(True)
    scene.wanstage.prompt = "other"
    playback.set_visible(playback.find_plane("a" * 32), False)


EDITS: dict[str, tuple[Callable[[Any], None], str]] = {
    "nothing that is seen": (nothing, ""),
    "a key behind the shot": (key_behind, ""),
    "a key in the shot": (move_key, "the motion has changed since"),
    "a bone without keys": (unkeyed_bone, "the motion has changed since"),
    "a constraint": (constraint, "the motion has changed since"),
    "lens": (lens, "the camera has changed since"),
    "camera": (camera_moves, "the camera has changed since"),
    "set": (crate, "the look has changed since"),
    "shape": (vertex, "the look has changed since"),
    "material": (paint, "the look has changed since"),
    "the colour of a light": (sun, "the look has changed since"),
    "the strength of a light": (strength, "the look has changed since"),
    "hidden": (hidden, "the look has changed since"),
    "person": (reference, "the look has changed since"),
}


@pytest.mark.parametrize("name", EDITS)
def test_edits(walker: Any, name: str) -> None:
    assert outdated(walker) == ""
    edit, sentence = EDITS[name]
    edit(walker)
    assert outdated(walker) == sentence


def test_nodes(walker: Any) -> None:
    """A ramp, a value and what is inside a group."""
    from blender_addon import compat, madefrom, takes

    material = bpy.data.materials.new("Paint")
    compat.enable_nodes(material)
    bpy.data.objects["Crate"].data.materials.append(material)
    nodes = material.node_tree.nodes
    ramp, value, group = (nodes.new(f"ShaderNode{kind}") for kind in ("ValToRGB", "Value", "Group"))
    group.node_tree = bpy.data.node_groups.new("Inside", "ShaderNodeTree")
    inner = group.node_tree.nodes.new("ShaderNodeRGB")
    span = madefrom.Span(walker.camera.name, 1.0, 9, 16.0)

    def again() -> None:
        take = walker.wanstage.takes[0]
        takes.write_meta(take, {**takes.meta(take), "made_from": madefrom.kept(span, signed(walker, span))})
        assert outdated(walker) == ""

    again()
    ramp.color_ramp.elements[0].color = (1, 0, 0, 1)
    assert outdated(walker) == "the look has changed since"
    again()
    value.outputs[0].default_value = 3.0
    assert outdated(walker) == "the look has changed since"
    again()
    inner.outputs[0].default_value = (0, 1, 0, 1)
    assert outdated(walker) == "the look has changed since"
    again()
    ramp.location.x += 50
    assert outdated(walker) == ""


def test_two_at_once(walker: Any) -> None:
    move_key(walker)
    lens(walker)
    assert outdated(walker) == "the motion and the camera have changed since"


def test_what_was_put_back_is_up_to_date(walker: Any) -> None:
    lens(walker)
    assert outdated(walker)
    walker.camera.data.lens -= 5
    assert outdated(walker) == ""


def test_a_driver_on_a_constraint_target_of_the_camera(walker: Any) -> None:
    """The camera tracks an empty that is driven by a property: all of it belongs to the camera."""
    empty = bpy.data.objects.new("Aim", None)
    walker.collection.objects.link(empty)
    track = walker.camera.constraints.new("TRACK_TO")
    track.target = empty
    empty["height"] = 1.0
    driver = empty.driver_add("location", 2).driver
    variable = driver.variables.new()
    variable.targets[0].id, variable.targets[0].data_path = empty, '["height"]'
    driver.expression = "var"
    from blender_addon import madefrom, takes

    span = madefrom.Span(walker.camera.name, 1.0, 9, 16.0)
    take = walker.wanstage.takes[0]
    takes.write_meta(take, {**takes.meta(take), "made_from": madefrom.kept(span, signed(walker, span))})
    assert outdated(walker) == ""
    empty["height"] = 2.0
    assert outdated(walker) == "the camera has changed since"


def test_the_same_after_a_reload_and_in_another_folder(walker: Any, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    shutil.move(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    assert outdated(bpy.context.scene) == ""
    lens(bpy.context.scene)
    assert outdated(bpy.context.scene) == "the camera has changed since"


def test_looking_changes_nothing(walker: Any) -> None:
    """No frame is set, no edit counted: a pose that is not keyed stays."""
    from blender_addon import state, watch

    rig = bpy.data.objects["Walker"]
    walker.frame_set(3, subframe=0.5)
    rig.pose.bones[HIPS].location.x = 9.0
    bpy.context.view_layer.update()
    before = state.now.revision
    watch.check_now(walker)
    bpy.context.view_layer.update()
    assert (walker.frame_current, walker.frame_subframe) == (3, 0.5)
    assert rig.pose.bones[HIPS].location.x == 9.0
    assert state.now.revision == before


def test_ticks_are_short(walker: Any) -> None:
    """Two hundred moving bones over 81 frames: no tick of the timer comes near its 10 ms."""
    from blender_addon import madefrom, state, takes, watch

    rig = bpy.data.objects["Walker"]
    for bone in rig.pose.bones:
        bone.rotation_mode = "XYZ"
        for frame in (1, 40, 81):
            bone.keyframe_insert("rotation_euler", frame=frame)
            bone.keyframe_insert("location", frame=frame)
            bone.keyframe_insert("scale", frame=frame)
    span = madefrom.Span(walker.camera.name, 1.0, 81, 16.0)
    take = walker.wanstage.takes[0]
    takes.write_meta(take, {**takes.meta(take), "made_from": madefrom.kept(span, dict.fromkeys(madefrom.PARTS, "?"))})
    state.now.paused.clear()
    watch.stop()
    watch.now.edited, ticks = time.monotonic() - watch.QUIET_S, 0
    while True:
        wait = watch.tick()
        ticks += 1
        if wait is None:
            break
    assert take.choice.outdated == "the motion, the camera and the look have changed since"
    assert ticks > 1


def test_an_edit_while_checking_begins_anew(walker: Any) -> None:
    from blender_addon import state, watch

    watch.now.edited = time.monotonic() - watch.QUIET_S
    watch.stop()
    assert watch.tick() is not None or watch.now.steps is None
    state.now.revision += 1
    watch.now.edited = time.monotonic()
    wait = watch.tick()
    assert wait is not None
    assert 0 < wait <= watch.QUIET_S


def test_a_real_take_goes_out_of_date(connected: Any) -> None:
    """Made by a backend from a shot, then the set is moved."""
    from blender_addon import pump

    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    assert pump.run_until([connected.wanstage.takes[0].job_id], TIMEOUT_S)
    assert outdated(connected) == ""
    bpy.data.objects["Box"].location.x = 0.5
    assert outdated(connected) == "the look has changed since"


def test_takes_of_earlier_versions_say_nothing(walker: Any) -> None:
    from blender_addon import takes

    takes.write_meta(walker.wanstage.takes[0], {"schema": 1})
    lens(walker)
    assert outdated(walker) == ""
