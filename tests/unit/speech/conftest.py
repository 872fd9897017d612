"""Every test has caches, data folders and programs of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home: no voices, no CosyVoice, no program but Python."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("platformdirs.user_data_dir", lambda *_, **__: str(tmp_path / "data"))
    for name in ("WANSTAGE_MODELS", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HOME", "WANSTAGE_COSYVOICE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANSTAGE_COSYVOICE_PYTHON", sys.executable)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path
