"""Talking shots: what the panel asks for, what is wrong, what the job is told, and the take with its sound."""

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

from protocol import specs  # noqa: E402
from protocol.errors import InvalidJob  # noqa: E402
from protocol.messages import EngineInfo, ModelInfo, Welcome  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
SPEECH = ROOT / "tests" / "fixtures" / "speech" / "sentence.flac"
PERSON = ROOT / "examples" / "assets" / "reference_man.png"
TIMEOUT_S = 60.0
TIMES = [0.1, 0.4, 0.75, 1.3, 2.0, 3.5]
EXEC = ("EXEC_DEFAULT", True)  # as a button does it: with undo
S2V = ModelInfo(
    "wan2.2-s2v-14b", "Wan2.2 S2V 14B", ("s2v",), 16.0, ((832, 448), (448, 832), (1280, 704)), 64, 921600, 4, True, 77,
    3000, 80, 40, 4.5,
)  # fmt: skip


@pytest.fixture
def track(tmp_path: Path) -> Path:
    return clicks.write(tmp_path / "line.wav", TIMES, 6.0)


def talk(scene: Any, track: Path | None = None) -> Any:
    """A talking shot of 2 s at 24 scene frames a second; the sound from a file, the person from a picture."""
    scene.render.fps, scene.frame_start, scene.frame_end = 24, 11, 58
    own = scene.wanstage
    own.task, own.fps = "s2v", 16.0
    own.person, own.person_file = "file", str(PERSON)
    if track is not None:
        own.sound_from, own.sound_file = "file", str(track)
    return own


@pytest.fixture
def talking(shot: Any, track: Path) -> Any:
    talk(shot, track)
    return shot


@pytest.fixture
def offered(talking: Any) -> Any:
    """As if a backend with the model had answered."""
    from blender_addon import state

    engines = (
        EngineInfo("draft", ("draft",), ("animate", "i2v", "s2v")),
        EngineInfo("wan", (S2V.name,), ("s2v",), details=(S2V,)),
    )
    state.now.welcome = Welcome("0" * 32, "backend 1", engines=engines)
    state.now.client = object()
    talking.wanstage.engine = talking.wanstage.model = "draft"
    yield talking
    state.now.client = None
    state.disconnect()


def problems(scene: Any) -> list[str]:
    from blender_addon import preflight

    return preflight.task_problems(scene, "s2v")


# ---- the panel's choices -----------------------------------------------------------------------------------


def test_the_menu_offers_what_can_talk(offered: Any) -> None:
    from blender_addon import catalog, preflight

    own = offered.wanstage
    own.engine, own.model, own.task = "draft", "draft", "i2v"
    own.task = "s2v"
    assert [item[0] for item in catalog.model_items(own)] == ["draft/draft", "wan/wan2.2-s2v-14b"]
    own.size = "832x480"
    own.model_menu = "wan/wan2.2-s2v-14b"
    assert (own.fps, own.size) == (16.0, "832x448")
    own.fps = 24.0
    assert preflight.rate_problems(own) == ["Wan2.2 S2V 14B makes 16 frames a second, not 24: set Rate to 16"]


def test_sizes_of_older_files_keep_their_number(shot: Any) -> None:
    items = shot.wanstage.bl_rna.properties["size"].enum_items
    assert [(item.identifier, item.value) for item in items][7:] == [
        ("640x800", 7), ("832x448", 9), ("448x832", 10), ("CUSTOM", 8),
    ]  # fmt: skip


