"""Text becomes a WAV file by whatever can speak here, and what cannot says so in one sentence."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from backend import speak_command
from backend.cli import EXIT_REFUSED, main
from tests.unit.store.fake_hub import FakeHub
from wan_models.engine import RequestRefused
from wan_models.options import Options
from wan_models.requests import Sound
from wan_models.sound import check_sound, read_wave
from wan_models.speech import ENGINES, Prompt, speak
from wan_models.speech.piper_voices import REPO, VOICE, find_voice, pull_voice

HERE = Path(__file__).parent
SENTENCE = HERE.parents[1] / "fixtures" / "speech" / "sentence.flac"
LETTERS = "_^$ !',.:;?abcdefghijklmnopqrstuvwxyzæçðŋɐɑɔəɚɛɜɡɪɫɹɾʃʊʌʒˈˌː"
ESPEAK = shutil.which("espeak-ng")
TALKER = """#!{python}
import sys, wave
told = dict(zip(sys.argv[1:-1], sys.argv[2:]))
if told["-v"] not in ("en-us", "de"):
    sys.exit("Error: The specified espeak-ng voice does not exist.")
if "-w" in told:
    with wave.open(told["-w"], "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(22050)
        for letter in sys.stdin.read():
            file.writeframes(bytes([0, ord(letter) % 100] * 500))
"""


@pytest.fixture
def talker(home: Path) -> Path:
    """A program called espeak-ng that takes its arguments and writes a sound as long as the text."""
    program = home / "bin" / "espeak-ng"
    program.write_text(TALKER.format(python=sys.executable))
    program.chmod(0o755)
    return program


def write_voice(folder: Path, name: str) -> Path:
    """The tiny voice, under the name of a real one."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "tiny.onnx", folder / f"{name}.onnx")
    settings = {
        "audio": {"sample_rate": 22050}, "espeak": {"voice": "en-us"}, "inference": {}, "phoneme_type": "espeak",
        "num_symbols": 200, "num_speakers": 1, "phoneme_id_map": {letter: [at] for at, letter in enumerate(LETTERS)},
    }  # fmt: skip
    (folder / f"{name}.onnx.json").write_text(json.dumps(settings))
    return folder / f"{name}.onnx"


def refused(sentence: str, *told: Any, **more: Any) -> None:
    with pytest.raises(RequestRefused, match=sentence) as caught:
        speak(*told, **more)
    assert "\n" not in str(caught.value)


def test_the_command_knows_every_engine() -> None:
    assert ("auto", *ENGINES) == speak_command.ENGINES


def test_a_program_speaks_into_a_file(talker: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = home / "line.wav"
    assert main(["speak", "Hello there", "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"file": str(out), "seconds": 11 * 500 / 22050, "voice": "espeak-ng en-us"} | {
        "seconds": pytest.approx(11 * 500 / 22050, abs=1e-3)
    }
    check_sound(Sound(out), 1.0)
    assert len(read_wave(Sound(out), rate=22050)) == 11 * 500
    assert sorted(path.name for path in home.iterdir()) == ["bin", "line.wav"]


def test_text_may_come_from_standard_input(
    talker: Path, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Grüß Gott"))
    assert main(["speak", "-", "-o", str(home / "a.wav"), "--voice", "de"]) == 0
    assert capsys.readouterr().out == f"{home / 'a.wav'}: 0.204 s, espeak-ng de\n"


def test_what_cannot_be_spoken_is_said(talker: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(r"^there is no text to speak", " \n")
    refused(r"^espeak-ng cannot speak as xx \(Error: The specified .* exist\.\): see", "a", engine="espeak", voice="xx")
    refused(r"^nothing on this machine speaks as xx: see 'espeak-ng --voices'", "a", voice="xx")
    refused(r"^espeak-ng imitates nobody", "a", engine="espeak", prompt=Prompt(Sound(SENTENCE)))
    talker.write_text(TALKER.format(python=sys.executable).replace("% 100", "* 0"))
    refused(r"^espeak-ng en-us says nothing for this text", "hm")
    talker.write_text("#!/bin/nothing\n")
    refused(r"^espeak-ng cannot be run \(No such file or directory\)", "a", engine="espeak")
    talker.unlink()
    refused(r"^espeak-ng is not on this machine: install it", "a", engine="espeak")
    refused(r"^nothing on this machine speaks: install espeak-ng, or name one of piper's voices", "a")
    assert main(["speak", "a", "-o", "a.wav", "--prompt-text", "b"]) == EXIT_REFUSED
    assert capsys.readouterr().err.startswith("wanstage: --prompt-text is what is said in the prompt: give its rec")


def test_a_file_that_cannot_be_written(talker: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["speak", "a", "-o", str(home / "no" / "a.wav")]) == EXIT_REFUSED
    assert capsys.readouterr().err.endswith(
        "a.wav cannot be written (No such file or directory): choose another file\n"
    )


@pytest.mark.skipif(ESPEAK is None, reason="espeak-ng is not on this machine (Debian package espeak-ng)")
def test_espeak_ng_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", os.path.dirname(ESPEAK or ""))
    speech = speak("This is a line of dialogue.", engine="espeak")
    assert 1.0 < speech.seconds < 4.0
    assert np.abs(speech.wave).max() > 0.1
    refused(r"^espeak-ng cannot speak as nowhere \(", "a", engine="espeak", voice="nowhere")


@pytest.fixture
def hub(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with two voices."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import close_session

    files = {}
    for name in (VOICE, "de_DE-thorsten-low"):
        model = write_voice(home / "made", name)
        language, speaker, quality = name.split("-")
        below = f"{language[:2]}/{language}/{speaker}/{quality}"
        files |= {f"{below}/{path.name}": path.read_bytes() for path in (model, model.with_name(f"{name}.onnx.json"))}
        files[f"{below}/MODEL_CARD"] = b"free"
        files[f"{below}/{name}.onnx"] += name.encode()  # two files that are the same are one to the hub's cache
    shutil.rmtree(home / "made")
    with FakeHub() as server:
        server.repos = {REPO: files}
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        close_session()
        yield server
        close_session()


def test_a_voice_is_fetched_once_and_checked(hub: FakeHub) -> None:
    said: list[str] = []
    assert find_voice(VOICE, Options()) is None
    model = pull_voice(VOICE, Options(), said.append)
    assert model.read_bytes() == (HERE / "tiny.onnx").read_bytes() + VOICE.encode()
    assert sorted(path.name for path in model.parent.iterdir()) == ["MODEL_CARD", f"{VOICE}.onnx", f"{VOICE}.onnx.json"]
    assert said == [
        f"fetching {VOICE} (0 MB) from {hub.url}/{REPO}; its licence is in en/en_US/ljspeech/medium/MODEL_CARD"
    ]
    assert find_voice(VOICE, Options()) == model
    hub.damaged.add("de/de_DE/thorsten/low/de_DE-thorsten-low.onnx")
    with pytest.raises(RequestRefused, match=r"^the voice de_DE-thorsten-low cannot be fetched: .* came damaged from"):
        pull_voice("de_DE-thorsten-low", Options(), said.append)
    assert find_voice("de_DE-thorsten-low", Options()) is None


def test_voices_that_cannot_be_had(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    def sentence(name: str, offline: bool = False) -> str:
        with pytest.raises(RequestRefused) as caught:
            pull_voice(name, Options(offline=offline), lambda _: None)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert sentence("de_DE-torsten-low").startswith(
        "there is no voice de_DE-torsten-low at huggingface.co/rhasspy/piper-voices: there are de_DE-thorsten-low"
    )
    assert "is not here, and is not fetched offline: put" in sentence(VOICE, offline=True)
    assert sentence("my/own.onnx").startswith("my/own.onnx is not there, or has no own.onnx.json beside it")
    hub.status[REPO] = 503
    assert f"cannot be fetched: {hub.url} answers 503 for {REPO}: put {VOICE}.onnx and" in sentence(VOICE)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached (" in sentence(VOICE)


def test_voices_of_the_users_own_are_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = write_voice(home / "data" / "models" / "voices", "mine")
    assert find_voice("mine", Options()) == model
    assert find_voice(str(model), Options()) == model
    other = write_voice(home / "elsewhere", "mine")
    assert find_voice("mine", Options(folders=(home / "elsewhere",))) == other
    other.with_name("mine.onnx.json").unlink()
    assert find_voice("mine", Options(folders=(home / "elsewhere",))) == model
    assert find_voice(str(other), Options()) is None


def test_piper_itself(home: Path) -> None:
    piper = pytest.importorskip("piper", reason="piper is not installed (pip install piper-tts)")
    model = write_voice(home / "voices", "tiny")
    speech = speak("hello", engine="piper", voice=str(model))
    count = sum(len(ids) + 0 for ids in piper.PiperVoice.load(model).phonemize("hello"))
    assert (speech.rate, speech.voice) == (22050, "piper tiny")
    assert len(speech.wave) == 512 * (2 * count + 3)  # a pad behind each, and beginning, its pad, and end
    assert speak("hello", voice="tiny", options=Options(folders=(home / "voices",))).voice == "piper tiny"
    model.write_bytes(b"damaged")
    refused(r"^piper cannot speak with tiny\.onnx \(.+\): fetch", "a", engine="piper", voice=str(model))


def test_pipers_answers_are_put_together(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package's own interface, for where it is not installed."""

    class Voice:
        @classmethod
        def load(cls, model: Path, download_dir: Path) -> Voice:
            assert model.is_file()
            return cls()

        def synthesize_wav(self) -> None: ...

        def synthesize(self, text: str) -> Iterator[Any]:
            for part in text.split("."):
                yield SimpleNamespace(audio_float_array=np.full(len(part), 0.5, np.float32), sample_rate=16000)

    monkeypatch.setitem(sys.modules, "piper", SimpleNamespace(PiperVoice=Voice, __spec__=object()))
    model = write_voice(home / "voices", "tiny")
    speech = speak("ab.cde", engine="piper", voice=str(model))
    assert (speech.rate, speech.wave.tolist()) == (16000, [0.5] * 5)
    refused(r"^piper imitates nobody", "a", engine="piper", prompt=Prompt(Sound(SENTENCE)))
    monkeypatch.delattr(Voice, "synthesize_wav")
    refused(r"^this piper is too old: update it", "a", engine="piper", voice=str(model))


COSYVOICE = """
import wave
import numpy as np

class CosyVoice2:
    sample_rate = 24000

    def __init__(self, model_dir):
        self.model = model_dir

    def inference_zero_shot(self, tts_text, prompt_text, {prompt}, stream=False):
        yield {{"tts_speech": np.full((1, 10 * len(tts_text)), 0.25)}}
        yield {{"tts_speech": np.full((1, 10 * len(prompt_text)), 0.5)}}

    def inference_cross_lingual(self, tts_text, {prompt}, stream=False):
        yield {{"tts_speech": np.full((1, 100), seconds({prompt}) / 10)}}
"""
OLDER = """
def seconds(samples):
    return samples.shape[1] / 16000
"""
NEWER = """
def seconds(file):
    with wave.open(file) as told:
        return told.getnframes() / told.getframerate()

def AutoModel(model_dir):
    return CosyVoice2(model_dir)
"""


@pytest.fixture(params=["older", "newer"])
def cosyvoice(request: pytest.FixtureRequest, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out as CosyVoice's own, of the generation before AutoModel, or after."""
    folder = home / "CosyVoice"
    for package in ("cosyvoice", "cosyvoice/cli", "cosyvoice/utils"):
        (folder / package).mkdir(parents=True)
        (folder / package / "__init__.py").touch()
    prompt, more = ("prompt_speech_16k", OLDER) if request.param == "older" else ("prompt_wav", NEWER)
    (folder / "cosyvoice" / "cli" / "cosyvoice.py").write_text(COSYVOICE.format(prompt=prompt) + more)
    (folder / "cosyvoice" / "utils" / "file_utils.py").write_text(
        "import wave\nimport numpy as np\n\n"
        "def load_wav(file, rate):\n"
        "    with wave.open(file) as told:\n"
        "        return np.zeros((1, told.getnframes() * rate // told.getframerate()))\n"
    )
    model = folder / "pretrained_models" / "CosyVoice2-0.5B"
    model.mkdir(parents=True)
    (model / "cosyvoice2.yaml").touch()
    monkeypatch.setenv("WANSTAGE_COSYVOICE", str(folder))
    return folder


def test_cosyvoice_imitates_in_its_own_process(cosyvoice: Path) -> None:
    said: list[str] = []
    speech = speak("Hello", prompt=Prompt(Sound(SENTENCE)), say=said.append)
    assert (speech.rate, speech.voice, len(speech.wave)) == (24000, "CosyVoice CosyVoice2-0.5B", 100)
    assert speech.wave[0] == pytest.approx(0.53, abs=1e-3)  # it was given all 5.3 s of the prompt
    assert said == ["CosyVoice loads CosyVoice2-0.5B, which takes a while"]
    known = speak("Hello", engine="cosyvoice", prompt=Prompt(Sound(SENTENCE), "unless to be"))
    assert known.wave.tolist() == [0.25] * 50 + [0.5] * 120


def test_what_cosyvoice_lacks_is_said(cosyvoice: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Prompt(Sound(SENTENCE))
    refused(r"^cosyvoice imitates a voice: give 5 to 15 seconds of it", "a", engine="cosyvoice")
    refused(r"^the prompt is 3\.3 s long; cosyvoice takes 5 to 15 s", "a", prompt=Prompt(Sound(SENTENCE, 2.0)))
    refused(r"^CosyVoice's model is not in .*/Other: put CosyVoice2-0\.5B", "a", voice="Other", prompt=prompt)
    (cosyvoice / "cosyvoice" / "cli" / "cosyvoice.py").write_text("import no_such_package\n")
    refused(r"^CosyVoice failed in .* \(ModuleNotFoundError: No module named 'no_such_package'\)", "a", prompt=prompt)
    monkeypatch.setenv("WANSTAGE_COSYVOICE_PYTHON", str(cosyvoice / "python"))
    refused(r"^CosyVoice cannot be run with .*python \(No such file or directory\)", "a", prompt=prompt)
    monkeypatch.delenv("WANSTAGE_COSYVOICE")
    refused(r"^cosyvoice speaks from its own installation: clone", "a", prompt=prompt)
