"""Camera markers become shots; all are submitted, each with what it has of its own; takes lie in the sequencer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import pixels  # noqa: E402

TIMEOUT_S = 60.0


@pytest.fixture
def ready(edit: Any, backend: Any) -> Any:
    """The edit, connected to a real backend with the test engine."""
    assert bpy.ops.wanstage.connect(connection_file=str(backend.file)) == {"FINISHED"}
    edit.wanstage.size, edit.wanstage.width, edit.wanstage.height = "CUSTOM", 64, 64
    return edit


def submit(scene: Any) -> list[Any]:
    """Submit all shots and wait; the takes."""
    from blender_addon import pump, state

    assert bpy.ops.wanstage.submit_shots() == {"FINISHED"}
    assert state.now.batch == ""
    assert pump.run_until([take.job_id for take in scene.wanstage.takes], TIMEOUT_S)
    return list(scene.wanstage.takes)


def strips(scene: Any) -> list[Any]:
    from blender_addon import compat, sequence

    return sorted(
        (each for each in compat.strips_of(scene) if each.get(sequence.MARK)),
        key=lambda each: compat.strip_times(each).left,
    )


def test_markers_make_shots(edit: Any) -> None:
    from blender_addon import timeline

    assert [(cut.name, cut.camera.name, cut.first, cut.last) for cut in timeline.cuts(edit)] == [
        ("Wide", "Cam Wide", 1, 10), ("Close", "Cam Close", 11, 20), ("Übersicht", "Cam Übersicht", 21, 30)
    ]  # fmt: skip
    assert timeline.sentences(edit) == ["The marker Beat at frame 15 has no camera: it begins no shot"]
    edit.timeline_markers.new("Late", frame=99).camera = bpy.data.objects["Cam Wide"]
    edit.timeline_markers["Wide"].frame = 4
    assert timeline.sentences(edit)[1:] == [
        "The marker Late lies at frame 99, behind the scene's last, 30: no shot",
        "Frames 1 to 3 are in no shot: no camera is bound before",
    ]
    edit.frame_start = 14
    assert [(cut.name, cut.first) for cut in timeline.cuts(edit)] == [("Close", 14), ("Übersicht", 21)]
    for marker in list(edit.timeline_markers):
        edit.timeline_markers.remove(marker)
    assert "Ctrl B" in timeline.sentences(edit)[0]


def test_rows_follow_the_markers_and_keep_their_settings(edit: Any) -> None:
    from blender_addon import timeline

    assert bpy.ops.wanstage.list_shots() == {"FINISHED"}
    rows = edit.wanstage_timeline.rows
    assert [each.name for each in rows] == ["Wide", "Close", "Übersicht"]
    rows["Close"].prompt = "a face"
    edit.timeline_markers["Close"].name = "Closer"
    edit.timeline_markers.new("Insert", frame=6).camera = bpy.data.objects["Cam Wide"]
    edit.timeline_markers.remove(edit.timeline_markers["Übersicht"])
    assert not timeline.is_listed(edit)
    bpy.ops.wanstage.list_shots()
    assert timeline.is_listed(edit)
    assert [(each.name, each.prompt) for each in rows] == [("Wide", ""), ("Insert", ""), ("Closer", "a face")]
    edit.timeline_markers["Insert"].name = "Wide"
    assert [cut.name for cut in timeline.cuts(edit)] == ["Wide", "Wide 2", "Closer"]


def test_a_shot_has_its_own_and_the_scenes_settings(edit: Any) -> None:
    from blender_addon import shots, timeline

    own = edit.wanstage
    own.prompt, own.seed, own.engine, own.model = "a street", 7, "wan", "none"
    bpy.ops.wanstage.list_shots()
    row = edit.wanstage_timeline.rows["Close"]
    row.prompt, row.task, row.own_seed, row.seed = "a face", "t2v", True, 5
    before = [own.camera, own.use_scene_range, own.frame_end, own.task, own.prompt, own.seed]
    cuts = {cut.name: cut for cut in timeline.cuts(edit)}
    with timeline.settings(edit, cuts["Wide"]):
        assert (own.prompt, own.seed, own.task, own.camera.name) == ("a street", 7, "i2v", "Cam Wide")
    with timeline.settings(edit, cuts["Close"]):
        assert (own.prompt, own.seed, own.task, own.frame_start) == ("a face", 5, "t2v", 11)
        assert shots.frame_count(edit) == 9, "9 = 4n+1 frames cover the 7 that are seen up to the cut"
        assert shots.parameters(edit).camera == "Cam Close"
    with pytest.raises(KeyError), timeline.settings(edit, cuts["Close"]):
        raise KeyError
    assert [own.camera, own.use_scene_range, own.frame_end, own.task, own.prompt, own.seed] == before


def test_go_to_a_shot(edit: Any, refused: Any) -> None:
    assert bpy.ops.wanstage.use_shot(name="Close") == {"FINISHED"}
    own = edit.wanstage
    assert (edit.frame_current, own.camera.name, own.frame_start, own.frame_end) == (11, "Cam Close", 11, 20)
    assert "no shot named Gone" in refused(bpy.ops.wanstage.use_shot, name="Gone")


def test_submit_all_and_lay_out(ready: Any, tmp_path: Path) -> None:
    from blender_addon import compat, playback

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "edit.blend"))
    made = submit(ready)
    assert [(take.name, take.shot, take.camera, take.frame_start, take.state) for take in made] == [
        ("Wide 1", "Wide", "Cam Wide", 1, "finished"), ("Close 1", "Close", "Cam Close", 11, "finished"),
        ("Übersicht 1", "Übersicht", "Cam Übersicht", 21, "finished"),
    ]  # fmt: skip
    laid = strips(ready)
    assert [(each.name, compat.strip_times(each).left, compat.strip_times(each).right) for each in laid] == [
        ("Wide", 1, 11), ("Close", 11, 21), ("Übersicht", 21, 31)
    ]  # fmt: skip
    assert len({each.channel for each in laid}) == 1
    for take, strip in zip(made, laid, strict=True):
        assert strip.directory.startswith("//")
        shown = [playback.sample_at(take.frame_start + n, take, 24.0) for n in range(10)]
        assert [each.filename for each in strip.elements] == [f"frame_{n + 1:04d}.png" for n in shown]
        assert (Path(bpy.path.abspath(strip.directory)) / strip.elements[-1].filename).is_file()
    assert ready.wanstage.use_scene_range, "the scene's own shot is as it was"
    assert ready.wanstage.camera is None


@pytest.mark.parametrize("view", ["Standard", "AgX", "Filmic"])
def test_the_sequencer_shows_what_was_made(ready: Any, tmp_path: Path, view: str) -> None:
    from blender_addon import takes

    ready.view_settings.view_transform = view
    ready.render.resolution_x = ready.render.resolution_y = 64
    ready.render.resolution_percentage = 100
    ready.render.dither_intensity = 0.0
    made = submit(ready)
    for take, frame, number in ((made[0], 1, 1), (made[1], 14, 3)):
        ready.render.filepath = str(tmp_path / "view.png")
        ready.frame_set(frame)
        bpy.ops.render.render(write_still=True)
        shown = pixels(tmp_path / "view.png").astype(int)
        wanted = pixels(takes.folder(take) / f"frame_{number:04d}.png").astype(int)
        assert shown.shape == wanted.shape
        assert np.abs(shown - wanted).max() <= (1 if view == "Standard" else 6)


def visible(scene: Any) -> dict[int, list[str]]:
    """Shots whose plane is seen, by scene frame."""
    from blender_addon import playback

    seen = {}
    for frame in (1, 10, 11, 20, 21, 30):
        scene.frame_set(frame)
        seen[frame] = [
            take.shot for take in scene.wanstage.takes if not playback.find_plane(take.job_id).hide_render
        ]  # fmt: skip
        assert all(
            playback.find_plane(take.job_id).visible_get() is (take.shot in seen[frame])
            for take in scene.wanstage.takes if take.shot not in seen[frame]
        )  # fmt: skip
    return seen


def test_planes_are_seen_in_their_range_only(ready: Any) -> None:
    from blender_addon import playback

    made = submit(ready)
    expected = {1: ["Wide"], 10: ["Wide"], 11: ["Close"], 20: ["Close"], 21: ["Übersicht"], 30: ["Übersicht"]}
    assert visible(ready) == expected
    for take in made:
        assert playback.find_plane(take.job_id).parent.name == take.camera
    bpy.ops.wanstage.show_take(job_id=made[0].job_id)
    assert visible(ready) == expected, "showing a take of one shot leaves the others"


def test_a_redo_replaces_the_pictures_of_the_strip(ready: Any) -> None:
    from blender_addon import playback, pump, sequence

    made = submit(ready)
    first = made[1].job_id
    before = {each.get(sequence.MARK): each.as_pointer() for each in strips(ready)}
    for row in ready.wanstage_timeline.rows:
        row.use = row.name == "Close"
    made = submit(ready)
    assert len(made) == 4
    redo = made[3].job_id
    assert (made[3].name, made[3].shot) == ("Close 2", "Close")
    laid = {each.get(sequence.MARK): each for each in strips(ready)}
    assert {name: each.as_pointer() for name, each in laid.items()} == before, "with what hangs on it"
    assert laid["Close"][sequence.TAKE] == redo
    assert visible(ready)[11] == ["Close"], "one of the two"
    assert not playback.is_shown(playback.find_plane(first))
    assert bpy.ops.wanstage.show_take(job_id=first) == {"FINISHED"}
    assert strips(ready)[1][sequence.TAKE] == first
    pump.run_until([], 1.0)
    bpy.ops.wanstage.remove_take(job_id=first)
    assert [each.get(sequence.MARK) for each in strips(ready)] == ["Wide", "Übersicht"]
    assert bpy.ops.wanstage.lay_out_shots() == {"FINISHED"}
    assert [each.get(sequence.TAKE) for each in strips(ready)][1] == redo


def test_strips_of_others_stay(ready: Any, tmp_path: Path) -> None:
    from blender_addon import compat

    picture = bpy.data.images.new("p", 8, 8)
    picture.filepath_raw, picture.file_format = str(tmp_path / "p.png"), "PNG"
    picture.save()
    theirs = compat.strip_collection(ready).new_image("theirs", str(tmp_path / "p.png"), 3, 5)
    submit(ready)
    assert {each.channel for each in strips(ready)} == {4}
    assert (theirs.channel, compat.strip_times(theirs).left) == (3, 5)


def test_no_strips_when_they_are_not_wanted(ready: Any) -> None:
    ready.wanstage_timeline.use_sequencer = False
    submit(ready)
    assert strips(ready) == []
    assert bpy.ops.wanstage.lay_out_shots() == {"FINISHED"}
    assert len(strips(ready)) == 3


def test_one_that_cannot_be_captured_does_not_keep_the_others(ready: Any) -> None:
    from blender_addon import pump

    bpy.data.objects["Cam Close"].data.type = "PANO"
    ready.wanstage.engine = ready.wanstage.model = "test"
    for take in submit(ready):
        assert take.shot != "Close"
    assert len(ready.wanstage.takes) == 2
    assert pump.run_until([], 1.0)


def test_esc_stops_the_rest(ready: Any) -> None:
    from blender_addon import batch, state

    bpy.ops.wanstage.list_shots()
    before = {name: getattr(ready.wanstage, name) for name in ("camera", "use_scene_range", "frame_end", "task")}
    steps = batch.submit_all(ready)
    next(steps)
    assert state.now.batch == "Shot 1 of 3: Wide"
    while len(ready.wanstage.takes) < 1:
        next(steps)
    assert state.now.batch == "Shot 2 of 3: Close"
    steps.close()
    assert (state.now.batch, state.now.capture) == ("", None)
    assert before == {name: getattr(ready.wanstage, name) for name in before}
    assert [take.shot for take in ready.wanstage.takes] == ["Wide"]


def test_cancel_all(ready: Any) -> None:
    from blender_addon import batch, pump

    ready.wanstage.prompt = '{"delay_s": 5.0}'
    assert not bpy.ops.wanstage.cancel_shots.poll()
    assert bpy.ops.wanstage.submit_shots() == {"FINISHED"}
    assert len(batch.running(ready)) == 3
    assert bpy.ops.wanstage.cancel_shots() == {"FINISHED"}
    assert pump.run_until([take.job_id for take in ready.wanstage.takes], TIMEOUT_S)
    assert {take.state for take in ready.wanstage.takes} == {"cancelled"}


def test_polls_say_why(shot: Any, refused: Any) -> None:
    assert "No camera is bound to the timeline" in refused(bpy.ops.wanstage.submit_shots)
    assert "No camera is bound to the timeline" in refused(bpy.ops.wanstage.list_shots)
    assert "No shot of the timeline has frames yet" in refused(bpy.ops.wanstage.lay_out_shots)
    assert "No shot of the timeline is being made" in refused(bpy.ops.wanstage.cancel_shots)
