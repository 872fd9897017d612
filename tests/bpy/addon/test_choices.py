"""The choice between takes: star, accept, reject, solo, clear, another seed, settings, the next shot; with undo."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parent))
import made  # noqa: E402

TIMEOUT_S = 60.0
EXEC = ("EXEC_DEFAULT", True)
Refused = Callable[..., str]


def seen(scene: Any) -> list[bool]:
    from blender_addon import choices

    return [choices.is_seen(take) for take in scene.wanstage.takes]


def verdicts() -> list[str]:
    return [take.choice.verdict for take in bpy.context.scene.wanstage.takes]


@pytest.fixture
def three(shot: Any, tmp_path: Path) -> Any:
    """A saved file with three takes; the last is seen and selected."""
    (tmp_path / "work").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "work" / "shot.blend"))
    for number, job in enumerate("abc", start=1):
        made.finished(bpy.context.scene, job, seed=number)
    return bpy.context.scene


def test_accept_shows_it_alone_and_is_the_only_one(three: Any) -> None:
    assert seen(three) == [False, False, True]
    assert bpy.ops.wanstage.accept_take(job_id="a" * 32) == {"FINISHED"}
    assert (verdicts(), seen(three)) == (["accepted", "none", "none"], [True, False, False])
    assert bpy.ops.wanstage.accept_take(job_id="b" * 32) == {"FINISHED"}
    assert (verdicts(), seen(three)) == (["none", "accepted", "none"], [False, True, False])
    assert bpy.ops.wanstage.accept_take(job_id="b" * 32) == {"FINISHED"}
    assert verdicts() == ["none"] * 3


def test_takes_of_another_time_are_another_shot(three: Any) -> None:
    later = made.finished(three, "d", frame_start=200.0)
    from blender_addon import playback

    playback.set_visible(playback.find_plane(later.job_id), True)
    assert bpy.ops.wanstage.accept_take(job_id=later.job_id) == {"FINISHED"}
    assert bpy.ops.wanstage.accept_take(job_id="a" * 32) == {"FINISHED"}
    assert verdicts() == ["accepted", "none", "none", "accepted"]
    assert seen(three) == [True, False, False, True]


def test_reject_hides_it_and_shows_the_accepted(three: Any) -> None:
    bpy.ops.wanstage.accept_take(job_id="a" * 32)
    bpy.ops.wanstage.show_take(job_id="c" * 32)
    assert bpy.ops.wanstage.reject_take(job_id="c" * 32) == {"FINISHED"}
    assert (verdicts()[2], seen(three)) == ("rejected", [True, False, False])
    from blender_addon import takes

    assert len(list(takes.folder(three.wanstage.takes[2]).glob("frame_*.png"))) == 4, "kept until it is cleared"


def test_a_rejected_take_comes_back_by_undo(three: Any) -> None:
    bpy.ops.ed.undo_push(message="Takes")
    bpy.ops.wanstage.accept_take(*EXEC, job_id="b" * 32)
    bpy.ops.wanstage.reject_take(*EXEC, job_id="b" * 32)
    assert verdicts() == ["none", "rejected", "none"]
    bpy.ops.ed.undo()
    assert (verdicts(), seen(bpy.context.scene)) == (["none", "accepted", "none"], [False, True, False])
    bpy.ops.ed.redo()
    assert verdicts() == ["none", "rejected", "none"]


def test_clear_removes_exactly_what_it_tells(three: Any, tmp_path: Path) -> None:
    from blender_addon import choices, takes
    from blender_addon.operators import choose

    rows = three.wanstage.takes
    folders = [takes.folder(take) for take in rows]
    (folders[2] / "notes.txt").write_text("the user's own")
    rows[0].choice.starred = True
    made.finished(three, "d", seed=4)
    rows = three.wanstage.takes
    bpy.ops.wanstage.accept_take(job_id="d" * 32)
    running = three.wanstage.takes.add()
    running.job_id, running.state = "e" * 32, "running"
    gone = [takes.folder(rows[index]) for index in (1, 2)]
    wanted = sum(file.stat().st_size for folder in gone for file in folder.iterdir() if file.suffix != ".txt")
    before = set(made.files(tmp_path))
    removed = {str(file.relative_to(tmp_path)) for folder in gone for file in folder.iterdir() if file.suffix != ".txt"}
    assert choices.disk_bytes(choices.disposable(three)) == wanted
    assert choose.told(three) == f"Delete 2 takes and free {wanted / 2**20:.1f} MB?"
    assert bpy.ops.wanstage.clear_takes() == {"FINISHED"}
    assert before - set(made.files(tmp_path)) == removed
    assert [take.job_id[0] for take in three.wanstage.takes] == ["a", "d", "e"]
    assert not gone[0].exists()
    assert made.files(gone[1]) == ["notes.txt"]
    assert not bpy.ops.wanstage.clear_takes.poll()


def test_undo_of_clear_says_that_the_files_are_gone(three: Any) -> None:
    from blender_addon import choices

    three.wanstage.takes[0].choice.starred = True
    bpy.ops.ed.undo_push(message="Takes")
    assert bpy.ops.wanstage.clear_takes(*EXEC) == {"FINISHED"}
    bpy.ops.ed.undo()
    rows = bpy.context.scene.wanstage.takes
    assert [(take.state, take.frames_done, take.problem) for take in rows] == [
        ("finished", 4, ""), ("lost", 0, choices.GONE), ("lost", 0, choices.GONE),
    ]  # fmt: skip
    assert seen(bpy.context.scene)[1:] == [False, False]
    bpy.ops.ed.redo()
    assert len(bpy.context.scene.wanstage.takes) == 1


def test_a_disk_that_keeps_its_files_keeps_the_take(three: Any, refused: Refused, monkeypatch: Any) -> None:
    def refuse(_path: Path, **_named: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    sentence = refused(bpy.ops.wanstage.clear_takes)
    assert "cannot be deleted (Permission denied): make the folder writable" in sentence
    assert len(three.wanstage.takes) == 3
    from blender_addon import playback

    assert all(playback.find_plane(job * 32) for job in "abc")


def test_star_is_a_toggle_and_undoes(three: Any) -> None:
    bpy.ops.ed.undo_push(message="Takes")
    bpy.ops.wanstage.star_take(*EXEC, job_id="a" * 32)
    assert three.wanstage.takes[0].choice.starred
    bpy.ops.ed.undo()
    assert not bpy.context.scene.wanstage.takes[0].choice.starred
    bpy.ops.ed.redo()
    assert bpy.context.scene.wanstage.takes[0].choice.starred


def test_play_shows_the_takes_own_frames(three: Any) -> None:
    three.render.fps = 32
    assert bpy.ops.wanstage.play_take(job_id="a" * 32) == {"FINISHED"}
    assert (three.use_preview_range, three.frame_preview_start, three.frame_preview_end) == (True, 1, 8)
    assert (three.frame_current, seen(three)) == (1, [True, False, False])


def test_buttons_say_why_they_are_grey(shot: Any) -> None:
    from blender_addon.operators import choose

    assert choose.selected_problem(bpy.context) == "The shot has no takes yet"
    for name in ("play_take", "accept_take", "reject_take", "star_take", "use_settings", "another_seed", "redo_take",
                 "begin_next", "to_sequencer", "export_take", "compare_takes", "end_compare",
                 "clear_takes"):  # fmt: skip
        assert not getattr(bpy.ops.wanstage, name).poll(), name
    take = shot.wanstage.takes.add()
    take.job_id, take.name, take.state, take.frames_done = "a" * 32, "Take 1", "running", 2
    assert choose.selected_problem(bpy.context, frames=True) == "Take 1 is still being made"
    take.state, take.frames_done = "failed", 0
    assert choose.selected_problem(bpy.context, frames=True) == "Take 1 has no frames"


# ---- settings ---------------------------------------------------------------------------------------


def test_settings_come_back(shot: Any) -> None:
    from blender_addon import take_settings

    own = shot.wanstage
    lora = own.loras.add()
    lora.name, lora.weight, lora.expert = "film", 0.7, "high"
    rig = bpy.data.objects.new("Rig", bpy.data.armatures.new("Rig"))
    shot.collection.objects.link(rig)
    rig.wanstage.reference = "//person.png"
    own.camera, own.steps, own.guidance, own.prompt, own.fps = shot.camera, 12, 3.5, "a 场景", 24.0
    kept = json.loads(json.dumps(take_settings.snapshot(shot)))
    own.loras.clear()
    own.camera, own.steps, own.guidance, own.prompt, own.fps = None, 0, 0.0, "", 16.0
    rig.wanstage.reference, own.width = "", 64
    shot.frame_end = 30
    assert take_settings.apply(shot, kept) == []
    assert json.loads(json.dumps(take_settings.snapshot(shot)))["characters"] == kept["characters"]
    assert (own.camera, own.steps, own.guidance, own.prompt, own.fps) == (shot.camera, 12, 3.5, "a 场景", 24.0)
    assert [(each.name, round(each.weight, 3), each.expert) for each in own.loras] == [("film", 0.7, "high")]
    assert (own.use_scene_range, own.frame_start, own.frame_end, own.width) == (False, 1, 9, 128)


def test_settings_of_another_version_or_file(shot: Any) -> None:
    from blender_addon import take_settings

    kept = take_settings.snapshot(shot)
    kept["shot"] |= {"plan": "in the clouds", "camera": "Gone", "sparkle": 3}
    kept["characters"] = {"Nobody": {"use": True}}
    assert sorted(take_settings.apply(shot, kept)) == ["Gone", "Nobody", "plan", "sparkle"]


def test_a_take_keeps_what_it_was_made_with(connected: Any, refused: Refused) -> None:
    """Through a real backend: settings in the .blend and beside the frames, then another seed with them."""
    from blender_addon import pump, takes

    own = connected.wanstage
    own.prompt, own.seed = json.dumps({"delay_s": 0.0}), 7
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = own.takes[0].job_id
    assert pump.run_until([job], TIMEOUT_S)
    take = own.takes[0]
    told = json.loads((takes.folder(take) / "take.json").read_text(encoding="utf-8"))
    assert told == takes.meta(take)
    assert told["settings"]["shot"]["width"] == 128
    assert {"prompt", "seed", "model", "size", "fps", "made", "made_from"} <= set(told)
    assert (take.choice.model, take.choice.seconds > 0) == ("test", True)
    own.prompt, own.width, own.seed = "something else", 256, 1
    assert bpy.ops.wanstage.use_settings(job_id=job) == {"FINISHED"}
    assert (own.prompt, own.width, own.seed) == (json.dumps({"delay_s": 0.0}), 128, 7)
    own.width = 256
    assert bpy.ops.wanstage.another_seed(job_id=job) == {"FINISHED"}
    again = own.takes[1]
    assert (again.seed, again.width, takes.meta(again)["prompt"]) == (8, 128, told["prompt"])
    assert pump.run_until([again.job_id], TIMEOUT_S)
    assert bpy.ops.wanstage.redo_take(job_id=again.job_id) == {"FINISHED"}
    assert own.takes[2].seed == 8
    assert pump.run_until([own.takes[2].job_id], TIMEOUT_S)


def test_the_last_frame_begins_the_next_shot(connected: Any) -> None:
    """The file is named, the range moved, and a job made from it sends that very picture."""
    from blender_addon import generation, pump, takes

    own = connected.wanstage
    take = made.finished(connected, "a", pictures=[made.flat(9 * index, 0, 0) for index in range(9)])
    connected.render.fps = 24
    assert bpy.ops.wanstage.begin_next(job_id=take.job_id) == {"FINISHED"}
    last = takes.folder(take) / "frame_0009.png"
    assert Path(bpy.path.abspath(own.first_image)) == last
    assert (own.use_scene_range, own.frame_start, own.frame_end) == (False, 13, 21)
    connected.render.fps = 16
    told = generation.told(connected, "i2v")
    assert generation.assets().read(told.person.asset.id) == last.read_bytes()
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    assert pump.run_until([own.takes[1].job_id], TIMEOUT_S)
    assert own.takes[1].state == "finished"
    assert set(takes.meta(own.takes[1])["made_from"]["parts"]) == {"picture"}


def test_a_first_image_that_is_gone(connected: Any, refused: Refused) -> None:
    connected.wanstage.first_image = "/nowhere/frame.png"
    assert "First image: The reference picture frame.png cannot be read" in refused(bpy.ops.wanstage.generate)
    assert not connected.wanstage.takes


def test_thumbnails_are_loaded_outside_of_drawing(three: Any) -> None:
    from blender_addon import thumbnails

    take = three.wanstage.takes[0]
    assert thumbnails.icon(take) == 0
    while thumbnails.load() is not None:
        pass
    key = f"{take.job_id} 4"
    assert list(thumbnails.now.previews) == [key]
    assert tuple(thumbnails.now.previews[key].image_size) != (0, 0)
    assert not thumbnails.now.wanted
