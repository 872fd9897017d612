"""The committed assets and the demo scene, in every Blender the product supports."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")
from bpy_extras.object_utils import world_to_camera_view  # noqa: E402
from mathutils import Vector  # noqa: E402

pytestmark = pytest.mark.bpy
EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
ASSETS = EXAMPLES / "assets"
LIMBS = ("LeftHand", "RightHand", "LeftFoot", "RightFoot", "Head")


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    specification = importlib.util.spec_from_file_location("demo_scene", EXAMPLES / "demo_scene.py")
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scene(demo: ModuleType) -> object:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return demo.build()


@pytest.fixture(scope="module")
def skins(scene: object) -> np.ndarray:
    """The person's world vertices in every frame (81,n,3)."""
    body = bpy.data.objects["Hero body"]
    found = []
    for frame in range(1, 82):
        scene.frame_set(frame)
        mesh = body.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        flat = np.empty(len(mesh.vertices) * 3, np.float32)
        mesh.vertices.foreach_get("co", flat)
        matrix = np.array(body.matrix_world)
        found.append(flat.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])
        body.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh_clear()
    return np.array(found)


def test_every_asset_is_small_and_named_in_the_attribution() -> None:
    text = (ASSETS / "ATTRIBUTION.md").read_text(encoding="utf-8")
    files = [f for f in ASSETS.iterdir() if f.name != "ATTRIBUTION.md"]
    assert {"previz_human.blend", "reference_man.png", "reference_man.png.joints.json"} <= {f.name for f in files}
    assert all(f"`{f.name}`" in text for f in files)
    assert all(f.stat().st_size < 3_000_000 for f in files)
    assert sum(f.stat().st_size for f in files) < 6_000_000


@pytest.mark.parametrize("name", ["previz_human.blend", "previz_mixamo.blend"])
def test_a_previz_file_opens_with_a_skinned_moving_rig(name: str) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / name), load_ui=False)
    rig, body = bpy.data.objects["Hero"], bpy.data.objects["Hero body"]
    assert rig.type == "ARMATURE"
    assert rig.animation_data.action
    assert body.modifiers[0].object == rig
    assert len(body.data.vertices) < 15_000
    assert {g.name for g in body.vertex_groups} == {b.name for b in rig.data.bones}
    places = []
    for frame in (1, 20, 60):
        bpy.context.scene.frame_set(frame)
        places.append([np.array(bone.head) for bone in rig.pose.bones])
    moved = np.linalg.norm(np.diff(np.array(places), axis=0), axis=2)
    assert (moved > 0.05).all(axis=1).any()
    assert not bpy.data.libraries
    assert not [image for image in bpy.data.images if image.source == "FILE"]


def test_the_scene_is_what_the_demo_asks_for(demo: ModuleType, scene: object) -> None:
    said = demo.describe()
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, said["frames"], said["fps"]) == (1, 81, 16)
    assert (scene.render.resolution_x, scene.render.resolution_y) == (832, 480)
    assert scene.render.engine == "CYCLES"
    assert scene.view_settings.view_transform == "Standard"
    assert bpy.data.objects["Hero"].type == "ARMATURE"
    assert scene.camera.name == said["camera"]
    assert Path(said["reference"]).is_file()


def test_building_twice_gives_the_same_scene(demo: ModuleType, scene: object) -> None:
    before = {o.name: tuple(o.location) for o in scene.objects}
    again = demo.build()
    assert {o.name: tuple(o.location) for o in again.objects} == before


def test_shoes_stay_on_the_floor_and_leave_it_to_jump(skins: np.ndarray) -> None:
    low = skins[..., 2].min(axis=1)
    assert low.min() > -0.012
    assert (np.abs(low) < 0.012).sum() > 55
    assert (low > 0.12).sum() >= 8


def test_planted_feet_do_not_slide(scene: object) -> None:
    rig = bpy.data.objects["Hero"]
    for side, frames in (("Left", range(15, 44)), ("Right", range(15, 39))):
        path = []
        for frame in frames:
            scene.frame_set(frame)
            path.append(np.array(rig.matrix_world @ rig.pose.bones[f"{side}ToeBase"].head))
        assert np.ptp(np.array(path)[:, :2], axis=0).max() < 0.02


def test_no_joint_jumps_between_frames(scene: object) -> None:
    rig = bpy.data.objects["Hero"]
    path = []
    for frame in range(1, 82):
        scene.frame_set(frame)
        path.append([np.array(rig.matrix_world @ rig.pose.bones[name].tail) for name in LIMBS])
    speed = np.linalg.norm(np.diff(np.array(path), axis=0), axis=2)
    assert speed.max() < 0.75  # metres in 1/16 s: the arm swing of a jump, and no more


def test_the_person_is_in_the_picture_all_the_time(scene: object, skins: np.ndarray) -> None:
    heights = []
    for frame in range(1, 82):
        scene.frame_set(frame)
        seen = np.array([world_to_camera_view(scene, scene.camera, Vector(p.tolist())) for p in skins[frame - 1, ::37]])
        assert seen[:, :2].min() > 0.02
        assert seen[:, :2].max() < 0.98
        heights.append(np.ptp(seen[:, 1]))
    assert 0.55 < np.median(heights) < 0.8


def test_the_camera_moves_smoothly(scene: object) -> None:
    places = []
    for frame in range(1, 82):
        scene.frame_set(frame)
        places.append(np.array(scene.camera.matrix_world.translation))
    steps = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
    assert steps.sum() > 2.0
    assert np.abs(np.diff(steps)).max() < 0.004
    assert steps[0] < 0.3 * steps.max()


def test_he_turns_away(scene: object) -> None:
    rig = bpy.data.objects["Hero"]
    facing = {}
    for frame in (1, 70):
        scene.frame_set(frame)
        left, right = (rig.matrix_world @ rig.pose.bones[f"{s}UpLeg"].head for s in ("Left", "Right"))
        to_camera = scene.camera.matrix_world.translation - (left + right) / 2
        forward = (left - right).cross(Vector((0, 0, 1)))
        facing[frame] = forward.normalized() @ to_camera.normalized()
    assert facing[1] > 0.7
    assert facing[70] < -0.5


def test_reference_joints_lie_inside_the_man() -> None:
    path = ASSETS / "reference_man.png"
    sidecar = json.loads(path.with_name(path.name + ".joints.json").read_text())
    image = bpy.data.images.load(str(path))
    width, height = image.size
    assert [sidecar["wanstage_reference"], sidecar["width"], sidecar["height"]] == [1, width, height]
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    alpha = pixels.reshape(height, width, 4)[::-1, :, 3]
    assert [len(sidecar[k]) for k in ("body", "left_hand", "right_hand")] == [20, 21, 21]
    for x, y, score in [*sidecar["body"], *sidecar["left_hand"], *sidecar["right_hand"]]:
        assert score == 1.0
        assert alpha[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() > 0.5, (x, y)
    assert 0.1 < (alpha > 0.5).mean() < 0.5
    assert sidecar["body"][2][0] < sidecar["body"][5][0]  # his right shoulder is on the picture's left
