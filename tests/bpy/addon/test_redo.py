"""A part of a take made again through a real backend: what stays stays byte for byte."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import pixels  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import people  # noqa: E402

TIMEOUT_S = 60.0


def generate(scene: Any, **options: Any) -> str:
    from blender_addon import pump

    assert bpy.ops.wanstage.generate(**options) == {"FINISHED"}
    job_id = scene.wanstage.takes[-1].job_id
    assert pump.run_until([job_id], TIMEOUT_S)
    assert take_of(job_id).state == "finished", take_of(job_id).problem
    return job_id


def redo(**options: Any) -> str:
    """The new take's job, when it has ended."""
    from blender_addon import pump

    assert bpy.ops.wanstage.redo_part(**options) == {"FINISHED"}
    job_id = bpy.context.scene.wanstage.takes[-1].job_id
    assert pump.run_until([job_id], TIMEOUT_S)
    return job_id


def take_of(job_id: str) -> Any:
    from blender_addon import takes

    found = takes.find(job_id)
    assert found is not None
    return found[1]


def files(job_id: str) -> list[Path]:
    from blender_addon import takes

    return sorted(takes.folder(take_of(job_id)).glob("frame_*.png"))


def sums(job_id: str) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files(job_id)]


def alike(one: list[str], other: list[str]) -> list[int]:
    """The frames, from 1, that have the same bytes."""
    assert len(one) == len(other) == 9
    return [number for number, (a, b) in enumerate(zip(one, other, strict=True), 1) if a == b]


# ---- frames -----------------------------------------------------------------------------------------


def test_frames_outside_the_part_are_the_same_bytes(connected: Any) -> None:
    from blender_addon import capture, playback, takes

    connected.wanstage.prompt = "{}"
    parent = generate(connected, seed=3)
    before, calls = sums(parent), []
    real = capture.capture_shot
    capture.capture_shot = lambda *given: calls.append(given) or real(*given)
    try:
        made = redo(first=4, last=6, overlap=1, seed=11)
    finally:
        capture.capture_shot = real
    assert not calls, "nothing was changed, so nothing is captured again"
    take = take_of(made)
    assert (take.state, take.problem, take.frames_done, take.frames) == ("finished", "", 9, 9)
    assert take.name == "Take 2 (frames 4 to 6 of Take 1)"
    assert take.seed == 11
    assert sums(parent) == before
    assert alike(sums(made), before) == [1, 2, 3, 7, 8, 9]
    told = takes.meta(take)
    assert told["redo"] == {"of": parent, "first": 4, "last": 6, "overlap": 1, "character": "", "match_color": False,
                            "model": ""}  # fmt: skip
    assert told["settings"] == takes.meta(take_of(parent))["settings"]
    assert json.loads((takes.folder(take) / "take.json").read_text())["state"] == "finished"
    assert playback.picture_node(playback.find_plane(made)).image.source == "SEQUENCE"
    assert [path.stat().st_nlink for path in files(made)] == [2, 2, 2, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("first", "last"), [(1, 3), (7, 9), (5, 5), (1, 9)])
def test_parts_at_the_ends_and_single_frames(connected: Any, first: int, last: int) -> None:
    parent = generate(connected, seed=3)
    made = redo(first=first, last=last, seed=50)
    assert take_of(made).state == "finished", take_of(made).problem
    kept = [number for number in range(1, 10) if not first <= number <= last]
    assert alike(sums(made), sums(parent)) == kept


def test_a_redo_of_a_redo(connected: Any) -> None:
    parent = generate(connected, seed=3)
    second = redo(first=2, last=4, seed=50)
    third = redo(job_id=second, first=7, last=8, seed=90)
    assert take_of(third).name == "Take 3 (frames 7 to 8 of Take 2)"
    assert alike(sums(third), sums(second)) == [1, 2, 3, 4, 5, 6, 9]
    assert alike(sums(third), sums(parent)) == [1, 5, 6, 9]


