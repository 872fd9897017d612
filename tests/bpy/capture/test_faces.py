"""Face clips, plates with materials, films and stills: what they show, at which time, and the official region."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import people
import pytest

from blender_addon import capture
from blender_addon.capture import face, pictures
from protocol.assets import AssetFolder

WIDTH, HEIGHT = 208, 120
RED, BLUE = (0.8, 0.05, 0.05), (0.05, 0.1, 0.8)


def paint(item: Any, colour: tuple[float, float, float]) -> None:
    material = bpy.data.materials.new("paint")
    if bpy.app.version < (5, 0, 0):
        material.use_nodes = True
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (*colour, 1.0)
    item.data.materials.append(material)


@pytest.fixture
def stage() -> tuple[Any, Any]:
    """A red walker on a blue floor, seen from the front, without motion."""
    rig, camera = people.make_stage()
    people.stand_still(rig, camera)
    paint(bpy.data.objects["Walker body"], RED)
    paint(bpy.data.objects["Floor"], BLUE)
    bpy.context.scene.view_settings.view_transform = "Standard"
    return rig, camera


def shot(frames: int, parts: str, *, first: float = 1.0, fps: float = 24.0, **more: Any) -> capture.ShotParams:
    told = {name: more.pop(name) for name in ("face", "face_film") if name in more}
    person = capture.CharacterParams("Walker", "Walker", 1, **told)
    names = ("Scene", "Camera")
    parts_wanted = frozenset(parts.split())
    return capture.ShotParams(
        *names, first, frames, fps, WIDTH, HEIGHT, (person,), parts_wanted, look_samples=2, face_side=64, **more
    )


def is_red(picture: np.ndarray) -> np.ndarray:
    found = picture.astype(int)
    return (found[..., 0] > 2 * found[..., 1] + 20) & (found[..., 0] > 2 * found[..., 2] + 20)


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The backend's rule; it imports OpenCV for its other half, which Blender has not."""
    if "cv2" not in sys.modules:
        monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    from wan_models.control import face as rule

    return rule


def test_the_region_is_the_official_one(official: Any) -> None:
    rng = np.random.default_rng(5)
    checked = 0
    for _ in range(300):
        x, y = rng.uniform(-40, 840), rng.uniform(-40, 500)
        points = np.zeros((68, 2))
        points[:, 0] = x + rng.uniform(0, rng.uniform(2, 120), 68)
        points[:, 1] = y + rng.uniform(0, rng.uniform(2, 160), 68)
        box = np.array([*points.min(axis=0), *points.max(axis=0)], np.float32)
        found = face.region(box, 832, 480)
        try:
            wanted = official.face_box(points, 832, 480)
        except official.NoFace:
            assert found is None or min(found[2] - found[0], found[3] - found[1]) < 2.0
            continue
        if found is not None:
            assert np.abs(np.floor(np.array(found) + 1e-3) - wanted).max() <= 1.0
            assert np.abs(np.array(found) - wanted).max() < 1.01
            checked += 1
    assert checked > 200
    assert face.region(np.full(4, np.nan, np.float32), 832, 480) is None


def test_a_face_clip_shows_the_head_alone(shoot: Callable[..., Any], stage: tuple[Any, Any]) -> None:
    taken = shoot(shot(2, "face"))
    track = taken.pack.characters[0]
    assert len(track.face) == 2
    assert not taken.warnings
    picture = taken.array(track.face[1])
    assert (picture.shape, picture.dtype) == ((512, 512, 3), np.uint8)
    assert is_red(picture)[160:350, 160:350].mean() > 0.95
    assert (picture[..., 2].astype(int) < picture[..., 0]).mean() > 0.95, "the blue floor is no part of it"
    assert not any(item.name.startswith(".wanstage") for item in bpy.data.objects)


def test_a_head_outside_the_picture_keeps_its_last_face(shoot: Callable[..., Any], stage: tuple[Any, Any]) -> None:
    rig, _ = stage
    for frame, x in ((1, 0.0), (2, 0.0), (3, 40.0), (4, 40.0)):
        rig.location.x = x
        rig.keyframe_insert("location", frame=frame)
    track = shoot(shot(4, "face")).pack.characters[0]
    assert len(track.face) == 4
    assert track.face[2] == track.face[1] == track.face[3]
    early = shoot(shot(2, "face", first=3.0))
    assert early.pack.characters[0].face == ()
    assert any("expression is not driven" in said for said in early.warnings)


def test_rigs_without_a_face_say_so(shoot: Callable[..., Any], stage: tuple[Any, Any]) -> None:
    body = bpy.data.objects["Walker body"]
    body.vertex_groups.remove(body.vertex_groups["mixamorig:Head"])
    taken = shoot(shot(1, "face"))
    assert taken.pack.characters[0].face == ()
    assert taken.warnings == ("Walker has no head that could be rendered: expression is not driven.",)
    assert shoot(shot(1, "face", face="none")).warnings == ()


