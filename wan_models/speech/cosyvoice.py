"""CosyVoice, from its own installation: it imitates the voice of a recording, as Wan2.2's own program has it.

It pins versions of torch and others that nothing else can live with, so it runs in its own Python, as a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from wan_models.engine import RequestRefused
from wan_models.sound import read_wave

from . import EngineName, Prompt, Say, Speech, write_wav

FOLDER, PYTHON = "WANSTAGE_COSYVOICE", "WANSTAGE_COSYVOICE_PYTHON"
MODEL = "CosyVoice2-0.5B"
PROMPT_S = (5.0, 15.0)
"""How long the recording may be; by the help of Wan2.2's ``--tts_prompt_audio``."""
_PROMPT_RATE = 24000
_LIMIT_S = 3600.0
_PROGRAM = Path(__file__).with_name("cosyvoice_process.py")


class CosyVoice:
    """``voice``: a model folder, by name below CosyVoice's ``pretrained_models`` or as a path. A prompt is needed."""

    name: EngineName = "cosyvoice"

    def __init__(self, say: Say) -> None:
        self._say = say

    def ready(self, voice: str) -> bool:
        """Whether its folder and the model are there."""
        home = installation()
        return home is not None and _model(home, voice).is_dir()

    def speak(self, text: str, voice: str = "", prompt: Prompt | None = None) -> Speech:
        """See ``VoiceEngine``."""
        home = installation()
        if home is None:
            problem = (
                "cosyvoice speaks from its own installation: clone github.com/FunAudioLLM/CosyVoice, install it in a "
                f"Python of its own, and set {FOLDER} to its folder"
            )
            raise RequestRefused(problem)
        model = _model(home, voice)
        if not model.is_dir():
            problem = (
                f"CosyVoice's model is not in {model}: put {MODEL} (huggingface.co/FunAudioLLM, modelscope.cn) there"
            )
            raise RequestRefused(problem)
        if prompt is None:
            problem = "cosyvoice imitates a voice: give 5 to 15 seconds of it with '--prompt FILE'"
            raise RequestRefused(problem)
        with tempfile.TemporaryDirectory(prefix="wanstage-") as folder:
            return self._imitate(home, model, text, prompt, Path(folder))

    def _imitate(self, home: Path, model: Path, text: str, prompt: Prompt, folder: Path) -> Speech:
        voice = Speech(read_wave(prompt.sound, seconds=PROMPT_S[1] + 1, rate=_PROMPT_RATE), _PROMPT_RATE, "prompt")
        if not PROMPT_S[0] <= voice.seconds <= PROMPT_S[1]:
            said = f"{voice.seconds:.1f} s" if voice.seconds < PROMPT_S[1] else f"more than {PROMPT_S[1]:g} s"
            problem = f"the prompt is {said} long; cosyvoice takes {PROMPT_S[0]:g} to {PROMPT_S[1]:g} s of a voice"
            raise RequestRefused(problem)
        write_wav(folder / "prompt.wav", voice)
        job = {
            "home": str(home), "model": str(model), "text": text, "prompt": str(folder / "prompt.wav"),
            "prompt_text": prompt.text, "out": str(folder / "speech.npz"),
        }  # fmt: skip
        self._say(f"CosyVoice loads {model.name}, which takes a while")
        _run(_python(home), job, folder)
        with np.load(folder / "speech.npz") as told:
            return Speech(told["wave"].astype(np.float32), int(told["rate"]), f"CosyVoice {model.name}")


def installation() -> Path | None:
    """The folder of CosyVoice's own code, as ``$WANSTAGE_COSYVOICE`` names it."""
    told = os.environ.get(FOLDER)
    home = Path(told).expanduser() if told else None
    return home if home is not None and (home / "cosyvoice").is_dir() else None


def _model(home: Path, voice: str) -> Path:
    given = Path(voice or MODEL).expanduser()
    return given if given.is_absolute() else home / "pretrained_models" / given


def _python(home: Path) -> str:
    """``$WANSTAGE_COSYVOICE_PYTHON``, or a virtual environment inside its folder, or this Python."""
    inside = (home / name / tail for name in (".venv", "venv") for tail in ("bin/python", "Scripts/python.exe"))
    return os.environ.get(PYTHON) or next((str(path) for path in inside if path.is_file()), sys.executable)


def _run(python: str, job: dict[str, str], folder: Path) -> None:
    command = [python, str(_PROGRAM)]
    try:
        ended = subprocess.run(
            command, input=json.dumps(job), cwd=folder, capture_output=True, text=True, encoding="utf-8",
            errors="replace", timeout=_LIMIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = "it took over an hour" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
        problem = (
            f"CosyVoice cannot be run with {python} ({reason}): set {PYTHON} to the Python that it is installed in"
        )
        raise RequestRefused(problem) from error
    if ended.returncode:
        said = (ended.stderr.strip().splitlines() or [f"status {ended.returncode}"])[-1]
        problem = f"CosyVoice failed in {python} ({said}): try its own example.py there, or set {PYTHON}"
        raise RequestRefused(problem)
