"""What Blender's tests of several folders use."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parents[2]


def load(name: str, path: Path) -> Any:
    """A file as the module ``name``, which pickles and dataclasses find by it."""
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


def words() -> Any:
    """packaging/words.py, which lists what the add-on says."""
    return load("packaging_words", ROOT / "packaging" / "words.py")


def with_alpha(path: Path) -> np.ndarray:
    """float32 0..1 (h,w,4), rows from the top, as Blender reads the file now."""
    image = bpy.data.images.load(str(path), check_existing=False)
    width, height = image.size
    found = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(found)
    bpy.data.images.remove(image)
    return found.reshape(height, width, 4)[::-1]


def pixels(path: Path) -> np.ndarray:
    """uint8 (h,w,3), rows from the top, as Blender reads the file."""
    return np.rint(with_alpha(path)[..., :3] * 255).astype(np.uint8)
