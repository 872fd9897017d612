"""What a user gets wrong, through the real operators: the sentence that arrives, and nothing half-made left behind.

Each sentence says what was given, what is allowed or wrong, and what to do next.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "capture"))
import people  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]
PERSON = ROOT / "examples" / "assets" / "reference_man.png"
Refused = Callable[..., str]
Scene = Any


def kept(folder: Path) -> dict[str, Any]:
    """What a refused operator must not change: datablocks, takes, selection, frame, files beside the .blend."""
    scene = bpy.context.scene
    bpy.context.view_layer.update()
    blocks = {
        prop.identifier: sorted(block.name for block in getattr(bpy.data, prop.identifier))
        for prop in bpy.data.bl_rna.properties
        if prop.type == "COLLECTION"
    }
    return {
        "blocks": blocks,
        "takes": [take.job_id for take in scene.wanstage.takes],
        "frame": (scene.frame_current, scene.frame_subframe),
        "selected": sorted(item.name for item in bpy.context.view_layer.objects if item.select_get()),
        "active": getattr(bpy.context.view_layer.objects.active, "name", None),
        "files": sorted(str(path.relative_to(folder)) for path in folder.rglob("*")),
    }


@pytest.fixture
def walker(connected: Scene, tmp_path: Path) -> Scene:
    """A saved shot with a walker who has a reference picture, an odd frame and something selected."""
    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    rig, _ = people.make_stage(128, 72)
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 5
    rig.wanstage.reference = str(PERSON)
    folder = tmp_path / "work"
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    scene.frame_set(3, subframe=0.25)
    bpy.data.objects["Crate"].select_set(True)
    bpy.context.view_layer.objects.active = bpy.data.objects["Floor"]
    return scene


def no_camera(scene: Scene, _folder: Path) -> None:
    scene.camera = None


def a_lost_camera(scene: Scene, _folder: Path) -> None:
    """The shot's camera is no longer in the scene."""
    scene.wanstage.camera = scene.camera
    scene.collection.objects.unlink(scene.camera)


def a_fisheye(scene: Scene, _folder: Path) -> None:
    scene.camera.data.type = "PANO"


def no_armature(_scene: Scene, _folder: Path) -> None:
    for item in [item for item in bpy.data.objects if item.type == "ARMATURE"]:
        bpy.data.objects.remove(item)


def all_switched_off(_scene: Scene, _folder: Path) -> None:
    bpy.data.objects["Walker"].wanstage.use = False


def a_snake(_scene: Scene, _folder: Path) -> None:
    """Bones that are nobody's."""
    rig = bpy.data.objects["Walker"]
    for number, bone in enumerate(rig.data.bones):
        bone.name = f"link {number}"
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    for bone in list(rig.data.edit_bones)[5:]:
        rig.data.edit_bones.remove(bone)
    bpy.ops.object.mode_set(mode="OBJECT")


def empty_range(scene: Scene, _folder: Path) -> None:
    own = scene.wanstage
    own.use_scene_range, own.frame_start, own.frame_end = False, 10, 5


def long_range(scene: Scene, _folder: Path) -> None:
    scene.frame_end = 5000


def odd_size(scene: Scene, _folder: Path) -> None:
    scene.wanstage.width, scene.wanstage.height = 833, 481


def no_reference(_scene: Scene, _folder: Path) -> None:
    bpy.data.objects["Walker"].wanstage.reference = ""


def missing_reference(_scene: Scene, folder: Path) -> None:
    bpy.data.objects["Walker"].wanstage.reference = str(folder / "gone.png")


def no_picture(_scene: Scene, folder: Path) -> None:
    (folder / "text.png").write_text("no picture")
    bpy.data.objects["Walker"].wanstage.reference = str(folder / "text.png")


def tiny_picture(_scene: Scene, folder: Path) -> None:
    image = bpy.data.images.new("tiny", 32, 32)
    image.filepath_raw, image.file_format = str(folder / "tiny.png"), "PNG"
    image.save()
    bpy.data.images.remove(image)
    bpy.data.objects["Walker"].wanstage.reference = str(folder / "tiny.png")


def wrong_pattern(scene: Scene, _folder: Path) -> None:
    scene.wanstage.frames_folder = "//wanstage/{shot}/{take}"


def open_brace(scene: Scene, _folder: Path) -> None:
    scene.wanstage.frames_folder = "//wanstage/{take"


