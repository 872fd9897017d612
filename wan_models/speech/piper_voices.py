"""piper: natural voices on a CPU, each a network of its own that is looked for here and fetched when it is not.

The package is ``piper-tts`` (1.3 or newer); its voices are at huggingface.co/rhasspy/piper-voices, each with its own
licence in the MODEL_CARD beside it. The usual one here is trained on LJ Speech, which is in the public domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from wan_models.engine import RequestRefused
from wan_models.options import Options
from wan_models.store import receipts
from wan_models.store.found import ModelMissing
from wan_models.store.hubs import Hub, HubProblem, Listing, open_hub
from wan_models.store.items import Item
from wan_models.store.places import offline, own_folder, snapshots, told_folders
from wan_models.store.transfer import fetch

from . import EngineName, Prompt, Say, Speech

REPO = "rhasspy/piper-voices"
VOICE = "en_US-ljspeech-medium"


class Piper:
    """``voice``: a name like en_US-ljspeech-medium, or the path of an .onnx file with its .onnx.json beside it."""

    name: EngineName = "piper"

    def __init__(self, options: Options, say: Say) -> None:
        self._options, self._say = options, say

    def ready(self, voice: str) -> bool:
        """Whether the package is installed and the voice lies here."""
        return find_spec("piper") is not None and find_voice(voice or VOICE, self._options) is not None

    def speak(self, text: str, voice: str = "", prompt: Prompt | None = None) -> Speech:
        """See ``VoiceEngine``."""
        if find_spec("piper") is None:
            problem = "piper is not installed: install it with 'pip install piper-tts', or take '--engine espeak'"
            raise RequestRefused(problem)
        if prompt is not None:
            problem = "piper imitates nobody: leave the prompt out, or take '--engine cosyvoice'"
            raise RequestRefused(problem)
        name = voice or VOICE
        model = find_voice(name, self._options) or pull_voice(name, self._options, self._say)
        return _speak(text, model)


def _speak(text: str, model: Path) -> Speech:
    piper: Any = import_module("piper")
    if not hasattr(piper.PiperVoice, "synthesize_wav"):
        problem = "this piper is too old: update it with 'pip install --upgrade piper-tts' (1.3 or newer)"
        raise RequestRefused(problem)
    try:
        chunks = list(piper.PiperVoice.load(model, download_dir=model.parent).synthesize(text))
    except Exception as error:  # onnxruntime's own errors share no class below Exception
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        problem = f"piper cannot speak with {model.name} ({reason}): fetch the voice anew, or take another"
        raise RequestRefused(problem) from error
    silent = np.zeros(0, np.float32)
    wave = np.concatenate([silent, *(np.asarray(chunk.audio_float_array, np.float32) for chunk in chunks)])
    return Speech(wave, chunks[0].sample_rate if chunks else 22050, f"piper {model.stem}")


def voice_folder() -> Path:
    """Where a user puts voices that are not fetched."""
    return own_folder() / "voices"


def find_voice(name: str, options: Options) -> Path | None:
    """The voice's .onnx file here, or None; its .onnx.json lies beside it. ``name``: as for ``Piper``."""
    given = Path(name).expanduser()
    places = [given] if given.suffix == ".onnx" else _places(name, options)
    return next((place for place in places if place.is_file() and _settings(place).is_file()), None)


def _settings(model: Path) -> Path:
    return model.with_name(model.name + ".json")


def _places(name: str, options: Options) -> Iterator[Path]:
    for folder in (*told_folders(options), own_folder()):
        yield from (folder / f"{name}.onnx", folder / "voices" / f"{name}.onnx", folder / "piper" / f"{name}.onnx")
    for snapshot in snapshots(REPO):
        yield from (path for path in snapshot.rglob("*.onnx") if path.stem == name)


def pull_voice(name: str, options: Options, say: Say) -> Path:
    """Fetch a voice into the shared Hugging Face cache, checked against the hub's sums; returns its .onnx file.

    Raises ModelMissing: offline, no such voice, the network, a wrong sum.
    """
    by_hand = f"put {Path(name).stem}.onnx and {Path(name).stem}.onnx.json into {voice_folder()}"
    if Path(name).suffix == ".onnx":
        problem = f"{name} is not there, or has no {Path(name).name}.json beside it: give both files"
        raise ModelMissing(problem)
    if offline(options):
        problem = f"the voice {name} is not here, and is not fetched offline: {by_hand}"
        raise ModelMissing(problem)
    hub, item = open_hub("huggingface"), Item(f"piper-{name}", f"piper voice {name}", REPO, "see its MODEL_CARD")
    try:
        return _pull(hub, item, name, say)
    except HubProblem as problem:
        said = f"the voice {name} cannot be fetched: {str(problem).rpartition(': ')[0] or problem}: {by_hand}"
        raise ModelMissing(said) from problem


def _pull(hub: Hub, item: Item, name: str, say: Say) -> Path:
    listing = hub.listing(REPO)
    model = next((file for file in listing.files if file.path.endswith(f"/{name}.onnx")), None)
    if model is None:
        raise ModelMissing(_unknown(name, listing))
    folder = model.path.rpartition("/")[0]
    wanted = {model.path, f"{model.path}.json", f"{folder}/MODEL_CARD"}
    say(f"fetching {name} ({model.size / 1e6:.0f} MB) from {hub.home}/{REPO}; its licence is in {folder}/MODEL_CARD")
    with receipts.alone(item.key):
        for file in listing.files:
            if file.path in wanted:
                fetch(hub, item, listing, file, lambda _: None)
    return hub.seen(item, listing, model)


def _unknown(name: str, listing: Listing) -> str:
    voices = [Path(file.path).stem for file in listing.files if file.path.endswith(".onnx")]
    near = get_close_matches(name, voices, n=3, cutoff=0.3) or voices[:3]
    return f"there is no voice {name} at huggingface.co/{REPO}: there are {', '.join(near)} and others"
