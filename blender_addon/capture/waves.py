"""Pieces of sound files, and WAV as bytes. Needs no bpy.

Blender's own ``aud`` reads every format that Blender plays; where it was built without it, WAV alone is read here.
"""

from __future__ import annotations

import io
import wave
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..words import tr
from .params import CaptureProblem

Samples = NDArray[np.float32]
PEAK16 = 32767

_INTEGERS = {1: "u1", 2: "<i2", 4: "<i4"}


@dataclass(frozen=True)
class SoundFile:
    """``rate`` samples a second, ``channels``, ``seconds`` long."""

    path: Path
    rate: int
    channels: int
    seconds: float


def _aud() -> ModuleType | None:
    """Blender's sound library; None where this Blender was built without it."""
    try:
        import aud
    except ImportError:
        return None
    module: ModuleType = aud
    return module


def open_sound(path: Path, what: str) -> SoundFile:
    """What a file holds. ``what`` names it in sentences. Raises CaptureProblem."""
    aud = _aud()
    if aud is None:
        return _open_wav(path, what)
    try:
        sound = aud.Sound(str(path))
        rate, channels = sound.specs
        length = sound.length
    except aud.error as error:
        raise CaptureProblem(_unreadable(what)) from error
    if rate < 1 or channels < 1:
        raise CaptureProblem(_unreadable(what))
    return SoundFile(path, round(rate), channels, length / rate)


def _unreadable(what: str) -> str:
    return tr("Blender can read no sound in {what}: choose another file, or convert it to WAV", what=what)


def _open_wav(path: Path, what: str) -> SoundFile:
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, frames = file.getframerate(), file.getnchannels(), file.getnframes()
            known = file.getsampwidth() in {*_INTEGERS, 3}
    except (OSError, EOFError, wave.Error) as error:
        problem = tr(
            "This Blender was built without sound and reads WAV only, not {what}: convert it to WAV", what=what
        )
        raise CaptureProblem(problem) from error
    if not (rate and channels and known):
        raise CaptureProblem(_unreadable(what))
    return SoundFile(path, rate, channels, frames / rate)


def wav_seconds(path: Path) -> float:
    """How long a WAV file of ours is, by its header alone: aud takes 7 ms to open one. Raises CaptureProblem."""
    try:
        with wave.open(str(path), "rb") as file:
            return file.getnframes() / file.getframerate()
    except (OSError, EOFError, wave.Error, ZeroDivisionError) as error:
        raise CaptureProblem(_unreadable(path.name)) from error


def read(sound: SoundFile, begin: float, seconds: float) -> Samples:
    """float32 (n, channels), -1..1, of the file from ``begin`` seconds on; fewer where the file ends.

    Only so much of the file is decoded. Raises CaptureProblem.
    """
    first, count = round(begin * sound.rate), round(seconds * sound.rate)
    if count <= 0:
        return np.zeros((0, sound.channels), np.float32)
    aud = _aud()
    if aud is None:
        return _read_wav(sound, first, count)
    # half a sample more: aud cuts the seconds down to whole samples
    end = (first + count + 0.5) / sound.rate
    try:
        found = aud.Sound(str(sound.path)).limit((first + 0.5) / sound.rate, end).data()
    except aud.error as error:
        raise CaptureProblem(_unreadable(sound.path.name)) from error
    return np.asarray(found, np.float32).reshape(-1, sound.channels)[:count]


def _read_wav(sound: SoundFile, first: int, count: int) -> Samples:
    with wave.open(str(sound.path), "rb") as file:
        file.setpos(min(first, file.getnframes()))
        width, data = file.getsampwidth(), file.readframes(count)
    whole = np.frombuffer(data[: len(data) // (width * sound.channels) * width * sound.channels], np.uint8)
    return _as_float(whole, width).reshape(-1, sound.channels)


def _as_float(data: NDArray[np.uint8], width: int) -> Samples:
    """PCM of 1 to 4 bytes a sample; that of one byte has no sign (Microsoft's RIFF definition)."""
    if width == 1:
        return (data.astype(np.float32) - 128.0) / 128.0
    if width == 3:  # the upper three bytes of 32 bits
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = data.reshape(-1, 3)
        data, width = wide.ravel(), 4
    found: Any = data.view(_INTEGERS[width]).astype(np.float32)
    return np.asarray(found / float(1 << (8 * width - 1)), np.float32)


def encode(samples: Samples, rate: int) -> bytes:
    """A WAV file, PCM of 16 bit, of float32 (n, channels); what is louder than full scale is cut off."""
    codes = np.rint(np.clip(samples, -1.0, 1.0) * PEAK16).astype("<i2")
    target = io.BytesIO()
    with wave.open(target, "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(codes.tobytes())
    return target.getvalue()
