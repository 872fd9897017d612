"""When and where a take is seen: offset, hold, hide, the scene's rate, behind the camera's view; no script is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

BASE = {"job_id": "c" * 32, "frames": 9, "fps": 16.0, "frame_start": 1.0, "state": "finished"}


def numbered(folder: Path, count: int = 9, size: tuple[int, int] = (8, 4)) -> None:
    """Pictures whose grey is ten times their number."""
    for index in range(1, count + 1):
        image = bpy.data.images.new("n", *size, alpha=False)
        image.pixels.foreach_set(np.full(size[0] * size[1] * 4, index * 10 / 255, np.float32))
        image.filepath_raw, image.file_format = str(folder / f"frame_{index:04d}.png"), "PNG"
        image.save()
        bpy.data.images.remove(image)


def add_take(scene: Any, folder: Path, **values: Any) -> Any:
    """A finished take of nine frames at sixteen a second, from frame 1 on, on its plane."""
    from blender_addon import takes

    take = scene.wanstage.takes.add()
    named = {"width": 128, "height": 64, "camera": scene.camera.name, "frames_dir": str(folder), **BASE, **values}
    for name, value in named.items():
        setattr(take, name, value)
    takes.relink(scene, take)
    return take


@pytest.fixture
def take(shot: Any, tmp_path: Path) -> Any:
    folder = tmp_path / "frames"
    folder.mkdir()
    numbered(folder)
    return add_take(shot, folder)


def sample(take: Any, frame: float) -> int:
    """What the node of renders shows at a scene frame."""
    from blender_addon import playback

    take.id_data.frame_set(int(frame), subframe=frame % 1)
    tree = playback.picture_node(playback.find_plane(take.job_id)).id_data
    return tree.evaluated_get(bpy.context.evaluated_depsgraph_get()).nodes[playback.NODE].image_user.frame_offset


def seen(take: Any, frame: int) -> bool:
    """Whether the plane has a size at a scene frame."""
    from blender_addon import playback

    take.id_data.frame_set(frame)
    plane = playback.find_plane(take.job_id).evaluated_get(bpy.context.evaluated_depsgraph_get())
    return plane.matrix_world.to_scale()[0] > 1e-6


def drivers(plane: Any) -> list[Any]:
    tree = plane.data.materials[0].node_tree
    return [each.driver for owner in (plane, tree) for each in owner.animation_data.drivers]


def test_time_is_kept_when_the_rate_of_the_scene_changes(take: Any) -> None:
    scene = take.id_data
    for fps, base in ((16, 1.0), (24, 1.0), (30, 1.0), (24, 1.001), (8, 1.0)):
        scene.render.fps, scene.render.fps_base = fps, base
        for frame in range(-3, 20):
            wanted = min(max(int(np.floor((frame - 1) * 16 * base / fps + 0.001)), 0), 8)
            assert sample(take, frame) == wanted, (fps, base, frame)


def test_offset_moves_the_take(take: Any) -> None:
    take.slip = 3.0
    assert [sample(take, frame) for frame in (1, 4, 5, 12, 40)] == [0, 0, 1, 8, 8]
    take.slip = -2.0
    assert [sample(take, frame) for frame in (-1, 0, 1, 7)] == [0, 1, 2, 8]


def test_hide_is_the_take_and_not_a_frame_more(take: Any) -> None:
    assert all(seen(take, frame) for frame in (-5, 0, 1, 9, 10, 99)), "held"
    take.outside = "HIDE"
    assert [frame for frame in range(-3, 15) if seen(take, frame)] == list(range(1, 10))
    take.id_data.render.fps = 24
    assert [frame for frame in range(-3, 20) if seen(take, frame)] == list(range(1, 15)), "9 / 16 s are 13.5 frames"
    take.slip = 5.0
    assert [frame for frame in range(-3, 25) if seen(take, frame)] == list(range(6, 20))
    take.outside = "HOLD"
    assert all(seen(take, frame) for frame in (-5, 99))


def test_no_driver_needs_python(take: Any) -> None:
    """Files from others are opened with scripts disabled: only simple expressions run then."""
    from blender_addon import playback

    take.outside = "HIDE"
    take.id_data.view_settings.view_transform = "Filmic"
    bpy.context.view_layer.update()
    found = drivers(playback.find_plane(take.job_id))
    assert len(found) == 8
    assert [each.expression for each in found if not each.is_simple_expression or len(each.expression) > 255] == []


def test_without_the_addon(take: Any, tmp_path: Path, addon: Any) -> None:
    """Saved, moved with its frames, opened where Wanstage is not: it follows lens, frames and the view it had."""
    folder = tmp_path / "project"
    folder.mkdir()
    scene, camera = take.id_data, take.camera
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    name = take.plane
    moved = folder.rename(tmp_path / "elsewhere")
    addon.unregister()
    try:
        bpy.ops.wm.open_mainfile(filepath=str(moved / "shot.blend"), use_scripts=False)
        scene, plane = bpy.context.scene, bpy.data.objects[name]
        image = plane.data.materials[0].node_tree.nodes["Wanstage Frame"].image
        assert Path(bpy.path.abspath(image.filepath)).parts[:-1] == (moved / "wanstage" / "Scene" / ("c" * 8)).parts
        assert Path(bpy.path.abspath(image.filepath)).is_file()
        wide = plane.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.to_scale()[0]
        bpy.data.objects[camera].data.lens *= 2
        bpy.context.view_layer.update()
        now = plane.evaluated_get(bpy.context.evaluated_depsgraph_get()).matrix_world.to_scale()[0]
        assert now == pytest.approx(wide / 2, rel=1e-4)
        scene.frame_set(6)
        tree = plane.data.materials[0].node_tree.evaluated_get(bpy.context.evaluated_depsgraph_get())
        assert tree.nodes["Wanstage Frame"].image_user.frame_offset == 5
    finally:
        addon.register()


def test_lens_that_moves(take: Any) -> None:
    """A zoom: the plane fills the view at every frame, sub-frames too."""
    from bpy_extras.object_utils import world_to_camera_view

    from blender_addon import playback

    scene, data = take.id_data, bpy.data.objects[take.camera].data
    scene.render.resolution_x, scene.render.resolution_y = 128, 64
    for frame, lens, shift in ((1, 20.0, 0.0), (9, 90.0, 0.3)):
        data.lens, data.shift_x = lens, shift
        data.keyframe_insert("lens", frame=frame)
        data.keyframe_insert("shift_x", frame=frame)
    plane = playback.find_plane(take.job_id)
    for frame in (1.0, 3.25, 6.0, 9.0):
        scene.frame_set(int(frame), subframe=frame % 1)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        matrix, camera = plane.evaluated_get(depsgraph).matrix_world, scene.camera.evaluated_get(depsgraph)
        corners = [world_to_camera_view(scene, camera, matrix @ vertex.co)[:2] for vertex in plane.data.vertices]
        assert np.allclose(corners, [(0, 0), (1, 0), (1, 1), (0, 1)], atol=1e-4)


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("frame", [(1920, 1080), (1080, 1920), (640, 640)], ids=str)
@pytest.mark.parametrize("aspect", [(1.0, 1.0), (2.0, 1.0)], ids=str)
def test_the_plane_is_what_was_captured(
    take: Any, fit: str, frame: tuple[int, int], aspect: tuple[float, float]
) -> None:
    """Whatever the scene renders at: a corner of the plane is a corner of the picture that the capture made."""
    from blender_addon import playback
    from blender_addon.capture import camera as cameras

    scene = take.id_data
    scene.camera.data.sensor_fit = fit
    scene.render.resolution_x, scene.render.resolution_y = frame
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect
    take.pixel_aspect = aspect[0] / aspect[1]
    playback.make_plane(scene, take, scene.camera, 1.0)
    bpy.context.view_layer.update()
    depsgraph = bpy.context.evaluated_depsgraph_get()
    shown = cameras.read_camera(scene.camera, depsgraph, take.width, take.height, aspect)
    matrix = np.array(playback.find_plane(take.job_id).evaluated_get(depsgraph).matrix_world)
    corners = np.array([(-0.5, -0.5, 0, 1), (0.5, 0.5, 0, 1)]) @ matrix.T
    pixels, _ = cameras.project(corners[:, :3], shown)
    assert np.allclose(pixels, [(0, take.height), (take.width, 0)], atol=0.01)


def test_behind_the_camera(take: Any, tmp_path: Path) -> None:
    from blender_addon import playback

    scene, data = take.id_data, bpy.data.objects[take.camera].data
    plane = playback.find_plane(take.job_id)
    scene.view_settings.view_transform = "Filmic"
    take.background = True
    assert (plane.hide_render, data.show_background_images, len(data.background_images)) == (True, True, 1)
    picture = data.background_images[0]
    assert (picture.image.source, picture.image.colorspace_settings.name) == ("SEQUENCE", "sRGB")
    scene.frame_set(5)
    evaluated = data.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert evaluated.background_images[0].image_user.frame_offset == 4
    second = tmp_path / "second"
    second.mkdir()
    numbered(second)
    other = add_take(scene, second, job_id="d" * 32)
    other.background = True
    assert len(data.background_images) == 1, "one at a time"
    scene.frame_set(3)
    evaluated = data.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert evaluated.background_images[0].image_user.frame_offset == 2
    other.background = False
    assert len(data.background_images) == 0
    assert not playback.find_plane("d" * 32).hide_render
    assert bpy.ops.wanstage.remove_take(job_id="d" * 32) == {"FINISHED"}


def test_pictures_of_hidden_takes_leave_memory(take: Any) -> None:
    from blender_addon import playback

    scene, plane = take.id_data, playback.find_plane(take.job_id)
    image = playback.picture_node(plane).image
    scene.render.engine, scene.display.shading.color_type = "BLENDER_WORKBENCH", "TEXTURE"
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 16, 8, 100
    bpy.ops.render.render()
    assert image.has_data
    playback.set_visible(plane, False)
    assert not image.has_data
