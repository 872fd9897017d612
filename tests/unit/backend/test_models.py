"""What a backend says of its models, and which jobs it refuses before they are queued. No weights, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from backend.models import Models, passes
from protocol.errors import InvalidJob
from protocol.specs import AssetRef, ImageRef, JobSpec, Lora, Sampler, SoundRef, Talk
from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.registry import EngineRow, engine_infos

ENGINES = {row.name: row for row in engine_infos(testing=True)}
WAN = ENGINES["wan"]
PICTURE = ImageRef(AssetRef("0" * 64, 99), 64, 64)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """A machine without any model."""
    for name in ("XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE", "MODELSCOPE_CACHE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("WANSTAGE_MODELS", raising=False)
    return Options(folders=(tmp_path / "models",))


def spec(model: str = "wan2.2-i2v-a14b", task: Any = "i2v", **fields: Any) -> JobSpec:
    told = {"width": 832, "height": 480, "frames": 81, "fps": 16.0, "engine": "wan", "image": PICTURE, **fields}
    return JobSpec(task, model=model, **told)


def ti2v(**fields: Any) -> JobSpec:
    given = {"width": 1280, "height": 704, "frames": 121, "fps": 24.0, "image": None, "prompt": "a street", **fields}
    return spec("wan2.2-ti2v-5b", given.pop("task", "ti2v"), **given)


def animate(**fields: Any) -> JobSpec:
    given = {"frames": 80, "fps": 24.0, "image": None, **fields}
    return spec("wan2.2-animate-14b", given.pop("task", "animate"), **given)


def refused(spec: JobSpec, options: Options, engine: EngineRow = WAN) -> str:
    with pytest.raises(InvalidJob) as caught:
        Models(options, (engine,)).check(engine, spec)
    return str(caught.value)


def test_every_model_is_described(nowhere: Options) -> None:
    infos = {info.name: info for info in Models(nowhere, tuple(ENGINES.values())).infos()}
    assert [each.name for each in infos["wan"].details] == [row.name for row in MODELS]
    assert infos["draft"].details == ()
    for row, each in zip(MODELS, infos["wan"].details, strict=True):
        assert (each.tasks, each.sizes, each.size_step, each.area) == (row.tasks, row.sizes, row.size_step, row.area)
        assert (each.fps, each.frame_step, each.max_frames) == (row.fps, row.frame_step, row.max_frames)
        assert each.fast is (row.fast is not None)
        assert f"wanstage models pull {row.name}" in each.missing[0]


def test_random_weights_lack_nothing() -> None:
    models = Models(Options(random_weights=True), (WAN,))
    assert not any(each.missing for each in models.infos()[0].details)
    models.check(WAN, spec())
    models.check(WAN, ti2v(task="t2v"))
    models.check(WAN, ti2v(image=PICTURE, prompt=""))
    models.check(WAN, animate(task="replace"))
    models.check(WAN, talk())


def talk(**fields: Any) -> JobSpec:
    told = {"width": 832, "height": 448, "frames": 85, "fps": 16.0, "model": "wan2.2-s2v-14b", "image": PICTURE}
    sound = SoundRef(AssetRef("3" * 64, 9))
    return JobSpec(**{"task": "s2v", "engine": "wan", "sound": sound, **told, **fields})


BAD = [
    (talk(height=480), "wan2.2-s2v-14b makes multiples of 64 pixels"),
    (talk(fps=25.0), "wan2.2-s2v-14b makes 16 frames a second, not 25"),
    (talk(frames=3001), "wan2.2-s2v-14b makes at most 3000 frames"),
    (talk(task="t2v", sound=None), "wan2.2-s2v-14b does s2v, not t2v"),
    (talk(model="wan2.2-t2v-a14b"), "wan2.2-t2v-a14b does t2v, not s2v"),
    (talk(sampler=Sampler(preset="fast")), "wan2.2-s2v-14b has no fast preset"),
    (spec(task="t2v"), "wan2.2-i2v-a14b does i2v and flf2v, not t2v"),
    (spec(frames=80), "wan2.2-i2v-a14b makes 4n + 1 frames, not 80: ask for 77 or 81"),
    (spec(frames=160), "ask for 157 or 161"),
    (spec(frames=400), "wan2.2-i2v-a14b makes at most 161 frames, not 400"),
    (spec(width=830), "makes multiples of 16 pixels, at most 921600 in all, not 830 x 480: ask for 832 x 480"),
    (spec(width=1920, height=1088), "not 1920 x 1088: ask for"),
    (ti2v(height=720), "makes multiples of 32 pixels, at most 901120 in all, not 1280 x 720: ask for 1280 x 704"),
    (spec(fps=24.0), "wan2.2-i2v-a14b makes 16 frames a second, not 24"),
    (spec(image=None), "i2v needs a first image"),
    (ti2v(prompt=" "), "ti2v needs a prompt where there is no image"),
    (spec(last_image=PICTURE), "does not look at a last image for i2v"),
    (ti2v(sampler=Sampler(preset="fast")), "wan2.2-ti2v-5b has no fast preset"),
    (spec(sampler=Sampler(preset="fast")), "there are no weights of wan2.2-i2v-a14b"),
    (animate(frames=3001), "makes at most 3000 frames"),
    (animate(task="i2v"), "wan2.2-animate-14b does animate and replace, not i2v"),
]


@pytest.mark.parametrize(("bad", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_jobs_that_no_weights_would_help(nowhere: Options, bad: JobSpec, sentence: str) -> None:
    assert sentence in refused(bad, nowhere)


def test_missing_weights_say_where_they_were_looked_for(nowhere: Options) -> None:
    said = refused(spec(), nowhere)
    assert str(nowhere.folders[0]) in said
    assert "'wanstage models pull wan2.2-i2v-a14b'" in said


def test_engines_without_loras_refuse_them(nowhere: Options) -> None:
    draft = JobSpec("i2v", 64, 64, 4, 16.0, loras=(Lora("glow"),))
    assert refused(draft, nowhere, ENGINES["draft"]) == (
        "the engine draft has no LoRAs, glow was asked for: leave loras empty"
    )


def test_passes_of_a_job() -> None:
    assert passes(spec()) == passes(JobSpec("i2v", 64, 64, 400, 16.0)) == 1
    assert [passes(animate(frames=count)) for count in (1, 77, 78, 300)] == [1, 1, 2, 4]
    talking = [talk(frames=count) for count in (77, 78, 157, 158)]
    assert [passes(each) for each in talking] == [1, 2, 2, 3]
    begun = [replace(each, talk=Talk(start_from_reference=True)) for each in talking]
    assert [passes(each) for each in begun] == [1, 1, 2, 2]


def test_looking_at_models_imports_nothing_heavy(nowhere: Options) -> None:
    code = """
import sys
from backend.models import Models
from wan_models.options import Options
from wan_models.registry import engine_infos
models = Models(Options(), engine_infos())
assert all(each.missing for each in models.infos()[1].details)
assert not {"torch", "numpy", "diffusers", "transformers", "cv2"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
