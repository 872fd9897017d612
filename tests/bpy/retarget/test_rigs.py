"""Perfect input on every kind of rig: limbs point where the actor's did, feet stand, all else stays as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
import measure
import numpy as np
import pytest
import standins
from measure import ASSETS, FRAMES, Truth

from blender_addon.retarget import joints

MOST_DEG, MOST_CM = 0.5, 1.0
MOST_OFFSET_CM = 5.0  # of the hips from their path, to hold the feet
FREE_DEG = 0.1  # while feet are not held
SHAPES = {
    "a-pose": standins.Shape(),
    "t-pose": standins.Shape(drop=2.0, elbow=0.0, knee=0.0, leg=0.95, arm=0.5, roll=20.0),
    "short": standins.Shape(leg=0.55, torso=0.4, arm=0.4, drop=60.0, elbow=30.0, toe_out=20.0, odd_tails=True),
}


def retarget(rig: Any, truth: Truth, **options: Any) -> dict[str, Any]:
    """Bake and read the report."""
    assert bpy.ops.wanstage.retarget(pose_file=str(truth.path), armature=rig.name, **options) == {"FINISHED"}
    return dict(json.loads(rig.animation_data.action["wanstage_retarget"]))


def compare(rig: Any, truth: Truth) -> None:
    """Over all frames and at once: every arm and leg points as the actor's, and no foot that stands slides."""
    before = measure.rig_hash(rig)
    report = retarget(rig, truth, place="FILE")
    first = rig.animation_data.action.name
    found = measure.joint_paths(rig, FRAMES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= MOST_DEG
    assert measure.worst_slide(found, truth.paths) <= MOST_CM / 100.0
    assert report["direction"]["worst_deg"] <= MOST_DEG
    assert report["held"]["legs_worst_deg"] <= MOST_DEG
    assert report["held"]["root_offset_cm"] <= MOST_OFFSET_CM
    assert report["slide_after"]["worst_cm"] <= MOST_CM
    assert report["slide_after"]["contacts"] >= 6
    assert report["slide_before"]["worst_cm"] >= report["slide_after"]["worst_cm"]
    report = retarget(rig, truth, lock_feet=False, place="FILE")
    assert report["held"] == {"root_offset_cm": 0.0, "legs_worst_deg": 0.0}
    found = measure.joint_paths(rig, FRAMES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= FREE_DEG
    assert measure.rig_hash(rig, (first, rig.animation_data.action.name)) == before


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("family", standins.FAMILIES)
def test_stand_ins(addon: Any, truth: Truth, family: str, shape: str) -> None:
    rig = standins.build(family, SHAPES[shape])
    assert measure.title(rig) == family
    compare(rig, truth)


@pytest.mark.parametrize("name", ["previz_human", "previz_mixamo"])
def test_real_humans(addon: Any, truth: Truth, name: str) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / f"{name}.blend"), load_ui=False)
    rig = bpy.data.objects["Hero"]
    compare(rig, truth)
    stashed = [strip.action.name for track in rig.animation_data.nla_tracks if track.mute for strip in track.strips]
    assert "CMU 01_01 jump and turn" in stashed


def test_the_same_rig_moves_as_it_did(addon: Any, truth: Truth) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / "previz_human.blend"), load_ui=False)
    rig = bpy.data.objects["Hero"]
    retarget(rig, truth, lock_feet=False, place="FILE")
    found = measure.joint_paths(rig, FRAMES)
    error = [np.linalg.norm(found[joint] - path, axis=1) for joint, path in truth.paths.items()]
    assert np.mean(error) < 0.003
    assert np.max(error) < 0.02


def test_a_rig_of_centimetres_with_another_up(addon: Any, truth: Truth) -> None:
    """As FBX files come in: the object is turned by 90 degrees and scaled by 0.01, bones are Y up in centimetres."""
    rig = standins.build("unreal", SHAPES["a-pose"])
    turn = __import__("mathutils").Matrix.Rotation(-np.pi / 2, 4, "X") @ __import__("mathutils").Matrix.Scale(100.0, 4)
    rig.data.transform(turn)
    rig.matrix_world = turn.inverted()
    bpy.context.view_layer.update()
    report = retarget(rig, truth, lock_feet=False, place="FILE")
    found = measure.joint_paths(rig, FRAMES)
    assert measure.worst_angle(measure.directions(found), measure.directions(truth.paths)) <= MOST_DEG
    assert 0.5 < report["scale"] < 2.0
    report = retarget(rig, truth, place="START")
    assert report["slide_after"]["worst_cm"] <= MOST_CM
    assert np.linalg.norm(measure.joint_paths(rig, range(1, 2))["hips"][0][:2]) < 0.1


def test_a_films_wandering_feet_are_held_and_knees_do_not_jump(addon: Any, truth: Truth, tmp_path: Path) -> None:
    """The actor's hips and thighs wander as an estimator's do: slowly, by some centimetres and degrees."""
    with np.load(truth.path) as data:
        arrays = {name: data[name] for name in data.files}
    t = np.arange(len(FRAMES)) / 16.0
    arrays["p0/root"] = arrays["p0/root"] + 0.04 * np.sin(4.0 * t)[:, None] * np.array([1.0, 0.5, 0.2], np.float32)
    for joint, speed in (("leftUpperLeg", 3.0), ("rightUpperLeg", 4.3)):
        half = np.radians(3.0) * np.sin(speed * t) / 2.0
        w, x, y, z = arrays["p0/rotation"][:, joints.INDEX[joint]].T
        c, s = np.cos(half), np.sin(half)  # about the world's X
        arrays["p0/rotation"][:, joints.INDEX[joint]] = np.stack(
            [c * w - s * x, c * x + s * w, c * y - s * z, c * z + s * y], 1
        )
    np.savez(tmp_path / "film.npz", **arrays)
    rig = standins.build("unreal")
    report = retarget(rig, Truth(tmp_path / "film.npz", truth.paths), place="FILE")
    assert report["slide_before"]["worst_cm"] > 5.0
    assert report["slide_after"]["worst_cm"] <= MOST_CM
    assert report["held"]["root_offset_cm"] < 10.0
    assert report["held"]["legs_worst_deg"] < 5.0
    assert report["jitter"]["after"] < 1.1 * report["jitter"]["before"]
