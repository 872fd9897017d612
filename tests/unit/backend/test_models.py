"""What a backend says of its models, and which jobs it refuses before they are queued. No weights, no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backend.models import Models, passes
from protocol.errors import InvalidJob
from protocol.specs import JobSpec, Lora, Sampler
from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.registry import EngineRow, engine_infos

ENGINES = {row.name: row for row in engine_infos(testing=True)}
WAN = ENGINES["wan"]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    """A machine without any model."""
    for name in ("XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE", "MODELSCOPE_CACHE", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("WANSTAGE_MODELS", raising=False)
    return Options(folders=(tmp_path / "models",))


def spec(model: str = "wan2.2-i2v-a14b", task: Any = "i2v", **fields: Any) -> JobSpec:
    told = {"width": 832, "height": 480, "frames": 81, "fps": 16.0, "engine": "wan", "model": model, **fields}
    return JobSpec(task, **told)


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
    models.check(WAN, spec("wan2.2-ti2v-5b", "t2v", width=1280, height=704, frames=121))
    models.check(WAN, spec("wan2.2-animate-14b", "replace", frames=80))


BAD = [
    (spec(task="t2v"), "wan2.2-i2v-a14b cannot do t2v: it does i2v, flf2v"),
    (spec(frames=80), "80 frames were asked for, wan2.2-i2v-a14b makes 4n+1: ask for 77 or 81"),
    (spec(frames=160), "ask for 157 or 161"),
    (spec(frames=400), "400 frames were asked for, wan2.2-i2v-a14b makes 1 to 161: ask for 81"),
    (spec(width=830), "the size 830x480 was asked for, wan2.2-i2v-a14b takes multiples of 16: ask for 832x480"),
    (spec(height=70), "ask for 832x64"),
    (spec(width=1920, height=1088), "is 2088960 pixels, wan2.2-i2v-a14b takes at most 921600: ask for an official"),
    (spec("wan2.2-ti2v-5b", "ti2v", width=1280, height=720), "multiples of 32: ask for 1280x704"),
    (spec("wan2.2-ti2v-5b", "ti2v", width=1280, height=704, sampler=Sampler(preset="fast")), "has no preset fast"),
    (spec(sampler=Sampler(preset="fast")), "there are no weights of wan2.2-i2v-a14b"),
    (spec("wan2.2-animate-14b", "replace", frames=3001), "makes 1 to 3000"),
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
    assert [passes(spec("wan2.2-animate-14b", "animate", frames=count)) for count in (1, 77, 78, 300)] == [1, 1, 2, 4]


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
