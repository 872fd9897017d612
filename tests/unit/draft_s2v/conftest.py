"""One core, and a face that is found without any model."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import pytest

from tests.unit.draft_s2v.people import known_face, save, vowels
from wan_models.draft.s2v.find import Found
from wan_models.requests import Sound


@pytest.fixture(autouse=True)
def _one_core() -> Any:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(autouse=True)
def _no_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No model file of this machine is found: tests that want one say so."""
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The painted face is found exactly."""
    module = import_module("wan_models.draft.s2v.generate")  # by its name: the package shows the function of that name
    monkeypatch.setattr(module, "find_face", lambda picture, body: Found(known_face()))


@pytest.fixture
def sound(tmp_path: Path) -> Sound:
    """1.5 s: vowels at 0.4 and 0.9 s."""
    return save(tmp_path / "vowels.wav", vowels([0.4, 0.9], 1.5))
