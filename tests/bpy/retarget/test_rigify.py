"""A generated Rigify rig and its controls: FK is switched on and keyed, the deform bones follow the actor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import addon_utils
import bpy
import measure
import numpy as np
import pytest
from measure import FRAMES, Truth

from blender_addon.retarget import actions

pytestmark = pytest.mark.skipif(bpy.app.version[:2] != (5, 0), reason="Rigify makes other Blenders hang at exit")
DEFORM = {
    f"{joint}.{side}": f"ORG-{joint}.{side}"
    for side in "LR"
    for joint in ("upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a generated human rig, named Rig."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    bpy.ops.pose.rigify_generate()
    rig = next(item for item in bpy.data.objects if item.type == "ARMATURE" and "rig_id" in item.data)
    rig.name = "Rig"
    path = tmp_path_factory.mktemp("rigify") / "rig.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    addon_utils.disable("rigify", default_set=True)
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


@pytest.fixture
def rig(addon: Any, generated: Path) -> Any:
    bpy.ops.wm.open_mainfile(filepath=str(generated), load_ui=False)
    bpy.context.scene.render.fps = 16
    return bpy.data.objects["Rig"]


def follows(rig: Any, truth: Truth, bones: dict[str, str] | None = DEFORM) -> None:
    """Over all frames and at once: every arm and leg points as the actor's, and no foot that stands slides."""
    found = measure.joint_paths(rig, FRAMES, bones)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= 0.5
    assert measure.worst_slide(found, truth.paths) <= 0.01


def test_fk_controls(truth: Truth, rig: Any) -> None:
    before = measure.rig_hash(rig, keyed=("IK_FK",))
    given = {"pose_file": str(truth.path), "armature": "Rig", "place": "FILE"}
    assert bpy.ops.wanstage.retarget(**given, lock_feet=False) == {"FINISHED"}
    first = rig.animation_data.action.name
    found = measure.joint_paths(rig, FRAMES, DEFORM)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= 0.5
    assert bpy.ops.wanstage.retarget(**given) == {"FINISHED"}
    follows(rig, truth)
    action = rig.animation_data.action
    report = json.loads(action["wanstage_retarget"])
    assert report["family"] == "rigify_control"
    assert report["direction"]["worst_deg"] <= 0.5
    assert report["slide_after"]["worst_cm"] <= 1.0
    assert report["hips_cm"] < 0.01
    curves = actions.curves_of(action, rig)
    paths = {curve.data_path for curve in curves}
    for bone in ("upper_arm_parent.L", "upper_arm_parent.R", "thigh_parent.L", "thigh_parent.R"):
        path = f'pose.bones["{bone}"]["IK_FK"]'
        assert path in paths
        assert next(curve for curve in curves if curve.data_path == path).keyframe_points[0].co[1] == 1.0
    assert not any(path.startswith(('pose.bones["DEF-', 'pose.bones["ORG-', 'pose.bones["MCH-')) for path in paths)
    assert measure.rig_hash(rig, (first, action.name), ("IK_FK",)) == before
    assert bpy.data.objects["metarig"].animation_data is None


def test_ik_controls(truth: Truth, rig: Any) -> None:
    before = measure.rig_hash(rig, keyed=("IK_FK", "pole_vector"))
    given = {"pose_file": str(truth.path), "armature": "Rig", "place": "FILE", "limbs": "IK"}
    assert bpy.ops.wanstage.retarget(**given) == {"FINISHED"}
    follows(rig, truth, {joint: bone.replace("ORG-", "DEF-") for joint, bone in DEFORM.items()})
    action = rig.animation_data.action
    report = json.loads(action["wanstage_retarget"])
    assert report["direction"]["worst_deg"] <= 0.5
    assert {"DEF-shin.L", "DEF-forearm.R", "ORG-foot.L", "ORG-hand.R"} <= set(report["bones"])
    assert report["slide_after"]["worst_cm"] <= 1.0
    keyed = {curve.data_path.split('"')[1] for curve in actions.curves_of(action, rig)}
    assert {"hand_ik.L", "foot_ik.R", "thigh_ik_target.L", "upper_arm_ik_target.R", "toe_ik.L", "shin_tweak.R"} <= keyed
    assert not any("_fk." in name and not name.startswith("spine_fk") for name in keyed)
    assert not any(name.startswith(("DEF-", "ORG-", "MCH-")) for name in keyed)
    assert measure.rig_hash(rig, (action.name,), ("IK_FK", "pole_vector")) == before


def test_its_metarig(truth: Truth, rig: Any) -> None:
    meta = bpy.data.objects["metarig"]
    assert measure.title(meta) == "rigify"
    before = measure.rig_hash(meta)
    given = {"pose_file": str(truth.path), "armature": "metarig", "place": "FILE"}
    assert bpy.ops.wanstage.retarget(**given) == {"FINISHED"}
    follows(meta, truth, None)
    assert measure.rig_hash(meta, (meta.animation_data.action.name,)) == before


@pytest.mark.parametrize("limbs", ["FK", "IK"])
def test_preview_puts_the_switches_back(truth: Truth, rig: Any, limbs: str) -> None:
    scene, bones = bpy.context.scene, {joint: bone.replace("ORG-", "DEF-") for joint, bone in DEFORM.items()}
    posed = [tuple(bone.location) for bone in rig.pose.bones]
    assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 0.0
    given = {"pose_file": str(truth.path), "armature": "Rig", "place": "FILE", "limbs": limbs}
    assert bpy.ops.wanstage.preview_retarget(**given) == {"FINISHED"}
    assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == (1.0 if limbs == "FK" else 0.0)
    scene.frame_set(40)
    shown = measure.joint_paths(rig, range(40, 41), bones)
    assert bpy.ops.wanstage.stop_retarget_preview() == {"FINISHED"}
    assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 0.0
    assert [tuple(bone.location) for bone in rig.pose.bones] == posed
    assert bpy.ops.wanstage.retarget(**given) == {"FINISHED"}
    baked = measure.joint_paths(rig, range(40, 41), bones)
    assert max(np.abs(baked[joint] - shown[joint]).max() for joint in bones) < 1e-5
