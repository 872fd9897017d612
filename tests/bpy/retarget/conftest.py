"""Real motion (CMU 01_01 on a human) as a pose file, written once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")
sys.path.insert(0, str(Path(__file__).parent))

from measure import ASSETS, FRAMES, Truth  # noqa: E402


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Truth:
    """Recorded from the human with CMU bones."""
    import measure

    from blender_addon.retarget import record

    bpy.ops.wm.open_mainfile(filepath=str(ASSETS / "previz_human.blend"), load_ui=False)
    rig = bpy.data.objects["Hero"]
    path = tmp_path_factory.mktemp("pose") / "jump.npz"
    assert record.record(bpy.context.scene, rig, path, FRAMES[0], FRAMES[-1], overrides={}) == len(FRAMES)
    return Truth(path, measure.joint_paths(rig, FRAMES))


@pytest.fixture
def addon(truth: Truth, empty_file: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Registered in an empty file of 16 frames a second."""
    import blender_addon

    bpy.ops.wm.read_factory_settings(use_empty=True)
    monkeypatch.setenv("WANSTAGE_DATA", str(tmp_path / "data"))
    blender_addon.register()
    bpy.context.scene.render.fps = 16
    yield blender_addon
    blender_addon.unregister()
