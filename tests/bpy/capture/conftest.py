"""Captures of the test stage, made once a module."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from blender_addon import capture
from protocol.assets import AssetFolder

DTYPES = {"u1": "u1", "u2": "<u2", "f4": "<f4", "f8": "<f8"}


class Captured:
    """A pack with its folder: ``maps("depth")`` decodes a track."""

    def __init__(self, pack: Any, folder: AssetFolder, warnings: tuple[str, ...]) -> None:
        self.pack, self.folder, self.warnings = pack, folder, warnings

    def array(self, ref: Any) -> np.ndarray:
        data = self.folder.read(ref.asset.id)
        data = data if ref.codec == "raw" else zlib.decompress(data)
        if ref.codec != "delta":
            return np.frombuffer(data, DTYPES[ref.dtype]).reshape(ref.shape)
        planes = np.frombuffer(data, np.uint8).reshape(np.dtype(DTYPES[ref.dtype]).itemsize, -1)
        steps = np.ascontiguousarray(planes.T).view(f"<u{len(planes)}").reshape(ref.shape)
        return np.cumsum(steps, axis=1, dtype=steps.dtype).view(DTYPES[ref.dtype])

    def maps(self, part: str) -> list[np.ndarray]:
        return [self.array(ref) for ref in getattr(self.pack, part)]


@pytest.fixture
def shoot(tmp_path: Path) -> Callable[..., Captured]:
    """``shoot(params)`` runs a whole capture."""

    def run(params: capture.ShotParams) -> Captured:
        folder = AssetFolder(tmp_path / "assets")
        steps = capture.capture_shot(params, folder)
        progress = None
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                assert progress is not None
                return Captured(end.value, folder, progress.warnings)

    return run
