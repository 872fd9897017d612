"""Auto-Rig Pro's controls on a stand-in that has their names and machinery; the original is untested."""

from __future__ import annotations

import json
from typing import Any

import arp
import bpy
import measure
import numpy as np
import pytest
import standins
from measure import FRAMES, Truth

from blender_addon.capture import bonemap
from blender_addon.retarget import actions

MOST_DEG, MOST_CM = 0.5, 1.0
LIMBS = {"upper_arm": "arm", "forearm": "forearm", "hand": "hand", "thigh": "thigh", "shin": "leg", "foot": "foot"}
BONES = {f"{joint}.{side}": f"{bone}.{side.lower()}" for joint, bone in LIMBS.items() for side in "LR"}
SHAPES = {
    "a-pose": standins.Shape(elbow=20.0, knee=8.0),
    "short": standins.Shape(leg=0.6, torso=0.4, arm=0.42, drop=60.0, elbow=30.0, knee=12.0, toe_out=20.0),
}


@pytest.fixture(params=SHAPES)
def rig(addon: Any, request: pytest.FixtureRequest) -> Any:
    made = arp.build(SHAPES[request.param])
    assert arp.rest_error(made) < 1e-4, "IK leaves the rest pose as it is"
    return made


def retarget(rig: Any, truth: Truth, **options: Any) -> dict[str, Any]:
    """Bake and read the report."""
    given = {"pose_file": str(truth.path), "armature": rig.name, "place": "FILE", **options}
    assert bpy.ops.wanstage.retarget(**given) == {"FINISHED"}
    return dict(json.loads(rig.animation_data.action["wanstage_retarget"]))


def keyed(rig: Any) -> tuple[set[str], dict[str, set[float]]]:
    """The bones of the action, and the values of the switches that it keys."""
    bones, switches = set(), {}
    for curve in actions.curves_of(rig.animation_data.action, rig):
        name = curve.data_path.split('"')[1]
        if curve.data_path.endswith("]"):
            switches[name + curve.data_path.split('"')[3]] = {key.co[1] for key in curve.keyframe_points}
        else:
            bones.add(name)
    return bones, switches


def switches_of(value: float) -> dict[str, set[float]]:
    return {f"c_{end}_ik.{side}ik_fk_switch": {value} for end in ("hand", "foot") for side in arp.SIDES}


def test_fk_controls(truth: Truth, rig: Any) -> None:
    before = measure.rig_hash(rig, keyed=arp.SWITCHED)
    report = retarget(rig, truth, lock_feet=False)
    first = rig.animation_data.action.name
    assert report["family"] == "auto_rig_pro_control"
    found = measure.joint_paths(rig, FRAMES, BONES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= MOST_DEG
    report = retarget(rig, truth)
    assert report["direction"]["worst_deg"] <= MOST_DEG
    assert report["slide_after"]["worst_cm"] <= MOST_CM
    assert report["hips_cm"] < 0.01
    bones, switches = keyed(rig)
    assert switches == switches_of(1.0)
    assert {"c_root_master.x", "c_spine_02.x", "c_head.x", "c_arm_fk.l", "c_hand_fk.r", "c_toes_fk.l"} <= bones
    assert all(name.startswith("c_") for name in bones), "controls alone"
    assert not any("_ik" in name or "pole" in name for name in bones)
    assert measure.rig_hash(rig, (first, rig.animation_data.action.name), arp.SWITCHED) == before


def test_ik_controls(truth: Truth, rig: Any) -> None:
    before = measure.rig_hash(rig, keyed=arp.SWITCHED)
    retarget(rig, truth, limbs="IK", lock_feet=False)
    first = rig.animation_data.action.name
    found = measure.joint_paths(rig, FRAMES, BONES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= MOST_DEG
    report = retarget(rig, truth, limbs="IK")
    assert report["direction"]["worst_deg"] <= MOST_DEG
    for bone in ("foot.l", "foot.r", "hand.l", "hand.r"):
        assert report["bones"][bone]["worst_deg"] <= MOST_DEG
    assert report["slide_after"]["worst_cm"] <= MOST_CM
    bones, switches = keyed(rig)
    assert switches == switches_of(0.0)
    assert {"c_hand_ik.l", "c_foot_ik.r", "c_arms_pole.l", "c_leg_pole.r", "c_toes_ik.l", "c_shoulder.l"} <= bones
    assert all(name.startswith("c_") and "_fk" not in name for name in bones)
    assert measure.rig_hash(rig, (first, rig.animation_data.action.name), arp.SWITCHED) == before


def test_preview_is_what_is_baked_and_puts_the_switches_back(truth: Truth, addon: Any) -> None:
    rig, scene = arp.build(SHAPES["a-pose"]), bpy.context.scene
    control = rig.pose.bones["c_foot_ik.l"]
    given = {"pose_file": str(truth.path), "armature": "Rig", "place": "FILE"}
    assert bpy.ops.wanstage.preview_retarget(**given) == {"FINISHED"}
    assert control["ik_fk_switch"] == 1.0
    scene.frame_set(40)
    shown = measure.joint_paths(rig, range(40, 41), BONES)
    assert bpy.ops.wanstage.stop_retarget_preview() == {"FINISHED"}
    assert control["ik_fk_switch"] == 0.0
    assert arp.rest_error(rig) < 1e-4
    retarget(rig, truth)
    baked = measure.joint_paths(rig, range(40, 41), BONES)
    assert max(np.abs(baked[joint] - shown[joint]).max() for joint in BONES) < 1e-5


def test_a_rig_with_two_bones_of_spine(truth: Truth, addon: Any) -> None:
    rig = arp.build(SHAPES["a-pose"])
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    edit = rig.data.edit_bones
    for child in [bone for bone in edit if bone.parent is not None and bone.parent.name == "c_spine_03.x"]:
        child.parent = edit["c_spine_02.x"]
    for name in ("spine_03.x", "c_spine_03.x"):
        edit.remove(edit[name])
    bpy.ops.object.mode_set(mode="OBJECT")
    report = retarget(rig, truth, lock_feet=False)
    assert report["family"] == "auto_rig_pro_control"
    assert report["direction"]["worst_deg"] <= MOST_DEG
    assert {"c_spine_01.x", "c_spine_02.x"} <= keyed(rig)[0]


def test_joints_are_where_limbs_begin_and_not_in_their_middle(addon: Any) -> None:
    """The bones that deform begin half way down; a capture projects the heads of the bone map's."""
    rig = arp.build(SHAPES["a-pose"])
    found = bonemap.find_bone_map(rig).bones
    for joint, above in (("upper_arm", "clavicle"), ("forearm", "upper_arm"), ("hand", "forearm"), ("shin", "thigh")):
        for side in "LR":
            begins = rig.data.bones[found[f"{joint}.{side}"]].head_local
            assert (begins - rig.data.bones[found[f"{above}.{side}"]].tail_local).length < 1e-5
