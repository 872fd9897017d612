"""Masks, depth, plates and motion against Blender's own renders and against known geometry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import people
import pytest

from blender_addon import capture
from blender_addon.capture.camera import project
from blender_addon.capture.exr import read_exr
from wan_models.requests import origin_pixels

WIDTH, HEIGHT = 208, 120


def shot(frames: int, parts: str, characters: tuple[str, ...] = ("Walker",), **more: Any) -> capture.ShotParams:
    scene = bpy.context.scene
    people_of_shot = tuple(capture.CharacterParams(name, name, n) for n, name in enumerate(characters, 1))
    return capture.ShotParams(
        scene.name,
        scene.camera.name,
        1.0,
        frames,
        16.0,
        WIDTH,
        HEIGHT,
        people_of_shot,
        frozenset(parts.split()),
        **more,
    )


def index_render(path: Path, indices: dict[str, int], frame: float) -> np.ndarray:
    """Cycles' own object index of the original scene at a frame."""
    scene = bpy.context.scene
    for name, index in indices.items():
        bpy.data.objects[name].pass_index = index
    scene.view_layers[0].use_pass_object_index = True
    render = scene.render
    render.engine, render.filepath, render.use_file_extension = "CYCLES", str(path), False
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    render.image_settings.exr_codec, render.image_settings.color_depth = "NONE", "32"
    scene.cycles.samples, scene.cycles.use_denoising = 1, False
    scene.cycles.pixel_filter_type, scene.cycles.filter_width = "BLACKMAN_HARRIS", 0.01
    scene.frame_set(int(frame), subframe=frame - int(frame))
    bpy.ops.render.render(write_still=True)
    channels = read_exr(path.read_bytes())
    return next(values for name, values in channels.items() if name.endswith((".IndexOB.X", ".Object Index.X")))


def test_masks_agree_with_cycles(shoot: Callable[..., Any], tmp_path: Path) -> None:
    people.make_stage()
    second = people.make_armature("Second")
    people.make_body(second)
    second.location = (0.9, 0.4, 0.0)
    taken = shoot(shot(3, "mask", ("Walker", "Second")))
    for i, frame in enumerate((1.0, 2.5, 4.0)):
        truth = index_render(tmp_path / "index.exr", {"Walker body": 1, "Second body": 2}, frame)
        mask = taken.maps("mask")[i]
        for index in (1, 2):
            both, either = (mask == index) & (truth == index), (mask == index) | (truth == index)
            assert both.sum() >= 0.99 * either.sum() > 100


def test_depth_is_in_metres_along_the_view_axis(shoot: Callable[..., Any]) -> None:
    """A wall square to the view 5 m away is 5 m in every pixel; nothing is +inf; half scene units change nothing."""
    rig, camera = people.make_stage()
    people.stand_still(rig, camera)
    rig.location.z = -50.0
    for name in ("Floor", "Crate"):
        bpy.data.objects[name].hide_render = True
    camera.location, camera.rotation_euler = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)
    camera.data.lens = 18.0
    people.make_box("Wall", (5.0, 4.0, 0.5), (-2.5, 0.0, -5.25))
    depth = shoot(shot(1, "depth")).maps("depth")[0]
    assert depth.dtype == np.float32
    hit = np.isfinite(depth)
    assert depth[hit] == pytest.approx(5.0, rel=2e-5)
    assert hit[60, 10]
    assert not hit[60, 150]
    assert 0.65 < hit[:, :104].mean() < 0.75


def test_depth_of_orthographic_cameras(shoot: Callable[..., Any]) -> None:
    rig, camera = people.make_stage()
    people.stand_still(rig, camera)
    camera.location, camera.rotation_euler = (0.0, 0.0, 7.0), (0.0, 0.0, 0.0)
    camera.data.type, camera.data.ortho_scale = "ORTHO", 6.0
    taken = shoot(shot(1, "depth mask"))
    depth, mask = taken.maps("depth")[0], taken.maps("mask")[0]
    assert depth[2, 2] == pytest.approx(7.0, rel=2e-5)
    assert depth[mask == 1].min() == pytest.approx(7.0 - 1.85, abs=0.02)
    intrinsics = taken.array(taken.pack.camera.intrinsics)
    assert intrinsics[0] == pytest.approx([WIDTH / 6.0, WIDTH / 6.0, WIDTH / 2, HEIGHT / 2])
    assert taken.pack.camera.kind == "orthographic"


