"""``wanstage models make-tiny`` writes models that the store finds, and LoRAs go on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.cli import main
from wan_models.options import Options
from wan_models.registry import model_row
from wan_models.store import find


def test_make_tiny(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "wan2.2-ti2v-5b"
    assert main(["models", "make-tiny", str(tmp_path), name, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = find(model_row(name), Options(folders=(tmp_path,)))
    assert told == {"event": "result", "name": name, "path": str(found.root)}
    assert found.layout == "diffusers"
    assert main(["models", "path", name, "--models", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(found.root)
    assert main(["models", "make-tiny", str(tmp_path), "wan9"]) == 4
    assert "there is no model wan9" in capsys.readouterr().err
