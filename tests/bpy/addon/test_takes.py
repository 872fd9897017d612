"""Takes: show, remove, try again, follow after a file load, and a disk that refuses in the middle."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

TIMEOUT_S = 60.0


def generate(knobs: dict[str, Any] | None = None, **options: Any) -> str:
    """Submit; the job id."""
    scene = bpy.context.scene
    scene.wanstage.prompt = json.dumps(knobs) if knobs else ""
    assert bpy.ops.wanstage.generate(**options) == {"FINISHED"}
    return scene.wanstage.takes[-1].job_id


def test_the_newest_take_is_seen_and_another_can_be(connected: Any) -> None:
    from blender_addon import playback, pump

    jobs = [generate(seed=1), generate(seed=2)]
    assert pump.run_until(jobs, TIMEOUT_S)
    planes = [playback.find_plane(job) for job in jobs]
    assert [plane.hide_render for plane in planes] == [True, False]
    assert bpy.ops.wanstage.show_take(job_id=jobs[0]) == {"FINISHED"}
    assert [plane.hide_viewport for plane in planes] == [False, True]


def picture(ref: Any) -> bytes:
    """The compressed pixels of a PNG asset, without what else is in the file (Cycles notes its render times)."""
    from blender_addon import generation

    data, found, at = generation.assets().read(ref.asset.id), b"", 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found += data[at + 8 : at + 8 + length] if data[at + 4 : at + 8] == b"IDAT" else b""
        at += length + 12
    return found


def test_planes_are_not_captured(connected: Any) -> None:
    from blender_addon import pump, state

    first = generate(seed=1)
    assert pump.run_until([first], TIMEOUT_S)
    before = state.now.packs[connected.name].pack
    again = generate(seed=2, force=True)
    assert pump.run_until([again], TIMEOUT_S)
    after = state.now.packs[connected.name].pack
    assert after is not before
    for part in ("clay", "plate", "mask", "depth", "origin"):
        assert getattr(after, part) == getattr(before, part), part
    for part in ("look", "look_plate"):
        assert picture(getattr(after, part)) == picture(getattr(before, part)), part


def test_remove_leaves_nothing(connected: Any) -> None:
    from blender_addon import pump, state, takes

    kinds = ("objects", "meshes", "materials", "images")
    before = {kind: len(getattr(bpy.data, kind)) for kind in kinds}
    job = generate({"preview_side": 64})
    assert pump.run_until([job], TIMEOUT_S)
    folder = takes.folder(connected.wanstage.takes[0])
    assert bpy.ops.wanstage.remove_take(job_id=job) == {"FINISHED"}
    assert not folder.exists()
    assert {kind: len(getattr(bpy.data, kind)) for kind in kinds} == before
    assert job not in state.now.runs


def test_a_failed_take_says_why_and_can_be_made_again(connected: Any) -> None:
    from blender_addon import pump

    job = generate({"fail_at": 3})
    assert pump.run_until([job], TIMEOUT_S)
    take = connected.wanstage.takes[0]
    assert take.state == "failed"
    assert take.problem
    assert bpy.ops.wanstage.retry(job_id=job) == {"FINISHED"}
    assert len(connected.wanstage.takes) == 2
    again = connected.wanstage.takes[1]
    assert json.loads(again.meta)["prompt"] == json.loads(connected.wanstage.takes[0].meta)["prompt"]
    assert pump.run_until([again.job_id], TIMEOUT_S)


def test_a_disk_that_refuses_in_the_middle(connected: Any) -> None:
    from blender_addon import pump, state, takes

    job = generate({"delay_s": 0.1})
    assert pump.pump(lambda: state.now.runs[job].received >= 2, TIMEOUT_S)
    folder = takes.folder(connected.wanstage.takes[0])
    aside = folder.rename(folder.with_name("aside"))
    folder.write_text("in the way")
    assert pump.run_until([job], TIMEOUT_S)
    take = connected.wanstage.takes[0]
    assert take.state == "failed"
    assert "cannot be written" in take.problem
    folder.unlink()
    aside.rename(folder)
    assert bpy.ops.wanstage.retry(job_id=job) == {"FINISHED"}
    assert pump.run_until([job], TIMEOUT_S)
    take = connected.wanstage.takes[0]
    assert (take.state, take.frames_done, len(connected.wanstage.takes)) == ("finished", 9, 1)


def test_an_unfinished_take_goes_on_after_a_file_load(connected: Any, tmp_path: Path) -> None:
    from blender_addon import pump, state

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    job = generate({"delay_s": 0.05})
    assert pump.pump(lambda: state.now.runs[job].received >= 1, TIMEOUT_S)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert job in state.now.runs
    assert pump.run_until([job], TIMEOUT_S)
    take = bpy.context.scene.wanstage.takes[0]
    assert (take.state, take.frames_done) == ("finished", 9)


def test_previews_reach_the_plane(connected: Any) -> None:
    import numpy as np

    from blender_addon import playback

    take = connected.wanstage.takes.add()
    take.job_id, take.width, take.height, take.camera = "b" * 32, 128, 64, connected.camera.name
    plane = playback.make_plane(connected, take, connected.camera, 1.0)
    rgb = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
    playback.show_preview(plane, 128, 64, rgb.tobytes())
    image = playback.picture_node(plane).image
    found = np.empty(64 * 128 * 4, np.float32)
    image.pixels.foreach_get(found)
    assert np.array_equal(np.rint(found.reshape(64, 128, 4)[::-1, :, :3] * 255).astype(np.uint8), rgb)


class PreviewArrived:
    """As the client tells it: a grey picture."""

    def __init__(self, job_id: str) -> None:
        self.job_id, self.data = job_id, bytes([128]) * (64 * 36 * 3)
        self.header = SimpleNamespace(width=64, height=36)


def test_a_picture_waits_for_a_tick_that_has_time(connected: Any) -> None:
    from blender_addon import playback, pump, state

    job = "c" * 32
    take = connected.wanstage.takes.add()
    take.job_id, take.width, take.height, take.camera = job, 128, 72, connected.camera.name
    state.now.runs[job] = state.Run(job, Path("nowhere"))
    state.now.backlog.append(PreviewArrived(job))
    pump.tick(0.9 * pump.PICTURE_S)
    assert state.now.waiting
    assert playback.find_plane(job) is None
    pump.tick(0.0)
    assert playback.find_plane(job) is not None
    assert state.now.waiting, "the plane took this turn"
    pump.tick(0.0)
    assert state.now.waiting is None
    assert playback.picture_node(playback.find_plane(job)).image.size[:] == (64, 36)


def test_a_take_removed_by_undo_does_not_stop_the_others(connected: Any) -> None:
    from blender_addon import pump

    gone, kept = generate({"delay_s": 0.02}, seed=1), generate(seed=2)
    connected.wanstage.takes.remove(0)
    assert pump.run_until([gone, kept], TIMEOUT_S)
    assert [take.state for take in connected.wanstage.takes] == ["finished"]


def test_pictures_name_no_file_and_no_date(connected: Any) -> None:
    from blender_addon import generation, pump, state

    job = generate()
    assert pump.run_until([job], TIMEOUT_S)
    look = state.now.packs[connected.name].pack.look
    data = generation.assets().read(look.asset.id)
    for word in (b"File", b"Date", b"RenderTime", b"blend"):
        assert word not in data