def test_kept_frames_are_on_the_plane_before_new_ones_come(connected: Any) -> None:
    from blender_addon import playback, pump, state, takes

    connected.wanstage.prompt = json.dumps({"delay_s": 0.2})
    parent = generate(connected)
    assert bpy.ops.wanstage.redo_part(first=4, last=6, seed=9) == {"FINISHED"}
    job_id = connected.wanstage.takes[-1].job_id
    take = take_of(job_id)
    assert take.frames_done == 3
    plane = playback.find_plane(job_id)
    node = playback.picture_node(plane)
    assert node.image_user.frame_offset == 2
    assert Path(bpy.path.abspath(node.image.filepath)).parent == takes.folder(take)
    assert not playback.is_shown(playback.find_plane(parent))
    assert {path.name for path in files(job_id)} == {f"frame_000{number}.png" for number in (1, 2, 3, 7, 8, 9)}
    assert pump.pump(lambda: state.now.runs[job_id].received == 5, TIMEOUT_S)
    assert len(files(job_id)) == 8
    assert node.image_user.frame_offset in {3, 4}
    assert pump.run_until([job_id], TIMEOUT_S)
    assert take_of(job_id).frames_done == 9


def test_a_cancelled_part_keeps_what_came_and_can_be_retried(connected: Any) -> None:
    from blender_addon import pump, state

    connected.wanstage.prompt = json.dumps({"delay_s": 0.4})
    parent = generate(connected)
    assert bpy.ops.wanstage.redo_part(first=4, last=6, seed=9) == {"FINISHED"}
    job_id = connected.wanstage.takes[-1].job_id
    assert pump.pump(lambda: state.now.runs[job_id].update is not None, TIMEOUT_S)
    assert bpy.ops.wanstage.cancel(job_id=job_id) == {"FINISHED"}
    assert pump.run_until([job_id], TIMEOUT_S)
    assert take_of(job_id).state == "cancelled"
    assert 3 <= take_of(job_id).frames_done < 6
    assert bpy.ops.wanstage.retry(job_id=job_id) == {"FINISHED"}
    again = connected.wanstage.takes[-1]
    assert pump.run_until([again.job_id], TIMEOUT_S)
    assert again.name == "Take 3 (frames 4 to 6 of Take 1)"
    assert alike(sums(again.job_id), sums(parent)) == [1, 2, 3, 7, 8, 9]


def test_attach_goes_on_in_the_part(connected: Any, backend: Any) -> None:
    from blender_addon import pump, state

    connected.wanstage.prompt = json.dumps({"delay_s": 0.2})
    parent = generate(connected)
    assert bpy.ops.wanstage.redo_part(first=3, last=7, seed=9) == {"FINISHED"}
    job_id = connected.wanstage.takes[-1].job_id
    assert pump.pump(lambda: state.now.runs[job_id].received >= 4, TIMEOUT_S)
    bpy.ops.wanstage.disconnect()
    assert 4 <= len(files(job_id)) < 9
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    assert bpy.ops.wanstage.attach() == {"FINISHED"}
    assert pump.run_until([job_id], TIMEOUT_S)
    assert (take_of(job_id).state, take_of(job_id).frames_done) == ("finished", 9)
    assert alike(sums(job_id), sums(parent)) == [1, 2, 8, 9]


# ---- files ------------------------------------------------------------------------------------------


def test_the_parent_goes_and_the_redo_stays(connected: Any) -> None:
    from blender_addon import takes

    parent = generate(connected, seed=3)
    folder = takes.folder(take_of(parent))
    made = redo(first=4, last=6, seed=11)
    before = sums(made)
    assert (
        takes.framefiles.size(takes.folder(take_of(made))) < sum(path.stat().st_size for path in files(made)) + 90_000
    )
    assert bpy.ops.wanstage.remove_take(job_id=parent) == {"FINISHED"}
    assert not folder.exists()
    assert sums(made) == before
    assert len(before) == 9


