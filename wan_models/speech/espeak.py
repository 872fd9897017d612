"""espeak-ng, the program: a robot's voice in a hundred languages, in milliseconds."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path

from wan_models.engine import RequestRefused

from . import EngineName, Prompt, Speech, read_wav

PROGRAMS = ("espeak-ng", "espeak")
VOICE = "en-us"
_LIMIT_S = 120.0


class Espeak:
    """``voice``: a language that 'espeak-ng --voices' lists (en-us, de, fr-fr), with a variant if wanted (de+f3)."""

    name: EngineName = "espeak"

    def ready(self, voice: str) -> bool:
        """Whether the program is there and knows the voice (piper's are named otherwise: en_US-ljspeech-medium)."""
        program = find()
        return bool(program) and (not voice or _run([program or "", "-q", "-v", voice], " ").returncode == 0)

    def speak(self, text: str, voice: str = "", prompt: Prompt | None = None) -> Speech:
        """See ``VoiceEngine``."""
        program, wanted = find(), voice or VOICE
        if program is None:
            problem = (
                "espeak-ng is not on this machine: install it (Debian: 'apt install espeak-ng'), or record the line"
            )
            raise RequestRefused(problem)
        if prompt is not None:
            problem = "espeak-ng imitates nobody: leave the prompt out, or take '--engine cosyvoice'"
            raise RequestRefused(problem)
        with tempfile.TemporaryDirectory(prefix="wanstage-") as folder:
            file = Path(folder) / "speech.wav"
            ended = _run([program, "-b", "1", "-v", wanted, "-w", str(file), "--stdin"], text)
            try:
                return read_wav(file, f"espeak-ng {wanted}")
            except (OSError, EOFError, ValueError, wave.Error) as error:
                said = (ended.stderr.strip().splitlines() or [f"it ended with status {ended.returncode}"])[-1]
                problem = f"espeak-ng cannot speak as {wanted} ({said}): see 'espeak-ng --voices' for what it has"
                raise RequestRefused(problem) from error


def find() -> str | None:
    """The program's path."""
    return next((path for path in map(shutil.which, PROGRAMS) if path), None)


def _run(command: list[str], text: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, input=text, capture_output=True, text=True, encoding="utf-8", errors="replace",
            timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = "it took too long" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        problem = f"espeak-ng cannot be run ({reason}): give less text, or install it anew"
        raise RequestRefused(problem) from error
