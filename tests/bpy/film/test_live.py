"""The figure over the 3D view while motion is being found: what it is told, when it goes, what it leaves alone.

Blender without a window cannot draw; how it looks is in docs/images/live_pose.png.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

JOB, TAKE = "a" * 32, "b" * 32


class PoseArrived(SimpleNamespace):
    """As the client's event of that name."""


class Disconnected(SimpleNamespace):
    """As the client's event of that name."""


def person(number: int = 0, x: float = 400.0) -> bytes:
    """Somebody who stands upright, 300 pixels high, without hands."""
    row = np.full(391, np.nan, "<f4")
    row[0] = number
    world = np.zeros((33, 4), "<f4")
    world[:, 3] = 1.0
    world[:, 1] = np.linspace(-0.8, 0.9, 33)  # down
    world[:, 0] = 0.1 * (1 - 2 * (np.arange(33) % 2))
    marks = world.copy()
    marks[:, :2] = world[:, :2] * 170.0 + (x, 240.0)
    row[1:133], row[133:265] = marks.ravel(), world.ravel()
    return row.tobytes()


@pytest.fixture
def search(shot: Any, tmp_path: Path) -> Iterator[Callable[[int, bytes], None]]:
    """A search of 20 frames that runs; called with what a frame shows."""
    from blender_addon import state
    from blender_addon.film import job, live

    own = shot.wanstage_retarget.motion
    own.job_id, own.state, own.frames, own.folder = JOB, "running", 20, str(tmp_path)
    state.now.client = SimpleNamespace(consumed=lambda _event: None, close=lambda: None, attach=lambda *_: None)
    state.now.runs[JOB] = state.Run(JOB, tmp_path)
    live.watch(JOB, live.Watched(832, 480))

    def arrive(index: int, data: bytes) -> None:
        header = SimpleNamespace(kind="people")
        assert job.handle(PoseArrived(job_id=JOB, index=index, header=header, data=memoryview(data)))

    yield arrive
    live.end()
    state.now.client = None


def counts() -> dict[str, int]:
    """How many datablocks of each kind the file has."""
    kinds = {name: getattr(bpy.data, name) for name in dir(bpy.data)}
    return {name: len(kind) for name, kind in kinds.items() if hasattr(kind, "foreach_get")}


