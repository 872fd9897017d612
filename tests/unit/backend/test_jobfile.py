"""Job specs from files: the help's examples are jobs, and changes reach the fields that they name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from backend.job_sound import add_sound, frames_of
from backend.jobfile import EXAMPLE, opened
from backend.models import Models
from protocol.assets import AssetFolder
from protocol.errors import InvalidJob
from wan_models.options import Options
from wan_models.registry import engine_infos, model_row

WAN = next(row for row in engine_infos() if row.name == "wan")
SENTENCE = Path(__file__).parents[2] / "fixtures" / "speech" / "sentence.flac"  # 5.3 s
T2V, I2V, S2V = re.findall(r"\{.*?\}", EXAMPLE, re.DOTALL)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "first.png"), np.zeros((80, 96, 3), np.uint8))
    return tmp_path / "first.png"


@pytest.mark.parametrize("text", [T2V, I2V, S2V])
def test_the_help_s_examples_are_jobs(tmp_path: Path, picture: Path, text: str) -> None:
    path = tmp_path / "shot.json"
    path.write_text(text)
    pictures, sound = {} if text == T2V else {"image": picture}, SENTENCE if text == S2V else None
    with opened(path, None, [], pictures, sound=sound) as (spec, _):
        Models(Options(random_weights=True), (WAN,)).check(WAN, spec)


def test_changes_and_pictures(tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "shot.json"
    path.write_text(I2V)
    changes = ["sampler.steps=20", "prompt=a = b", 'loras=[{"name": "glow", "weight": 0.5}]', "label=7 a", "seed=3"]
    with opened(path, None, changes, {"image": picture}) as (spec, assets):
        assert (spec.sampler.steps, spec.prompt, spec.loras[0].name, spec.label) == (20, "a = b", "glow", "7 a")
        assert spec.seed == 3
        assert spec.image is not None
        assert (spec.image.width, spec.image.height, spec.image.media_type) == (96, 80, "image/png")
        assert assets.read(spec.image.asset.id) == picture.read_bytes()


def given(**fields: Any) -> dict[str, Any]:
    return {"task": "s2v", "model": "wan2.2-s2v-14b", **fields}


@pytest.mark.parametrize(
    ("fields", "start", "fps", "frames"),
    [
        ({}, 0.0, 16, 85),
        ({}, 1.3, 16, 64),  # 4.0 s, to the frame
        ({"fps": 25}, None, 25, 133),
        ({"model": "draft", "fps": 24.0}, 0.0, 24.0, 128),
        ({"frames": 7}, 0.0, 16, 7),
    ],
)
def test_a_job_is_as_long_as_its_sound(
    tmp_path: Path, fields: dict[str, Any], start: float | None, fps: float, frames: int
) -> None:
    spec, folder = given(**fields), AssetFolder(tmp_path)
    assert add_sound(spec, folder, SENTENCE, start) == ""
    assert (spec["frames"], spec.get("fps", 16)) == (frames, fps)
    assert spec["sound"]["name"] == "sentence.flac"
    assert spec["sound"]["start"] == (start or 0.0)
    assert folder.path(spec["sound"]["asset"]["id"]).read_bytes() == SENTENCE.read_bytes()


def test_a_sound_longer_than_the_model_is_cut_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(model_row("wan2.2-s2v-14b"), max_frames=40)
    monkeypatch.setattr("backend.job_sound.MODELS", (row,))
    spec = given()
    assert add_sound(spec, AssetFolder(tmp_path), SENTENCE, 0.5) == (
        "wan2.2-s2v-14b makes at most 40 frames, 2.5 s: the rest of sentence.flac is left out; make another job with "
        "--sound-start 3"
    )
    assert spec["frames"] == 40


def test_frames_are_those_that_the_model_makes() -> None:
    row = model_row("wan2.2-t2v-a14b")
    assert [frames_of(seconds, 16, row) for seconds in (0.01, 5.0, 5.0625, 5.07)] == [1, 81, 81, 85]
    assert [frames_of(seconds, 16, None) for seconds in (0.01, 5.0, 5.0001, 5.0625)] == [1, 80, 80, 81]


def test_the_start_alone_is_about_the_sound_that_is_there(tmp_path: Path) -> None:
    spec = given(sound={"asset": {}, "start": 1.0})
    assert add_sound(spec, AssetFolder(tmp_path), None, 2.0) == ""
    assert spec["sound"]["start"] == 2.0
    with pytest.raises(InvalidJob, match="give --sound FILE too"):
        add_sound(given(), AssetFolder(tmp_path), None, 2.0)


@pytest.mark.parametrize("text", ["[1]", "{", "\ud800", '{"task": "t2v"}'])
def test_files_that_are_no_jobs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shot.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidJob), opened(path, None):
        pytest.fail("it was opened")


def test_a_bundle_can_be_changed_too(tmp_path: Path) -> None:
    from protocol.bundle import write_bundle
    from protocol.specs import JobSpec

    spec = JobSpec("t2v", 64, 64, 5, 16.0, prompt="a street")
    write_bundle(tmp_path / "shot.zip", spec, AssetFolder(tmp_path / "assets"))
    with opened(tmp_path / "shot.zip", None, ["seed=9"]) as (changed, _):
        assert changed == msgspec.structs.replace(spec, seed=9)


def test_a_talking_job_without_a_sound_is_told_so(tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "s2v.json"
    path.write_text(S2V)
    with pytest.raises(InvalidJob, match="give --sound FILE"), opened(path, None, [], {"image": picture}):
        pytest.fail("it was opened")