def test_what_is_wrong_with_a_strip(talking: Any, track: Path) -> None:
    own = talking.wanstage
    own.sound_from = "strip"
    assert problems(talking) == [
        "The sequencer has no sound: add a sound strip in the Video Sequencer, or choose a speaker or a file"
    ]
    strip = clicks.add_strip(talking, track, 11)
    assert problems(talking) == []
    strip.mute = True
    assert problems(talking) == ["The strip Line is muted: unmute it, or choose another"]
    strip.mute = False
    talking.sequence_editor.channels[1].mute = True
    assert problems(talking) == ["The strip Line is muted: unmute it, or choose another"]
    talking.sequence_editor.channels[1].mute = False
    clicks.move(strip, 59)
    assert problems(talking) == ["The strip Line plays at frames 59 to 202, outside the shot's 11 to 58: move one"]
    clicks.move(strip, 11)
    own.sound_strip = "Gone"
    assert problems(talking) == ["The sequencer has no sound strip named Gone: choose another"]
    own.sound_strip = "Line"
    track.unlink()
    assert problems(talking) == [f"The sound is not at {track}: find the file again, or choose another"]


def test_which_strip(talking: Any, track: Path) -> None:
    from blender_addon import talking as module

    talking.wanstage.sound_from = "strip"
    clicks.add_strip(talking, track, 11, "One", 1)
    other = clicks.add_strip(talking, track, 11, "Two", 2)
    talking.sequence_editor.active_strip = None
    assert problems(talking) == ["The sequencer has several sound strips: choose one under Strip, or make it active"]
    talking.sequence_editor.active_strip = other
    assert module.find_strip(talking).name == "Two"
    talking.wanstage.sound_strip = "One"
    assert module.find_strip(talking).name == "One"
    talking.wanstage.sound_strip, talking.sequence_editor.active_strip = "", None
    other.mute = True
    assert module.find_strip(talking).name == "One", "the only one that is heard"
    assert module.strip_names(talking) == ["One", "Two"]


def test_what_is_wrong_with_a_speaker(talking: Any, track: Path) -> None:
    own = talking.wanstage
    own.sound_from = "speaker"
    assert problems(talking) == ["No speaker is chosen: choose a speaker object, or another source of the sound"]
    item = clicks.add_speaker(talking, track, 20)
    own.sound_speaker = item
    assert problems(talking) == []
    item.data.muted = True
    assert problems(talking) == [f"The speaker {item.name} is muted: unmute it, or choose another"]
    item.data.muted = False
    talking.frame_end = 15
    assert problems(talking) == [f"The speaker {item.name} begins at frame 20, behind the shot's last, 15: move one"]
    item.data.sound = None
    assert problems(talking) == [f"The speaker {item.name} has no sound: open one in its data properties"]


def test_what_is_wrong_with_person_and_file(offered: Any, tmp_path: Path) -> None:
    own = offered.wanstage
    assert problems(offered) == []
    assert bpy.ops.wanstage.generate.poll()
    own.sound_file = ""
    assert problems(offered) == ["No sound is chosen: choose a sound file"]
    assert not bpy.ops.wanstage.generate.poll()
    own.sound_file = str(tmp_path / "none.wav")
    assert problems(offered) == [f"The sound is not at {own.sound_file}: find the file again, or choose another"]
    own.sound_file = str(tmp_path / "line.wav")
    own.person_file = ""
    assert problems(offered) == ["No picture of the person is chosen: choose a PNG or JPEG file"]
    own.person = "character"
    assert problems(offered) == ["There is no armature in the shot: add one, or set Person to Image or Camera View"]
    own.person, own.follow_pose = "camera", True
    assert problems(offered) == ["There is no armature in the shot: add a rigged character, or switch off Follow Rig"]


def test_a_silent_part_is_refused(connected: Any, track: Path, refused: Any) -> None:
    own = talk(connected, track)
    own.sound_skip = 4.0
    assert refused(bpy.ops.wanstage.generate) == (
        "line.wav is silent during the shot: choose another sound or another range"
    )
    assert len(own.takes) == 0


# ---- what the job is told ----------------------------------------------------------------------------------


def bundled(scene: Any, path: Path) -> Any:
    """The spec that a bundle of the shot holds."""
    from blender_addon import generation
    from protocol.bundle import read_bundle

    assert bpy.ops.wanstage.capture(filepath=str(path), task="s2v") == {"FINISHED"}
    return read_bundle(path, generation.assets())


