"""Bone maps: every rig family by its names, unknown names by hierarchy, and what cannot be recognised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bpy
import people
import pytest

from blender_addon import capture
from blender_addon.capture import bonemap, hierarchy

NAMED = {
    "rigify": {"hips": "spine", "head": "spine.006", "upper_arm.L": "upper_arm.L", "index.2.R": "f_index.02.R"},
    "mixamo": {
        "hips": "mixamorig:Hips",
        "forearm.R": "mixamorig:RightForeArm",
        "pinky.3.L": "mixamorig:LeftHandPinky3",
    },
    "makehuman": {"hips": "root", "upper_arm.L": "upperarm01.L", "thumb.1.R": "finger1-1.R", "toe.L": "toe1-1.L"},
    "unreal": {"hips": "pelvis", "shin.L": "calf_l", "toe.R": "ball_r", "middle.3.L": "middle_03_l"},
    "cmu": {"hips": "Hips", "thigh.R": "RightUpLeg"},
    "bvh": {"hips": "hip", "upper_arm.L": "lShldr", "shin.R": "rShin"},
    "vrm": {"hips": "J_Bip_C_Hips", "eye.L": "J_Adj_L_FaceEye", "pinky.1.R": "J_Bip_R_Little1"},
    "auto_rig_pro": {"hips": "root.x", "upper_arm.L": "arm.l", "index.1.R": "index1.r", "toe.L": "toes_01.l"},
    "daz": {"hips": "hip", "chest": "chestUpper", "upper_arm.L": "lShldrBend", "middle.2.R": "rMid2"},
    "daz9": {"hips": "hip", "chest": "spine4", "thigh.R": "r_thigh", "pinky.3.L": "l_pinky3"},
    "character_creator": {"hips": "CC_Base_Hip", "shin.L": "CC_Base_L_Calf", "ring.1.R": "CC_Base_R_Ring1"},
    "vrm_humanoid": {"hips": "hips", "thumb.1.L": "leftThumbMetacarpal", "toe.R": "rightToes"},
}


def family_naming(name: str, prefix: str = "") -> Callable[[str], str | None]:
    """The first name of each joint in a family, as its rigs have it."""
    family = next(family for family in bonemap.families() if family.name == name)
    prefix = prefix or family.prefixes[0]
    if name == "vrm":
        return lambda joint: (
            ("J_Adj_" if joint.startswith("eye") else "J_Bip_") + family.bones[joint][0]
            if joint in family.bones
            else None
        )
    if name == "rigify":
        prefix = "" if prefix == "DEF-" else prefix
    return lambda joint: prefix + family.bones[joint][0] if joint in family.bones else None


@pytest.mark.parametrize("name", NAMED)
def test_families_by_name(name: str) -> None:
    found = capture.find_bone_map(people.make_armature("Rig", family_naming(name)))
    assert found.family == name
    for joint, bone in NAMED[name].items():
        if joint in found.bones:
            assert found.bones[joint] == bone
        else:
            assert joint.startswith(("eye", "toe"))
    assert set(bonemap.CORE) <= set(found.bones)
    assert min(found.confidence.values()) >= 0.9
    assert "neck" in found.derived


def test_every_family_is_tested() -> None:
    assert {family.name for family in bonemap.families()} == set(NAMED)


def test_generated_rigify_prefers_deform_bones() -> None:
    naming = family_naming("rigify")
    rig = people.make_armature("Rig", lambda joint: f"DEF-{naming(joint)}" if naming(joint) else None)
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for side in "LR":
        control = rig.data.edit_bones.new(f"hand.{side}")
        control.head, control.tail = (0, 0, 0), (0, 0, 1)
    bpy.ops.object.mode_set(mode="OBJECT")
    found = capture.find_bone_map(rig)
    assert found.family == "rigify"
    assert found.bones["hand.L"] == "DEF-hand.L"


def test_morse_human_names() -> None:
    family = next(family for family in bonemap.families() if family.name == "makehuman")
    swaps = {"upper_arm": "shoulder02_{s}", "hips": "root"}

    def naming(joint: str) -> str | None:
        kind, side = joint.partition(".")[0], joint[-1]
        if kind in swaps:
            return swaps[kind].replace("{s}", side)
        if kind == "toe" or joint not in family.bones:
            return None
        return family.bones[joint][min(1, len(family.bones[joint]) - 1)]

    found = capture.find_bone_map(people.make_armature("Rig", naming))
    assert found.family == "makehuman"
    assert found.bones["upper_arm.R"] == "shoulder02_R"
    assert {"toe.L", "toe.R", "eye.L"} <= set(found.derived)


def test_cmu_fingers_are_no_finger_joints() -> None:
    naming = family_naming("cmu")
    rig = people.make_armature("Rig", lambda joint: "LThumb" if joint == "thumb.1.L" else naming(joint))
    found = capture.find_bone_map(rig)
    assert found.family == "cmu"
    assert not any(joint.startswith("thumb") for joint in found.bones)


@pytest.mark.parametrize("turn", [0, 90, 180])
def test_unknown_names_by_hierarchy(turn: float) -> None:
    order = list(people.rest_bones())
    naming: Callable[[str], str] = lambda joint: f"bone{order.index(joint)}"  # noqa: E731
    rig = people.make_armature("Rig", naming)
    if turn:
        from mathutils import Matrix

        rig.data.transform(Matrix.Rotation(turn * 3.14159265 / 180, 4, "Z"))
    found = capture.find_bone_map(rig)
    assert found.family == "unknown"
    for joint in ("hips", "head", *bonemap.NEEDED, "hand.L", "hand.R", "foot.L", "foot.R", "toe.L"):
        assert found.bones[joint] == naming(joint), joint
    assert set(found.confidence.values()) == {0.6}


def test_no_person_in_the_rig() -> None:
    data = bpy.data.armatures.new("Snake")
    rig = bpy.data.objects.new("Snake", data)
    bpy.context.scene.collection.objects.link(rig)
    assert hierarchy.guess_bones(data.bones) == {}
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    parent = None
    for n in range(8):
        bone = data.edit_bones.new(f"s{n}")
        bone.head, bone.tail, bone.parent = (0, n, 0), (0, n + 1, 0), parent
        parent = bone
    bpy.ops.object.mode_set(mode="OBJECT")
    with pytest.raises(capture.CaptureProblem, match="Snake has no bones that Wanstage recognises"):
        capture.find_bone_map(rig)


def test_own_bone_map_wins() -> None:
    rig = people.make_armature("Rig")
    found = capture.find_bone_map(rig, {"head": "mixamorig:Neck"})
    assert found.bones["head"] == "mixamorig:Neck"
    with pytest.raises(capture.CaptureProblem, match="'Nothing' for head"):
        capture.find_bone_map(rig, {"head": "Nothing"})


def test_missing_hands_are_none() -> None:
    rig = people.make_armature("Rig", with_fingers=False)
    people.make_camera((0, -5, 1), (0, 0, 1))
    params = capture.ShotParams(
        "Scene", "Camera", 1, 1, 24, 128, 72, (capture.CharacterParams("Rig", "Rig", 1),), occlusion=False
    )
    pose = capture.capture_pose(params).characters[0]
    assert pose.left_hand is None
    assert pose.right_hand is None
    assert "thumb.1.L" in capture.find_bone_map(rig).missing


def test_rigify_human_metarig() -> None:
    """The real metarig that ships with Blender (generation is slow and left to people)."""
    import addon_utils

    addon_utils.enable("rigify", default_set=True)
    bpy.ops.object.armature_human_metarig_add()
    rig: Any = bpy.context.object
    found = capture.find_bone_map(rig)
    assert found.family == "rigify"
    assert not set(bonemap.OPTIONAL) - set(found.bones) - {"eye.L", "eye.R"}
