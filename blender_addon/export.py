"""A take as files for others: an MP4 at its own rate with its sound, numbered PNG or OpenEXR pictures.

PNG frames are copied as they are, with a chunk that tells what made them. OpenEXR and MP4 are written by Blender in a
scene of their own that shows colours as they were made ("Standard", no exposure), which is removed again.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import struct
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from . import compat, framefiles, state, takes
from .problems import UserProblem
from .setup import png
from .words import tr

logger = logging.getLogger(__name__)

KEYWORD = b"wanstage"
SCENE = "Wanstage Export"
MARK, DONE = "wanstage_export", "done"
STRIP_PIECE = 50  # frames that are put into a strip in a turn


WAIT = object()
"""What a step yields while something else works: there is nothing to do before the next turn."""

Steps = Generator[Any, None, list[Path]]
"""Yields the number of frames that are written, or WAIT; returns the files. Closed early, it takes them away again."""


@dataclass(frozen=True)
class Source:
    """What is written of a take: Blender may move its row while it is."""

    name: str
    folder: Path
    frames: tuple[Path, ...]
    sound: Path | None
    size: tuple[int, int]
    fps: float
    told: str


def source(take: Any) -> Source:
    """Raises UserProblem when the take has no frames on disk."""
    folder = takes.folder(take)
    count = framefiles.count(folder)
    if not count:
        problem = tr("{take} has no frames on disk in {folder}", take=take.name, folder=folder)
        raise UserProblem(problem)
    sound = takes.sound_file(take)
    frames = tuple(framefiles.path_of(folder, index) for index in range(count))
    return Source(
        take.name, folder, frames, sound if sound.is_file() else None, (take.width, take.height), take.fps, told(take)
    )


def steps(made: Source, kind: str, target: Path, *, job: bool = False) -> Steps:
    """Write a take as "MP4" (``target`` is the file), "PNG" or "EXR" (``target`` is a folder). Raises UserProblem.

    ``job``: the film is rendered by a job of Blender's, with its progress in the status bar, which needs a window; else
    in one step.
    """
    now = state.now.export = state.CaptureState(made.name, 0, len(made.frames))
    try:
        (target.parent if kind == "MP4" else target).mkdir(parents=True, exist_ok=True)
        writing = _mp4(made, target, job=job) if kind == "MP4" else _WRITERS[kind](made, target)
        while True:
            try:
                done = next(writing)
            except StopIteration as ended:
                return list(ended.value)
            now.step = done if isinstance(done, int) else now.step
            yield done
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).removeprefix("Error: ").strip()
        problem = tr(
            "{take} cannot be written to {target} ({reason}): choose another place or free disk space",
            take=made.name, target=target, reason=reason,
        )  # fmt: skip
        raise UserProblem(problem) from error
    finally:
        state.now.export = None


def told(take: Any) -> str:
    """The metadata that goes into exported files: JSON, without the animation's hashes and without timings."""
    made = takes.meta(take)
    kept = ("task", "engine", "model", "seed", "prompt", "size", "frames", "fps", "made", "job_id")
    return json.dumps({name: made[name] for name in kept if name in made}, ensure_ascii=False)


# ---- PNG --------------------------------------------------------------------------------------------


def _png(made: Source, target: Path) -> Steps:
    with _all_or_none() as written:
        for frame in made.frames:
            path = target / frame.name
            if path.resolve() == frame.resolve():
                problem = tr("{target} holds the take's own frames: choose another folder", target=target)
                raise UserProblem(problem)
            written.append(path)
            path.write_bytes(with_text(frame.read_bytes(), made.told))
            yield len(written)
        copy_meta(made, target)
    return written


