"""Arrays sent as differences: what the add-on packs is what the engine reads, bit for bit."""

from __future__ import annotations

import importlib.util
import sys
import types
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.translate import load_array
from protocol.assets import AssetFolder
from protocol.errors import InvalidJob
from protocol.specs import ArrayRef

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def maps(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The add-on's map encoder, which needs no bpy, without the package around it."""
    for name, path in (("addon", "blender_addon"), ("addon.capture", "blender_addon/capture")):
        package = types.ModuleType(name)
        package.__path__ = [str(ROOT / path)]
        monkeypatch.setitem(sys.modules, name, package)
    spec = importlib.util.find_spec("addon.capture.maps")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "addon.capture.maps", module)
    spec.loader.exec_module(module)
    return module


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    depth = rng.normal(5.0, 2.0, (7, 9)).astype(np.float32)
    depth[2:4, 3:] = np.inf
    return {
        "depth with nothing in it": depth,
        "origin": rng.integers(0, 65536, (7, 9, 2)).astype(np.uint16),
        "wrap-around": np.array([[65535, 0, 1], [0, 65535, 65534]], np.uint16),
        "bytes": rng.integers(0, 256, (5, 4), np.uint8).astype(np.uint8),
        "one column": rng.normal(0, 1, (6, 1)).astype(np.float64),
    }


@pytest.mark.parametrize("name", list(arrays()))
def test_packed_differences_come_back_exactly(maps: Any, tmp_path: Path, name: str) -> None:
    folder, array = AssetFolder(tmp_path), arrays()[name]
    ref = maps.array_ref(array, folder, "delta")
    back = load_array(folder, ref, "map")
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    assert not back.flags.writeable


def test_a_smooth_map_shrinks_to_a_fraction_of_plain_zlib(maps: Any, tmp_path: Path) -> None:
    folder = AssetFolder(tmp_path)
    y, x = np.mgrid[0:120, 0:208].astype(np.float32)
    origin = np.stack([x * 210.3 + y * 3.7, y * 364.1 + x * 1.9], -1).astype(np.uint16)
    delta, plain = maps.array_ref(origin, folder, "delta"), maps.array_ref(origin, folder)
    assert delta.asset.nbytes * 3 < plain.asset.nbytes


def test_damaged_differences_are_refused_in_a_sentence(tmp_path: Path) -> None:
    folder = AssetFolder(tmp_path)
    asset = folder.add(zlib.compress(bytes(10)))
    with pytest.raises(InvalidJob, match=r"the depth 3 cannot be read: asset .* takes 64 bytes, it has 10"):
        load_array(folder, ArrayRef(asset, "f4", (4, 4), "delta"), "depth 3")