def test_the_job_says_what_the_panel_says(talking: Any, tmp_path: Path) -> None:
    from blender_addon import generation

    own = talking.wanstage
    own.sound_skip, own.from_person = 0.25, True
    spec = bundled(talking, tmp_path / "a.zip")
    assert (spec.task, spec.frames, spec.fps) == ("s2v", 32, 16.0)
    assert (spec.pack, spec.talk) == (None, specs.Talk(start_from_reference=True, follow_pose=False))
    assert (spec.sound.name, spec.sound.start) == ("line.wav", 0.0)
    data = generation.assets().read(spec.sound.asset.id)
    assert len(clicks.decode(data)[0]) == 2 * clicks.RATE
    found = clicks.find(data)
    assert [at for at, _ in found] == pytest.approx([0.15, 0.5, 1.05, 1.75], abs=0.001)
    assert generation.assets().read(spec.image.asset.id) == PERSON.read_bytes()


def test_the_rig_is_followed_without_any_picture(talking: Any, tmp_path: Path) -> None:
    """Poses and camera only: nothing is rendered, and a pack without poses does not stand in for one that has them."""
    from blender_addon import generation, state

    rig, _ = people.make_stage(128, 64)
    rig.wanstage.reference = str(PERSON)
    talking.wanstage.engine = "wan"
    talking.frame_start, talking.frame_end = 1, 12
    own = talking.wanstage
    own.person = "character"
    spec = bundled(talking, tmp_path / "a.zip")
    assert spec.pack is None
    assert generation.assets().read(spec.image.asset.id) == PERSON.read_bytes()
    own.follow_pose = True
    spec = bundled(talking, tmp_path / "b.zip")
    assert spec.talk.follow_pose
    character = spec.pack.characters[0]
    assert character.body.shape == (spec.frames, 20, 5)
    assert spec.image is None
    assert generation.assets().read(character.reference.image.asset.id) == PERSON.read_bytes()
    assert character.reference.body is not None
    pictures = (spec.pack.clay, spec.pack.plate, spec.pack.mask, spec.pack.depth, spec.pack.origin, spec.pack.look)
    assert not any(pictures)
    own.person = "camera"
    spec = bundled(talking, tmp_path / "c.zip")
    assert spec.image is None
    assert spec.pack.look is not None
    assert state.now.packs[talking.name].parts == {"look"}


def test_the_draft_is_told_where_the_joints_are(talking: Any, tmp_path: Path) -> None:
    """It finds the face by them, so poses are sent, which cost little."""
    rig, _ = people.make_stage(128, 64)
    rig.wanstage.reference = str(PERSON)
    talking.frame_start, talking.frame_end = 1, 6
    own = talking.wanstage
    own.engine, own.person = "draft", "character"
    spec = bundled(talking, tmp_path / "a.zip")
    assert spec.image is None
    assert spec.pack.characters[0].reference.body is not None
    assert not spec.talk.follow_pose
    own.person = "camera"
    spec = bundled(talking, tmp_path / "b.zip")
    assert (spec.image, len(spec.pack.characters)) == (None, 1)
    assert spec.pack.look is not None


def test_the_person_as_the_camera_sees_it(talking: Any, tmp_path: Path) -> None:
    talking.wanstage.person, talking.wanstage.engine = "camera", "wan"
    spec = bundled(talking, tmp_path / "a.zip")
    assert spec.pack is None
    assert (spec.image.width, spec.image.height) == (128, 64)


# ---- the take ----------------------------------------------------------------------------------------------


def make(scene: Any) -> Any:
    """Generate and wait; the take."""
    from blender_addon import pump

    assert bpy.ops.wanstage.generate() == {"FINISHED"}
    job = scene.wanstage.takes[-1].job_id
    assert pump.run_until([job], TIMEOUT_S)
    take = scene.wanstage.takes[-1]
    assert (take.state, take.problem) == ("finished", "")
    return take


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


def strip_of(scene: Any, take: Any) -> Any:
    from blender_addon import soundtrack

    clicks.need_strips()
    found = soundtrack.find(scene, take.job_id)
    assert found is not None
    return found


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
