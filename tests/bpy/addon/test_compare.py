"""Wipe and difference, by the pixels that Cycles renders, and a material that is as it was afterwards."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

sys.path.insert(0, str(Path(__file__).resolve().parent))
import made  # noqa: E402

RED, BLUE = (200, 40, 40), (40, 40, 200)


@pytest.fixture
def two(shot: Any) -> Any:
    """A red take and a blue one; the blue one changes with time."""
    shot.view_settings.view_transform = "Standard"
    made.finished(shot, "a", pictures=[made.flat(*RED)] * 4)
    made.finished(shot, "b", pictures=[made.flat(40, 40, 200 - 40 * at) for at in range(4)], seed=2)
    shot.render.engine = "CYCLES"
    shot.cycles.samples, shot.cycles.use_denoising, shot.cycles.pixel_filter_type = 1, False, "BOX"
    shot.render.resolution_x, shot.render.resolution_y = 128, 64
    return shot


def rendered(scene: Any, frame: int, folder: Path) -> np.ndarray:
    """uint8 (64,128,3), rows from the top."""
    path = folder / "view.png"
    scene.frame_set(frame)
    scene.render.filepath, scene.render.image_settings.color_mode = str(path), "RGB"
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    found = np.empty(64 * 128 * 4, np.float32)
    image.pixels.foreach_get(found)
    bpy.data.images.remove(image)
    return np.rint(found.reshape(64, 128, 4)[::-1, :, :3] * 255).astype(np.uint8)


def material_of(job: str) -> dict[str, Any]:
    """All that a comparison could leave behind."""
    from blender_addon import playback

    tree = playback.find_plane(job * 32).data.materials[0].node_tree
    return {
        "nodes": sorted(node.name for node in tree.nodes),
        "links": sorted((link.from_node.name, link.from_socket.name, link.to_node.name, link.to_socket.name)
                        for link in tree.links),
        "drivers": sorted(curve.data_path for curve in tree.animation_data.drivers),
        "active": tree.nodes.active.name,
        "images": sorted((image.name, image.users) for image in bpy.data.images if image.source == "SEQUENCE"),
    }  # fmt: skip


def near(found: np.ndarray, wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(found.astype(int).reshape(-1, 3).mean(0) - wanted).max() <= 2)


def test_wipe_and_back(two: Any, tmp_path: Path) -> None:
    before = {job: material_of(job) for job in "ab"}
    assert bpy.ops.wanstage.compare_takes(job_id="a" * 32, second="b" * 32) == {"FINISHED"}
    asked = two.wanstage.compare
    asked.wipe = 0.25
    shown = rendered(two, 1, tmp_path)
    assert near(shown[:, 2:29], RED)
    assert near(shown[:, 35:126], BLUE)
    asked.wipe = 0.75
    shown = rendered(two, 3, tmp_path)
    assert near(shown[:, 2:93], RED)
    assert near(shown[:, 99:126], (40, 40, 120)), "B plays in time"
    assert bpy.ops.wanstage.end_compare() == {"FINISHED"}
    assert {job: material_of(job) for job in "ab"} == before
    assert near(rendered(two, 1, tmp_path)[2:-2, 2:-2], RED)


def test_difference(two: Any, tmp_path: Path) -> None:
    bpy.ops.wanstage.compare_takes(job_id="a" * 32, second="b" * 32)
    asked = two.wanstage.compare
    asked.mode, asked.gain = "difference", 1.0
    shown = rendered(two, 1, tmp_path)[2:-2, 2:-2]

    def linear(value: int) -> float:
        return ((value / 255 + 0.055) / 1.055) ** 2.4

    wanted = 255 * (1.055 * (linear(200) - linear(40)) ** (1 / 2.4) - 0.055)
    assert near(shown, (round(wanted), 0, round(wanted)))
    asked.mode = "wipe"
    asked.wipe = 1.0
    assert near(rendered(two, 1, tmp_path)[2:-2, 2:-2], RED)


@pytest.mark.parametrize("end", ["show_take", "remove_take"])
def test_showing_or_removing_one_ends_it(two: Any, end: str) -> None:
    before = material_of("a")
    bpy.ops.wanstage.compare_takes(job_id="a" * 32, second="b" * 32)
    assert getattr(bpy.ops.wanstage, end)(job_id="b" * 32) == {"FINISHED"}
    assert two.wanstage.compare.first == ""
    after = material_of("a")
    for kind in ("nodes", "links", "drivers", "active"):
        assert after[kind] == before[kind]


def test_undo_and_redo(two: Any) -> None:
    from blender_addon import compare

    before = material_of("a")
    bpy.ops.ed.undo_push(message="Takes")
    bpy.ops.wanstage.compare_takes("EXEC_DEFAULT", True, job_id="a" * 32, second="b" * 32)
    bpy.ops.ed.undo()
    assert material_of("a") == before
    assert bpy.context.scene.wanstage.compare.first == ""
    bpy.ops.ed.redo()
    assert compare.MIX in material_of("a")["nodes"]
    bpy.ops.wanstage.end_compare()
    assert material_of("a") == before


def test_changing_b_starts_from_a_clean_material(two: Any) -> None:
    made.finished(two, "c", seed=3)
    before = material_of("a")
    for other in "bc":
        bpy.ops.wanstage.compare_takes(job_id="a" * 32, second=other * 32)
    assert len(material_of("a")["nodes"]) == len(before["nodes"]) + 6
    bpy.ops.wanstage.end_compare()
    after = material_of("a")
    assert (after["nodes"], after["links"], after["drivers"]) == (before["nodes"], before["links"], before["drivers"])


def test_it_survives_a_reload(two: Any, tmp_path: Path) -> None:
    bpy.ops.wanstage.compare_takes(job_id="a" * 32, second="b" * 32)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene = bpy.context.scene
    scene.wanstage.compare.wipe = 0.0
    assert near(rendered(scene, 1, tmp_path)[2:-2, 2:-2], BLUE)
    bpy.ops.wanstage.end_compare()
    assert near(rendered(scene, 1, tmp_path)[2:-2, 2:-2], RED)
