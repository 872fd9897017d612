"""Undo and redo at every point of a take's life, again and again: rows, planes and pictures agree with the disk."""

from __future__ import annotations

from typing import Any

import pytest
from robust_tools import shown_file

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

EXEC = ("EXEC_DEFAULT", True)  # as a button does it: with undo
TIMEOUT_S = 60.0


@pytest.fixture
def undoable(connected: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shot after a step of the user's own; what the window would push as a step is pushed here too."""
    from blender_addon import compat

    monkeypatch.setattr(compat, "undo_push", lambda message: bpy.ops.ed.undo_push(message=message))
    connected["edit"] = 1
    bpy.ops.ed.undo_push(message="Edit")
    return connected


def edit(value: int) -> None:
    bpy.context.scene["edit"] = value
    bpy.data.objects["Box"].location.x = value
    bpy.ops.ed.undo_push(message=f"Edit {value}")


def check(job: str) -> None:
    """What must hold whenever the row is there: as many frames as on disk, a plane with a picture that exists."""
    from blender_addon import framefiles, playback, pump, takes

    pump.tick(0.05)
    found = takes.find(job)
    if found is None:
        return
    take = found[1]
    on_disk = framefiles.count(takes.folder(take))
    if take.state in takes.ENDED:
        assert take.frames_done == on_disk
    plane = playback.find_plane(job)
    if plane is not None and playback.picture_node(plane).image is not None:
        assert shown_file(job).is_file()
        assert plane.parent.name == take.camera


def test_between_all_frames(undoable: Any, tmp_path: Any) -> None:
    """Frame by frame: an edit, undo, redo; undo again past Generate and back."""
    from blender_addon import pump, state, takes

    undoable.wanstage.prompt = '{"delay_s": 0.03}'
    bpy.ops.ed.undo_push(message="Prompt")
    assert bpy.ops.wanstage.generate(*EXEC) == {"FINISHED"}
    job = undoable.wanstage.takes[0].job_id
    folder = takes.folder(undoable.wanstage.takes[0])
    run = state.now.runs[job]
    for step in range(1, 9):
        assert pump.pump(lambda step=step: run.received >= step, TIMEOUT_S)
        edit(step + 1)
        check(job)
        assert bpy.ops.ed.undo() == {"FINISHED"}
        check(job)
        if step % 3 == 0:
            assert bpy.ops.ed.undo() == {"FINISHED"}
            check(job)
            assert bpy.ops.ed.redo() == {"FINISHED"}
            check(job)
        assert bpy.ops.ed.redo() == {"FINISHED"}
        check(job)
    assert pump.run_until([job], TIMEOUT_S)
    check(job)
    assert len(list(folder.glob("frame_*.png"))) == 9
    for _ in range(30):  # back before everything, and to the end again
        if bpy.ops.ed.undo.poll():
            bpy.ops.ed.undo()
        check(job)
    assert takes.find(job) is None
    assert len(list(folder.glob("frame_*.png"))) == 9
    for _ in range(30):
        if bpy.ops.ed.redo.poll():
            bpy.ops.ed.redo()
        check(job)
    take = takes.find(job)[1]
    assert (take.state, take.frames_done) == ("finished", 9)
    assert shown_file(job) == folder / "frame_0001.png"


def test_undo_before_anything_was_sent(undoable: Any) -> None:
    """Generate and undo at once: the job runs at the backend all the same; redo finds it finished."""
    from blender_addon import pump, takes

    assert bpy.ops.wanstage.generate(*EXEC) == {"FINISHED"}
    job = undoable.wanstage.takes[0].job_id
    folder = takes.folder(undoable.wanstage.takes[0])
    edit(2)
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    assert takes.find(job) is None
    assert pump.run_until([job], TIMEOUT_S)
    assert len(list(folder.glob("frame_*.png"))) == 9
    bpy.ops.ed.redo()
    take = takes.find(job)[1]
    assert (take.state, take.frames_done) == ("finished", 9)
    assert shown_file(job) == folder / "frame_0001.png"
    assert take.seen_by == bpy.context.scene.camera


def test_the_camera_undone_while_frames_stream(undoable: Any, hold: Any) -> None:
    """A new camera, a take through it, undo of all three: the frames stay, nothing is left pointing nowhere."""
    from blender_addon import playback, takes

    camera = bpy.data.objects.new("Late", bpy.data.cameras.new("Late"))
    camera.location = (0, 0, 4)
    undoable.collection.objects.link(camera)
    undoable.camera = camera
    bpy.ops.ed.undo_push(message="Camera")
    held = hold(undoable, 3)
    bpy.ops.ed.undo_push(message="Generate")
    held.arrived()
    bpy.ops.ed.undo()
    bpy.ops.ed.undo()
    assert "Late" not in bpy.data.objects
    held.finish()
    assert takes.find(held.job) is None
    assert held.on_disk() == 9
    bpy.ops.ed.redo()
    bpy.ops.ed.redo()
    assert held.told() == ("finished", "", 9)
    assert playback.find_plane(held.job).parent.name == "Late"


def test_two_takes_and_a_removed_one(undoable: Any) -> None:
    """Undo of Remove Take brings the row back without its files: it says so and shows nothing that is not there."""
    from blender_addon import pump, takes

    for seed in (1, 2):
        assert bpy.ops.wanstage.generate(*EXEC, seed=seed) == {"FINISHED"}
    jobs = [take.job_id for take in undoable.wanstage.takes]
    assert pump.run_until(jobs, TIMEOUT_S)
    folder = takes.folder(takes.find(jobs[0])[1])
    assert bpy.ops.wanstage.remove_take(*EXEC, job_id=jobs[0]) == {"FINISHED"}
    assert not folder.exists()
    bpy.ops.ed.undo()
    assert takes.find(jobs[0])[1].frames_done == 0
    check(jobs[1])
    bpy.ops.ed.redo()
    assert takes.find(jobs[0]) is None
    check(jobs[1])
