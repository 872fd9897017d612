"""Several scenes and cameras at once; scenes, cameras and rigs that are renamed or deleted while their take streams."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")


def second_scene(first: Any, name: str = "Second") -> Any:
    """A scene with a camera of its own at another place, the same box, and the same settings."""
    scene = bpy.data.scenes.new(name)
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 9
    camera = bpy.data.objects.new(f"{name} camera", bpy.data.cameras.new(name))
    camera.location = (0.5, 0, 5)
    scene.collection.objects.link(camera)
    scene.collection.objects.link(bpy.data.objects["Box"])
    scene.camera = camera
    own, model = scene.wanstage, first.wanstage
    for field in ("size", "width", "height", "engine", "model", "task"):
        setattr(own, field, getattr(model, field))
    return scene


def planes(scene: Any) -> list[tuple[str, str]]:
    """(job, camera) of each plane of a scene."""
    from blender_addon import playback

    found = [item for item in scene.collection.all_objects if item.get(playback.MARK)]
    return sorted((item[playback.MARK], item.parent.name if item.parent else "") for item in found)


def test_two_scenes_stream_at_once(hold: Any, connected: Any) -> None:
    from blender_addon import takes

    other = second_scene(connected)
    one, two = hold(connected, 3), hold(other, 3)
    one.arrived()
    assert len(planes(other)) == 0, "the second waits for the worker"
    one.go()
    two.arrived()
    two.finish()
    assert one.told() == two.told() == ("finished", "", 9)
    assert planes(connected) == [(one.job, "Camera")]
    assert planes(other) == [(two.job, "Second camera")]
    assert takes.find(one.job)[0] == connected
    assert takes.find(two.job)[0] == other


def test_a_scene_deleted_while_its_take_streams(hold: Any, connected: Any) -> None:
    from blender_addon import pump, state

    other = second_scene(connected)
    gone, kept = hold(other, 3), hold(connected, 3)
    gone.arrived()
    bpy.data.scenes.remove(other)
    assert gone.finish() is None
    assert gone.on_disk() == 9, "frames are never lost"
    kept.finish()
    assert kept.told() == ("finished", "", 9)
    assert pump.tick() is not None
    assert state.now.connected


def test_the_scene_in_use_deleted_by_its_button(hold: Any, connected: Any) -> None:
    second_scene(connected)
    held = hold(connected, 3)
    held.arrived()
    with bpy.context.temp_override(scene=connected, window=bpy.context.window_manager.windows[0]):
        assert bpy.ops.scene.delete() == {"FINISHED"}
    assert held.finish() is None
    assert held.on_disk() == 9


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_scene_and_camera_renamed(hold: Any, connected: Any, when: str) -> None:
    from blender_addon import playback

    held = hold(connected, 3)

    def rename() -> None:
        connected.name, connected.camera.name = "Anders", "Kamera"

    if when == "before":
        rename()
    held.arrived()
    if when == "between":
        rename()
    held.finish()
    if when == "after":
        rename()
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert held.told() == ("finished", "", 9)
    assert planes(connected) == [(held.job, "Kamera")]
    assert playback.picture_node(playback.find_plane(held.job)).image.source == "SEQUENCE"


def test_another_camera_with_the_old_name(hold: Any, connected: Any) -> None:
    held = hold(connected, 3)
    connected.camera.name = "Wide"
    other = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    connected.collection.objects.link(other)
    held.arrived()
    held.finish()
    assert planes(connected) == [(held.job, "Wide")]


def test_the_camera_deleted(hold: Any, connected: Any) -> None:
    """The take ends all the same and the shot can be made with another camera."""
    held = hold(connected, 3)
    held.arrived()
    bpy.data.objects.remove(connected.camera)
    held.finish()
    assert held.told() == ("finished", "", 9)
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    camera = bpy.data.objects.new("New", bpy.data.cameras.new("New"))
    connected.collection.objects.link(camera)
    connected.camera = camera
    again = hold(connected, 9)
    again.finish()
    assert (again.job, "New") in planes(connected)


def test_two_cameras_of_one_scene(hold: Any, connected: Any, tmp_path: Path) -> None:
    first = connected.camera
    other = bpy.data.objects.new("Close", bpy.data.cameras.new("Close"))
    other.location = (0, 0, 3)
    connected.collection.objects.link(other)
    one = hold(connected, 3)
    connected.wanstage.camera = other
    two = hold(connected, 3)
    one.finish()
    two.finish()
    assert sorted(planes(connected)) == sorted([(one.job, first.name), (two.job, "Close")])
    assert [take.camera for take in connected.wanstage.takes] == [first.name, "Close"]


def test_a_take_whose_scene_was_copied(hold: Any, connected: Any) -> None:
    """A full copy has a row of the same job: the first scene's goes on, both end."""
    held = hold(connected, 3)
    held.arrived()
    with bpy.context.temp_override(scene=connected, window=bpy.context.window_manager.windows[0]):
        assert bpy.ops.scene.new(type="FULL_COPY") == {"FINISHED"}
    held.finish()
    assert held.on_disk() == 9
    rows = [take for scene in bpy.data.scenes for take in scene.wanstage.takes]
    assert [(take.state, take.frames_done) for take in rows] == [("finished", 9)] * 2