@contextlib.contextmanager
def _all_or_none() -> Iterator[list[Path]]:
    """A list of what is written; taken away again when it is stopped, or when the disk refuses the rest."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:  # GeneratorExit is how it is stopped
        for path in written:
            with contextlib.suppress(OSError):  # the disk refused already, which is what is told
                path.unlink(missing_ok=True)
        raise


def with_text(data: bytes, text: str) -> bytes:
    """A PNG with an iTXt chunk (PNG specification, 11.3.3.4) behind its header; the pixels stay byte for byte."""
    end = len(png.SIGNATURE) + 12 + struct.unpack(">I", data[8:12])[0]
    return data[:end] + png.chunk(b"iTXt", KEYWORD + b"\0\0\0\0\0" + text.encode()) + data[end:]


def text_of(data: bytes) -> str:
    """What ``with_text`` put in; empty when there is none."""
    at = len(png.SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"iTXt" and body.startswith(KEYWORD + b"\0"):
            return body.split(b"\0", 5)[-1].decode()
        at += 12 + length
    return ""


# ---- by Blender -------------------------------------------------------------------------------------


def _scene(made: Source) -> Any:
    """A scene of the take's size and rate that shows colours as they are."""
    scene = bpy.data.scenes.new(SCENE)
    render = scene.render
    (render.resolution_x, render.resolution_y), render.resolution_percentage = made.size, 100
    render.fps = max(round(made.fps), 1)
    render.fps_base = render.fps / made.fps
    scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
    return scene


def tidy() -> float | None:
    """Take our scenes away once Blender's job has let go of them; a timer asks again until then."""
    if is_rendering():
        return 0.2
    for scene in [each for each in bpy.data.scenes if each.name.startswith(SCENE) and each.get(MARK)]:
        sounds = [strip.sound for strip in compat.strips_of(scene) if strip.type == "SOUND" and strip.sound is not None]
        unfinished = scene.get(MARK, "")
        bpy.data.scenes.remove(scene)
        for sound in sounds:
            if not sound.users:
                bpy.data.sounds.remove(sound)
        if unfinished != DONE:
            Path(unfinished).unlink(missing_ok=True)
    return None


def tidy_soon() -> None:
    """Now, or when the job has ended."""
    if tidy() is not None:
        bpy.app.timers.register(tidy, first_interval=0.2)


def stop() -> None:
    """The add-on is disabled: no timer stays."""
    if bpy.app.timers.is_registered(tidy):
        bpy.app.timers.unregister(tidy)


def frame_written(scene_name: str) -> None:
    """Blender has written a frame of a scene; it says so from the thread that renders."""
    if state.now.export is not None and scene_name.startswith(SCENE):
        state.now.export.step += 1


def is_rendering() -> bool:
    """Whether Blender renders in the background."""
    return not bpy.app.background and bool(bpy.app.is_job_running("RENDER"))


def _exr(made: Source, target: Path) -> Steps:
    """Half float, scene linear, as Blender reads the frames' sRGB."""
    scene = _scene(made)
    try:
        with _all_or_none() as written:
            settings = scene.render.image_settings
            compat.image_media(settings)
            settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGB", "16"
            for frame in made.frames:
                image = bpy.data.images.load(str(frame))
                written.append(target / f"{frame.stem}.exr")
                try:
                    image.save_render(str(written[-1]), scene=scene)
                finally:
                    bpy.data.images.remove(image)
                yield len(written)
            copy_meta(made, target)
    finally:
        bpy.data.scenes.remove(scene)
    return written


def _mp4(made: Source, target: Path, *, job: bool) -> Steps:
    """H.264 of high quality, AAC sound when the take has one, the metadata as its comment."""
    path = target.with_suffix(".mp4")
    if job and is_rendering():
        raise UserProblem(tr("Blender renders already: wait until it has ended"))
    scene = _scene(made)
    scene[MARK] = DONE  # nothing is written yet: a film of that name that is there stays
    try:
        yield WAIT
        yield from _film(made, scene, path)
        scene[MARK] = str(path)  # taken away with the scene, unless it gets whole
        if job:
            _render_job(scene)
            while is_rendering():
                yield WAIT
            if state.now.export is None or state.now.export.step < len(made.frames):
                raise UserProblem(tr("Stopped: {path} is not written", path=path))
        else:
            bpy.ops.render.render(animation=True, scene=scene.name)
        if not path.is_file():
            raise RuntimeError(tr("Blender wrote no file"))
        _comment(path, made.told)
        scene[MARK] = DONE
    finally:
        tidy_soon()
    return [path]


