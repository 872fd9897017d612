"""The sound of a shot, cut to it: from a strip of the sequencer, a speaker object or a file, as a WAV file's bytes.

Sample 0 is the shot's first frame, and the sound is exactly as long as the shot; where nothing plays it is silent.

Blender's time of a strip: at scene frame f the file plays at (f - strip start + hard trim) / scene rate - sound offset
seconds, between the strip's handles. Strips that are more than that (retimed, with modifiers, animated, inside a meta
strip) are mixed down by Blender itself.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import bpy
import numpy as np

from .. import compat
from ..words import tr
from .evaluate import find_scene, scratch
from .params import CaptureProblem
from .waves import Samples, SoundFile, encode, open_sound, read

SILENCE = 10 ** (-66 / 20)
"""What the backend takes for silence too."""
MIX_RATE = 48000
MOST_CHANNELS = 2


@dataclass(frozen=True)
class SoundParams:
    """``name``: a strip's or an object's, or the file's path. ``skip``: seconds of the file before the shot begins."""

    scene: str
    source: Literal["strip", "speaker", "file"]
    name: str
    frame_start: float
    seconds: float
    skip: float = 0.0


@dataclass(frozen=True)
class _Piece:
    """A file in the shot: its beginning lies ``at``, it is heard from ``low`` to ``high``; seconds of the shot."""

    at: float
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class _Heard:
    """What is played, where, how loud and how fast."""

    sound: SoundFile
    pieces: tuple[_Piece, ...]
    volume: float = 1.0
    pitch: float = 1.0


def capture_sound(params: SoundParams) -> bytes:
    """A WAV file of ``params.seconds``, mono or stereo, at the sound's own rate. Raises CaptureProblem."""
    scene = find_scene(params.scene)
    with tempfile.TemporaryDirectory(prefix="wanstage-") as folder:
        samples, rate = _SOURCES[params.source](scene, params, Path(folder))
    if float(np.abs(samples).max(initial=0.0)) < SILENCE:
        msg = tr("{name} is silent during the shot: choose another sound or another range", name=Path(params.name).name)
        raise CaptureProblem(msg)
    return encode(samples, rate)


def scene_rate(scene: bpy.types.Scene) -> float:
    """Frames a second of the scene's timeline."""
    return float(scene.render.fps / scene.render.fps_base)


# ---- a file ------------------------------------------------------------------------------------------------


def _from_file(_scene: bpy.types.Scene, params: SoundParams, _folder: Path) -> tuple[Samples, int]:
    path = Path(params.name)
    if not path.is_file():
        msg = tr("There is no sound file at {path}: choose it again", path=path)
        raise CaptureProblem(msg)
    return _mix(_Heard(open_sound(path, path.name), (_Piece(-params.skip),)), params.seconds)


def sound_file(sound: bpy.types.Sound, what: str, folder: Path) -> Path:
    """The file of a sound datablock; a packed one is written to ``folder`` first. CaptureProblem when it is missing."""
    name = bpy.path.basename(sound.filepath) or sound.name
    if sound.packed_file is not None:
        path = folder / f"packed{Path(name).suffix}"
        path.write_bytes(sound.packed_file.data)
        return path
    path = sound_path(sound)
    if not path.is_file():
        msg = tr(
            "The sound of {what} is not at {path}: find the file again, or choose another sound", what=what, path=path
        )
        raise CaptureProblem(msg)
    return path


def sound_path(sound: bpy.types.Sound) -> Path:
    """Where the file of a sound that is not packed should be."""
    return Path(bpy.path.abspath(sound.filepath, library=sound.library))


# ---- a speaker ---------------------------------------------------------------------------------------------


def _from_speaker(scene: bpy.types.Scene, params: SoundParams, folder: Path) -> tuple[Samples, int]:
    item = scene.objects.get(params.name)
    if item is None or item.type != "SPEAKER" or item.data.sound is None:
        msg = tr("{name} is no speaker with a sound: choose another", name=params.name)
        raise CaptureProblem(msg)
    starts = speaker_starts(item)
    frames = [params.frame_start] if starts is None else starts
    pieces = [_Piece((frame - params.frame_start) / scene_rate(scene)) for frame in frames]
    opened = open_sound(sound_file(item.data.sound, item.name, folder), item.data.sound.name)
    return _mix(_Heard(opened, tuple(pieces), item.data.volume, max(item.data.pitch, 0.01)), params.seconds)


def speaker_starts(item: bpy.types.Object) -> list[float] | None:
    """Scene frames at which a speaker begins to play: its NLA sound strips that are not muted. None for one that has no
    such strip (made by a script): Blender never plays it, and here it begins with the shot."""
    tracks = item.animation_data.nla_tracks if item.animation_data else ()
    strips = [strip for track in tracks for strip in track.strips if strip.type == "SOUND"]
    if not strips:
        return None
    silent = {strip for track in tracks if track.mute for strip in track.strips}
    return [strip.frame_start for strip in strips if strip not in silent and not strip.mute]


# ---- a strip -----------------------------------------------------------------------------------------------


