"""Scenes shared by the tests of this folder (importlib mode does not put the folder on the path by itself)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import pytest


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draft_i2v_scene", Path(__file__).with_name("scene.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def scenes() -> Any:
    """The module scene.py: Scene and psnr."""
    return sys.modules.get("draft_i2v_scene") or _load()


@pytest.fixture(autouse=True)
def _one_core() -> Any:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)
