"""The take of a talking shot: pictures and sound at the same time, its strip on the sequencer, the draft engine."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import clicks  # noqa: E402
import people  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from talks import PERSON, SPEECH, TIMEOUT_S, TIMES, make, strip_of, talk  # noqa: E402

from protocol.errors import InvalidJob  # noqa: E402

EXEC = ("EXEC_DEFAULT", True)  # as a button does it: with undo


@pytest.fixture
def track(tmp_path: Path) -> Path:
    return clicks.write(tmp_path / "line.wav", TIMES, 6.0)


def picture_at(scene: Any, take: Any, frame: int) -> int:
    """The sample that the plane's driver chooses at a scene frame."""
    from blender_addon import playback

    scene.frame_set(frame)
    tree = playback.picture_node(playback.find_plane(take.job_id)).id_data
    user = tree.evaluated_get(bpy.context.evaluated_depsgraph_get()).nodes[playback.NODE].image_user
    return user.frame_offset


@pytest.mark.parametrize("rate", [(24, 1.0), (25, 1.0), (30, 1.0), (24, 1.001)], ids=str)
def test_pictures_and_sound_are_at_the_same_time(connected: Any, track: Path, rate: tuple[int, float]) -> None:
    """Scene frame f is (f - first) / fps seconds into both: that picture is seen, that sample is heard."""
    from blender_addon import compat, takes

    talk(connected, track)
    connected.render.fps, connected.render.fps_base = rate
    fps = rate[0] / rate[1]
    take = make(connected)
    seconds = 48 / fps
    assert take.frames_done == take.frames
    assert abs(take.frames - seconds * 16) <= 1
    for frame in range(11, 59):
        shown, moment = picture_at(connected, take, frame), (frame - 11) / fps
        assert shown == min(math.floor(moment * 16 + 0.001), take.frames - 1)
        assert abs(shown / 16 - moment) < 1 / 16 + 0.001 or shown == take.frames - 1
    data = takes.sound_file(take).read_bytes()
    samples, sample_rate = clicks.decode(data)
    assert len(samples) / sample_rate == pytest.approx(take.frames / 16, abs=0.001)
    assert [at for at, _ in clicks.find(data)] == [at for at in TIMES if at < take.frames / 16]
    times = compat.strip_times(strip_of(connected, take))
    assert (times.start, times.left) == (11, 11)
    assert times.right - 11 == pytest.approx(take.frames / 16 * fps, abs=1.0)


