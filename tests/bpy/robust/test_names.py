"""Names of any script and any sign, for scenes, objects, cameras, folders and files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from robust_tools import ROOT, shown_file

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(ROOT / "tests" / "bpy" / "capture"))
import people  # noqa: E402

NAMES = {
    "chinese": "第一场 街角的男人",
    "emoji": "🎬 take 🧍‍♂️",
    "combining": "cafe\u0301 n\u0303o\u0308",
    "right to left": "مشهد الأول שלום",
    "as long as may be": "长" * 21,  # 63 bytes
    "signs": 'a/b:c*d?e"f<g>h|i\\j',
    "dots": "..",
    "trailing dot": "Shot 1. ",
    "braces and percent": "{scene} %d {0} $HOME",
    "quotes": 'it\'s "quoted" [0]',
    "a name of Windows": "CON",
    "lines": "one\ntwo\tthree",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names(hold: Any, connected: Any, tmp_path: Path, name: str) -> None:
    """Through capture, protocol, folder, plane, save and reload."""
    from blender_addon import framefiles, takes

    for item in list(bpy.data.objects):
        bpy.data.objects.remove(item)
    rig, _ = people.make_stage(128, 72)
    scene = bpy.context.scene
    scene.render.fps, scene.frame_start, scene.frame_end = 16, 1, 2
    scene.name = rig.name = scene.camera.name = rig.data.name = name
    rig.wanstage.name = name
    folder = tmp_path / framefiles.safe_name(name)
    folder.mkdir()
    file = folder / f"{framefiles.safe_name(name)}.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    held = hold(scene, 1)
    held.finish()
    assert held.told() == ("finished", "", 2)
    assert held.folder.is_relative_to(folder)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(file))
    take = takes.find(held.job)[1]
    assert bpy.ops.wanstage.relink_takes() == {"FINISHED"}
    assert held.told() == ("finished", "", 2)
    assert shown_file(held.job) == takes.folder(take) / "frame_0001.png"
    assert bpy.ops.wanstage.remove_take(job_id=held.job) == {"FINISHED"}
    assert not held.folder.exists()


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_folder_names_that_every_system_takes(name: str) -> None:
    from blender_addon import framefiles

    safe = framefiles.safe_name(name)
    assert safe
    assert not set(safe) & set('/\\:*?"<>|\n\t')
    assert safe == safe.strip(" .")
    assert safe.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
    assert len(safe.encode()) <= 240


def test_names_of_newer_blenders_may_be_longer() -> None:
    from blender_addon import framefiles

    assert len(framefiles.safe_name("場" * 85).encode()) <= 240
    assert framefiles.safe_name("x" * 59 + " yz") == "x" * 59
