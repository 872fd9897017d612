"""Runs inside CosyVoice's own Python (3.10 and what it pins), so it imports nothing of ours. Job: JSON on stdin."""

from __future__ import annotations

import inspect
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def open_model(home: Path, folder: str) -> Any:  # noqa: ANN401 - CosyVoice has no types
    """The model of any of CosyVoice's generations: newer code chooses the class itself, older had one for each."""
    sys.path[0] = str(home)  # not this file's own folder
    sys.path.insert(1, str(home / "third_party" / "Matcha-TTS"))
    code = import_module("cosyvoice.cli.cosyvoice")
    if hasattr(code, "AutoModel"):
        return code.AutoModel(model_dir=folder)
    newer = (Path(folder) / "cosyvoice2.yaml").is_file()
    return (code.CosyVoice2 if newer else code.CosyVoice)(folder)


def speak(model: Any, job: dict[str, str]) -> np.ndarray[Any, Any]:  # noqa: ANN401
    """With the prompt's text zero-shot, else cross-lingual, as Wan2.2's ``tts`` does."""
    say = model.inference_zero_shot if job["prompt_text"] else model.inference_cross_lingual
    prompt: Any = job["prompt"]
    if "prompt_speech_16k" in inspect.signature(say).parameters:  # older code wants the samples, newer the file
        prompt = import_module("cosyvoice.utils.file_utils").load_wav(prompt, 16000)
    texts = [job["text"], job["prompt_text"]] if job["prompt_text"] else [job["text"]]
    pieces = [np.asarray(piece["tts_speech"]).reshape(-1) for piece in say(*texts, prompt, stream=False)]
    return np.concatenate(pieces).astype(np.float32)


def main() -> None:
    """Read the job, speak, write the samples."""
    job = json.load(sys.stdin)
    model = open_model(Path(job["home"]), job["model"])
    np.savez(job["out"], wave=speak(model, job), rate=model.sample_rate)


if __name__ == "__main__":
    main()
