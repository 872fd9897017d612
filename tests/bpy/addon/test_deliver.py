"""The sequencer and exports: which picture at which frame, sound, rates, colours, metadata, and moved folders."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parent))
import made  # noqa: E402

Refused = Callable[..., str]
GREYS = [made.flat(10 * at, 10 * at, 10 * at) for at in range(1, 17)]
FFPROBE = shutil.which("ffprobe")


def has_sound() -> bool:
    """Some builds of the bpy module play no sound at all."""
    return bool(bpy.app.build_options.audaspace)


def needs_sound() -> None:
    if not has_sound():
        pytest.skip("this Blender has no sound")


def tone(path: Path, seconds: float) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        times = np.arange(round(seconds * 16000)) / 16000
        sound.writeframes((8000 * np.sin(2 * math.pi * 440 * times)).astype("<i2").tobytes())


@pytest.mark.parametrize(("fps", "base", "rate"), [(24, 1.0, 16.0), (24, 1.001, 16.0), (16, 1.0, 16.0), (12, 1.0, 24.0),
                                                   (25, 1.0, 24.0), (60, 1.0, 16.0)])  # fmt: skip
def test_time_is_kept_in_the_sequencer(shot: Any, fps: int, base: float, rate: float) -> None:
    """At every scene frame the picture whose time it is; as long as the take, to half a scene frame."""
    from blender_addon import compat, sequence

    shot.render.fps, shot.render.fps_base = fps, base
    take = made.finished(shot, "a", pictures=GREYS, fps=rate, frame_start=11.0)
    assert bpy.ops.wanstage.to_sequencer(job_id=take.job_id) == {"FINISHED"}
    strip = sequence.find(shot, take.job_id)
    times = compat.strip_times(strip)
    scene_fps = fps / base
    assert (times.left, len(strip.elements)) == (11, times.right - times.left)
    assert abs((times.right - times.left) / scene_fps - 16 / rate) <= 0.5 / scene_fps + 1e-9
    for frame in range(11, int(times.right)):
        sample = min(math.floor((frame - 11) / scene_fps * rate + 0.001), 15)
        assert sequence.picture_at(strip, frame) == f"frame_{sample + 1:04d}.png"


def test_the_render_shows_the_picture_of_the_frame(shot: Any, tmp_path: Path) -> None:
    shot.render.fps = 24
    take = made.finished(shot, "a", pictures=GREYS)
    bpy.ops.wanstage.to_sequencer(job_id=take.job_id)
    shot.render.resolution_x, shot.render.resolution_y = 128, 64
    shot.view_settings.view_transform = "Standard"
    for frame, sample in ((1, 0), (2, 0), (3, 1), (4, 2), (23, 14), (24, 15)):
        shot.frame_set(frame)
        shot.render.filepath = str(tmp_path / "view.png")
        bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(shot.render.filepath)
        image.colorspace_settings.name = "Non-Color"
        assert abs(image.pixels[0] * 255 - 10 * (sample + 1)) < 1.01, frame
        bpy.data.images.remove(image)


def test_sending_again_keeps_the_place(shot: Any) -> None:
    from blender_addon import compat, sequence

    take = made.finished(shot, "a", pictures=GREYS)
    bpy.ops.wanstage.to_sequencer(job_id=take.job_id)
    sequence.find(shot, take.job_id).channel = 5
    shot.render.fps = 32
    bpy.ops.wanstage.to_sequencer(job_id=take.job_id)
    strips = compat.strips_of(shot)
    assert [(strip.channel, len(strip.elements)) for strip in strips] == [(5, 32)]
    assert bpy.ops.wanstage.remove_take(job_id=take.job_id) == {"FINISHED"}
    assert not compat.strips_of(shot)


def test_another_take_of_the_shot_takes_the_place(shot: Any) -> None:
    """One strip a shot, where it was moved to, unless both are wanted."""
    from blender_addon import compat, sequence

    one, other = (made.finished(shot, letter, pictures=GREYS, frame_start=5.0) for letter in "ab")
    bpy.ops.wanstage.to_sequencer(job_id=one.job_id)
    sequence.find(shot, one.job_id).channel = 3
    bpy.ops.wanstage.to_sequencer(job_id=other.job_id)
    assert [(strip.channel, strip[sequence.TAKE]) for strip in compat.strips_of(shot)] == [(3, other.job_id)]
    assert sequence.find(shot, other.job_id).directory.rstrip("/\\").endswith(Path(other.frames_dir).name)
    bpy.ops.wanstage.to_sequencer(job_id=one.job_id, beside=True)
    assert {strip[sequence.TAKE] for strip in compat.strips_of(shot)} == {one.job_id, other.job_id}


def test_the_sound_comes_along(shot: Any) -> None:
    from blender_addon import compat, sequence, soundtrack, takes

    needs_sound()
    take = made.finished(shot, "a", pictures=GREYS, frame_start=5.0)
    tone(takes.sound_file(take), 1.0)
    bpy.ops.wanstage.to_sequencer(job_id=take.job_id)
    pictures, sound = sequence.find(shot, take.job_id), soundtrack.find(shot, take.job_id)
    assert (compat.strip_times(pictures).left, compat.strip_times(sound).left) == (5, 5)
    assert pictures.channel != sound.channel


def test_undo_and_redo(shot: Any) -> None:
    from blender_addon import compat

    take = made.finished(shot, "a")
    bpy.ops.ed.undo_push(message="Takes")
    bpy.ops.wanstage.to_sequencer("EXEC_DEFAULT", True, job_id=take.job_id)
    bpy.ops.ed.undo()
    assert not compat.strips_of(bpy.context.scene)
    bpy.ops.ed.redo()
    assert len(compat.strips_of(bpy.context.scene)) == 1


@pytest.mark.parametrize("saved", [True, False])
def test_a_moved_folder_finds_everything(shot: Any, saved: bool, tmp_path: Path) -> None:
    """Plane, strip, sound and first image, for takes made in a saved file and before the first save."""
    from blender_addon import playback, sequence, soundtrack, takes

    here, there = tmp_path / "here", tmp_path / "Ünïcode 场景"
    here.mkdir()
    if saved:
        bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    scene = bpy.context.scene
    take = made.finished(scene, "a", pictures=GREYS)
    if has_sound():
        tone(takes.sound_file(take), 1.0)
    bpy.ops.wanstage.to_sequencer(job_id=take.job_id)
    bpy.ops.wanstage.begin_next(job_id=take.job_id)
    bpy.ops.wm.save_as_mainfile(filepath=str(here / "shot.blend"))
    bpy.ops.wm.save_mainfile()
    here.rename(there)
    bpy.ops.wm.open_mainfile(filepath=str(there / "shot.blend"))
    scene = bpy.context.scene
    take = scene.wanstage.takes[0]
    folder = takes.folder(take)
    assert folder.is_relative_to(there)
    image = playback.picture_node(playback.find_plane(take.job_id)).image
    found = [image.filepath, sequence.find(scene, take.job_id).directory, scene.wanstage.first_image]
    wanted = [folder / "frame_0001.png", folder, folder / "frame_0016.png"]
    if has_sound():
        found.append(soundtrack.find(scene, take.job_id).sound.filepath)
        wanted.append(folder / "sound.wav")
    assert all(path.startswith("//") for path in found), found
    whole = [Path(bpy.path.abspath(path)) for path in found]
    assert whole == wanted
    assert all(path.exists() for path in whole)
    assert bpy.ops.wanstage.show_take(job_id=take.job_id) == {"FINISHED"}


def test_no_frames_on_disk(shot: Any, refused: Refused) -> None:
    from blender_addon import framefiles, takes

    take = made.finished(shot, "a")
    framefiles.remove(takes.folder(take))
    assert "has no frames on disk" in refused(bpy.ops.wanstage.to_sequencer, job_id=take.job_id)
    assert "has no frames on disk" in refused(bpy.ops.wanstage.export_take, job_id=take.job_id, filepath="/x/y.mp4")


# ---- exports ----------------------------------------------------------------------------------------


def blocks() -> dict[str, list[str]]:
    found = [prop.identifier for prop in bpy.data.bl_rna.properties if prop.type == "COLLECTION"]
    result = "Render Result"  # Blender's own, from the first render on
    return {
        name: sorted(block.name for block in getattr(bpy.data, name) if block.name != result)
        for name in found
        if name != "all_ids"
    }


def test_png_is_the_same_picture_and_tells_what_made_it(shot: Any, tmp_path: Path) -> None:
    from blender_addon import export, takes

    take = made.finished(shot, "a", pictures=GREYS, meta={"prompt": "a 场景", "settings": {"shot": {}}})
    assert bpy.ops.wanstage.export_take(job_id=take.job_id, kind="PNG", filepath=str(tmp_path / "out")) == {"FINISHED"}
    assert len(made.files(tmp_path / "out")) == 17
    data = (tmp_path / "out" / "frame_0007.png").read_bytes()
    told = json.loads(export.text_of(data))
    assert (told["prompt"], told["seed"], told["model"]) == ("a 场景", 1, "test")
    image = bpy.data.images.load(str(tmp_path / "out" / "frame_0007.png"))
    assert round(image.pixels[0] * 255) == 70
    source = (takes.folder(take) / "frame_0007.png").read_bytes()
    assert export.with_text(source, export.text_of(data)) == data
    assert json.loads((tmp_path / "out" / "take.json").read_text(encoding="utf-8"))["prompt"] == "a 场景"


def test_exr_is_scene_linear(shot: Any, tmp_path: Path) -> None:
    take = made.finished(shot, "a", pictures=GREYS)
    shot.view_settings.exposure = 2.0
    before = blocks()
    assert bpy.ops.wanstage.export_take(job_id=take.job_id, kind="EXR", filepath=str(tmp_path / "out")) == {"FINISHED"}
    assert blocks() == before
    for number in (1, 16):
        image = bpy.data.images.load(str(tmp_path / "out" / f"frame_{number:04d}.exr"))
        code = 10 * number / 255
        linear = code / 12.92 if code <= 0.04045 else ((code + 0.055) / 1.055) ** 2.4
        assert image.is_float
        assert abs(image.pixels[0] - linear) < 0.002 * max(linear, 0.05)
        bpy.data.images.remove(image)


@pytest.mark.parametrize("with_sound", [False, True])
def test_mp4(shot: Any, tmp_path: Path, with_sound: bool) -> None:
    """Its rate, length, colours, sound and metadata; nothing of the making is left in the file."""
    from blender_addon import takes

    take = made.finished(shot, "a", pictures=GREYS, fps=16.0, meta={"prompt": "a 场景"})
    if with_sound:
        needs_sound()
        tone(takes.sound_file(take), 1.0)
    shot.render.fps, shot.view_settings.exposure = 24, 1.0
    before = blocks()
    path = tmp_path / "out" / "take.mp4"
    assert bpy.ops.wanstage.export_take(job_id=take.job_id, filepath=str(path)) == {"FINISHED"}
    assert blocks() == before
    assert made.files(path.parent) == ["take.mp4"]
    clip = bpy.data.movieclips.load(str(path))
    assert (clip.frame_duration, round(clip.fps, 3), tuple(clip.size)) == (16, 16.0, (128, 64))
    bpy.data.movieclips.remove(clip)
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    assert abs(image.pixels[0] * 255 - 10) <= 2
    bpy.data.images.remove(image)
    assert b'"seed": 1' in path.read_bytes()
    if FFPROBE:
        entries = "stream=codec_name,duration:format_tags=comment"
        shown = subprocess.run([FFPROBE, "-v", "error", "-show_entries", entries, "-of", "json", path],
                               capture_output=True, text=True, check=True)  # fmt: skip
        probed = json.loads(shown.stdout)
        assert json.loads(probed["format"]["tags"]["comment"])["prompt"] == "a 场景"
        streams = {each["codec_name"]: float(each["duration"]) for each in probed["streams"]}
        assert set(streams) == ({"h264", "aac"} if with_sound else {"h264"})
        assert abs(streams["h264"] - 1.0) < 0.01


def test_a_folder_that_cannot_be_written(shot: Any, tmp_path: Path, refused: Refused) -> None:
    take = made.finished(shot, "a")
    (tmp_path / "file").write_text("in the way")
    for kind in ("PNG", "EXR", "MP4"):
        sentence = refused(bpy.ops.wanstage.export_take, job_id=take.job_id, kind=kind,
                           filepath=str(tmp_path / "file" / "out"))  # fmt: skip
        assert "Take 1 cannot be written to" in sentence
        assert "choose another place" in sentence


def test_the_takes_own_folder_is_never_written_over(shot: Any, refused: Refused) -> None:
    from blender_addon import takes

    take = made.finished(shot, "a")
    sentence = refused(bpy.ops.wanstage.export_take, job_id=take.job_id, kind="PNG", filepath=str(takes.folder(take)))
    assert "holds the take's own frames: choose another folder" in sentence


# ---- stopped ----------------------------------------------------------------------------------------


def kept_running(take: Any, kind: str, target: Path) -> Any:
    """The operator as the file browser runs it, without a window: what it has begun is not taken further."""
    from types import SimpleNamespace

    from blender_addon.operators import deliver

    operator = deliver.WANSTAGE_OT_export_take
    told: list[str] = []
    asked = SimpleNamespace(job_id=take.job_id, kind=kind, filepath=str(target), stopped=operator.stopped,
                            budget_s=operator.budget_s, _in_window=lambda _context: False,
                            report=lambda _kind, text: told.append(text), told=told)  # fmt: skip
    steps = operator._steps(asked, bpy.context)
    window = SimpleNamespace(
        window=None,
        window_manager=SimpleNamespace(event_timer_remove=lambda _timer: None),
        workspace=SimpleNamespace(status_text_set=lambda _text: None),
    )
    asked._running, asked._timer, asked._end = steps, None, lambda context: operator._end(asked, context)
    asked.context = window
    return asked


@pytest.mark.parametrize("how", ["esc", "cancel"])
@pytest.mark.parametrize(("kind", "name"), [("PNG", "out"), ("EXR", "out"), ("MP4", "film.mp4")])
def test_a_stopped_export_leaves_nothing(shot: Any, tmp_path: Path, kind: str, name: str, how: str) -> None:
    """By Esc, or because Blender ends it: no file, no scene, and a film of that name that was there is there still."""
    from types import SimpleNamespace

    from blender_addon import state
    from blender_addon.operators import deliver

    take = made.finished(shot, "a", pictures=GREYS)
    before = blocks()
    target = tmp_path / "there" / name
    if kind == "MP4":
        target.parent.mkdir()
        target.write_bytes(b"an older film")
    asked = kept_running(take, kind, target)
    for _ in range(2):
        next(asked._running)
    assert state.now.export is not None
    if kind != "MP4":
        assert len(made.files(target)) == 2
    operator = deliver.WANSTAGE_OT_export_take
    if how == "esc":
        assert operator.modal(asked, asked.context, SimpleNamespace(type="ESC")) == {"CANCELLED"}
        assert asked.told == ["Stopped: what was written is taken away again"]
    else:
        operator.cancel(asked, asked.context)
    assert (state.now.export, asked._running) == (None, None)
    assert blocks() == before
    assert made.files(tmp_path / "there") == (["film.mp4"] if kind == "MP4" else [])
    assert kind != "MP4" or target.read_bytes() == b"an older film"


@pytest.mark.parametrize("kind", ["PNG", "EXR"])
def test_a_disk_that_gets_full_keeps_no_half_of_a_take(shot: Any, tmp_path: Path, refused: Refused, kind: str) -> None:
    """The third picture cannot be written: its name is a folder's."""
    take = made.finished(shot, "a", pictures=GREYS)
    (tmp_path / "out" / f"frame_0003.{kind.lower()}").mkdir(parents=True)
    sentence = refused(bpy.ops.wanstage.export_take, job_id=take.job_id, kind=kind, filepath=str(tmp_path / "out"))
    assert "choose another place or free disk space" in sentence
    assert made.files(tmp_path / "out") == []


def test_the_file_browser_is_asked_first(shot: Any) -> None:
    """With a name that says which take it is, beside the file; a folder for pictures."""
    from types import SimpleNamespace

    from blender_addon.operators import deliver

    take = made.finished(shot, "a")
    asked: list[Any] = []
    context = SimpleNamespace(scene=shot, window_manager=SimpleNamespace(fileselect_add=asked.append))
    for kind, ending in (("MP4", ".mp4"), ("PNG", "")):
        operator = SimpleNamespace(job_id=take.job_id, kind=kind, filepath="")
        assert deliver.WANSTAGE_OT_export_take.invoke(operator, context, None) == {"RUNNING_MODAL"}
        assert Path(operator.filepath).name == f"Scene Take 1 seed 1{ending}"
        assert asked.pop() is operator