def test_pictures_and_joints_share_one_camera(shoot: Callable[..., Any]) -> None:
    """With shift, odd pixel aspect and a sensor fit: every wrist that is seen lies on the mask."""
    _, camera = people.make_stage()
    bpy.context.scene.render.pixel_aspect_x = 1.3
    camera.data.shift_x, camera.data.shift_y = -0.1, 0.15
    camera.data.sensor_fit, camera.data.sensor_height = "VERTICAL", 18.0
    taken = shoot(shot(3, "mask depth"))
    body = taken.array(taken.pack.characters[0].body)
    checked = 0
    for mask, rows in zip(taken.maps("mask"), body, strict=True):
        for x, y, _, _, state in rows[[2, 3, 4, 5, 6, 7, 8, 9, 11, 12]]:
            if state == 0 and 1 <= x < WIDTH - 1 and 1 <= y < HEIGHT - 1:
                assert mask[int(y), int(x)] == 1
                checked += 1
    assert checked > 10


def test_plate_has_no_characters(shoot: Callable[..., Any]) -> None:
    people.make_stage()
    taken = shoot(shot(2, "clay plate mask"))
    clay, plate, mask = (taken.maps(part)[1].astype(int) for part in ("clay", "plate", "mask"))
    bpy.data.objects["Walker body"].hide_render = True
    empty = shoot(shot(2, "plate")).maps("plate")[1].astype(int)
    assert np.abs(plate - empty).max() <= 1
    assert (np.abs(clay - plate).max(axis=2)[mask == 1] > 10).mean() > 0.9
    far = mask == 0
    far[:, np.flatnonzero((mask == 1).any(axis=0)).min() - 25 : np.flatnonzero((mask == 1).any(axis=0)).max() + 25] = (
        False
    )
    assert np.abs(clay - plate)[far].max() <= 2


def test_origin_of_sample_0_is_the_pixel_itself(shoot: Callable[..., Any]) -> None:
    people.make_stage()
    taken = shoot(shot(1, "origin depth"))
    pixels, known = origin_pixels(taken.maps("origin")[0])
    hit = np.isfinite(taken.maps("depth")[0])
    assert (known == hit)[2:-2, 2:-2].mean() > 0.995
    rows, columns = np.nonzero(known)
    own = np.stack([columns + 0.5, rows + 0.5], axis=1)
    assert np.abs(pixels[known] - own).max() < 0.05


def test_origin_of_a_moved_camera_and_a_moved_box(shoot: Callable[..., Any]) -> None:
    """Analytic: depth gives the world point; undo the box's motion; project through sample 0's camera."""
    people.make_stage()
    box = bpy.data.objects["Crate"]
    for frame, x in ((1, -1.0), (13, -0.4)):
        box.location.x = x
        box.keyframe_insert("location", frame=frame)
    taken = shoot(shot(6, "origin depth mask"))
    poses = capture.capture_pose(shot(6, "mask", occlusion=False))
    cameras = [
        capture.camera.CameraSample(world, intrinsics, False)
        for world, intrinsics in zip(poses.world_from_camera, poses.intrinsics, strict=True)
    ]
    depth, mask = taken.maps("depth")[5], taken.maps("mask")[5]
    pixels, known = origin_pixels(taken.maps("origin")[5])
    rows, columns = np.nonzero(known & (mask == 0))
    fx, fy, cx, cy = cameras[5].intrinsics
    z = depth[rows, columns]
    local = np.stack([(columns + 0.5 - cx) / fx * z, -(rows + 0.5 - cy) / fy * z, -z], axis=1)
    world = local @ cameras[5].world[:3, :3].T + cameras[5].world[:3, 3]
    on_floor = world[:, 2] < 1e-3
    frame = poses.frames[5]
    bpy.context.scene.frame_set(int(frame), subframe=frame % 1.0)
    shift = np.where(on_floor, 0.0, box.location.x + 1.0)
    truth, _ = project(world - np.stack([shift, 0 * shift, 0 * shift], axis=1), cameras[0])
    assert on_floor.any()
    assert not on_floor.all()
    error = np.abs(pixels[rows, columns] - truth).max(axis=1)
    assert (error < 0.1).mean() > 0.999  # where crate and floor touch, the height cannot tell them apart


