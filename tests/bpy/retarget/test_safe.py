"""The rig is safe: preview and its end, modes, constraints, drivers, links; what cannot be done says why."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import measure
import numpy as np
import pytest
import standins
from measure import FRAMES, Truth

from blender_addon.retarget import actions, bake, joints, posefile, preview

CHANNELS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")


def pose_of(rig: Any) -> np.ndarray:
    """Every channel of every bone."""
    return np.array([x for bone in rig.pose.bones for channel in CHANNELS for x in getattr(bone, channel)])


def evaluated(rig: Any) -> np.ndarray:
    """The pose as it is seen."""
    bpy.context.view_layer.update()
    seen = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return np.array([np.array(bone.matrix) for bone in seen.pose.bones])


def options(truth: Truth, rig: Any, **more: Any) -> dict[str, Any]:
    return {"pose_file": str(truth.path), "armature": rig.name, **more}


@pytest.fixture
def refused() -> Callable[..., str]:
    """Calls an operator that must fail and returns its sentence."""

    def call(operator: Any, **given: Any) -> str:
        with pytest.raises(RuntimeError) as caught:
            operator(**given)
        return str(caught.value).removeprefix("Error: ").strip()

    return call


def test_bake_equals_preview_and_its_end_is_where_it_began(addon: Any, truth: Truth) -> None:
    scene = bpy.context.scene
    rig = standins.build("unreal")
    rig.pose.bones["head"].rotation_mode = "XYZ"
    rig.pose.bones["head"].rotation_euler.x = 0.3
    rig.pose.bones["calf_l"].rotation_quaternion = (0.9, 0.1, 0.0, 0.0)
    before, hashed = pose_of(rig), measure.rig_hash(rig)
    assert bpy.ops.wanstage.preview_retarget(**options(truth, rig)) == {"FINISHED"}
    assert preview.is_on()
    assert rig.animation_data is None or rig.animation_data.action is None
    shown = []
    for frame in (1, 17, 44, 81, 1):
        scene.frame_set(frame)
        shown.append(evaluated(rig))
    assert np.abs(shown[0] - shown[2]).max() > 0.1
    assert bpy.ops.wanstage.stop_retarget_preview() == {"FINISHED"}
    assert not preview.is_on()
    np.testing.assert_array_equal(pose_of(rig), before)
    assert measure.rig_hash(rig) == hashed
    assert bpy.ops.wanstage.retarget(**options(truth, rig)) == {"FINISHED"}
    for frame, want in zip((1, 17, 44, 81), shown, strict=False):
        scene.frame_set(frame)
        assert np.abs(evaluated(rig) - want).max() < 1e-5


def test_preview_over_an_action_ends_at_that_action(addon: Any, truth: Truth) -> None:
    scene, rig = bpy.context.scene, standins.build("vrm")
    assert bpy.ops.wanstage.retarget(**options(truth, rig, name="First")) == {"FINISHED"}
    scene.frame_set(30)
    rig.pose.bones["J_Bip_C_Head"].rotation_quaternion = (0.8, 0.6, 0.0, 0.0)  # posed, not keyed
    before, posed = evaluated(rig), pose_of(rig)
    assert bpy.ops.wanstage.preview_retarget(**options(truth, rig, place="FILE", height=0.5)) == {"FINISHED"}
    assert np.abs(evaluated(rig) - before).max() > 0.1
    assert bpy.ops.wanstage.stop_retarget_preview() == {"FINISHED"}
    np.testing.assert_array_equal(pose_of(rig), posed)
    assert np.abs(evaluated(rig) - before).max() < 1e-6
    assert bpy.ops.wanstage.preview_retarget(**options(truth, rig, place="FILE", height=0.5)) == {"FINISHED"}
    scene.frame_set(50)
    keyed = evaluated(rig)
    assert bpy.ops.wanstage.stop_retarget_preview() == {"FINISHED"}
    assert np.abs(evaluated(rig) - keyed).max() > 0.1
    assert rig.animation_data.action.name == "First"


def test_a_file_is_saved_without_the_preview(addon: Any, truth: Truth, tmp_path: Path) -> None:
    rig = standins.build("vrm")
    before = pose_of(rig)
    assert bpy.ops.wanstage.preview_retarget(**options(truth, rig)) == {"FINISHED"}
    shown = pose_of(rig)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "saved.blend"))
    np.testing.assert_array_equal(pose_of(rig), shown)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "saved.blend"))
    assert not preview.is_on()
    np.testing.assert_array_equal(pose_of(bpy.data.objects["Rig"]), before)


def test_rotation_modes_are_kept_and_have_no_jumps(addon: Any, truth: Truth) -> None:
    rig = standins.build("unreal")
    modes = {"upperarm_l": "XYZ", "thigh_l": "ZYX", "pelvis": "YZX", "head": "AXIS_ANGLE", "calf_r": "XZY"}
    for name, mode in modes.items():
        rig.pose.bones[name].rotation_mode = mode
    assert bpy.ops.wanstage.retarget(**options(truth, rig, place="FILE", lock_feet=False)) == {"FINISHED"}
    assert {name: rig.pose.bones[name].rotation_mode for name in modes} == modes
    found = measure.joint_paths(rig, FRAMES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) < 0.5
    curves = actions.curves_of(rig.animation_data.action, rig)
    for curve in curves:
        values = np.array([key.co[1] for key in curve.keyframe_points])
        assert len(values) == len(FRAMES)
        if "euler" in curve.data_path:
            assert np.abs(np.diff(values)).max() < math.pi
        if "quaternion" in curve.data_path:
            assert np.abs(np.diff(values)).max() < 1.0
    keyed = {curve.data_path.split('"')[1] for curve in curves}
    assert keyed < {bone.name for bone in rig.data.bones}
    assert {"root", "upperarm_twist_01_l"}.isdisjoint(keyed)
    assert sum("location" in curve.data_path for curve in curves) == 3


def test_time_is_kept_at_any_rate(addon: Any, truth: Truth) -> None:
    scene, rig = bpy.context.scene, standins.build("mixamo" if "mixamo" in standins.FAMILIES else "vrm")
    scene.render.fps, scene.render.fps_base = 30, 1.001
    scene.frame_set(7)
    assert bpy.ops.wanstage.retarget(**options(truth, rig, first=101, place="FILE", lock_feet=False)) == {"FINISHED"}
    assert scene.frame_current == 7
    first, last = rig.animation_data.action.frame_range
    assert first == 101
    assert last == 101 + int(80 / 16 * 30 / 1.001)
    fine = measure.directions(measure.joint_paths(rig, range(101, 102)))
    wanted = {name: way[:1] for name, way in measure.directions(truth.paths).items()}
    assert measure.worst_angle(fine, wanted) < 0.5


def test_constraints_and_drivers_stay_and_are_reckoned_with(addon: Any, truth: Truth) -> None:
    rig = standins.build("unreal")
    limit = rig.pose.bones["lowerarm_l"].constraints.new("COPY_ROTATION")
    limit.target, limit.subtarget, limit.mix_mode = rig, "root", "BEFORE"
    held = rig.pose.bones["head"].constraints.new("LIMIT_ROTATION")
    held.use_limit_x = held.use_limit_y = held.use_limit_z = True
    held.owner_space = "LOCAL"
    driver = rig.pose.bones["hand_r"].driver_add("rotation_quaternion", 1).driver
    driver.expression = "0.1"
    rig["studio"] = "kept"
    rig.pose.bones["hand_r"]["note"] = 3
    before = measure.rig_hash(rig)
    assert bpy.ops.wanstage.retarget(**options(truth, rig)) == {"FINISHED"}
    action = rig.animation_data.action
    assert measure.rig_hash(rig, (action.name,)) == before
    report = json.loads(action["wanstage_retarget"])
    assert report["bones"]["lowerarm_l"]["worst_deg"] < 0.5
    assert report["bones"]["head"]["worst_deg"] > 0.5
    assert any("head" in note for note in report["notes"])
    assert any("hand_r" in note for note in report["notes"])
    assert not any("hand_r" in curve.data_path for curve in actions.curves_of(action, rig))


def test_selection_mode_and_frame_stay(addon: Any, truth: Truth) -> None:
    rig, other = standins.build("unreal"), standins.build("vrm", name="Other")
    bpy.context.view_layer.objects.active = other
    other.select_set(True)
    bpy.ops.object.mode_set(mode="POSE")
    scenes, names = len(bpy.data.scenes), {item.name for item in bpy.data.objects}
    assert bpy.ops.wanstage.retarget(**options(truth, rig)) == {"FINISHED"}
    assert bpy.context.view_layer.objects.active == other
    assert other.mode == "POSE"
    assert other.select_get()
    assert not rig.select_get()
    assert len(bpy.data.scenes) == scenes
    assert {item.name for item in bpy.data.objects} == names
    assert len(bpy.data.actions) == 1


def test_the_action_of_before_can_be_assigned_again(addon: Any, truth: Truth) -> None:
    rig = standins.build("vrm")
    bpy.ops.wanstage.retarget(**options(truth, rig, name="First"))
    bpy.ops.wanstage.retarget(**options(truth, rig, name="Second", height=1.0))
    data = rig.animation_data
    assert data.action.name == "Second"
    assert [track.name for track in data.nla_tracks] == [actions.STASH]
    assert data.nla_tracks[0].mute
    high = evaluated(rig)
    first = data.nla_tracks[0].strips[0].action
    actions.assign(rig, first)
    bpy.context.scene.frame_set(2)
    bpy.context.scene.frame_set(1)
    assert np.abs(evaluated(rig) - high).max() > 0.5
    if actions.SLOTTED:
        assert len(data.action.slots) == 1


def test_faces_by_shape_keys(addon: Any, truth: Truth, tmp_path: Path) -> None:
    rig = standins.build("vrm")
    mesh = bpy.data.meshes.new("Head")
    mesh.from_pydata([(0, 0, 1.6), (0.1, 0, 1.6), (0, 0.1, 1.6)], [], [(0, 1, 2)])
    head = bpy.data.objects.new("Head", mesh)
    bpy.context.scene.collection.objects.link(head)
    head.parent = rig
    for name in ("Basis", "jawOpen", "EyeBlink_Left", "other"):
        head.shape_key_add(name=name).value = 0.0
    path = with_face(truth.path, tmp_path / "face.npz", ["_neutral", "jawOpen", "eyeBlinkLeft"])
    assert bpy.ops.wanstage.retarget(pose_file=str(path), armature=rig.name) == {"FINISHED"}
    bpy.context.scene.frame_set(41)
    keys = head.data.shape_keys.evaluated_get(bpy.context.evaluated_depsgraph_get()).key_blocks
    assert keys["jawOpen"].value == pytest.approx(0.5, abs=1e-3)
    assert keys["EyeBlink_Left"].value == pytest.approx(0.25, abs=1e-3)
    assert keys["other"].value == 0.0
    assert json.loads(rig.animation_data.action["wanstage_retarget"])["shape_keys"] == 2
    assert len(bpy.data.actions) == (1 if actions.SLOTTED else 2)


def with_face(source: Path, path: Path, names: list[str]) -> Path:
    """The same motion with a face: jaw 0 to 1 over the clip, the eye half of it; NaN at the end."""
    with np.load(source) as data:
        arrays = {name: data[name] for name in data.files if name != "header"}
        header = json.loads(bytes(data["header"]))
    count = header["frames"]
    ramp = np.linspace(0.0, 1.0, count)
    face = np.stack([np.zeros(count), ramp, ramp / 2], 1).astype(np.float32)
    face[-3:] = np.nan
    arrays["p0/face"] = face
    posefile.write_pose(path, {**header, "blendshapes": names}, [{k[3:]: v for k, v in arrays.items()}])
    return path


def changed(source: Path, path: Path, **header: Any) -> str:
    """A copy with another header."""
    with np.load(source) as data:
        arrays = {name: data[name] for name in data.files}
    arrays["header"] = np.frombuffer(json.dumps({**json.loads(bytes(arrays["header"])), **header}).encode(), np.uint8)
    np.savez(path, **arrays)
    return str(path)


def test_bad_input_is_a_sentence_and_changes_nothing(
    addon: Any, truth: Truth, tmp_path: Path, refused: Callable[..., str]
) -> None:
    rig = standins.build("unreal")
    rig.name = "Hero"
    text = tmp_path / "text.npz"
    text.write_text("not a zip")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", header=np.array([{"a": 1}], dtype=object))
    short = tmp_path / "short.npz"
    short.write_bytes(truth.path.read_bytes()[:20000])
    cases = {
        "There is no file": {"pose_file": str(tmp_path / "none.npz")},
        "Choose a pose file": {"pose_file": ""},
        "not a pose file": {"pose_file": str(text)},
        "is not a pose file: choose": {"pose_file": str(tmp_path / "other.npz")},
        "cannot be read": {"pose_file": str(tmp_path / "pickled.npz")},
        "cut short": {"pose_file": str(short)},
        "no frames": {"pose_file": changed(truth.path, tmp_path / "a.npz", frames=0)},
        "has the shape": {"pose_file": changed(truth.path, tmp_path / "b.npz", frames=80)},
        "no person": {"pose_file": changed(truth.path, tmp_path / "c.npz", people=[])},
        "version 9": {"pose_file": changed(truth.path, tmp_path / "d.npz", version=9)},
        "other joints": {"pose_file": changed(truth.path, tmp_path / "e.npz", joints=["hips"])},
        "1 person": {"person": 3},
        "no object named": {"armature": "Nobody"},
    }
    before = measure.rig_hash(rig)
    for words, given in cases.items():
        sentence = refused(bpy.ops.wanstage.retarget, **options(truth, rig, **given))
        assert words in sentence, sentence
        assert sentence.endswith(".")
    assert measure.rig_hash(rig) == before
    assert rig.animation_data is None
    assert not bpy.data.actions


def test_rigs_that_cannot_be_keyed_say_why(addon: Any, truth: Truth, refused: Callable[..., str]) -> None:
    data = bpy.data.armatures.new("Chair")
    chair = bpy.data.objects.new("Chair", data)
    bpy.context.scene.collection.objects.link(chair)
    assert "no bones" in refused(bpy.ops.wanstage.retarget, **options(truth, chair))
    rig = standins.build("unreal")
    for bone in rig.data.bones:
        bone.name = (
            f"x{len(bone.name)}{hash(bone.name) % 1000}" if bone.name.startswith(("thigh", "calf")) else bone.name
        )
    rig.data.pose_position = "REST"
    assert "rest position" in refused(bpy.ops.wanstage.retarget, **options(truth, rig))
    rig.data.pose_position = "POSE"
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    assert "edit mode" in refused(bpy.ops.wanstage.retarget, **options(truth, rig))
    bpy.ops.object.mode_set(mode="OBJECT")
    cube = bpy.data.objects.new("Cube", None)
    bpy.context.scene.collection.objects.link(cube)
    assert "armature" in refused(bpy.ops.wanstage.retarget, **options(truth, cube))
    assert not bpy.data.actions


def test_a_rig_without_a_body_is_a_sentence_and_stays(addon: Any, truth: Truth, refused: Callable[..., str]) -> None:
    rope = bpy.data.objects.new("Rope", bpy.data.armatures.new("Rope"))
    bpy.context.scene.collection.objects.link(rope)
    bpy.context.view_layer.objects.active = rope
    bpy.ops.object.mode_set(mode="EDIT")
    above = None
    for number in range(12):
        bone = rope.data.edit_bones.new(f"link{number}")
        bone.head, bone.tail, bone.parent = (0.1 * number, 0, 1), (0.1 * number + 0.1, 0, 1), above
        above = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    before = measure.rig_hash(rope)
    for operator in (bpy.ops.wanstage.retarget, bpy.ops.wanstage.preview_retarget):
        sentence = refused(operator, **options(truth, rope))
        assert "bones" in sentence
        assert sentence.endswith(".")
    assert measure.rig_hash(rope) == before
    assert rope.animation_data is None
    assert not bpy.data.actions


def test_linked_rigs(addon: Any, truth: Truth, tmp_path: Path, refused: Callable[..., str]) -> None:
    standins.build("unreal", name="Linked")
    library = str(tmp_path / "library.blend")
    bpy.ops.wm.save_as_mainfile(filepath=library)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 16
    with bpy.data.libraries.load(library, link=True) as (_, into):
        into.objects = ["Linked"]
    linked = bpy.data.objects["Linked"]
    bpy.context.scene.collection.objects.link(linked)
    assert "library override" in refused(bpy.ops.wanstage.retarget, **options(truth, linked))
    override = linked.override_create(remap_local_usages=True)
    override.override_library.is_system_override = False
    before = measure.rig_hash(override)
    assert bpy.ops.wanstage.retarget(**options(truth, override, place="FILE", lock_feet=False)) == {"FINISHED"}
    assert measure.rig_hash(override, (override.animation_data.action.name,)) == before
    found = measure.joint_paths(override, FRAMES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) < 0.5


def test_feet_on_a_platform_are_held_there(addon: Any, truth: Truth, tmp_path: Path) -> None:
    with np.load(truth.path) as data:
        arrays = {name: data[name] for name in data.files}
    for name in ("p0/root", "p0/position"):
        arrays[name] = arrays[name] + np.array([0.0, 0.0, 1.5], np.float32)
    np.savez(tmp_path / "high.npz", **arrays)
    rig = standins.build("unreal")
    given = {"pose_file": str(tmp_path / "high.npz"), "armature": "Rig", "place": "FILE"}
    assert bpy.ops.wanstage.retarget(**given) == {"FINISHED"}
    report = json.loads(rig.animation_data.action["wanstage_retarget"])
    assert report["slide_after"]["worst_cm"] <= 1.0
    paths = measure.joint_paths(rig, range(20, 40))
    assert paths["foot.L"][:, 2].min() > 1.2


def test_in_the_scene_the_motion_is_where_the_camera_saw_it(addon: Any, truth: Truth, tmp_path: Path) -> None:
    path = changed(truth.path, tmp_path / "world.npz", space="world")
    rig = standins.build("unreal")
    rig.location, rig.rotation_euler = (3.0, -2.0, 0.0), (0.0, 0.0, 1.2)
    bpy.context.view_layer.update()
    assert bpy.ops.wanstage.retarget(pose_file=path, armature="Rig", lock_feet=False) == {"FINISHED"}
    found = measure.joint_paths(rig, FRAMES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= 0.5
    assert np.abs(found["hips"][0, :2] - truth.paths["hips"][0, :2]).max() < 0.05


def test_a_map_set_by_hand_is_used(addon: Any, truth: Truth) -> None:
    from blender_addon import bonemap_store

    rig = standins.build("unreal")
    bonemap_store.save(rig, {"clavicle.L": ""})
    assert bpy.ops.wanstage.retarget(**options(truth, rig)) == {"FINISHED"}
    keyed = {curve.data_path.split('"')[1] for curve in actions.curves_of(rig.animation_data.action, rig)}
    assert "clavicle_l" not in keyed
    assert "clavicle_r" in keyed


def test_the_joints_are_those_of_the_contract() -> None:
    assert len(joints.NAMES) == 51
    assert joints.NAMES[:7] == ["hips", "spine", "chest", "neck", "head", "leftShoulder", "leftUpperArm"]
    assert joints.NAMES[13] == "rightShoulder"
    assert joints.NAMES[21:24] == ["leftThumbProximal", "leftThumbIntermediate", "leftThumbDistal"]
    assert all(parent < i for i, parent in enumerate(joints.PARENTS))
    assert bake.read_report(None) is None
