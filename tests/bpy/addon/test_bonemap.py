"""The bone map of a rig: set by hand, kept with the rig, shared as a file; real rigs, linked ones and overrides."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

ROOT = Path(__file__).resolve().parents[3]
ASSETS = ROOT / "examples" / "assets"
sys.path.append(str(ROOT / "tests" / "bpy" / "capture"))

import people  # noqa: E402


def selected(name: str) -> Any:
    """The armature that the panel shows, in Pose Mode or not."""
    item = bpy.data.objects[name]
    bpy.context.scene.wanstage.cast = item
    return item


@pytest.fixture
def walker(addon: Any) -> Any:
    people.make_armature("Walker")
    return selected("Walker")


@pytest.mark.parametrize(("name", "family"), [("previz_human", "cmu"), ("previz_mixamo", "mixamo")])
def test_real_rigs_are_known_by_their_names(addon: Any, name: str, family: str) -> None:
    from blender_addon import bonemap_store, cast_panel

    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / f"{name}.blend"), load_ui=False)
    found = bonemap_store.read(selected("Hero"))
    assert found.family == family
    assert not found.absent()
    assert {found.how(joint) for joint in found.bones} <= {"name", "alternative"}
    assert cast_panel.summary(found) == f"{family.capitalize()} names: {len(found.bones)} joints, 0 set by hand"


def test_an_unknown_rig_is_found_by_shape_and_mended_by_hand(addon: Any) -> None:
    from blender_addon import bonemap_store, cast_panel, shots

    order = list(people.rest_bones())
    people.make_armature("Rig", lambda joint: f"bone{order.index(joint)}")
    item = selected("Rig")
    found = bonemap_store.read(item)
    assert found.how("forearm.L") == "geometry"
    assert cast_panel.how_text(found, "forearm.L").startswith("Found by the rig's shape")
    assert cast_panel.summary(found).startswith("Found by shape: ")
    assert found.how("index.1.L") == "none"
    right = f"bone{order.index('index.1.L')}"
    assert bpy.ops.wanstage.set_bone(joint="index.1.L", bone=right) == {"FINISHED"}
    assert bonemap_store.overrides_of(item) == {"index.1.L": right}
    assert bonemap_store.read(item).how("index.1.L") == "yours"
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    assert shots.parameters(bpy.context.scene).characters[0].bone_map == {"index.1.L": right}


def test_set_none_reset_one_and_all(walker: Any, refused: Any) -> None:
    from blender_addon import bonemap_store

    assert refused(bpy.ops.wanstage.reset_bones).endswith("No bone of Walker was set by hand")
    assert bpy.ops.wanstage.set_bone(joint="head", bone="mixamorig:Neck") == {"FINISHED"}
    assert bpy.ops.wanstage.set_bone(joint="toe.L", bone="") == {"FINISHED"}
    found = bonemap_store.read(walker)
    assert (found.bones["head"], found.how("head"), found.how("toe.L")) == ("mixamorig:Neck", "yours", "yours")
    assert "toe.L" in found.missing
    assert json.loads(walker.data.wanstage.bone_map) == {"head": "mixamorig:Neck", "toe.L": ""}
    assert bpy.ops.wanstage.reset_bones(joint="head") == {"FINISHED"}
    assert bonemap_store.read(walker).bones["head"] == "mixamorig:Head"
    assert bpy.ops.wanstage.reset_bones(every=True) == {"FINISHED"}
    assert walker.data.wanstage.bone_map == ""
    assert "Walker has no bone named Nobody" in refused(bpy.ops.wanstage.set_bone, joint="head", bone="Nobody")
    assert "There is no joint tail" in refused(bpy.ops.wanstage.set_bone, joint="tail", bone="mixamorig:Neck")


def test_copies_share_it_and_it_is_saved(walker: Any, tmp_path: Path) -> None:
    from blender_addon import bonemap_store

    twin = bpy.data.objects.new("Twin", walker.data)
    bpy.context.scene.collection.objects.link(twin)
    bpy.ops.wanstage.set_bone(joint="head", bone="mixamorig:Neck")
    assert bonemap_store.overrides_of(twin) == {"head": "mixamorig:Neck"}
    file = tmp_path / "Übung.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    bpy.ops.wm.open_mainfile(filepath=str(file))
    assert bonemap_store.read(bpy.data.objects["Twin"]).bones["head"] == "mixamorig:Neck"


def test_the_property_of_the_panel(walker: Any) -> None:
    from blender_addon import bonemap_store
    from blender_addon.capture.bonemap import JOINTS

    bonemap_store.fill_rows()
    manager = bpy.context.window_manager
    assert [row.name for row in manager.wanstage_joints] == list(JOINTS)
    manager.wanstage_joint = JOINTS.index("head")
    own = walker.wanstage
    assert own.joint_bone == "mixamorig:Head"
    own.joint_bone = "mixamorig:Neck"
    assert own.joint_bone == "mixamorig:Neck"
    own.joint_bone = "Nobody"
    assert own.joint_bone == "mixamorig:Neck"
    own.joint_bone = ""
    assert bonemap_store.overrides_of(walker) == {"head": ""}


def test_the_active_bone_of_pose_mode(walker: Any, refused: Any) -> None:
    from blender_addon import bonemap_store

    use = bpy.ops.wanstage.use_active_bone
    assert "Enter Pose Mode of Walker and click a bone first" in refused(use, joint="head")
    bpy.context.view_layer.objects.active = walker
    bpy.ops.object.mode_set(mode="POSE")
    walker.data.bones.active = walker.data.bones["mixamorig:Spine2"]
    assert use(joint="head") == {"FINISHED"}
    assert bonemap_store.overrides_of(walker) == {"head": "mixamorig:Spine2"}


@pytest.mark.parametrize(
    ("name", "other"),
    [("hand.L", "hand.R"), ("mixamorig:LeftArm", "mixamorig:RightArm"), ("J_Bip_L_Hand", "J_Bip_R_Hand"),
     ("l_thigh", "r_thigh"), ("DEF-shin.R.001", "DEF-shin.L.001"), ("spine", "spine")],
)  # fmt: skip
def test_mirrored_names(addon: Any, name: str, other: str) -> None:
    from blender_addon import bonemap_store

    assert bonemap_store.flipped(name) == other


def test_mirror(walker: Any, refused: Any) -> None:
    from blender_addon import bonemap_store

    bpy.ops.wanstage.set_bone(joint="forearm.L", bone="mixamorig:LeftHand")
    assert bpy.ops.wanstage.mirror_bones(side="L") == {"FINISHED"}
    assert bonemap_store.overrides_of(walker) == {
        "forearm.L": "mixamorig:LeftHand", "forearm.R": "mixamorig:RightHand"
    }  # fmt: skip
    order = list(people.rest_bones())
    people.make_armature("Numbers", lambda joint: f"bone{order.index(joint)}")
    selected("Numbers")
    assert "No bone of this side has a partner in Numbers" in refused(bpy.ops.wanstage.mirror_bones)


def test_a_bone_that_went_away(walker: Any) -> None:
    from blender_addon import bonemap_store, capture, cast_panel

    bpy.ops.wanstage.set_bone(joint="head", bone="mixamorig:Neck")
    walker.data.bones["mixamorig:Neck"].name = "Hals"
    found = bonemap_store.read(walker)
    assert found.stale == {"head": "mixamorig:Neck"}
    assert cast_panel.summary(found) == "Head is set to mixamorig:Neck, which the rig does not have"
    with pytest.raises(capture.CaptureProblem, match="'mixamorig:Neck' for head"):
        capture.find_bone_map(walker, bonemap_store.overrides_of(walker))


def test_a_file_for_others(walker: Any, tmp_path: Path, refused: Any) -> None:
    from blender_addon import bonemap_store
    from blender_addon.capture.bonemap import match_family, read_family

    bpy.ops.wanstage.set_bone(joint="head", bone="mixamorig:Neck")
    bpy.ops.wanstage.set_bone(joint="toe.L", bone="")
    file = tmp_path / "walker.json"
    assert bpy.ops.wanstage.export_bones(filepath=str(file)) == {"FINISHED"}
    data = json.loads(file.read_text(encoding="utf-8"))
    assert (data["format"], data["version"], data["bones"]["toe.L"]) == ("wanstage-bone-map", 1, [])
    names = {bone.name: bone.name for bone in walker.data.bones}
    assert match_family(read_family(data), names)[0]["head"] == "mixamorig:Neck", "a file of retarget/maps"
    people.make_armature("Other")
    other = selected("Other")
    assert bpy.ops.wanstage.import_bones(filepath=str(file)) == {"FINISHED"}
    assert bonemap_store.overrides_of(other) == {"head": "mixamorig:Neck", "toe.L": ""}
    people.make_armature("Alien", lambda joint: f"x {joint}")
    selected("Alien")
    assert "Alien has none of the bones that walker.json names" in refused(
        bpy.ops.wanstage.import_bones, filepath=str(file)
    )
    file.write_text("[1]")
    assert "walker.json is no bone map" in refused(bpy.ops.wanstage.import_bones, filepath=str(file))
    assert "nowhere.json cannot be read" in refused(
        bpy.ops.wanstage.import_bones, filepath=str(tmp_path / "nowhere.json")
    )
    maps = ROOT / "blender_addon" / "retarget" / "maps" / "mixamo.json"
    selected("Other")
    assert bpy.ops.wanstage.import_bones(filepath=str(maps)) == {"FINISHED"}
    assert bonemap_store.overrides_of(other) == {}, "what is found by itself needs no hand"


@pytest.fixture
def library(walker: Any, tmp_path: Path) -> Path:
    """A file with the walker, whose head was set by hand there."""
    bpy.ops.wanstage.set_bone(joint="head", bone="mixamorig:Neck")
    path = tmp_path / "library.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return path


def link(path: Path) -> Any:
    with bpy.data.libraries.load(str(path), link=True) as (_, target):
        target.objects = ["Walker"]
    return bpy.data.objects["Walker"]


def test_a_linked_rig_says_why_not(library: Path, refused: Any) -> None:
    from blender_addon import bonemap_store

    item = link(library)
    bpy.context.scene.collection.objects.link(item)
    selected("Walker")
    assert bonemap_store.read(item).bones["head"] == "mixamorig:Neck", "what its own file says is so here"
    said = refused(bpy.ops.wanstage.set_bone, joint="head", bone="mixamorig:Head")
    assert "Walker is linked and cannot be written: make a library override" in said


def test_an_override_keeps_its_own(library: Path, tmp_path: Path, refused: Any) -> None:
    from blender_addon import bonemap_store

    item = link(library).override_create(remap_local_usages=True)
    bpy.context.scene.collection.objects.link(item)
    selected(item.name)
    assert bonemap_store.keeper(item)[1] == "The rig Walker is linked: its bones are kept with Walker, in this file"
    assert bpy.ops.wanstage.set_bone(joint="toe.L", bone="mixamorig:LeftFoot") == {"FINISHED"}
    item.wanstage.role, item.wanstage.reference = "KEEP", "//anna.png"
    assert bonemap_store.overrides_of(item) == {"head": "mixamorig:Neck", "toe.L": "mixamorig:LeftFoot"}
    file = tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    bpy.ops.wm.open_mainfile(filepath=str(file))
    item = next(each for each in bpy.data.objects if each.override_library)
    assert bonemap_store.overrides_of(item) == {"head": "mixamorig:Neck", "toe.L": "mixamorig:LeftFoot"}
    assert (item.wanstage.role, item.wanstage.reference) == ("KEEP", "//anna.png")
    selected(item.name)
    assert bpy.ops.wanstage.reset_bones(joint="toe.L") == {"FINISHED"}
    assert "set in the file that Walker is linked from" in refused(bpy.ops.wanstage.reset_bones, joint="head")


def test_changed_bones_are_looked_at_anew(walker: Any) -> None:
    from blender_addon import bonemap_store

    before = bonemap_store.read(walker)
    assert bonemap_store.read(walker) is before
    walker.data.bones["mixamorig:Head"].name = "Kopf"
    assert bonemap_store.read(walker) is not before
