"""The plane fills what the camera sees, whatever the camera."""

from __future__ import annotations

from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

CAMERAS = [
    {},
    {"lens": 85.0, "shift_x": 0.2, "shift_y": -0.3},
    {"sensor_fit": "VERTICAL", "sensor_height": 20.0},
    {"sensor_fit": "HORIZONTAL", "sensor_width": 24.0},
    {"type": "ORTHO", "ortho_scale": 7.0, "shift_x": 0.1},
]


@pytest.mark.parametrize("settings", CAMERAS, ids=lambda settings: "-".join(settings) or "plain")
@pytest.mark.parametrize("size", [(832, 480), (480, 832)], ids=["wide", "tall"])
@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_corners(addon: Any, settings: dict[str, Any], size: tuple[int, int], scale: float) -> None:
    from bpy_extras.object_utils import world_to_camera_view

    from blender_addon import playback

    scene = bpy.context.scene
    data = bpy.data.cameras.new("Camera")
    camera = bpy.data.objects.new("Camera", data)
    camera.location, camera.rotation_euler, camera.scale = (3, -5, 2), (1.2, 0.1, 0.6), (scale,) * 3
    scene.collection.objects.link(camera)
    scene.camera = camera
    take = scene.wanstage.takes.add()
    take.job_id = "a" * 32
    take.width, take.height = size
    scene.render.resolution_x, scene.render.resolution_y = size
    plane = playback.make_plane(scene, take, camera, 2.5)
    for name, value in settings.items():  # after the plane is made: it follows
        setattr(data, name, value)
    bpy.context.view_layer.update()
    seen = [world_to_camera_view(scene, camera, plane.matrix_world @ vertex.co) for vertex in plane.data.vertices]
    for corner, expected in zip(seen, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        assert corner[:2] == pytest.approx(expected, abs=1e-4)
        assert corner[2] == pytest.approx(2.5, rel=1e-4)
