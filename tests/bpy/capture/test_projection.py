"""Projected joints against Blender's own world_to_camera_view of the true bone heads: at most 0.5 px."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import bpy
import numpy as np
import people
import pytest
from bpy_extras.object_utils import world_to_camera_view

from blender_addon import capture
from blender_addon.capture.offsets import BODY_POINTS, HAND_POINTS

JOINTS = {"shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand", "hip": "thigh", "knee": "shin", "ankle": "foot"}


def shot(**changes: Any) -> capture.ShotParams:
    scene = bpy.context.scene
    params = capture.ShotParams(
        scene.name,
        scene.camera.name,
        1.0,
        4,
        16.0,
        scene.render.resolution_x,
        scene.render.resolution_y,
        (capture.CharacterParams("Walker", "Walker", 1),),
        occlusion=False,
    )
    return dataclasses.replace(params, **changes)


def expected(rig: Any, names: dict[str, str], frame: float) -> dict[str, np.ndarray]:
    """Point -> x, y, depth of true bone heads at a frame, by Blender."""
    scene = bpy.context.scene
    scene.frame_set(int(frame), subframe=frame - int(frame))
    found = {}
    for point, bone in names.items():
        world = rig.matrix_world @ rig.pose.bones[bone].head
        u, v, depth = world_to_camera_view(scene, scene.camera, world)
        size = np.array([scene.render.resolution_x, scene.render.resolution_y])
        found[point] = np.array([u * size[0], (1 - v) * size[1], depth])
    return found


def true_names() -> dict[str, str]:
    names = {}
    for point in BODY_POINTS:
        kind, _, side = point.partition(".")
        if kind in JOINTS:
            names[point] = people.mixamo_name(f"{JOINTS[kind]}.{side}")
    return names


CAMERAS = {
    "plain": {},
    "portrait": {"size": (120, 208)},
    "vertical": {"sensor_fit": "VERTICAL", "sensor_height": 20.0},
    "shifted": {"shift_x": 0.2, "shift_y": -0.13},
    "wide pixels": {"aspect": (2.0, 1.0)},
    "tall pixels": {"aspect": (1.0, 1.5), "shift_y": 0.1},
    "ortho": {"type": "ORTHO", "ortho_scale": 4.0},
    "ortho portrait": {"type": "ORTHO", "ortho_scale": 4.0, "size": (120, 208), "shift_x": 0.1, "aspect": (1.0, 1.3)},
    "scaled": {"scale": 3.0},
}


def set_camera(settings: dict[str, Any]) -> None:
    scene = bpy.context.scene
    for name, value in settings.items():
        if name == "size":
            scene.render.resolution_x, scene.render.resolution_y = value
        elif name == "aspect":
            scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = value
        elif name == "scale":
            scene.camera.scale = (value,) * 3
        else:
            setattr(scene.camera.data, name, value)


@pytest.mark.parametrize("name", CAMERAS)
def test_joints_are_where_blender_sees_them(name: str) -> None:
    rig, _ = people.make_stage()
    set_camera(CAMERAS[name])
    poses = capture.capture_pose(shot())
    for i in range(4):
        frame = 1.0 + i * 24.0 / 16.0
        assert poses.frames[i] == pytest.approx(frame)
        for point, truth in expected(rig, true_names(), frame).items():
            row = poses.characters[0].body[i, BODY_POINTS.index(point)]
            assert np.abs(row[:2] - truth[:2]).max() < 0.5, (point, row, truth)
            assert row[3] == pytest.approx(truth[2], abs=1e-3)


def test_hands_follow_finger_bones() -> None:
    rig, _ = people.make_stage()
    poses = capture.capture_pose(shot(frames=2))
    for side, hand in (("L", poses.characters[0].left_hand), ("R", poses.characters[0].right_hand)):
        assert hand is not None
        names = {
            point: people.mixamo_name(f"{point}.{side}") for point in HAND_POINTS[1:] if not point.endswith(".4")
        } | {"wrist": people.mixamo_name(f"hand.{side}")}
        for point, truth in expected(rig, names, 2.5).items():
            assert np.abs(hand[1, HAND_POINTS.index(point), :2] - truth[:2]).max() < 0.5
        assert (hand[:, :, 4] == 0).all()


def test_scaled_and_constrained_rigs() -> None:
    rig, _ = people.make_stage()
    rig.scale = (1.4, 1.4, 1.4)
    pull = bpy.data.objects.new("Pull", None)
    pull.location = (0.6, 0.0, 1.2)
    bpy.context.scene.collection.objects.link(pull)
    ik = rig.pose.bones[people.mixamo_name("forearm.L")].constraints.new("IK")
    ik.target, ik.chain_count = pull, 2
    poses = capture.capture_pose(shot())
    for i in (0, 3):
        for point, truth in expected(rig, true_names(), poses.frames[i]).items():
            row = poses.characters[0].body[i, BODY_POINTS.index(point)]
            assert np.abs(row[:2] - truth[:2]).max() < 0.5, point


def test_derived_points_sit_on_the_right_sides() -> None:
    """The walker looks along -Y to a camera in front: his right is on the picture's left."""
    rig, camera = people.make_stage()
    people.stand_still(rig, camera)
    poses = capture.capture_pose(shot(frames=1))
    points = dict(zip(BODY_POINTS, poses.characters[0].body[0], strict=True))
    assert points["eye.R"][0] < points["nose"][0] < points["eye.L"][0]
    assert points["ear.R"][0] < points["eye.R"][0]
    assert points["toe.R"][0] < points["toe.L"][0]
    assert points["toe.R"][3] < points["ankle.R"][3]
    assert points["nose"][3] < points["ear.R"][3]
    assert points["eye.L"][1] < points["nose"][1] < points["neck"][1]
    middle = (points["shoulder.R"][:2] + points["shoulder.L"][:2]) / 2
    assert points["neck"][:2] == pytest.approx(middle, abs=0.5)
    box = poses.characters[0].face_box
    assert box is not None
    left, top, right, bottom = box[0]
    assert left < points["nose"][0] < right
    assert top < points["eye.L"][1] < bottom < points["neck"][1] + 10
    assert {"neck", "nose", "ear.L", "eye.R"} <= set(poses.characters[0].bone_map.derived)


