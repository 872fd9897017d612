"""What is found before a run, in a real scene, and what the Fix buttons do about it."""

from __future__ import annotations

import sys
import wave
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.append(str(Path(__file__).resolve().parents[1] / "capture"))
import clicks  # noqa: E402

from protocol.messages import EngineInfo, ModelInfo, Welcome  # noqa: E402

LACKING = "the weights of Wan2.2 I2V A14B are not here: get them with 'wanstage models pull wan2.2-i2v-a14b'"
SIZES = ((832, 480), (480, 832), (1280, 720), (720, 1280))
WAN = (
    ModelInfo("wan2.2-t2v-a14b", "Wan2.2 T2V A14B", ("t2v",), 16.0, SIZES, 16, 921600, 4, False, 81, 161, 0, 40, 4.0),
    ModelInfo("wan2.2-i2v-a14b", "Wan2.2 I2V A14B", ("i2v", "flf2v"), 16.0, SIZES, 16, 921600, 4, False, 81, 161, 0, 40,
              3.5, True, (LACKING,)),
    ModelInfo("wan2.2-ti2v-5b", "Wan2.2 TI2V 5B", ("ti2v", "i2v", "t2v"), 24.0, ((1280, 704), (704, 1280)), 32, 901120,
              4, False, 121, 241, 0, 50, 5.0),
    ModelInfo("wan2.2-animate-14b", "Wan2.2 Animate 14B", ("animate", "replace"), 30.0, SIZES, 16, 921600, 4, True, 77,
              3000, 77, 20, 1.0),
    ModelInfo("wan2.2-s2v-14b", "Wan2.2 S2V 14B", ("s2v",), 16.0, SIZES, 16, 921600, 4, True, 80, 0, 80, 40, 4.5),
)  # fmt: skip


@pytest.fixture
def offered() -> Any:
    """Called: as if a backend with the draft and five video models had answered."""
    from blender_addon import state

    def offer() -> None:
        engines = (
            EngineInfo("draft", ("draft",), ("animate", "i2v", "replace")),
            EngineInfo("wan", tuple(each.name for each in WAN), ("animate", "replace", "i2v", "t2v"), details=WAN),
        )
        state.now.welcome = Welcome("0" * 32, "backend 1", engines=engines)
        state.now.client = object()

    yield offer
    state.now.client = None
    state.disconnect()


def check(scene: Any) -> dict[str, Any]:
    """Findings by id; of several the first."""
    from blender_addon import findings

    assert bpy.ops.wanstage.check() == {"FINISHED"}
    found, fresh = findings.kept(scene)
    assert fresh
    return {each.id: each for each in reversed(found)}


def fix(scene: Any, finding: str, how: str = "") -> dict[str, Any]:
    assert bpy.ops.wanstage.fix(finding=finding, how=how) == {"FINISHED"}
    return check(scene)


def test_the_demo_as_it_is(demo: Any, offered: Any) -> None:
    from blender_addon import findings, motion

    offered()
    found = check(demo)
    assert "away" in found, "from frame 50 on he shows his back"
    assert 40 <= found["away"].frame <= 60
    assert not {"off_screen", "no_camera", "frames", "size", "rate", "cut"} & set(found)
    assert found["fps"].text == "64 frames at 16 a second = 96 scene frames at 24: time is kept"
    assert found["task"].text.endswith("has no reference picture: choose one under Characters")
    before = findings.kept(demo)
    demo.camera.location.x += 0.5
    bpy.context.view_layer.update()
    assert findings.kept(demo) == (before[0], False), "an edit makes it stale, and drawing only says so"
    assert motion.words("wrist.L") == "left wrist"


def test_looking_leaves_the_scene_as_it_was(demo: Any, offered: Any) -> None:
    offered()
    kinds = ("scenes", "objects", "meshes", "cameras", "collections", "images")
    before = {kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds}
    demo.frame_set(17)
    check(demo)
    assert demo.frame_current == 17
    assert before == {kind: sorted(block.name for block in getattr(bpy.data, kind)) for kind in kinds}


def test_joints_off_screen_and_who_is_never_seen(demo: Any, offered: Any) -> None:
    offered()
    demo.camera.animation_data_clear()
    demo.camera.data.lens = 120.0
    found = check(demo)["off_screen"]
    assert found.severity == "warning"
    assert found.frame is not None
    assert "outside the picture in" in found.text
    assert found.text.startswith("Hero: ")
    assert bpy.ops.wanstage.go_to_frame(frame=found.frame) == {"FINISHED"}
    assert demo.frame_current == found.frame
    demo.camera.location.x += 40.0
    found = check(demo)["off_screen"]
    assert (found.severity, found.text) == (
        "error", "Hero is outside the picture in every frame: check camera and range"
    )  # fmt: skip


def test_a_wrong_size_does_not_hide_the_rest(demo: Any, offered: Any) -> None:
    offered()
    demo.camera.animation_data_clear()
    demo.camera.data.lens = 120.0
    demo.wanstage.width = 207
    assert {"size", "off_screen"} <= set(check(demo))