def a_file_in_the_way(_scene: Scene, folder: Path) -> None:
    (folder / "wanstage").write_text("in the way")


def unknown_model(scene: Scene, _folder: Path) -> None:
    scene.wanstage.engine, scene.wanstage.model = "wan", "wan9"


CASES: dict[str, tuple[Callable[[Scene, Path], None], str, tuple[str, ...]]] = {
    "no camera": (no_camera, "i2v", ("The scene has no camera", "add one, or choose the shot's camera")),
    "a lost camera": (a_lost_camera, "i2v", ("no camera named 'Camera'", "choose the shot's camera")),
    "a fisheye": (a_fisheye, "i2v", ("Camera is a pano", "choose a perspective or orthographic one")),
    "no armature": (no_armature, "animate", ("no armature in the shot", "add a rigged character")),
    "all switched off": (all_switched_off, "animate", ("no armature in the shot", "switch one on under Characters")),
    "no known bones": (
        a_snake, "animate",
        ("Walker has no bones", "are missing", "use a humanoid rig", "set its role to Kept under Characters"),
    ),
    "no known bones, i2v": (a_snake, "i2v", ("Walker has no bones", "set its role to Kept under Characters")),
    "empty range": (empty_range, "i2v", ("ends at frame 5, before it begins at frame 10", "set a later last frame")),
    "long range": (long_range, "i2v", ("has 5000 frames", "at most 4096", "shorten it")),
    "odd size": (odd_size, "i2v", ("833 x 481", "multiples of 2, such as 832 x 480")),
    "no reference": (no_reference, "animate", ("Walker has no reference picture", "choose one under Characters")),
    "missing reference": (missing_reference, "animate", ("of Walker is not at", "gone.png", "choose it again")),
    "no picture": (no_picture, "animate", ("text.png is no PNG or JPEG", "choose")),
    "tiny picture": (tiny_picture, "animate", ("tiny.png has 32x32 px", "from 64 to 4096")),
    "wrong pattern": (wrong_pattern, "i2v", ("'//wanstage/{shot}/{take}'", "use {scene}, {task} and {take} only")),
    "open brace": (open_brace, "i2v", ("'//wanstage/{take'", "use {scene}, {task} and {take} only")),
    "a file in the way": (a_file_in_the_way, "i2v", ("cannot be written to", "Not a directory", "save the file else")),
    "unknown model": (unknown_model, "i2v", ("has no model wan9", "for i2v it has: ", "Wan2.2 TI2V 5B")),
}  # fmt: skip


def check(sentence: str, parts: tuple[str, ...]) -> None:
    """One line that has all the parts."""
    for part in parts:
        assert part in sentence, sentence
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize("case", CASES)
def test_generate(case: str, walker: Scene, refused: Refused, tmp_path: Path) -> None:
    spoil, task, parts = CASES[case]
    folder = tmp_path / "work"
    spoil(walker, folder)
    before = kept(folder)
    check(refused(bpy.ops.wanstage.generate, task=task), parts)
    assert kept(folder) == before