def test_files_that_cannot_be_linked_are_copied(connected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    def refuse(*_: Any) -> None:
        raise OSError(18, "Invalid cross-device link")

    parent = generate(connected, seed=3)
    monkeypatch.setattr(os, "link", refuse)
    made = redo(first=4, last=6, seed=11)
    assert alike(sums(made), sums(parent)) == [1, 2, 3, 7, 8, 9]
    assert {path.stat().st_nlink for path in files(made)} == {1}


def test_undo_save_move_and_reload(connected: Any, tmp_path: Path) -> None:
    from blender_addon import playback, takes

    here, there = tmp_path / "here", tmp_path / "Ünïcode 场景"
    here.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    generate(bpy.context.scene, seed=3)
    made = redo(first=4, last=6, seed=11)
    before = sums(made)
    bpy.ops.ed.undo_push(message="after")
    bpy.context.scene.frame_set(5)
    bpy.ops.ed.undo_push(message="edit")
    bpy.ops.ed.undo()
    assert take_of(made).frames_done == 9
    assert sums(made) == before
    bpy.ops.wm.save_mainfile()
    bpy.ops.wanstage.disconnect()
    shutil.move(here, there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    assert sums(made) == before
    assert takes.folder(take_of(made)).is_relative_to(there)
    image = playback.picture_node(playback.find_plane(made)).image
    assert Path(bpy.path.abspath(image.filepath)).is_file()


def test_another_session_makes_a_part_without_capturing(connected: Any, backend: Any, tmp_path: Path) -> None:
    """The job lies in the take's folder, what was captured in the data folder."""
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    parent = generate(bpy.context.scene, seed=3)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wanstage.disconnect()
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    from blender_addon import state

    assert not state.now.packs
    made = redo(first=4, last=6, seed=11)
    assert not state.now.packs
    assert alike(sums(made), sums(parent)) == [1, 2, 3, 7, 8, 9]


# ---- the scene has changed --------------------------------------------------------------------------


@pytest.fixture
def draft(connected: Any) -> Any:
    from blender_addon import compat

    own = connected.wanstage
    own.engine = own.model = "draft"
    material = bpy.data.materials.new("Red")
    compat.enable_nodes(material)
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.8, 0.1, 0.05, 1)
    box = bpy.data.objects["Box"]
    box.data.materials.append(material)
    light = bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN"))
    connected.collection.objects.link(light)
    box.keyframe_insert("location", frame=1)
    box.location.x += 1.0
    box.keyframe_insert("location", frame=9)
    return connected


def test_a_draft_of_an_unchanged_scene_is_the_same_again(draft: Any) -> None:
    parent = generate(draft)
    made = redo(first=3, last=7)
    assert all((pixels(a) == pixels(b)).all() for a, b in zip(files(made), files(parent), strict=True))


def test_a_changed_scene_is_captured_again_and_its_settings_come_back(draft: Any) -> None:
    from blender_addon import takes

    draft.wanstage.prompt = "as it was"
    parent = generate(draft)
    before = sums(parent)
    box = bpy.data.objects["Box"]
    box.location.y = 0.8
    box.keyframe_insert("location", index=1, frame=6)
    draft.wanstage.prompt, draft.wanstage.seed = "another", 77
    made = redo(first=4, last=8, overlap=2)
    take = take_of(made)
    assert take.state == "finished", take.problem
    assert alike(sums(made), before) == [1, 2, 3, 9]
    assert (draft.wanstage.prompt, draft.wanstage.seed) == ("another", 77)
    assert takes.meta(take)["prompt"] == "as it was"
    frames = [pixels(path).astype(float) for path in files(made)]
    jumps = [np.abs(b.mean((0, 1)) - a.mean((0, 1))).max() for a, b in itertools.pairwise(frames)]
    assert max(jumps[2], jumps[7]) <= max(jumps[3:7]) + 1.0, "no seam is a greater step than the part's own"


@pytest.fixture
def stage(addon: Any, backend: Any) -> Any:
    """A person who walks before a wall, as a draft."""
    people.make_stage(112, 64)
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 9
    own = scene.wanstage
    own.size, own.width, own.height, own.engine, own.model, own.task = "CUSTOM", 112, 64, "draft", "draft", "i2v"
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    return scene


def masks(scene: Any) -> list[np.ndarray]:
    """Those of the last drive pack: where the person is."""
    from blender_addon import generation, state

    found = []
    for ref in state.now.packs[scene.name].pack.mask:
        data = zlib.decompress(generation.assets().read(ref.asset.id))
        found.append(np.frombuffer(data, np.uint8).reshape(ref.shape) == 1)
    return found


def test_one_character_goes_from_where_it_was_to_where_it_is(stage: Any) -> None:
    """Every pixel that changes lies about where the person was or is."""
    parent = generate(stage)
    before, was = sums(parent), masks(stage)
    rig = next(item for item in bpy.data.objects if item.type == "ARMATURE")
    for frame, aside in ((2, 0.0), (4, 0.6), (6, 0.6), (8, 0.0)):
        rig.delta_location.x = aside
        rig.keyframe_insert("delta_location", index=0, frame=frame)
    made = redo(first=3, last=7, overlap=0, character=rig.name)
    take = take_of(made)
    assert take.state == "finished", take.problem
    assert take.name == f"Take 2 ({rig.name}, frames 3 to 7 of Take 1)"
    assert alike(sums(made), before) == [1, 2, 8, 9]
    for number in (4, 5, 6):
        there = was[number - 1] | masks(stage)[number - 1]
        changed = (pixels(files(made)[number - 1]) != pixels(files(parent)[number - 1])).any(axis=2)
        rows, columns = np.nonzero(there)
        near = np.zeros_like(there)
        near[max(rows.min() - 10, 0) : rows.max() + 11, max(columns.min() - 10, 0) : columns.max() + 11] = True
        assert changed.any()
        assert not changed[~near].any()
        assert changed[was[number - 1] & ~masks(stage)[number - 1]].mean() > 0.5, "he has gone from where he was"


# ---- what is refused --------------------------------------------------------------------------------


def test_bad_ranges_get_a_sentence(connected: Any, refused: Callable[..., str]) -> None:
    operator = bpy.ops.wanstage.redo_part
    assert "The shot has no takes yet" in refused(operator)
    generate(connected)
    assert "ends at frame 3, before it begins at frame 5" in refused(operator, first=5, last=3)
    assert "Take 1 has the frames 1 to 9, the part is 5 to 10" in refused(operator, first=5, last=10)
    assert "Ann is not in the shot, it has: nobody" in refused(operator, first=5, last=6, character="Ann")
    assert "There is no such take" in refused(operator, job_id="0" * 32)
    assert len(connected.wanstage.takes) == 1
    connected.wanstage.takes[0].frames_done = 5
    assert "Take 1 has 5 of 9 frames: only whole takes" in refused(operator)
    connected.wanstage.takes[0].frames_done = 9
    bpy.ops.wanstage.disconnect()
    assert "No backend is connected" in refused(operator)


def test_an_older_backend_is_not_asked(connected: Any, refused: Callable[..., str]) -> None:
    import msgspec

    from blender_addon import state

    generate(connected)
    state.now.welcome = msgspec.structs.replace(state.now.welcome, minor=3)
    assert "too old to make a part of a take" in refused(bpy.ops.wanstage.redo_part)


def test_the_part_follows_the_playhead_until_it_is_set(connected: Any) -> None:
    connected.frame_end = 33
    generate(connected)
    own = connected.wanstage.redo
    connected.frame_set(17)
    assert (own.first, own.last) == (9, 25)
    connected.frame_set(2)
    assert (own.first, own.last) == (1, 10)
    connected.frame_set(20)
    assert bpy.ops.wanstage.redo_edge(edge="LAST") == {"FINISHED"}
    assert (own.first, own.last) == (12, 20)
    connected.frame_set(25)
    assert bpy.ops.wanstage.redo_edge(edge="FIRST") == {"FINISHED"}
    assert (own.first, own.last) == (25, 25)
    own.first, own.last = 4, 7
    connected.frame_set(33)
    assert (own.first, own.last) == (4, 7)
    generate(connected, seed=2)
    assert (own.first, own.last) == (25, 33), "another take, another part"
