"""Folders that cannot be written and disks that are full, by real mounts where this machine lets us make them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

Mount = Callable[[Path, str], None]
TIMEOUT_S = 60.0


@pytest.fixture
def mount() -> Iterator[Mount]:
    """``mount(folder, options)``: a small disk in memory; ``remount,ro`` later makes it read-only. Skips without the
    right to mount."""
    mounted: list[Path] = []

    def run(folder: Path, options: str) -> None:
        words = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("this system has no mount command")
        if done.returncode:
            pytest.skip(f"no right to mount a disk: {done.stderr.strip()}")
        if folder not in mounted:
            mounted.append(folder)

    yield run
    bpy.ops.wm.read_factory_settings(use_empty=True)
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def disk(connected: Any, mount: Mount, tmp_path: Path) -> Path:
    """The shot in a file on a disk of its own of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "size=1m")
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"), compress=True)
    return folder


def test_a_read_only_folder(disk: Path, mount: Mount, refused: Any, hold: Any, tmp_path: Path) -> None:
    """Said before anything is captured; another frames folder is all that it takes."""
    mount(disk, "remount,ro")
    sentence = refused(bpy.ops.wanstage.generate)
    assert "cannot be written to" in sentence
    assert "Read-only file system" in sentence
    assert "save the file elsewhere" in sentence
    scene = bpy.context.scene
    assert len(scene.wanstage.takes) == 0
    scene.wanstage.frames_folder = str(tmp_path / "frames" / "{take}")
    held = hold(scene, 3)
    held.finish()
    assert held.told() == ("finished", "", 9)


def test_a_folder_that_becomes_read_only(disk: Path, mount: Mount, hold: Any) -> None:
    """In the middle: the take says so, what arrived stays, and Retry brings the rest once it can be written."""
    from blender_addon import pump

    held = hold(bpy.context.scene, 3)
    assert held.arrived() == 3
    mount(disk, "remount,ro")
    held.finish()
    state, problem, frames = held.told()
    assert (state, frames) == ("failed", 3)
    assert "Frame 4 cannot be written to" in problem
    assert "Read-only file system" in problem
    mount(disk, "remount,rw,size=1m")
    assert bpy.ops.wanstage.retry(job_id=held.job) == {"FINISHED"}
    assert pump.run_until([held.job], TIMEOUT_S)
    assert held.told() == ("finished", "", 9)
    assert held.on_disk() == 9, sorted(path.name for path in held.folder.iterdir())


def test_a_disk_that_fills_up_while_frames_arrive(disk: Path, hold: Any) -> None:
    """No half picture is left, and Retry brings the rest when there is room again."""
    from blender_addon import pump

    held = hold(bpy.context.scene, 3)
    held.arrived()
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:  # full is what we want
        for _ in range(256):
            file.write(bytes(4096))
    held.finish()
    state, problem, frames = held.told()
    assert state == "failed"
    assert "No space left on device" in problem
    assert "free disk space" in problem
    assert held.on_disk() == frames
    assert not list(held.folder.glob("*.part"))
    ballast.unlink()
    assert bpy.ops.wanstage.retry(job_id=held.job) == {"FINISHED"}
    assert pump.run_until([held.job], TIMEOUT_S)
    assert held.told() == ("finished", "", 9)


def test_a_full_disk_under_the_captured_shot(
    connected: Any, mount: Mount, refused: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data folder is on a disk without room: one sentence, no take, nothing half-written."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount(folder, "size=16k")
    monkeypatch.setenv("WANSTAGE_DATA", str(folder))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    sentence = refused(bpy.ops.wanstage.generate)
    assert "captured shot cannot be kept" in sentence, sentence
    assert len(bpy.context.scene.wanstage.takes) == 0
    assert not list(folder.rglob("*.tmp"))


def test_a_file_where_the_frames_folder_should_be(hold: Any, connected: Any, refused: Any, tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("in the way")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene = bpy.context.scene
    scene.wanstage.frames_folder = "//frames/{take}"
    assert "cannot be written to" in refused(bpy.ops.wanstage.generate)
    (tmp_path / "frames").unlink()
    held = hold(scene, 3)
    held.finish()
    assert held.told() == ("finished", "", 9)


def test_frames_deleted_behind_our_back(hold: Any, connected: Any, tmp_path: Path) -> None:
    """Relink counts what is there; Show says what is missing."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    held = hold(bpy.context.scene, 3)
    held.finish()
    for number in range(5, 10):
        (held.folder / f"frame_{number:04d}.png").unlink()
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert held.told() == ("finished", "", 4)
