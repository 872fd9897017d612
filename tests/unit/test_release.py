"""One release number, said in four places."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from backend import RELEASE
from wan_models.registry import EngineRow

ROOT = Path(__file__).resolve().parents[2]


def test_the_release_is_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    manifest = tomllib.loads((ROOT / "blender_addon" / "blender_manifest.toml").read_text(encoding="utf-8"))["version"]
    addon = re.search(r'^VERSION = "(.+)"$', (ROOT / "blender_addon" / "__init__.py").read_text("utf-8"), re.MULTILINE)
    assert addon is not None
    assert {project, manifest, addon[1]} == {RELEASE}


def test_what_an_extra_brings_is_one_sentence() -> None:
    needs = (("no_such_module", "one"), ("no_such_other", "two"))
    row = EngineRow("wan", "nowhere:Nothing", (), (), needs=needs, extra="wan")
    assert row.missing == ("wan needs one, two: run pip install '.[wan]' in Wanstage's folder",)
    assert len(EngineRow("draft", "nowhere:Nothing", (), (), needs=needs).missing) == 2
