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
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

from . import compat, framefiles, takes
from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

SIGNATURE = b"\x89PNG\r\n\x1a\n"
KEYWORD = b"wanstage"


def export(take: Any, kind: str, target: Path) -> list[Path]:
    """Write a take as "MP4" (``target`` is the file), "PNG" or "EXR" (``target`` is a folder). Raises UserProblem."""
    folder = takes.folder(take)
    count = framefiles.count(folder)
    if not count:
        problem = tr("{take} has no frames on disk in {folder}", take=take.name, folder=folder)
        raise UserProblem(problem)
    try:
        (target.parent if kind == "MP4" else target).mkdir(parents=True, exist_ok=True)
        return _WRITERS[kind](take, target, [framefiles.path_of(folder, index) for index in range(count)])
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error).removeprefix("Error: ").strip()
        problem = tr(
            "{take} cannot be written to {target} ({reason}): choose another place or free disk space",
            take=take.name,
            target=target,
            reason=reason,
        )
        raise UserProblem(problem) from error


def told(take: Any) -> str:
    """The metadata that goes into exported files: JSON, without the animation's hashes and without timings."""
    made = takes.meta(take)
    kept = ("task", "engine", "model", "seed", "prompt", "size", "frames", "fps", "made", "job_id")
    return json.dumps({name: made[name] for name in kept if name in made}, ensure_ascii=False)


# ---- PNG --------------------------------------------------------------------------------------------


def _png(take: Any, target: Path, frames: list[Path]) -> list[Path]:
    text = told(take)
    written = []
    for frame in frames:
        path = target / frame.name
        if path.resolve() == frame.resolve():
            problem = tr("{target} holds the take's own frames: choose another folder", target=target)
            raise UserProblem(problem)
        path.write_bytes(with_text(frame.read_bytes(), text))
        written.append(path)
    return written


def with_text(data: bytes, text: str) -> bytes:
    """A PNG with an iTXt chunk (PNG specification, 11.3.3.4) behind its header; the pixels stay byte for byte."""
    end = len(SIGNATURE) + 12 + struct.unpack(">I", data[8:12])[0]
    body = b"iTXt" + KEYWORD + b"\0\0\0\0\0" + text.encode()
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:end] + chunk + data[end:]


def text_of(data: bytes) -> str:
    """What ``with_text`` put in; empty when there is none."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"iTXt" and body.startswith(KEYWORD + b"\0"):
            return body.split(b"\0", 5)[-1].decode()
        at += 12 + length
    return ""


# ---- by Blender -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _scene(take: Any) -> Iterator[Any]:
    """A scene of the take's size and rate that shows colours as they are; removed afterwards."""
    scene = bpy.data.scenes.new("Wanstage Export")
    try:
        render = scene.render
        render.resolution_x, render.resolution_y, render.resolution_percentage = take.width, take.height, 100
        render.fps = max(round(take.fps), 1)
        render.fps_base = render.fps / take.fps
        scene.view_settings.view_transform, scene.view_settings.look = "Standard", "None"
        yield scene
    finally:
        bpy.data.scenes.remove(scene)


def _exr(take: Any, target: Path, frames: list[Path]) -> list[Path]:
    """Half float, scene linear, as Blender reads the frames' sRGB."""
    written = []
    with _scene(take) as scene:
        settings = scene.render.image_settings
        compat.image_media(settings)
        settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGB", "16"
        for frame in frames:
            image = bpy.data.images.load(str(frame))
            try:
                path = target / f"{frame.stem}.exr"
                image.save_render(str(path), scene=scene)
                written.append(path)
            finally:
                bpy.data.images.remove(image)
    return written


def _mp4(take: Any, target: Path, frames: list[Path]) -> list[Path]:
    """H.264 of high quality, AAC sound when the take has one, the metadata as its comment."""
    path = target.with_suffix(".mp4")
    with _scene(take) as scene:
        scene.frame_start, scene.frame_end = 1, len(frames)
        strips = compat.strip_collection(scene)
        strip = strips.new_image("Take", str(frames[0]), 1, 1)
        for frame in frames[1:]:
            strip.elements.append(frame.name)
        sound = takes.sound_file(take)
        strip_sound = strips.new_sound("Sound", str(sound), 2, 1).sound if sound.is_file() else None
        _movie(scene, has_sound=strip_sound is not None)
        scene.render.filepath = str(path)
        try:
            bpy.ops.render.render(animation=True, scene=scene.name)
        finally:
            if strip_sound is not None:
                strips.remove(next(each for each in strips if each.type == "SOUND"))
                bpy.data.sounds.remove(strip_sound)
    if not path.is_file():
        problem = tr("Blender wrote no file")
        raise RuntimeError(problem)
    _comment(path, told(take))
    return [path]


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


def copy_meta(take: Any, target: Path) -> None:
    """``take.json`` beside exported pictures, as beside the take's own."""
    source = takes.folder(take) / "take.json"
    if source.is_file():
        shutil.copyfile(source, target / "take.json")


_WRITERS = {"MP4": _mp4, "PNG": _png, "EXR": _exr}
