"""Job specs from files: the help's examples are jobs, and changes reach the fields that they name."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from backend.jobfile import EXAMPLE, opened
from backend.models import Models
from protocol.errors import InvalidJob
from wan_models.options import Options
from wan_models.registry import engine_infos

WAN = next(row for row in engine_infos() if row.name == "wan")
T2V, I2V = re.findall(r"\{.*?\}", EXAMPLE, re.DOTALL)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "first.png"), np.zeros((80, 96, 3), np.uint8))
    return tmp_path / "first.png"


@pytest.mark.parametrize("text", [T2V, I2V])
def test_the_help_s_examples_are_jobs(tmp_path: Path, picture: Path, text: str) -> None:
    path = tmp_path / "shot.json"
    path.write_text(text)
    with opened(path, None, [], {"image": picture} if text == I2V else {}) as (spec, _):
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


@pytest.mark.parametrize("text", ["[1]", "{", "\ud800", '{"task": "t2v"}'])
def test_files_that_are_no_jobs(tmp_path: Path, text: str) -> None:
    path = tmp_path / "shot.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidJob), opened(path, None):
        pytest.fail("it was opened")


def test_a_bundle_can_be_changed_too(tmp_path: Path) -> None:
    from protocol.assets import AssetFolder
    from protocol.bundle import write_bundle
    from protocol.specs import JobSpec

    spec = JobSpec("t2v", 64, 64, 5, 16.0, prompt="a street")
    write_bundle(tmp_path / "shot.zip", spec, AssetFolder(tmp_path / "assets"))
    with opened(tmp_path / "shot.zip", None, ["seed=9"]) as (changed, _):
        assert changed == msgspec.structs.replace(spec, seed=9)