def test_states() -> None:
    """Off screen, behind the camera, occluded by a wall and by the own body."""
    rig, camera = people.make_stage()
    people.stand_still(rig, camera)
    people.make_box("Wall", (4.0, 0.1, 0.6), (0.0, -1.0, 0.3))
    poses = capture.capture_pose(shot(frames=1, occlusion=True))
    state = dict(zip(BODY_POINTS, poses.characters[0].body[0, :, 4], strict=True))
    assert state["ankle.L"] == 1
    assert state["toe.R"] == 1
    assert state["nose"] == state["shoulder.L"] == state["hip.R"] == 0
    people.make_box("Guide", (4.0, 0.1, 4.0), (0.0, -2.0, 0.3)).hide_render = True
    rig.rotation_euler.z = math.radians(180)
    poses = capture.capture_pose(shot(frames=1, occlusion=True))
    state = dict(zip(BODY_POINTS, poses.characters[0].body[0, :, 4], strict=True))
    assert state["nose"] == 1
    assert state["shoulder.R"] == 0
    rig.location.y = -8.0
    poses = capture.capture_pose(shot(frames=1))
    assert (poses.characters[0].body[0, :, 4] == 3).all()
    assert (poses.characters[0].body[0, :, 2] == 0).all()
    rig.location = (9.0, 3.0, 0.0)
    poses = capture.capture_pose(shot(frames=1))
    assert (poses.characters[0].body[0, :, 4] == 2).all()
    assert "outside the picture" in poses.warnings[0]


def test_hidden_rigs_are_still_evaluated() -> None:
    rig, _ = people.make_stage()
    seen = capture.capture_pose(shot()).characters[0].body
    rig.hide_viewport = True
    hidden = capture.capture_pose(shot()).characters[0].body
    assert seen == pytest.approx(hidden, abs=1e-3), np.argwhere(seen != hidden)
    assert not np.array_equal(seen[0], seen[3])