def test_motion_too_fast(demo: Any, offered: Any) -> None:
    offered()
    demo.camera.animation_data_clear()
    assert "fast" not in check(demo)
    rig = bpy.data.objects["Hero"]
    rig.location.x = -0.8
    rig.keyframe_insert("location", frame=30)
    rig.location.x = 0.8
    rig.keyframe_insert("location", frame=32)
    found = check(demo)["fast"]
    assert "pixels a frame" in found.text
    assert 29 <= found.frame <= 33


def test_a_small_face_and_a_larger_size(demo: Any, offered: Any) -> None:
    offered()
    own = demo.wanstage
    own.task = "animate"
    own.model_menu = "wan/wan2.2-animate-14b"
    own.size = "832x480"
    demo.frame_end = 9
    demo.camera.animation_data_clear()
    demo.camera.data.lens = 35.0
    faces = {}
    for lens in (35.0, 20.0, 90.0):
        demo.camera.data.lens = lens
        faces[lens] = check(demo).get("face")
    assert faces[90.0] is None
    small = faces[20.0]
    assert "expression needs 48" in small.text
    demo.camera.data.lens = 20.0
    height = float(small.text.split("face is ")[1].split()[0])
    demo.camera.data.lens = 20.0 * 40.0 / height  # 40 pixels: enough at 720
    found = check(demo)["face"]
    assert [each.how for each in found.fixes] == ["larger", "none"]
    assert "face" not in fix(demo, "face", "larger")
    assert own.size == "1280x720"
    own.size = "832x480"
    assert "face" in check(demo)
    assert "face" not in fix(demo, "face", "none")
    assert bpy.data.objects["Hero"].wanstage.face == "none"


def test_no_camera(demo: Any, offered: Any) -> None:
    offered()
    camera = demo.camera
    demo.camera = None
    found = check(demo)["no_camera"]
    assert found.fixes[0].label == f"Use {camera.name}"
    assert "no_camera" not in fix(demo, "no_camera")
    assert demo.camera == camera
    bpy.data.objects.remove(camera)
    found = check(demo)["no_camera"]
    assert found.fixes[0].label == "Add Camera"
    demo.frame_end = 5
    found = fix(demo, "no_camera")
    assert not {"no_camera", "off_screen"} & set(found), "the new camera sees all of him"


def test_frames_are_shortened_and_lengthened(demo: Any, offered: Any) -> None:
    from blender_addon import shots

    offered()
    own = demo.wanstage
    own.task = "t2v"
    own.prompt, own.model_menu, own.size = "a street", "wan/wan2.2-t2v-a14b", "832x480"
    own.fit_frames, demo.frame_end = False, 96
    found = check(demo)["frames"]
    assert found.severity == "error"
    assert [each.label for each in found.fixes] == ["61", "65"]
    assert "frames" not in fix(demo, "frames", "shorter")
    assert (shots.sample_count(demo), demo.frame_end) == (61, 91)
    demo.frame_end = 96
    assert "frames" not in fix(demo, "frames", "longer")
    assert (shots.sample_count(demo), demo.frame_end) == (65, 97)
    own.fit_frames, demo.frame_end = True, 96
    assert check(demo)["frames"].severity == "info"
    demo.frame_end = 900
    assert [each.label for each in check(demo)["frames"].fixes] == ["Shorten to 161"]
    own.use_scene_range, own.frame_start, own.frame_end = False, 20, 10
    assert check(demo)["empty_range"].fixes[0].label == "Make It 81 Frames"
    fix(demo, "empty_range")
    assert shots.sample_count(demo) == 81
    assert demo.frame_end == 900, "the shot's own range, not the scene's"


def test_rate_and_time(demo: Any, offered: Any) -> None:
    offered()
    own = demo.wanstage
    own.task, own.prompt = "t2v", "a street"
    own.model_menu = "wan/wan2.2-t2v-a14b"
    own.size, demo.frame_end, own.fps = "832x480", 122, 24.0
    assert check(demo)["rate"].text == "Wan2.2 T2V A14B makes 16 frames a second, not 24: set Rate to 16"
    found = fix(demo, "rate")
    assert own.fps == 16.0
    assert found["fps"].text == "81 frames at 16 a second = 122 scene frames at 24: time is kept"


@pytest.mark.parametrize(
    ("size", "label", "model"),
    [((1280, 720), "1248 x 704", "ti2v-5b"), ((1920, 1080), "1280 x 720", "t2v-a14b"), ((850, 481), "848 x 480",
                                                                                       "t2v-a14b")],
)  # fmt: skip
def test_the_nearest_size_keeps_the_framing(
    demo: Any, offered: Any, size: tuple[int, int], label: str, model: str
) -> None:
    from blender_addon import shots

    offered()
    own = demo.wanstage
    own.task, own.prompt = "t2v", "a street"
    own.model_menu = f"wan/wan2.2-{model}"
    own.size, own.width, own.height = "CUSTOM", *size
    assert check(demo)["size"].fixes[0].label == f"Use {label}"
    assert "size" not in fix(demo, "size")
    width, height = shots.size(own)
    assert f"{width} x {height}" == label
    assert abs(width / height - size[0] / size[1]) < 0.02


