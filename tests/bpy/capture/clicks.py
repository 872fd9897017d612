"""Click tracks: made, put into a scene, and found again."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

RATE = 48000
WIDTH = 8  # samples a click
STEP, FIRST = 0.02, 0.2  # loudness tells clicks apart


def write(path: Path, times: list[float], seconds: float = 10.0, *, rate: int = RATE, channels: int = 1) -> Path:
    """A WAV file with a click at each time; click i has loudness ``FIRST + i * STEP``."""
    samples = np.zeros((round(seconds * rate), channels), np.float32)
    for number, moment in enumerate(times):
        begin = round(moment * rate)
        samples[begin : begin + WIDTH] = FIRST + number * STEP
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())
    return path


def decode(data: bytes) -> tuple[np.ndarray, int]:
    """float32 (n, channels) and the rate of a WAV file of 16 bit."""
    with wave.open(io.BytesIO(data)) as file:
        assert file.getsampwidth() == 2
        rate, channels = file.getframerate(), file.getnchannels()
        codes = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return codes.reshape(-1, channels).astype(np.float32) / 32767, rate


def find(data: bytes, volume: float = 1.0) -> list[tuple[float, int]]:
    """Seconds and number of each click."""
    samples, rate = decode(data)
    loud = np.nonzero(np.abs(samples[:, 0]) > 0.5 * FIRST * volume)[0]
    begins = [at for place, at in enumerate(loud) if place == 0 or at - loud[place - 1] > 20]
    numbers = [round((float(np.abs(samples[at : at + WIDTH, 0]).max()) / volume - FIRST) / STEP) for at in begins]
    return [(at / rate, number) for at, number in zip(begins, numbers, strict=True)]


def add_strip(scene: Any, path: Path, frame: int, name: str = "Line", channel: int = 1) -> Any:
    """A sound strip; skips where Blender was built without sound, as the bpy 4.2 module is."""
    from blender_addon import compat

    need_strips()
    return compat.strip_collection(scene).new_sound(name, str(path), channel, frame)


def need_strips() -> None:
    """Skips where Blender was built without its sound library, which sound strips need."""
    try:
        import aud  # noqa: F401
    except ImportError:
        pytest.skip("this bpy was built without sound: it has no sound strips")


def trim(strip: Any, left: int = 0, right: int = 0) -> None:
    """Move the handles inwards by so many frames."""
    if hasattr(strip, "left_handle_offset"):
        strip.left_handle_offset, strip.right_handle_offset = left, right
    else:
        strip.frame_offset_start, strip.frame_offset_end = left, right


def trim_hard(strip: Any, frames: int) -> None:
    """Cut so many frames off the file's beginning for good."""
    name = "content_trim_start"
    setattr(strip, name if hasattr(strip, name) else "animation_offset_start", frames)


def move(strip: Any, frame: float) -> None:
    """The frame at which the file's beginning lies."""
    setattr(strip, "content_start" if hasattr(strip, "content_start") else "frame_start", frame)


def add_speaker(scene: Any, path: Path, frame: int) -> Any:
    """As Add, Speaker does it: with an NLA sound strip at the current frame."""
    scene.frame_set(frame)
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        assert bpy.ops.object.speaker_add() == {"FINISHED"}
    item = next(each for each in scene.objects if each.type == "SPEAKER")
    item.data.sound = bpy.data.sounds.load(str(path))
    return item
