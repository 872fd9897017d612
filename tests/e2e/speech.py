"""Sounds for jobs, and what a movie holds."""

from __future__ import annotations

import wave
from pathlib import Path

import av
import numpy as np

SENTENCE = Path(__file__).parents[1] / "fixtures" / "speech" / "sentence.flac"  # 5.3 s


def sound_file(path: Path, seconds: float, level: float = 0.5) -> Path:
    """A tone as 16-bit WAV; level 0 is silence."""
    tone = np.sin(np.arange(round(16000 * seconds)) * 0.2) * level * 32767
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(tone.astype("<i2").tobytes())
    return path


def lengths(movie: Path) -> tuple[int, float, float]:
    """Frames, and seconds of picture and of sound."""
    with av.open(str(movie)) as opened:
        (pictures,), (sounds,) = opened.streams.video, opened.streams.audio
        count = sum(1 for _ in opened.decode(pictures))
        assert pictures.average_rate is not None
        assert sounds.duration is not None
        assert sounds.time_base is not None
        return count, count / float(pictures.average_rate), float(sounds.duration * sounds.time_base)