def test_another_shape_than_the_scene(demo: Any, offered: Any) -> None:
    offered()
    own = demo.wanstage
    demo.render.resolution_x, demo.render.resolution_y = 1080, 1920
    own.size = "832x480"
    assert "aspect" in check(demo)
    own.task, own.prompt = "t2v", "a street"
    own.model_menu = "wan/wan2.2-t2v-a14b"
    assert check(demo)["aspect"].fixes[0].label == "Use 480 x 832"
    assert "aspect" not in fix(demo, "aspect")
    assert own.size == "480x832"


def test_a_cut_inside_the_shot(edit: Any, offered: Any) -> None:
    offered()
    edit.wanstage.task = "i2v"
    edit.frame_set(1)
    found = check(edit)["cut"]
    assert found.text == "The timeline changes to Cam Close at frame 11, the take is all by Cam Wide"
    assert "cut" not in fix(edit, "cut")
    own = edit.wanstage
    assert (own.camera.name, own.use_scene_range, own.frame_start, own.frame_end) == ("Cam Wide", False, 1, 10)
    assert edit.frame_end == 30
    own.frame_start, own.frame_end = 11, 20
    assert "camera" not in fix(edit, "camera")
    assert own.camera.name == "Cam Close"


def test_models_and_weights(demo: Any, offered: Any, refused: Any) -> None:
    found = check(demo)
    assert found["backend"].fixes[0].label == "Connect"
    offered()
    own = demo.wanstage
    own.size = "832x480"
    own.task = "i2v"
    own.model_menu = "wan/wan2.2-i2v-a14b"
    found = check(demo)["weights"]
    assert [each.label for each in found.fixes] == ["Copy Command", "Use Wan2.2 TI2V 5B"]
    assert not {"weights", "model"} & set(fix(demo, "weights", "other"))
    assert own.model == "wan2.2-ti2v-5b"
    assert "There is no fix for 'nonsense'" in refused(bpy.ops.wanstage.fix, finding="nonsense")


def test_two_people_and_one_model(demo: Any, offered: Any) -> None:
    offered()
    own = demo.wanstage
    own.task = "animate"
    own.model_menu = "wan/wan2.2-animate-14b"
    other = bpy.data.objects.new("Extra", bpy.data.objects["Hero"].data)
    demo.collection.objects.link(other)
    for item in (other, bpy.data.objects["Hero"]):
        item.wanstage.reference = str(Path(__file__).resolve().parents[3] / "examples/assets/reference_man.png")
    demo.frame_end = 3
    found = check(demo)["people"]
    assert found.text.startswith("Wan2.2 Animate 14B puts a person on one character a shot: only Extra is driven.")
    assert [each.label for each in found.fixes] == ["Drive Extra", "Drive Hero"]
    assert "people" not in fix(demo, "people", "Hero")
    assert (other.wanstage.role, bpy.data.objects["Hero"].wanstage.role) == ("KEEP", "DRIVE")
    other.wanstage.role = "DRIVE"
    own.model_menu = "draft/draft"
    assert "people" not in check(demo), "the draft takes several"


def test_a_sound_that_is_too_short(demo: Any, offered: Any, tmp_path: Path) -> None:
    offered()
    path = tmp_path / "line.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\20" * 16000)  # 2 seconds
    own = demo.wanstage
    own.task = "s2v"
    own.model_menu = "wan/wan2.2-s2v-14b"
    own.size, own.sound_from, own.sound_file, own.person = "832x480", "file", str(path), "camera"
    assert check(demo)["sound"].text == "The sound ends 2.0 s before the shot: silence follows"
    assert "sound" not in fix(demo, "sound")
    assert demo.frame_end == 48


def test_what_a_speaker_says_is_too_short(demo: Any, tmp_path: Path) -> None:
    """To the end of what it begins last, at its pitch."""
    from blender_addon import sound_length

    path = tmp_path / "line.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(b"\1\20" * 16000)  # 2 seconds
    own = demo.wanstage
    own.sound_from, own.sound_speaker = "speaker", clicks.add_speaker(demo, path, demo.frame_start + 12)
    fps = demo.render.fps / demo.render.fps_base
    assert sound_length.sound_seconds(demo) == pytest.approx(2.0 + 12 / fps)
    own.sound_speaker.data.pitch = 2.0
    assert sound_length.sound_seconds(demo) == pytest.approx(1.0 + 12 / fps)


def test_how_long_the_last_one_took(demo: Any, offered: Any) -> None:
    from blender_addon import takes

    offered()
    take = demo.wanstage.takes.add()
    take.name, take.state, take.task, take.width, take.height, take.frames = (
        "Take 1",
        "finished",
        "animate",
        208,
        120,
        64,
    )
    takes.write_meta(take, {"engine": "draft", "model": "draft", "timings": {"done": 125.2}})
    assert check(demo)["time"].text == "Take 1 of this model and size took 2 min 5 s for 64 frames"


def test_drawing_shows_what_was_found_before(demo: Any, offered: Any) -> None:
    from blender_addon import findings

    offered()
    check(demo)
    assert findings.kept(demo)[0] is findings.kept(demo)[0]