def test_the_panel_knows_rigs_without_a_face(stage: tuple[Any, Any]) -> None:
    from blender_addon import faces

    rig, _ = stage
    assert faces.find(rig)
    body = bpy.data.objects["Walker body"]
    body.vertex_groups.remove(body.vertex_groups["mixamorig:Head"])
    assert not faces.find(rig)
    hat = people.make_box("Hat", (0.3, 0.3, 0.1), (0.0, 0.0, 1.8))
    hat.parent, hat.parent_type, hat.parent_bone = rig, "BONE", "mixamorig:Head"
    assert faces.find(rig), "a mesh that is parented to the head bone is a head"


def numbered_pictures(folder: Path, count: int, width: int = 96, height: int = 64) -> Path:
    """Pictures of one colour each: red is 20 times the number."""
    folder.mkdir()
    for number in range(count):
        image = bpy.data.images.new("made", width, height)
        image.pixels.foreach_set(np.tile(np.float32([20 * number / 255, 0.2, 0.4, 1.0]), width * height))
        image.filepath_raw, image.file_format = str(folder / f"face_{number + 1:03d}.png"), "PNG"
        image.save()
        bpy.data.images.remove(image)
    return folder / "face_001.png"


def movie(first: Path, target: Path, fps: int) -> Path:
    """The pictures as a film, written by Blender."""
    scene = bpy.data.scenes.new("movie")
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    files = sorted(first.parent.glob("*.png"))
    strip = strips.new_image("pictures", str(files[0]), 1, 1)
    for file in files[1:]:
        strip.elements.append(file.name)
    scene.frame_start, scene.frame_end, scene.render.fps = 1, len(files), fps
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 96, 64, 100
    scene.view_settings.view_transform = "Standard"
    image = scene.render.image_settings
    if hasattr(image, "media_type"):
        image.media_type = "VIDEO"
    image.file_format = "FFMPEG"
    scene.render.ffmpeg.format, scene.render.ffmpeg.codec = "MPEG4", "H264"
    scene.render.ffmpeg.constant_rate_factor = "PERC_LOSSLESS"
    scene.render.filepath, scene.render.use_file_extension = str(target), False
    bpy.ops.render.render(animation=True, scene=scene.name)
    bpy.data.scenes.remove(scene)
    return target


def test_numbered_pictures_count_scene_frames(
    shoot: Callable[..., Any], stage: tuple[Any, Any], tmp_path: Path
) -> None:
    film = numbered_pictures(tmp_path / "pictures", 5)
    taken = shoot(shot(4, "face", fps=12.0, face="film", face_film=str(film)))  # the scene has 24 a second
    shown = [int(taken.array(ref)[256, 256, 0]) for ref in taken.pack.characters[0].face]
    assert shown == [0, 40, 80, 80]
    assert any("ends after 0.2 s, the shot takes 0.3 s" in said for said in taken.warnings)


def test_a_film_runs_in_its_own_time(shoot: Callable[..., Any], stage: tuple[Any, Any], tmp_path: Path) -> None:
    film = movie(numbered_pictures(tmp_path / "pictures", 9), tmp_path / "face.mp4", 12)
    taken = shoot(shot(4, "face", fps=6.0, face="film", face_film=str(film)))
    shown = [int(taken.array(ref)[256, 256, 0]) for ref in taken.pack.characters[0].face]
    assert np.abs(np.array(shown) - [0, 40, 80, 120]).max() <= 8, "the film is compressed"
    assert taken.warnings == ()


