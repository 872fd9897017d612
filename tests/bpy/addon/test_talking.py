"""Talking shots: what the panel asks for, what is wrong, and what the job is told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import clicks  # noqa: E402
import people  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parent))
from talks import PERSON, TIMES, talk  # noqa: E402

from protocol import specs  # noqa: E402
from protocol.messages import EngineInfo, ModelInfo, Welcome  # noqa: E402

EXEC = ("EXEC_DEFAULT", True)  # as a button does it: with undo
S2V = ModelInfo(
    "wan2.2-s2v-14b", "Wan2.2 S2V 14B", ("s2v",), 16.0, ((832, 448), (448, 832), (1280, 704)), 64, 921600, 4, True, 77,
    3000, 80, 40, 4.5,
)  # fmt: skip


@pytest.fixture
def track(tmp_path: Path) -> Path:
    return clicks.write(tmp_path / "line.wav", TIMES, 6.0)


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
