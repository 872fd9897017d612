"""A real backend's frames onto the plane."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import pixels  # noqa: E402

TIMEOUT_S = 60.0


def generate(scene: Any, *, knobs: dict[str, Any] | None = None, **options: Any) -> Any:
    """Submit; the newest take."""
    scene.wanstage.prompt = json.dumps(knobs) if knobs else ""
    assert bpy.ops.wanstage.generate(**options) == {"FINISHED"}
    return scene.wanstage.takes[-1]


def rendered(scene: Any, frame: int, path: Path) -> np.ndarray:
    """The camera's view at a scene frame, by Cycles."""
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    scene.cycles.pixel_filter_type = "BOX"
    scene.cycles.filter_width = 0.01
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 128, 64, 100
    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0.0
    scene.render.filepath = str(path)
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    return pixels(path)


def test_frames_arrive_and_the_take_is_placed(connected: Any, tmp_path: Path) -> None:
    from blender_addon import playback, pump, takes

    take = generate(connected)
    assert take.state == "submitting"
    assert pump.run_until([take.job_id], TIMEOUT_S)
    take = connected.wanstage.takes[0]
    assert (take.state, take.problem, take.frames_done) == ("finished", "", 9)
    folder = takes.folder(take)
    assert sorted(file.name for file in folder.glob("*.png")) == [f"frame_{n:04d}.png" for n in range(1, 10)]
    assert json.loads(take.meta)["schema"] == 1
    assert json.loads((folder / "take.json").read_text())["state"] == "finished"
    plane = playback.find_plane(take.job_id)
    assert plane.parent == connected.camera
    image = playback.picture_node(plane).image
    assert image.source == "SEQUENCE"


@pytest.mark.parametrize("scene_fps", [16, 24])
def test_each_scene_frame_shows_its_sample(connected: Any, tmp_path: Path, scene_fps: int) -> None:
    from blender_addon import playback, pump, takes

    connected.render.fps = scene_fps
    connected.frame_end = 13
    take = generate(connected)
    assert pump.run_until([take.job_id], TIMEOUT_S)
    take = connected.wanstage.takes[0]
    folder = takes.folder(take)
    for frame in (1, 2, 6, 13, 40):
        sample = playback.sample_at(frame, take, scene_fps)
        assert sample == min(int((frame - 1) * 16 / scene_fps + 0.001), take.frames - 1)
        shown = rendered(connected, frame, tmp_path / "view.png").astype(int)
        made = pixels(folder / f"frame_{sample + 1:04d}.png").astype(int)
        inner = np.s_[4:-4, 4:-4]
        assert np.abs(shown[inner] - made[inner]).mean() < 2.0, (
            f"scene frame {frame} shows another sample than {sample}"
        )


def test_save_move_reload(connected: Any, tmp_path: Path) -> None:
    from blender_addon import pump, takes

    here, there = tmp_path / "here", tmp_path / "Ünïcode 场景"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    take = generate(bpy.context.scene)
    job_id = take.job_id
    assert take.frames_dir.startswith("//wanstage/")
    assert pump.run_until([job_id], TIMEOUT_S)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wanstage.disconnect()
    shutil.move(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    scene = bpy.context.scene
    take = scene.wanstage.takes[0]
    assert takes.folder(take).parent.parent.parent == there
    first = pixels(takes.folder(take) / "frame_0001.png").astype(int)
    shown = rendered(scene, 1, tmp_path / "view.png").astype(int)
    assert np.abs(shown[4:-4, 4:-4] - first[4:-4, 4:-4]).mean() < 2.0


def test_an_unsaved_file_takes_its_frames_along(connected: Any, tmp_path: Path) -> None:
    from blender_addon import pump, takes

    take = generate(connected)
    assert pump.run_until([take.job_id], TIMEOUT_S)
    (tmp_path / "new").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "new" / "shot.blend"))
    take = bpy.context.scene.wanstage.takes[0]
    assert take.frames_dir.startswith("//wanstage/")
    assert len(list(takes.folder(take).glob("*.png"))) == 9
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "new" / "shot.blend"))
    shown = rendered(bpy.context.scene, 1, tmp_path / "view.png")
    assert shown.std() > 1


def test_cancel(connected: Any) -> None:
    from blender_addon import pump, state

    take = generate(connected, knobs={"delay_s": 0.5})
    job_id = take.job_id
    assert pump.pump(lambda: state.now.runs[job_id].update is not None, TIMEOUT_S)
    assert bpy.ops.wanstage.cancel(job_id=job_id) == {"FINISHED"}
    assert pump.run_until([job_id], TIMEOUT_S)
    assert connected.wanstage.takes[0].state == "cancelled"


def test_attach_resumes_after_the_client_went_away(connected: Any, backend: Any) -> None:
    from blender_addon import pump, state, takes

    take = generate(connected, knobs={"delay_s": 0.1})
    job_id = take.job_id
    assert pump.pump(lambda: state.now.runs[job_id].received >= 2, TIMEOUT_S)
    bpy.ops.wanstage.disconnect()
    have = len(list(takes.folder(connected.wanstage.takes[0]).glob("*.png")))
    assert 2 <= have < 9
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    assert bpy.ops.wanstage.attach() == {"FINISHED"}
    assert pump.run_until([job_id], TIMEOUT_S)
    take = connected.wanstage.takes[0]
    assert (take.state, take.frames_done) == ("finished", 9)


def test_both_tasks_share_one_pack(connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from blender_addon import capture, pump

    calls = []
    real = capture.capture_shot
    monkeypatch.setattr(capture, "capture_shot", lambda *given: calls.append(given) or real(*given))
    first = generate(connected, seed=1).job_id
    second = generate(connected, seed=2).job_id
    assert len(calls) == 1
    assert pump.run_until([first, second], TIMEOUT_S)
    third = generate(connected, seed=3).job_id
    assert len(calls) == 1, "the planes of takes are no reason to capture again"
    bpy.data.objects["Box"].location.x += 0.5
    generate(connected, seed=4)
    assert len(calls) == 2
    assert pump.run_until([third], TIMEOUT_S)


def test_no_secret_in_the_file(connected: Any, tmp_path: Path) -> None:
    from blender_addon import pump, state

    take = generate(connected)
    assert pump.run_until([take.job_id], TIMEOUT_S)
    target = tmp_path / "plain.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(target), compress=False)
    data = target.read_bytes()
    connection = state.now.connection
    for secret in (connection.client_secret, connection.client_key, connection.server_key, connection.endpoint):
        assert secret
        assert secret.encode() not in data