def test_a_film_that_is_none(shoot: Callable[..., Any], stage: tuple[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(capture.CaptureProblem, match="no film or picture at"):
        shoot(shot(1, "face", face="film", face_film=str(tmp_path / "gone.mp4")))
    (tmp_path / "text.mp4").write_text("no film")
    with pytest.raises(capture.CaptureProblem, match=r"text\.mp4.*convert it to MP4"):
        shoot(shot(1, "face", face="film", face_film=str(tmp_path / "text.mp4")))


def test_plates_have_materials_and_no_character(shoot: Callable[..., Any], stage: tuple[Any, Any]) -> None:
    crate = bpy.data.objects["Crate"]
    for frame, x in ((11, -1.0), (12, 1.0)):
        crate.location.x = x
        crate.keyframe_insert("location", frame=frame)
    parts = "plate mask depth"
    taken = shoot(shot(2, parts, first=11.0, plate="look"))
    plates, masks = taken.maps("plate"), taken.maps("mask")
    assert (masks[0] == 1).sum() > 300
    for plate in plates:
        assert plate.shape == (HEIGHT, WIDTH, 3)
        assert not is_red(plate).any()
        assert plate[-4, WIDTH // 2, 2] > 2 * plate[-4, WIDTH // 2, 0], "the floor keeps its blue"
    changed = np.abs(plates[1].astype(int) - plates[0]).max(axis=2) > 10
    assert changed[:, : WIDTH // 2].any()
    assert changed[:, WIDTH // 2 :].any(), "each sample shows its own time"


def test_others_stay_in_the_plate(shoot: Callable[..., Any], stage: tuple[Any, Any]) -> None:
    second = people.make_armature("Second")
    paint(people.make_body(second), RED)
    second.location.x = 1.3
    wanted = shot(1, "plate mask", plate="look")
    other = capture.CharacterParams("Second", "Second", 2, in_plate=True)
    taken = shoot(dataclasses.replace(wanted, characters=(*wanted.characters, other)))
    red, mask = is_red(taken.maps("plate")[0]), taken.maps("mask")[0]
    assert red[mask == 2].mean() > 0.5, "all but what is in the shade"
    assert red[mask == 1].mean() < 0.02


def test_nobody_to_replace(shoot: Callable[..., Any], stage: tuple[Any, Any]) -> None:
    stage[0].location.x = 40.0
    with pytest.raises(capture.CaptureProblem, match="Walker is not seen in any frame of the shot"):
        shoot(shot(2, "plate mask depth", plate="look"))


@pytest.mark.parametrize(("method", "black"), [("STRETCH", False), ("CROP", False), ("FIT", True)])
def test_the_camera_background_as_plate(
    shoot: Callable[..., Any], stage: tuple[Any, Any], tmp_path: Path, method: str, black: bool
) -> None:
    first = numbered_pictures(tmp_path / "pictures", 5)
    _, camera = stage
    with pytest.raises(capture.CaptureProblem, match="Camera has no background film or picture"):
        shoot(shot(2, "plate mask", plate="film"))
    image = bpy.data.images.load(str(first))
    image.source = "SEQUENCE"
    background = camera.data.background_images.new()
    background.image, background.frame_method = image, method
    background.image_user.frame_start, background.image_user.frame_duration = 10, 5
    taken = shoot(shot(3, "plate mask", first=11.0, fps=12.0, plate="film"))
    middles = [int(plate[HEIGHT // 2, WIDTH // 2, 0]) for plate in taken.maps("plate")]
    assert middles == [20, 60, 80]
    assert (taken.maps("plate")[2][:, 0] == 0).all() == black


def shoot_stills(params: capture.ShotParams, folder: AssetFolder) -> list[Any]:
    """The first and the last sample."""
    steps = capture.capture_stills(params, folder, last=True)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_look_is_of_its_own_frame(stage: tuple[Any, Any], tmp_path: Path) -> None:
    """Blender renders a named scene at the context's frame unless it is told otherwise."""
    rig, _ = stage
    for frame, x in ((1, -1.0), (20, 1.0)):
        rig.location.x = x
        rig.keyframe_insert("location", frame=frame)
    folder = AssetFolder(tmp_path / "assets")
    stills = shoot_stills(shot(20, ""), folder)
    shown = []
    for number, ref in enumerate(stills):
        file = tmp_path / f"{number}.png"
        file.write_bytes(folder.read(ref.asset.id))
        image = bpy.data.images.load(str(file))
        found = np.empty(WIDTH * HEIGHT * 4, np.float32)
        image.pixels.foreach_get(found)
        red = is_red(found.reshape(HEIGHT, WIDTH, 4)[::-1, :, :3] * 255)
        shown.append(float(np.nonzero(red)[1].mean()))
        assert (ref.width, ref.height) == (WIDTH, HEIGHT)
    assert shown[0] < WIDTH / 2 - 20
    assert shown[1] > WIDTH / 2 + 20


def test_resizing() -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8)[None, :, None], (40, 1, 3))
    assert np.array_equal(pictures.resize(ramp, 60, 40), ramp)
    twice = pictures.resize(ramp, 120, 80)
    assert np.abs(twice[5, 10:110, 0].astype(float) - ((np.arange(10, 110) + 0.5) / 2 - 0.5) * 4).max() <= 0.51
    half = pictures.resize(ramp, 30, 20)
    assert np.abs(half[5, 2:28, 0].astype(float) - (np.arange(2, 28) * 8 + 2)).max() <= 1.0
    assert pictures.cover(ramp, 32, 32).shape == pictures.fit(ramp, 32, 32).shape == (32, 32, 3)
    assert (pictures.fit(ramp, 32, 32)[:4] == 0).all()
    with pytest.raises(capture.CaptureProblem, match="no uncompressed Targa"):
        pictures.read_targa(b"no picture at all, at all")
