"""Speech from text, for whoever has no recording: one small interface, several engines, none required. No torch.

espeak-ng is a robot that every Linux has; piper's voices are natural and run on a CPU; CosyVoice imitates a voice from
a few seconds of it, and is what Wan2.2's own program uses. Every problem is a RequestRefused of one sentence.
"""

from __future__ import annotations

import os
import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused
from wan_models.options import Options
from wan_models.requests import Sound
from wan_models.sound import SILENCE

EngineName = Literal["espeak", "piper", "cosyvoice"]
ENGINES: tuple[EngineName, ...] = get_args(EngineName)

Say = Callable[[str], None]
"""Told one line about what takes long (a download, a model that loads)."""


@dataclass(frozen=True)
class Speech:
    """``wave`` (n,) float32 mono, -1..1, at ``rate`` Hz. ``voice``: what spoke, for people."""

    wave: NDArray[np.float32]
    rate: int
    voice: str

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.wave) / self.rate


@dataclass(frozen=True)
class Prompt:
    """A voice to imitate: a recording of it, and what it says there ("" = not known)."""

    sound: Sound
    text: str = ""


class VoiceEngine(Protocol):
    """Turns text into speech."""

    name: EngineName

    def ready(self, voice: str) -> bool:
        """Could it speak at once with this voice ("" = its usual one), with nothing to install or to fetch?"""

    def speak(self, text: str, voice: str = "", prompt: Prompt | None = None) -> Speech:
        """Say the text. Raises RequestRefused: not installed, no such voice, a prompt it cannot use, it failed."""


def speak(
    text: str,
    *,
    engine: EngineName | Literal["auto"] = "auto",
    voice: str = "",
    prompt: Prompt | None = None,
    options: Options | None = None,
    say: Say = lambda _: None,
) -> Speech:
    """Speech of ``text``. ``auto``: CosyVoice for a prompt, else piper where it has the voice here, else espeak-ng.

    Raises RequestRefused, also for text that nothing was heard of.
    """
    if not text.strip():
        problem = "there is no text to speak: give some words"
        raise RequestRefused(problem)
    chosen = choose(engine, voice, prompt, options or Options(), say)
    speech = chosen.speak(text, voice, prompt)
    if np.abs(speech.wave).max(initial=0.0) < SILENCE:
        problem = f"{speech.voice} says nothing for this text: give words of its language, or take another voice"
        raise RequestRefused(problem)
    return speech


def choose(
    name: EngineName | Literal["auto"], voice: str, prompt: Prompt | None, options: Options, say: Say
) -> VoiceEngine:
    """The engine of that name, or for ``auto`` the best that is here. Raises RequestRefused when none is."""
    from .cosyvoice import CosyVoice
    from .espeak import Espeak
    from .piper_voices import Piper

    if name == "cosyvoice" or (name == "auto" and prompt is not None):
        return CosyVoice(say)
    engines: dict[str, VoiceEngine] = {"piper": Piper(options, say), "espeak": Espeak()}
    if name != "auto":
        return engines[name]
    for each in engines.values():
        if each.ready(voice):
            return each
    piper = "name one of piper's voices with '--engine piper --voice en_US-ljspeech-medium' (pip install piper-tts)"
    problem = f"nothing on this machine speaks: install espeak-ng, or {piper}, or record the line"
    if voice:
        problem = f"nothing on this machine speaks as {voice}: see 'espeak-ng --voices', or {piper}"
    raise RequestRefused(problem)


def write_wav(path: Path, speech: Speech) -> None:
    """Write it as 16-bit PCM; the file appears only when it is whole. Raises RequestRefused where it cannot be."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as raw, wave.open(raw, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(speech.rate)
            file.writeframes((np.clip(speech.wave, -1, 1) * 32767).round().astype("<i2").tobytes())
        os.replace(part, path)
    except OSError as error:
        problem = f"{path} cannot be written ({error.strerror}): choose another file"
        raise RequestRefused(problem) from error
    finally:
        part.unlink(missing_ok=True)


def read_wav(path: Path, voice: str) -> Speech:
    """What a program wrote as 16-bit PCM; of several channels the first. Raises ValueError for anything else."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            problem = f"{8 * file.getsampwidth()} bits a sample"
            raise ValueError(problem)
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        return Speech(samples[:, 0].astype(np.float32) / np.float32(32768), file.getframerate(), voice)