def _film(made: Source, scene: Any, path: Path) -> Generator[Any, None, None]:
    """Put the take into the scene's sequencer, to be rendered as a film; in pieces that each take well under a turn."""
    scene.frame_start, scene.frame_end = 1, len(made.frames)
    strips = compat.strip_collection(scene)
    strip = strips.new_image("Take", str(made.frames[0]), 1, 1)
    yield WAIT
    for number, frame in enumerate(made.frames[1:], start=1):
        strip.elements.append(frame.name)
        if number % STRIP_PIECE == 0:
            yield WAIT
    if made.sound is not None:
        strips.new_sound("Sound", str(made.sound), 2, 1)
        yield WAIT
    _movie(scene, has_sound=made.sound is not None)
    scene.render.filepath = str(path)
    yield WAIT


def _render_job(scene: Any) -> None:
    """Begin Blender's own job, without a window of its own; Esc or the cross in the status bar stops it."""
    view = bpy.context.preferences.view
    shown, view.render_display_type = view.render_display_type, "NONE"
    try:
        bpy.ops.render.render("INVOKE_DEFAULT", animation=True, scene=scene.name)
    finally:
        view.render_display_type = shown


def _comment(path: Path, text: str) -> None:
    """Add a comment to an MP4 that Blender wrote: its list of tags is the last thing in the file, so it can grow.

    Boxes are ISO/IEC 14496-12 (size, kind, body); tags are QuickTime's ``moov/udta/meta/ilst``.
    """
    data = bytearray(path.read_bytes())
    grown, at, end = [], 0, len(data)
    for kind, skip in ((b"moov", 8), (b"udta", 8), (b"meta", 12), (b"ilst", 8)):
        found = _box(data, at, end, kind)
        if found is None or sum(found) != len(data):
            logger.warning("the metadata is not written into %s: it has no list of tags at its end", path.name)
            return
        grown.append(found[0])
        at, end = found[0] + skip, sum(found)
    body = text.encode()
    tag = struct.pack(">I4sI4sII", 24 + len(body), b"\xa9cmt", 16 + len(body), b"data", 1, 0) + body
    for start in grown:
        struct.pack_into(">I", data, start, struct.unpack_from(">I", data, start)[0] + len(tag))
    path.write_bytes(data + tag)


def _box(data: bytearray, at: int, end: int, kind: bytes) -> tuple[int, int] | None:
    """Place and size of the first box of a kind between two places; None."""
    while at + 8 <= end:
        size, found = struct.unpack_from(">I4s", data, at)
        if size == 1:  # 64 bit: a film of more than 4 GB
            size = struct.unpack_from(">Q", data, at + 8)[0]
        if found == kind:
            return at, size
        if size < 8:
            return None
        at += size
    return None


def _movie(scene: bpy.types.Scene, *, has_sound: bool) -> None:
    render = scene.render
    render.use_sequencer, render.use_compositing, render.use_file_extension = True, False, False
    compat.image_media(render.image_settings, "VIDEO")
    render.image_settings.file_format = "FFMPEG"
    movie = render.ffmpeg
    movie.format, movie.codec, movie.constant_rate_factor = "MPEG4", "H264", "PERC_LOSSLESS"
    movie.ffmpeg_preset, movie.gopsize = "GOOD", 12
    movie.audio_codec = "AAC" if has_sound else "NONE"


def copy_meta(made: Source, target: Path) -> None:
    """``take.json`` beside exported pictures, as beside the take's own."""
    kept = made.folder / "take.json"
    if kept.is_file():
        shutil.copyfile(kept, target / "take.json")


_WRITERS = {"PNG": _png, "EXR": _exr}