def test_origin_of_a_deforming_mesh(shoot: Callable[..., Any]) -> None:
    """Vertices of the walker: where the last sample shows one, the map says where sample 0 showed it."""
    people.make_stage()
    taken = shoot(shot(4, "origin depth mask"))
    poses = capture.capture_pose(shot(4, "mask", occlusion=False))
    scene, body = bpy.context.scene, bpy.data.objects["Walker body"]

    def vertices(sample: int) -> tuple[np.ndarray, np.ndarray]:
        frame = poses.frames[sample]
        scene.frame_set(int(frame), subframe=frame % 1.0)
        evaluated = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
        flat = np.empty(3 * len(evaluated.data.vertices), np.float32)
        evaluated.data.vertices.foreach_get("co", flat)
        world = np.array(evaluated.matrix_world)
        points = flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
        camera = capture.camera.CameraSample(poses.world_from_camera[sample], poses.intrinsics[sample], False)
        return project(points, camera)

    (then, _), (now, depth_now) = vertices(0), vertices(3)
    pixels, known = origin_pixels(taken.maps("origin")[3])
    column, row = np.floor(now).astype(int).T
    seen = np.abs(taken.maps("depth")[3][row, column] - depth_now) < 0.01
    seen &= known[row, column] & (taken.maps("mask")[3][row, column] == 1)
    error = np.linalg.norm(pixels[row, column] - then[:], axis=1)[seen]
    assert seen.sum() > 200
    assert np.median(error) < 0.7  # a pixel's centre is up to 0.7 px from the vertex it holds
    assert np.percentile(error, 95) < 2.0


def test_changing_topology_is_marked_unseen(shoot: Callable[..., Any]) -> None:
    people.make_stage()
    build = bpy.data.objects["Crate"].modifiers.new("Build", "BUILD")
    build.frame_start, build.frame_duration = -3, 10
    taken = shoot(shot(4, "origin mask clay"))
    assert len(taken.maps("origin")) == 4


def test_instances_and_shear(shoot: Callable[..., Any]) -> None:
    """Collection instances, geometry that shares a mesh, and a sheared child all appear."""
    people.make_stage()
    crate = bpy.data.objects["Crate"]
    props = bpy.data.collections.new("Props")
    props.objects.link(crate)
    empty = bpy.data.objects.new("Instance", None)
    empty.instance_type, empty.instance_collection = "COLLECTION", props
    empty.location = (2.4, 0.5, 0.0)
    parent = bpy.data.objects.new("Parent", None)
    parent.scale, parent.rotation_euler = (2.0, 0.6, 1.0), (0.0, 0.0, 0.0)
    child = crate.copy()
    child.parent, child.rotation_euler, child.location = parent, (0.0, 0.0, 0.7), (0.2, 3.0, 0.4)
    for item in (empty, parent, child):
        bpy.context.scene.collection.objects.link(item)
    with_all = shoot(shot(2, "depth")).maps("depth")[1]
    for item in (empty, child):
        bpy.context.scene.collection.objects.unlink(item)
        without = shoot(shot(2, "depth")).maps("depth")[1]
        assert (with_all < without - 0.1).sum() > 50
        with_all = without