def test_it_is_drawn_while_frames_come_and_the_file_stays_as_it_is(
    search: Callable[[int, bytes], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import compat, film_panel, state
    from blender_addon.film import live

    pushed: list[str] = []
    monkeypatch.setattr(compat, "undo_push", pushed.append)
    before = counts()
    assert not compat.is_drawing()
    for at in range(12):
        search(at, person(x=400.0 + at))
    assert compat.is_drawing()
    shown = live._shown[JOB]
    assert (shown.newest, list(shown.frames)) == (11, [11]), "of a film the newest alone is kept"
    assert live.wanted(shown, bpy.context.scene) == [(11, 1.0)]
    (places, colours), (marks, _) = live.lines(shown, 11, 1.0, np.eye(4))
    assert len(places) == len(colours) > 30
    assert len(marks) > 30
    assert film_panel.search_text(bpy.context.scene.wanstage_retarget.motion) == "Frame 12 of 20"
    assert (counts(), pushed, state.now.undo_step) == (before, [], "")


def _ended() -> None:
    from blender_addon import state
    from blender_addon.film import job

    scene = bpy.context.scene
    job._end(state.now.runs[JOB], scene, job.row(scene), "cancelled")


def _left() -> None:
    from blender_addon import state

    state.disconnect()


def _out_of_reach() -> None:
    from blender_addon.film import job

    assert not job.handle(Disconnected(reason="gone"))


def _loaded() -> None:
    bpy.ops.wm.read_homefile(use_empty=True)


def _unregistered() -> None:
    from blender_addon.film import job

    job.unregister()
    job.register()


@pytest.mark.parametrize("how", [_ended, _left, _out_of_reach, _loaded, _unregistered])
def test_it_goes_with(search: Callable[[int, bytes], None], how: Callable[[], None]) -> None:
    from blender_addon import compat
    from blender_addon.film import live

    search(0, person())
    assert compat.is_drawing()
    how()
    assert not compat.is_drawing()
    assert not any(shown.frames for shown in live._shown.values())


def test_it_comes_back_with_the_backend(search: Callable[[int, bytes], None]) -> None:
    from blender_addon import compat
    from blender_addon.film import live

    search(0, person())
    _out_of_reach()
    live.watch(JOB, live.Watched(832, 480))
    search(1, person())
    assert compat.is_drawing()


def test_a_reload_of_the_module_leaves_none_behind(search: Callable[[int, bytes], None]) -> None:
    from blender_addon import compat

    search(0, person())
    importlib.reload(compat)
    assert compat.is_drawing()
    compat.drop_drawing()
    assert not compat.is_drawing()


def test_over_a_take_in_its_camera_the_frame_that_is_seen(search: Callable[[int, bytes], None]) -> None:
    from blender_addon.film import figure, live

    scene = bpy.context.scene
    scene.wanstage_retarget.motion.first = 5
    path = figure.Path("Camera", np.repeat(np.eye(4)[None], 20, 0), np.tile([800.0, 800.0, 416.0, 240.0], (20, 1)))
    live.end(JOB)
    live.watch(JOB, live.Watched(832, 480, 8.0, path))
    for at in range(10):
        search(at, person())
    shown = live._shown[JOB]
    assert len(shown.frames) == 10
    scene.frame_set(9)  # scene 16 a second, take 8: its frame 2
    assert live.wanted(shown, scene, through="Camera") == [(9, live.PALE), (2, 1.0)]
    assert live.wanted(shown, scene, through="Another") == live.wanted(shown, scene) == [(9, 1.0)]
    scene.frame_set(60)  # not found yet
    assert live.wanted(shown, scene, through="Camera") == [(9, 1.0)]
    live.watch(JOB, live.Watched(832, 480))  # as when the connection is made again
    assert live._shown[JOB].film.views is path
    faint = live.lines(shown, 2, live.PALE, np.eye(4))[0][1]
    assert faint[:, 3].max() == pytest.approx(live.PALE)


def test_without_a_camera_it_stands_at_the_rig_and_walks_from_there(search: Callable[[int, bytes], None]) -> None:
    from blender_addon.film import live

    rig = bpy.data.objects.new("Hero", bpy.data.armatures.new("Hero"))
    bpy.context.scene.collection.objects.link(rig)
    rig.location, rig.rotation_euler = (3.0, 2.0, 0.5), (0.0, 0.0, np.pi / 2)
    bpy.context.view_layer.update()
    bpy.context.scene.wanstage_retarget.armature = rig
    place = live.place_of(bpy.context.scene, None)
    assert np.allclose(place[:3, 3], rig.location)
    search(0, person())
    shown = live._shown[JOB]
    first = live.lines(shown, 0, 1.0, place)[0][0]
    assert first[:, :2].mean(axis=0) == pytest.approx([3.0, 2.0], abs=0.25)
    assert first[:, 2].min() == pytest.approx(0.5, abs=0.02)
    rig.location.x = 9.0
    search(1, person(x=570.0))  # to their left, which is where the rig's left is
    second = live.lines(shown, 1, 1.0, live.place_of(bpy.context.scene, None))[0][0]
    assert second[:, 1].mean() - first[:, 1].mean() > 0.3
    assert second[:, 0].mean() == pytest.approx(3.0, abs=0.3), "the rig may move meanwhile"
    bpy.context.scene.wanstage_retarget.armature = None
    assert np.allclose(live.place_of(bpy.context.scene, bpy.context.scene.camera), np.eye(4)), "a camera is no rig"


def test_nobody_in_a_frame_is_no_figure(search: Callable[[int, bytes], None]) -> None:
    from blender_addon.film import live

    search(0, b"")
    shown = live._shown[JOB]
    assert [len(places) for places, _ in live.lines(shown, 0, 1.0, np.eye(4))] == [0, 0]
    search(1, person())
    assert len(live.lines(shown, 1, 1.0, np.eye(4))[0][0])
