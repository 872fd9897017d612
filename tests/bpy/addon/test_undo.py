"""Undo: one step for Generate and one for the finished take, none for a capture; rows, planes and files agree after
every undo and redo. And a generate that is stopped midway leaves the file as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

TIMEOUT_S = 60.0
EXEC = ("EXEC_DEFAULT", True)  # as a button does it: with undo


@pytest.fixture
def undoable(connected: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The shot after two steps of the user's own: scene["edit"] is 1 after the first, 2 after the second."""
    from blender_addon import compat

    monkeypatch.setattr(compat, "undo_push", lambda message: bpy.ops.ed.undo_push(message=message))
    for step in (1, 2):
        connected["edit"] = step
        bpy.ops.ed.undo_push(message=f"Edit {step}")
    return connected


def state() -> tuple[int, list[tuple[str, int]], int]:
    """The user's edit, the takes (state, frames), and how many planes there are."""
    from blender_addon import playback

    scene = bpy.context.scene
    planes = [item for item in bpy.data.objects if item.get(playback.MARK)]
    return scene["edit"], [(take.state, take.frames_done) for take in scene.wanstage.takes], len(planes)


def undo() -> tuple[int, list[tuple[str, int]], int]:
    assert bpy.ops.ed.undo() == {"FINISHED"}
    return state()


def redo() -> tuple[int, list[tuple[str, int]], int]:
    assert bpy.ops.ed.redo() == {"FINISHED"}
    return state()


def test_capture_adds_no_step(undoable: Any, tmp_path: Path) -> None:
    assert bpy.ops.wanstage.capture(*EXEC, filepath=str(tmp_path / "shot.wanstage")) == {"FINISHED"}
    assert state() == (2, [], 0)
    assert undo() == (1, [], 0)


def test_a_refused_generate_adds_no_step(undoable: Any) -> None:
    undoable.wanstage.width = 127
    bpy.ops.ed.undo_push(message="Odd")
    with pytest.raises(RuntimeError, match="multiples of 2"):
        bpy.ops.wanstage.generate(*EXEC)
    undo()
    assert bpy.context.scene.wanstage.width == 128
    assert undo()[0] == 1


def test_undo_and_redo_around_a_take(undoable: Any) -> None:
    from blender_addon import playback, pump, takes

    assert bpy.ops.wanstage.generate(*EXEC) == {"FINISHED"}
    take = undoable.wanstage.takes[0]
    job, folder = take.job_id, takes.folder(take)
    assert pump.run_until([job], TIMEOUT_S)
    done = [("finished", 9)]
    assert state() == (2, done, 1)
    assert undo() == (2, done, 1), "the step before the last frame: the take is finished all the same"
    assert undo() == (2, [], 0), "before Generate: no row, no plane"
    assert len(list(folder.glob("frame_*.png"))) == 9, "files are never taken away by undo"
    assert undo() == (1, [], 0), "two steps in all"
    assert redo() == (2, [], 0)
    assert redo() == (2, done, 1)
    assert redo() == (2, done, 1)
    node = playback.picture_node(playback.find_plane(job))
    assert Path(bpy.path.abspath(node.image.filepath)) == folder / "frame_0001.png"
    assert node.id_data.animation_data.drivers
    assert bpy.ops.wanstage.remove_take(job_id=job) == {"FINISHED"}
    assert not folder.exists()


def test_undo_while_frames_arrive(undoable: Any) -> None:
    from blender_addon import pump, takes
    from blender_addon import state as addon_state

    undoable.wanstage.prompt = '{"delay_s": 0.05}'
    bpy.ops.ed.undo_push(message="Prompt")
    assert bpy.ops.wanstage.generate(*EXEC) == {"FINISHED"}
    take = undoable.wanstage.takes[0]
    job, folder = take.job_id, takes.folder(take)
    assert pump.pump(lambda: addon_state.now.runs[job].received >= 2, TIMEOUT_S)
    assert undo()[1:] == ([], 0)
    assert pump.run_until([job], TIMEOUT_S)
    assert len(list(folder.glob("frame_*.png"))) == 9
    assert redo()[1] == [("finished", 9)]


@pytest.mark.parametrize("after", [1, 3, 10, 11])
def test_a_generate_stopped_midway(undoable: Any, after: int) -> None:
    """What Esc and closing the window do: the generator is closed."""
    from blender_addon import generation
    from blender_addon import state as addon_state

    def blocks() -> dict[str, list[str]]:
        found = [prop.identifier for prop in bpy.data.bl_rna.properties if prop.type == "COLLECTION"]
        return {name: sorted(block.name for block in getattr(bpy.data, name)) for name in found}

    undoable.frame_set(4, subframe=0.5)
    bpy.data.objects["Box"].select_set(True)
    before = blocks()
    steps = generation.generate(undoable, generation.Wish("i2v"))
    for _ in range(after):
        next(steps)
    steps.close()
    assert blocks() == before
    assert (undoable.frame_current, undoable.frame_subframe) == (4, 0.5)
    assert [item.name for item in bpy.context.view_layer.objects if item.select_get()] == ["Box"]
    assert addon_state.now.capture is None
    assert not addon_state.now.runs
    assert bpy.ops.wanstage.generate.poll()
    assert undo() == (1, [], 0)


def test_the_step_of_a_take_has_a_turn_of_its_own(connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blender takes its time for it: the turn that ends the take does not, the next does nothing else."""
    from blender_addon import compat, follow, pump, state

    done: list[str] = []
    monkeypatch.setattr(compat, "undo_push", done.append)
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = connected.wanstage.takes[0].job_id
    assert pump.pump(lambda: state.now.runs[job].settled, TIMEOUT_S)
    assert (done, state.now.undo_step) == ([], "Wanstage Take 1")
    monkeypatch.setattr(follow, "handle", lambda *_values: done.append("an event"))
    assert pump.tick() == pump.FLOWING_S
    assert (done, state.now.undo_step) == (["Wanstage Take 1"], "")
    monkeypatch.undo()
