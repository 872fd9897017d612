"""Takes that no scene lists are found by what their folders say, and come back as they were."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parent))
import made  # noqa: E402


def row(take: Any) -> dict[str, Any]:
    from blender_addon import takes

    own = {name: getattr(take, name) for name in takes.ROW}
    return {**own, "state": take.state, "frames": take.frames_done, "seen_by": take.seen_by,
            "folder": takes.folder(take), "model": take.choice.model}  # fmt: skip


def lose(scene: Any) -> None:
    """As if the file had never been saved with them: rows and planes are gone, files are not."""
    from blender_addon import playback

    for take in scene.wanstage.takes:
        playback.remove_plane(take.job_id)
    scene.wanstage.takes.clear()


def told(scene: Any, job: str, **values: Any) -> Any:
    from blender_addon import takes

    take = made.finished(scene, job, meta={"state": "finished", "made": f"2026-01-0{int(job, 16) - 9}"}, **values)
    take.seen_by = scene.camera
    takes.tell(scene, take)
    return take


@pytest.mark.parametrize("pattern", ["", "//films/{task}/{scene}/{take}", "//wanstage/x{take}"])
def test_takes_come_back_as_they_were(shot: Any, tmp_path: Path, pattern: str) -> None:
    from blender_addon import playback

    shot.wanstage.frames_folder = pattern
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    before = [row(told(shot, job, frame_start=5.0, name=f"Märchen {job}")) for job in "ab"]
    lose(shot)
    assert bpy.ops.wanstage.find_lost_takes() == {"FINISHED"}
    assert [row(take) for take in shot.wanstage.takes] == before
    assert all(playback.find_plane(take.job_id) is not None for take in shot.wanstage.takes)
    assert all(take.frames_dir.startswith("//") for take in shot.wanstage.takes)
    assert bpy.ops.wanstage.find_lost_takes() == {"CANCELLED"}


def test_in_the_cache_only_those_of_this_file(shot: Any) -> None:
    """Before the first save: takes whose camera or scene this file does not have are another file's."""
    first, other, third = (told(shot, job) for job in "abc")
    wanted = first.job_id
    shot.camera.name = "Another"
    other.camera = "Another"
    from blender_addon import takes

    takes.tell(shot, other)
    shot.camera.name = "Camera"
    values = takes.meta(third)
    values["row"]["scene"] = "Elsewhere"
    takes.framefiles.write_meta(takes.folder(third), values)
    lose(shot)
    assert bpy.ops.wanstage.find_lost_takes() == {"FINISHED"}
    assert [take.job_id for take in shot.wanstage.takes] == [wanted]


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"job_id": "a"}', '{"job_id": "x", "row": {}}', "WRONG ROW"])
def test_a_folder_that_says_something_else(shot: Any, tmp_path: Path, text: str) -> None:
    from blender_addon import takes

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    take = told(shot, "a")
    values = takes.meta(take)
    values["row"]["seed"] = "seven"
    text = json.dumps(values) if text == "WRONG ROW" else text
    (takes.folder(take) / "take.json").write_text(text, encoding="utf-8")
    lose(shot)
    assert bpy.ops.wanstage.find_lost_takes() == {"CANCELLED"}
    assert not shot.wanstage.takes


def test_a_removed_take_is_not_found_again(shot: Any) -> None:
    take = told(shot, "a")
    assert bpy.ops.wanstage.remove_take(job_id=take.job_id) == {"FINISHED"}
    assert bpy.ops.wanstage.find_lost_takes() == {"CANCELLED"}
