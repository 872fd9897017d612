"""Files that are loaded, saved, moved and copied while a shot is made; a Blender that is killed in the middle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from robust_tools import environment, shown_file

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

TIMEOUT_S = 60.0


@pytest.fixture
def saved(connected: Any, tmp_path: Path) -> Path:
    """The shot in a saved file."""
    folder = tmp_path / "here"
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "other.blend"), copy=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    return folder / "shot.blend"


def load_another(_saved: Path, tmp_path: Path) -> None:
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "other.blend"))


def new_file(_saved: Path, _tmp_path: Path) -> None:
    bpy.ops.wm.read_homefile(use_empty=True)


def factory(_saved: Path, _tmp_path: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)


def broken_file(saved: Path, _tmp_path: Path) -> None:
    path = saved.with_name("broken.blend")
    path.write_bytes(b"BLENDER-v500RENDnothing more")
    with pytest.raises(RuntimeError):
        bpy.ops.wm.open_mainfile(filepath=str(path))


@pytest.mark.parametrize("leave", [load_another, new_file, factory, broken_file])
def test_away_and_back_while_frames_stream(saved: Path, hold: Any, tmp_path: Path, leave: Any) -> None:
    from blender_addon import pump, state

    held = hold(bpy.context.scene, 3)
    held.arrived()
    bpy.ops.wm.save_mainfile()
    leave(saved, tmp_path)
    held.go()
    for _ in range(5):
        pump.tick(0.02)  # its frames may come meanwhile: nobody wants them
    assert state.now.connected
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert held.job in state.now.runs
    held.finish()
    assert held.told() == ("finished", "", 9)
    assert held.on_disk() == 9
    assert shown_file(held.job) == held.folder / "frame_0001.png"


def test_revert_while_frames_stream(saved: Path, hold: Any) -> None:
    """To a file from before Generate: no row; the frames that are on disk stay. To one from after it: the row."""
    held = hold(bpy.context.scene, 3)
    held.arrived()
    bpy.ops.wm.revert_mainfile()
    assert len(bpy.context.scene.wanstage.takes) == 0
    assert held.on_disk() == 3
    held.go()
    again = hold(bpy.context.scene, 3)
    again.arrived()
    assert again.folder != held.folder
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.revert_mainfile()
    again.finish()
    assert again.told() == ("finished", "", 9)


@pytest.mark.parametrize("steps", [1, 5, 11])
def test_another_file_in_the_middle_of_a_capture(saved: Path, tmp_path: Path, steps: int) -> None:
    """Blender ends a modal operator before it loads: the file on disk and the next capture are whole."""
    from blender_addon import generation, state

    going = generation.generate(bpy.context.scene, generation.Wish("i2v"))
    for _ in range(steps):
        next(going)
    going.close()
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    scene = bpy.context.scene
    assert state.now.capture is None
    assert [item.name for item in bpy.data.scenes] == ["Scene"]
    assert sorted(item.name for item in scene.objects) == ["Box", "Camera"]
    assert bpy.ops.wanstage.generate.poll()


def test_another_file_under_a_capture_that_nobody_closed(saved: Path) -> None:
    """A script that loads between two steps: the generator finds its scene gone and ends; nothing hangs."""
    from blender_addon import generation, state

    going = generation.generate(bpy.context.scene, generation.Wish("i2v"))
    for _ in range(5):
        next(going)
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    going.close()
    assert state.now.capture is None
    assert [item.name for item in bpy.data.scenes] == ["Scene"]
    assert bpy.ops.wanstage.generate.poll()


def test_a_file_loaded_while_a_shot_is_uploaded(saved: Path, connected: Any, tmp_path: Path) -> None:
    from blender_addon import pump, state

    bpy.context.scene.wanstage.prompt = json.dumps({"delay_s": 0.01})
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = bpy.context.scene.wanstage.takes[-1].job_id
    bpy.ops.wm.save_mainfile()
    assert state.now.runs[job].uploaded_s == 0.0, "nothing was pumped yet: not a byte is sent"
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "other.blend"))
    assert pump.pump(lambda: state.now.client is not None, TIMEOUT_S)
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert pump.run_until([job], TIMEOUT_S)
    take = bpy.context.scene.wanstage.takes[-1]
    assert (take.state, take.problem, take.frames_done) == ("finished", "", 9)


def test_saved_while_frames_stream(saved: Path, hold: Any) -> None:
    from blender_addon import state

    held = hold(bpy.context.scene, 3)
    held.arrived()
    bpy.ops.wm.save_mainfile()
    held.finish()
    assert held.told() == ("finished", "", 9)
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    assert held.job in state.now.runs, "the saved row says that it runs: it is asked again"
    held.finish()
    assert held.told() == ("finished", "", 9)


@pytest.mark.parametrize("when", ["streaming", "finished"])
def test_saved_as_into_another_folder(saved: Path, hold: Any, tmp_path: Path, when: str) -> None:
    """The frames stay where they are, and both files find them, and the pictures that the shot names."""
    from blender_addon import paths, takes

    bpy.context.scene.wanstage.person_file = "//face.png"
    held = hold(bpy.context.scene, 3)
    held.arrived()
    bpy.ops.wm.save_mainfile()
    if when == "finished":
        held.finish()
        bpy.ops.wm.save_mainfile()
    there = tmp_path / "there" / "deep"
    there.mkdir(parents=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(there / "shot.blend"))
    held.finish()
    for path in (there / "shot.blend", saved):
        if path != Path(bpy.data.filepath):
            bpy.ops.wm.open_mainfile(filepath=str(path))
            held.finish()
        take = takes.find(held.job)[1]
        assert held.told() == ("finished", "", 9), path
        assert takes.folder(take).resolve() == held.folder
        assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
        assert held.told() == ("finished", "", 9)
        assert shown_file(held.job) == held.folder / "frame_0001.png"
        assert paths.absolute(bpy.context.scene.wanstage.person_file) == saved.parent / "face.png"
        bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    assert takes.folder(takes.find(held.job)[1]).resolve() == held.folder


def test_a_copy_saved_into_another_folder(saved: Path, hold: Any, tmp_path: Path) -> None:
    """The open file goes on as it was; the copy finds the frames too."""
    from blender_addon import takes

    held = hold(bpy.context.scene, 3)
    held.finish()
    there = tmp_path / "there"
    there.mkdir()
    before = takes.find(held.job)[1].frames_dir
    bpy.ops.wm.save_as_mainfile(filepath=str(there / "copy.blend"), copy=True)
    assert takes.find(held.job)[1].frames_dir == before
    assert shown_file(held.job) == held.folder / "frame_0001.png"
    bpy.ops.wm.open_mainfile(filepath=str(there / "copy.blend"))
    assert takes.folder(takes.find(held.job)[1]).resolve() == held.folder
    assert shown_file(held.job) == held.folder / "frame_0001.png"


def test_a_copy_of_an_unsaved_file(connected: Any, hold: Any, tmp_path: Path) -> None:
    """Its frames go beside the copy, where the file that is still unsaved finds them too."""
    held = hold(connected, 3)
    held.finish()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "copy.blend"), copy=True)
    assert not bpy.data.filepath
    assert shown_file(held.job).is_file()
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert held.told() == ("finished", "", 9)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "copy.blend"))
    assert shown_file(held.job).is_file()
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert held.told() == ("finished", "", 9)


def test_an_unsaved_file_saved_while_frames_stream(connected: Any, hold: Any, tmp_path: Path) -> None:
    """The frames go on into the cache; the next save brings them beside the file, which may then be moved."""
    from blender_addon import takes

    held = hold(connected, 3)
    held.arrived()
    here = tmp_path / "here"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    held.finish()
    bpy.ops.wm.save_mainfile()
    take = takes.find(held.job)[1]
    assert take.frames_dir.startswith("//wanstage/")
    assert takes.folder(take).is_relative_to(here)
    assert not held.folder.exists()
    there = tmp_path / "there"
    shutil.move(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    assert shown_file(held.job).is_relative_to(there)
    assert shown_file(held.job).is_file()
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert held.told() == ("finished", "", 9)


def test_moved_while_closed_and_streaming(saved: Path, hold: Any, backend: Any, tmp_path: Path) -> None:
    """Folder and file are moved while Blender is away and the job still runs."""
    from blender_addon import takes

    held = hold(bpy.context.scene, 3)
    held.arrived()
    bpy.ops.wm.save_mainfile()
    bpy.ops.wanstage.disconnect()
    there = tmp_path / "there"
    shutil.move(saved.parent, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    bpy.ops.wanstage.attach()
    held.finish()
    take = takes.find(held.job)[1]
    assert held.told() == ("finished", "", 9)
    assert takes.folder(take).is_relative_to(there)
    assert len(list(takes.folder(take).glob("frame_*.png"))) == 9


VICTIM = """
import json, os, sys
import bpy, blender_addon
from blender_addon import pump, state
blend, connection, gate, saves = sys.argv[1:]
blender_addon.register()
bpy.ops.wm.open_mainfile(filepath=blend)
bpy.ops.wanstage.connect(connection_file=connection)
scene = bpy.context.scene
scene.wanstage.prompt = json.dumps({"wait_for": gate, "wait_at": 3})
bpy.ops.wanstage.generate()
job = scene.wanstage.takes[-1].job_id
if saves == "saves":
    bpy.ops.wm.save_mainfile()
