"""What the panel says of a running job, and room on a card that Blender and the backend share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

JOB = "b" * 32


@pytest.fixture
def take(shot: Any) -> Any:
    made = shot.wanstage.takes.add()
    made.job_id, made.frames = JOB, 8
    return made


def said(take: Any, received: int = 0, upload: tuple[int, int] = (0, 0), **update: Any) -> tuple[str, float]:
    """The panel's words and bar for a job whose latest message this is."""
    from blender_addon import progress, state, wire

    run = state.now.runs[JOB] = state.Run(JOB, Path(), received=received, upload=upload)
    if update:
        told = wire.messages.Progress(**update.pop("progress", {}))
        run.update = wire.messages.JobUpdate(JOB, update.pop("state", "running"), 8, progress=told, **update)
    return progress.text(take), round(progress.part(take), 3)


def test_words(take: Any) -> None:
    loading = {"stage": "load transformer", "step": 7000, "steps": 28000, "unit": "MiB", "rate": 900.0}
    steps = {"stage": "denoise", "step": 3, "steps": 20, "eta_s": 125.0}
    assert said(take) == ("Sending", 0.0)
    assert said(take, upload=(3_000_000, 10_000_000)) == ("Uploading: 30 % of 10 MB", 0.3)
    assert said(take, state="queued", position=1) == ("Next in the queue", 0.0)
    assert said(take, state="queued", position=3) == ("Waiting: number 3 in the queue", 0.0)
    assert said(take, state="loading") == ("Starting", 0.0)
    assert said(take, progress=loading) == ("Loading transformer: 25 %, 900 MiB/s, 23 s left", 0.25)
    assert said(take, progress=steps) == ("Denoise: step 3 of 20, 2 min 5 s left", 0.15)
    assert said(take, received=4, progress={"stage": "decode"}) == ("Decode", 0.5)
    assert said(take, state="cancelling", progress=steps)[0] == "Stopping"


def test_durations() -> None:
    from blender_addon.progress import duration

    assert [duration(each) for each in (0.2, 59.4, 60, 61, 3599, 3600, 4800)] == [
        "0 s", "59 s", "1 min", "1 min 1 s", "59 min 59 s", "1 h 0 min", "1 h 20 min"]  # fmt: skip


def test_who_holds_the_card(take: Any) -> None:
    from blender_addon import progress

    said(take, progress={"stage": "denoise"})
    assert progress.last_card(here=True) == "", "no card"
    said(take, progress={"card_held": 18637, "card_free": 2765, "card_total": 24576})
    assert progress.last_card(here=True) == "Card: 18.2 GB backend, 3.1 GB Blender and others, 2.7 GB free"
    assert progress.last_card(here=False) == "Card: 18.2 GB backend, 3.1 GB others, 2.7 GB free"


@pytest.fixture
def screens(shot: Any) -> list[Any]:
    """The factory's windows: three viewports in three shadings."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    views = [area.spaces.active for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D"]
    for space in views:
        space.shading.type = "SOLID"
    views[0].shading.type, views[1].shading.type = "RENDERED", "MATERIAL"
    views[2].shading.type = "WIREFRAME"
    return views


def connect(endpoint: str) -> None:
    from blender_addon import state, wire

    state.now.connection = wire.load("connection").Connection(endpoint)
    state.now.runs[JOB] = state.Run(JOB, Path(), submitted=time.monotonic())


def test_room_is_made_and_given_back(screens: list[Any]) -> None:
    from blender_addon import room, state

    scene = bpy.context.scene
    scene.render.use_persistent_data = True
    connect("tcp://127.0.0.1:5599")
    assert room.is_offered()
    assert bpy.ops.wanstage.make_room() == {"FINISHED"}
    assert [(space.shading.type, space.shading.color_type) for space in screens[:2]] == [("SOLID", "TEXTURE")] * 2
    assert screens[2].shading.type == "WIREFRAME"
    assert (scene.render.use_persistent_data, room.is_offered()) == (False, False)
    screens[1].shading.type = "WIREFRAME"  # the user's own choice stays
    room.watch()
    assert screens[0].shading.type == "SOLID", "the job still runs"
    state.now.runs[JOB].settled = True
    room.watch()
    assert [space.shading.type for space in screens[:3]] == ["RENDERED", "WIREFRAME", "WIREFRAME"]
    assert scene.render.use_persistent_data
    assert not room.is_made()
    state.reset()


def shadings() -> list[str]:
    """Of all viewports now, whatever file they are of."""
    views = [area.spaces.active for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D"]
    return sorted(space.shading.type for space in views if space.shading.type != "SOLID")


@pytest.mark.usefixtures("screens")
def test_a_file_is_saved_with_its_views_as_they_were(tmp_path: Path) -> None:
    """Whoever opens it has no job that would bring them back."""
    from blender_addon import room, state

    bpy.context.scene.render.use_persistent_data = True
    before = shadings()
    connect("tcp://127.0.0.1:5599")
    bpy.ops.wanstage.make_room()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert shadings() == ["WIREFRAME"], "the job still runs"
    assert not bpy.context.scene.render.use_persistent_data
    room.forget()
    state.now.runs.clear()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"), load_ui=True)
    assert before == ["MATERIAL", "RENDERED", "WIREFRAME"]
    assert shadings() == ["MATERIAL", "WIREFRAME"], "Blender itself opens no file in Rendered shading"
    assert bpy.context.scene.render.use_persistent_data
    state.reset()


@pytest.mark.parametrize(
    ("endpoint", "here"),
    [("tcp://127.0.0.1:1", True), ("tcp://[::1]:1", True), ("tcp://localhost:1", True),
     ("tcp://192.168.1.5:1", False), ("tcp://render.studio:1", False)],
)  # fmt: skip
def test_only_on_this_machine(screens: list[Any], endpoint: str, here: bool) -> None:
    from blender_addon import room, state

    connect(endpoint)
    assert room.is_here() is here
    assert bpy.ops.wanstage.make_room.poll() is here
    bpy.context.scene.wanstage.make_room = True
    room.begin(bpy.context.scene)
    assert (screens[0].shading.type == "SOLID") is here
    room.restore()
    assert screens[0].shading.type == "RENDERED"
    state.reset()


def test_the_job_is_told_to_free_the_card(connected: Any) -> None:
    from blender_addon import pump, state

    connected.wanstage.free_card = True
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = connected.wanstage.takes[-1].job_id
    assert pump.run_until([job], 60)
    assert connected.wanstage.takes[-1].state == "finished"
    assert state.now.runs[job].update.progress.card_total == 0, "the test engine has no card"