def test_the_sound_has_a_turn_of_its_own(connected: Any, track: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blender takes its time to open it: after the turn that ends the take, before that of its undo step."""
    from blender_addon import compat, pump, soundtrack, state

    clicks.need_strips()
    talk(connected, track)
    done: list[str] = []
    monkeypatch.setattr(compat, "undo_push", done.append)
    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = connected.wanstage.takes[0].job_id
    assert pump.pump(lambda: state.now.runs[job].settled, TIMEOUT_S)
    assert soundtrack.find(connected, job) is None
    assert pump.tick() == pump.FLOWING_S
    assert soundtrack.find(connected, job) is not None
    assert done == []
    assert pump.tick() == pump.FLOWING_S
    assert done == ["Wanstage Take 1"]


def test_the_strip_of_a_take(connected: Any, track: Path) -> None:
    """Named after the take, above what is there, once; heard with its take alone; gone with it."""
    from blender_addon import compat, soundtrack, takes

    own = talk(connected, track)
    clicks.add_strip(connected, track, 30, "Music", 3)
    first = make(connected)
    strip = strip_of(connected, first)
    assert (strip.name, strip.channel, strip.mute) == ("Take 1", 4, False)
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert len(compat.strips_of(connected)) == 2
    second = make(connected)
    first = own.takes[0]
    assert [strip_of(connected, take).mute for take in own.takes] == [True, False]
    assert bpy.ops.wanstage.show_take(job_id=first.job_id) == {"FINISHED"}
    assert [strip_of(connected, take).mute for take in own.takes] == [False, True]
    folder, sounds = takes.folder(second), len(bpy.data.sounds)
    assert bpy.ops.wanstage.remove_take(job_id=second.job_id) == {"FINISHED"}
    assert [strip.name for strip in compat.strips_of(connected)] == ["Music", "Take 1"]
    assert len(bpy.data.sounds) == sounds - 1
    assert not folder.exists()
    soundtrack.remove(connected, first.job_id)
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert soundtrack.find(connected, first.job_id) is None, "who deletes it does not want it"
    assert bpy.ops.wanstage.add_sound(job_id=first.job_id) == {"FINISHED"}
    assert not strip_of(connected, first).mute


def test_no_strip_is_added_unasked(connected: Any, track: Path, refused: Any) -> None:
    from blender_addon import compat, takes

    own = talk(connected, track)
    own.add_sound = False
    take = make(connected)
    assert takes.sound_file(take).is_file()
    assert compat.strips_of(connected) == []
    takes.sound_file(take).unlink()
    assert "has no sound at" in refused(bpy.ops.wanstage.add_sound, job_id=take.job_id)


def test_the_same_sound_is_not_heard_twice(connected: Any, track: Path) -> None:
    from blender_addon import takes

    own = talk(connected)
    own.sound_from = "strip"
    line = clicks.add_strip(connected, track, 11)
    take = make(connected)
    assert strip_of(connected, take).mute, "the shot's own strip plays"
    line.mute = True
    assert bpy.ops.wanstage.show_take(job_id=take.job_id) == {"FINISHED"}
    assert not strip_of(connected, take).mute
    line.mute = False
    assert bpy.ops.wanstage.show_take(job_id=take.job_id) == {"FINISHED"}
    assert strip_of(connected, take).mute
    again = make(connected)
    assert strip_of(connected, again).name == "Take 2", "the sound of takes is never what drives a shot"
    assert [number for _, number in clicks.find(takes.sound_file(again).read_bytes())] == [0, 1, 2, 3]


def test_undo_and_redo(connected: Any, track: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from blender_addon import compat, pump

    monkeypatch.setattr(compat, "undo_push", lambda message: bpy.ops.ed.undo_push(message=message))
    talk(connected, track)
    bpy.ops.ed.undo_push(message="Talk")
    assert bpy.ops.wanstage.generate(*EXEC) == {"FINISHED"}
    assert pump.run_until([connected.wanstage.takes[0].job_id], TIMEOUT_S)

    def strips() -> list[str]:
        return [strip.name for strip in compat.strips_of(bpy.context.scene)]

    strip_of(connected, connected.wanstage.takes[0])
    assert strips() == ["Take 1"]
    assert bpy.ops.ed.undo() == {"FINISHED"}
    assert strips() == ["Take 1"], "the step before the last frame: the take is finished all the same"
    assert bpy.ops.ed.undo() == {"FINISHED"}
    assert (strips(), len(bpy.context.scene.wanstage.takes)) == ([], 0)
    assert bpy.ops.ed.redo() == {"FINISHED"}
    assert bpy.ops.ed.redo() == {"FINISHED"}
    assert strips() == ["Take 1"]


def test_the_sound_moves_with_the_file(connected: Any, track: Path, tmp_path: Path) -> None:
    """Unsaved, saved, and carried to another folder."""
    from blender_addon import compat, takes

    talk(connected, track)
    take = make(connected)
    strip = strip_of(connected, take)
    job, before = take.job_id, takes.sound_file(take)
    home = tmp_path / "home"
    home.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(home / "shot.blend"))
    take = connected.wanstage.takes[0]
    assert not before.exists()
    assert takes.sound_file(take).is_relative_to(home)
    assert strip.sound.filepath == f"//wanstage/Scene/{job[:8]}/sound.wav"
    moved = tmp_path / "elsewhere"
    home.rename(moved)
    bpy.ops.wm.open_mainfile(filepath=str(moved / "shot.blend"))
    scene = bpy.context.scene
    take = scene.wanstage.takes[0]
    sound = strip_of(scene, take).sound
    assert Path(bpy.path.abspath(sound.filepath)) == takes.sound_file(take)
    assert takes.sound_file(take).is_file()
    assert takes.sound_file(take).is_relative_to(moved)
    assert [strip.name for strip in compat.strips_of(scene)] == ["Take 1"]


# ---- with the draft engine ---------------------------------------------------------------------------------


def spoken() -> Any:
    """The sentence: float32 (n,), 16 kHz; skips where Blender reads no FLAC."""
    from blender_addon.capture import waves

    clicks.need_strips()
    return waves.read(waves.open_sound(SPEECH, SPEECH.name), 0.0, 10.0)[:, 0]


def test_a_line_of_dialogue_becomes_a_talking_shot(connected: Any) -> None:
    """A spoken sentence on the sequencer, a rig with a person's picture, the draft engine: frames on the plane, their
    sound in the sequencer, in time."""
    from blender_addon import compat, playback, takes

    rig, _ = people.make_stage(128, 96)
    rig.wanstage.reference = str(PERSON)
    scene, said = connected, spoken()
    own = talk(scene)
    own.engine = own.model = "draft"
    own.width, own.height, own.person, own.sound_from = 128, 96, "character", "strip"
    line = clicks.add_strip(scene, SPEECH, 20)
    clicks.trim(line, left=12)
    take = make(scene)
    assert (take.engine, take.frames, take.frames_done) == ("draft", 32, 32)
    samples, rate = clicks.decode(takes.sound_file(take).read_bytes())
    assert (rate, len(samples)) == (16000, 32000)
    begin, end = (round((frame - 11) / 24 * rate) for frame in (32, 59))
    assert not samples[:begin].any()
    assert np.abs(samples[begin:end, 0] - said[begin - round(9 / 24 * rate) :][: end - begin]).max() < 2 / 32767
    files = sorted(takes.folder(take).glob("frame_*.png"))
    still, moving = (files[i].read_bytes() for i in (0, 20))
    assert still != moving
    assert playback.picture_node(playback.find_plane(take.job_id)).image.source == "SEQUENCE"
    strip = strip_of(scene, take)
    assert (compat.strip_times(strip).left, strip.channel, strip.mute) == (11, 2, True)
    line.mute = True
    assert bpy.ops.wanstage.show_take(job_id=take.job_id) == {"FINISHED"}
    assert not strip.mute


def test_a_job_that_the_protocol_refuses_leaves_no_take(connected: Any, track: Path, refused: Any) -> None:
    from blender_addon import state, takes

    own = talk(connected, track)
    own.person = "character"
    rig, _ = people.make_stage(128, 64)
    rig.wanstage.reference = str(PERSON)
    own.prompt = "x"

    def refuse(*_unused: Any) -> None:
        problem = "the job is too odd"
        raise InvalidJob(problem)

    state.now.client.submit = refuse
    assert refused(bpy.ops.wanstage.generate) == "The job is too odd"
    assert (len(own.takes), state.now.active()) == (0, [])
    assert takes.unfinished() == []