assert pump.pump(lambda: state.now.runs[job].received >= 3, 60)
print("JOB", job, flush=True)
pump.pump(lambda: False, 300)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("saves", ["saves", "never saves"])
def test_blender_killed_in_the_middle(saved: Path, backend: Any, tmp_path: Path, saves: str) -> None:
    """Nobody says goodbye: the job goes on, and the file finds it when it is opened again; when it was not saved since
    Generate, as soon as lost takes are looked for."""
    from blender_addon import pump, state, takes

    gate = tmp_path / "gate"
    script = tmp_path / "victim.py"
    script.write_text(VICTIM, encoding="utf-8")
    command = [sys.executable, str(script), str(saved), str(backend.file), str(gate), saves]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               env=environment(tmp_path))  # fmt: skip
    assert process.stdout is not None
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("JOB "):
            break
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL, "".join(said[-20:])
    process.stdout.close()
    job = said[-1].split()[1]
    gate.touch()
    bpy.ops.wm.open_mainfile(filepath=str(saved))
    if saves != "saves":
        assert (takes.find(job), state.now.runs) == (None, {})
        assert bpy.ops.wanstage.find_lost_takes() == {"FINISHED"}
        assert bpy.ops.wanstage.find_lost_takes() == {"CANCELLED"}
    assert job in state.now.runs
    assert pump.run_until([job], TIMEOUT_S)
    take = takes.find(job)[1]
    assert (take.state, take.problem, take.frames_done) == ("finished", "", 9)
    assert len(list(takes.folder(take).glob("frame_*.png"))) == 9


def test_frames_of_an_earlier_attach_wait_their_turn(connected: Any, tmp_path: Path) -> None:
    """A frame that was on its way when we attached anew is not taken for the next one: no frame may be left out."""
    from blender_addon import follow, framefiles, state, wire
    from protocol.events import FrameArrived

    folder = framefiles.make_folder(tmp_path / "take")
    job = wire.client.new_id()
    run = state.now.runs[job] = state.Run(job, folder, received=1)
    header = type("Header", (), {"note": ""})()
    for index in (3, 0, 1, 2, 3):
        follow.handle(FrameArrived(job, index, header, memoryview(bytes([index])), 0), follow.Shown())
    assert run.received == 4
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        f"frame_{index + 1:04d}.png": bytes([index]) for index in (1, 2, 3)
    }