def _from_strip(scene: bpy.types.Scene, params: SoundParams, folder: Path) -> tuple[Samples, int]:
    strip = next((each for each in compat.strips_of(scene) if each.name == params.name), None)
    if strip is None or strip.type != "SOUND" or strip.sound is None:
        msg = tr("The sequencer has no sound strip named {name}: choose another", name=params.name)
        raise CaptureProblem(msg)
    opened = open_sound(sound_file(strip.sound, strip.name, folder), strip.sound.name)
    if not is_plain(scene, strip):
        return _mixed_down(scene, strip, params, folder)
    piece = _strip_piece(strip, params.frame_start, scene_rate(scene))
    return _mix(_Heard(opened, (piece,), strip.volume), params.seconds)


def _strip_piece(strip: Any, first: float, rate: float) -> _Piece:
    times = compat.strip_times(strip)
    at = (times.start - times.trim - first) / rate + getattr(strip, "sound_offset", 0.0)
    return _Piece(at, (times.left - first) / rate, (times.right - first) / rate)


def is_plain(scene: bpy.types.Scene, strip: Any) -> bool:
    """Whether the strip is a file, trimmed and placed; else only Blender itself knows how it sounds."""
    retimed = len(getattr(strip, "retiming_keys", ())) or len(getattr(strip, "retiming_handles", ()))
    moved = getattr(strip, "speed_factor", 1.0) != 1.0 or getattr(strip, "pitch", 1.0) != 1.0
    told = scene.animation_data
    animated = told is not None and (told.action is not None or len(told.drivers) or len(told.nla_tracks))
    return not (retimed or moved or animated or len(strip.modifiers) or strip.parent_meta() is not None)


def _mixed_down(scene: bpy.types.Scene, strip: Any, params: SoundParams, folder: Path) -> tuple[Samples, int]:
    """The strip alone, by Blender's own mixdown of an otherwise empty copy of the scene."""
    target = folder / "mixdown.wav"
    whole = math.floor(params.frame_start)
    with scratch() as made:
        copy = made.add("scenes", scene.copy())
        for child in list(copy.collection.children):
            copy.collection.children.unlink(child)
        for item in list(copy.collection.objects):  # speakers would be heard too
            copy.collection.objects.unlink(item)
        _mute_all_but(copy, strip.name)
        copy.use_preview_range, copy.audio_volume = False, 1.0
        copy.frame_start = whole
        copy.frame_end = whole + math.ceil(params.seconds * scene_rate(scene)) + 1
        copy.render.ffmpeg.audio_mixrate, copy.render.ffmpeg.audio_channels = MIX_RATE, "MONO"
        _call_mixdown(copy, target, strip.name)
    opened = open_sound(target, strip.name)
    return _mix(_Heard(opened, (_Piece((whole - params.frame_start) / scene_rate(scene)),)), params.seconds)


def _mute_all_but(scene: bpy.types.Scene, name: str) -> None:
    strips = compat.strips_of(scene)
    kept, meta = {name}, next(each for each in strips if each.name == name).parent_meta()
    while meta is not None:
        kept.add(meta.name)
        meta = meta.parent_meta()
    for each in strips:
        each.mute = each.name not in kept


def _call_mixdown(copy: bpy.types.Scene, target: Path, name: str) -> None:
    told: dict[str, Any] = {"container": "WAV", "codec": "PCM", "format": "S16", "check_existing": False}
    if "mixrate" in bpy.ops.sound.mixdown.get_rna_type().properties:
        told |= {"mixrate": MIX_RATE, "channels": "MONO"}
    try:
        with bpy.context.temp_override(scene=copy, view_layer=copy.view_layers[0]):
            bpy.ops.sound.mixdown(filepath=str(target), **told)
    except (RuntimeError, AttributeError) as error:
        reason = str(error).removeprefix("Error: ").strip().splitlines()[0]
        msg = tr(
            "Blender cannot mix down the strip {name} ({reason}): render it to a WAV file and choose that",
            name=name,
            reason=reason,
        )
        raise CaptureProblem(msg) from error


# ---- both --------------------------------------------------------------------------------------------------


def _mix(heard: _Heard, seconds: float) -> tuple[Samples, int]:
    """float32 (n, 1 or 2) of the shot, and its rate: a pitch is that rate's."""
    sound = heard.sound
    rate = max(round(sound.rate * heard.pitch), 1)
    pitch = rate / sound.rate
    channels = min(sound.channels, MOST_CHANNELS)
    mixed = np.zeros((max(round(seconds * rate), 1), channels), np.float32)
    for piece in heard.pieces:
        low = max(piece.low, piece.at, 0.0)
        high = min(piece.high, piece.at + sound.seconds / pitch, seconds)
        if high <= low:
            continue
        found = read(sound, (low - piece.at) * pitch, (high - low) * pitch)
        if sound.channels > MOST_CHANNELS:
            found = np.repeat(found.mean(axis=1, keepdims=True), channels, axis=1)
        first = round(low * rate)
        count = min(len(found), len(mixed) - first)
        mixed[first : first + count] += found[:count] * heard.volume
    return mixed, rate


_SOURCES = {"strip": _from_strip, "speaker": _from_speaker, "file": _from_file}