def test_off_screen_all_shot_is_a_warning(walker: Scene, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from blender_addon import pump

    people.stand_still(bpy.data.objects["Walker"], bpy.data.objects["Camera"])
    bpy.data.objects["Walker"].location.x = 40.0
    assert bpy.ops.wanstage.generate(task="i2v") == {"FINISHED"}
    sentence = "Walker is outside the picture in every frame of the shot: check the camera and the frame range."
    assert f"Warning: {sentence}" in capfd.readouterr().out
    take = walker.wanstage.takes[0]
    assert sentence in json.loads(take.meta)["capture_warnings"]
    assert pump.run_until([take.job_id], 60.0)


def test_a_full_disk_is_seen_before_the_capture(
    walker: Scene, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from blender_addon import framefiles, generation

    monkeypatch.setattr(generation, "drive_pack", None)  # must not come that far
    usage = SimpleNamespace(free=3 * 2**20)
    monkeypatch.setattr(framefiles.shutil, "disk_usage", lambda _folder: usage)
    walker.wanstage.width, walker.wanstage.height = 1280, 720
    before = kept(tmp_path / "work")
    sentence = refused(bpy.ops.wanstage.generate, task="i2v")
    check(sentence, ("has 3 MB free", "may need 7 MB", "free disk space or choose another frames folder"))
    assert kept(tmp_path / "work") == before


@pytest.mark.parametrize("room", [0, 9])
def test_a_disk_that_fills_up_in_the_capture(
    walker: Scene, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    left = [room]
    write = Path.write_bytes

    def full(path: Path, data: Any) -> int:
        if "assets" in path.parts:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, data)

    before = kept(tmp_path / "work")
    monkeypatch.setattr(Path, "write_bytes", full)
    check(refused(bpy.ops.wanstage.generate, task="i2v"), ("captured shot cannot be kept", "full: free some space"))
    assert kept(tmp_path / "work") == before
    assert not list((tmp_path / "data").rglob("*.tmp"))


def test_a_data_folder_that_is_a_file(
    walker: Scene, refused: Refused, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WANSTAGE_DATA", str(tmp_path / "file"))
    before = kept(tmp_path / "work")
    for task, what in (("i2v", "captured shot"), ("animate", "reference picture of Walker")):
        check(refused(bpy.ops.wanstage.generate, task=task), (f"The {what} cannot be kept", "Not a directory"))
    assert kept(tmp_path / "work") == before


def test_a_bundle_that_cannot_be_written(walker: Scene, refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    before = kept(tmp_path / "work")
    target = str(tmp_path / "file" / "shot.wanstage")
    check(refused(bpy.ops.wanstage.capture, filepath=target), ("bundle cannot be written to", target))
    assert kept(tmp_path / "work") == before


def test_capture_refuses_what_generate_refuses(walker: Scene, refused: Refused, tmp_path: Path) -> None:
    for spoil, _task, parts in (CASES[name] for name in ("odd size", "empty range", "no camera")):
        spoil(walker, tmp_path / "work")
        check(refused(bpy.ops.wanstage.capture), parts[-1:] if spoil is odd_size else ())
    assert len(walker.wanstage.takes) == 0


def test_not_connected(shot: Scene, refused: Refused) -> None:
    check(refused(bpy.ops.wanstage.generate), ("No backend is connected: press Connect first",))


# ---- connect ----------------------------------------------------------------------------------------


def gone(told: dict[str, Any]) -> str | dict[str, Any]:
    """A backend that is no longer there."""
    return {**told, "endpoint": "tcp://127.0.0.1:9", "pid": 0}


def wrong_key(told: dict[str, Any]) -> str | dict[str, Any]:
    import zmq

    public, secret = zmq.curve_keypair()
    return {**told, "client_key": public.decode(), "client_secret": secret.decode()}


def broken_key(told: dict[str, Any]) -> str | dict[str, Any]:
    return {**told, "client_key": "short"}


def wrong_version(told: dict[str, Any]) -> str | dict[str, Any]:
    return {**told, "version": [2, 0]}


def no_port(told: dict[str, Any]) -> str | dict[str, Any]:
    return {**told, "endpoint": "tcp://127.0.0.1"}


def no_json(_told: dict[str, Any]) -> str | dict[str, Any]:
    return "tcp://127.0.0.1"


CONNECTIONS: dict[str, tuple[Callable[[dict[str, Any]], str | dict[str, Any]], tuple[str, ...]]] = {
    "gone": (gone, ("No backend answers for", "start it, or leave the connection file empty")),
    "wrong key": (wrong_key, ("key", "connection file")),
    "broken key": (broken_key, ("key", "connection file")),
    "wrong version": (wrong_version, ("protocol 2.0", "this side 1.", "update the older of the two")),
    "no port": (no_port, ("tcp://127.0.0.1", "connection file")),
    "no json": (no_json, ("cannot be read as a connection file",)),
}


@pytest.mark.parametrize("case", CONNECTIONS)
def test_connect(case: str, shot: Scene, backend: Any, refused: Refused, tmp_path: Path) -> None:
    from blender_addon import state

    spoil, parts = CONNECTIONS[case]
    made = spoil(json.loads(backend.file.read_bytes()))
    file = tmp_path / "spoiled.json"
    file.write_text(made if isinstance(made, str) else json.dumps(made))
    sentence = refused(bpy.ops.wanstage.connect, connection_file=str(file), wait=10.0)
    check(sentence, parts)
    assert (state.now.status, state.now.sentence, state.now.client) == ("lost", sentence, None)
    assert sentence in refused(bpy.ops.wanstage.generate), "the panel and Generate must say it too"
