"""What the model made is what is seen: a plane of 256 colours under every view transform, rendered."""

from __future__ import annotations

import ast
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

SIDE, BLOCK = 16, 4
# The largest error of a channel in colours whose channels are at most 64, and at most 255, apart. These are facts of
# Blender's OCIO configurations: see blender_addon/colors.py.
ERRORS = {
    "Standard": (1, 1),
    "Raw": (1, 1),
    "ACES 2.0": (1, 1),
    "ACES 1.3": (1, 140),
    "Filmic": (1, 20),
    "Filmic Log": (1, 80),
    "AgX": (25, 215),
    "Khronos PBR Neutral": (30, 75),
}


def chart() -> np.ndarray:
    """uint8 (64,64,3): 216 colours of the whole cube and 40 greys, in blocks."""
    steps = (0, 32, 64, 128, 192, 255)
    colors = [*itertools.product(steps, steps, steps), *((grey,) * 3 for grey in range(20, 256, 6))][: SIDE * SIDE]
    blocks = np.array(colors, np.uint8).reshape(SIDE, SIDE, 3)
    return blocks.repeat(BLOCK, 0).repeat(BLOCK, 1)


def write_png(path: Path, picture: np.ndarray) -> None:
    """By Blender itself: the bytes as they are."""
    height, width, _ = picture.shape
    image = bpy.data.images.new("chart", width, height, alpha=False)
    pixels = np.ones((height, width, 4), np.float32)
    pixels[..., :3] = picture[::-1] / np.float32(255)
    image.pixels.foreach_set(pixels.ravel())
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)


def read_png(path: Path) -> np.ndarray:
    """uint8 (h,w,3)."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * 4, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return np.rint(pixels.reshape(height, width, 4)[::-1, :, :3] * 255).astype(np.uint8)


def views(scene: Any) -> tuple[str, ...]:
    """The view transforms of this Blender."""
    with pytest.raises(TypeError) as caught:
        scene.view_settings.view_transform = "?"
    return ast.literal_eval(str(caught.value).rpartition(" in ")[2])


@pytest.fixture
def charted(shot: Any, tmp_path: Path) -> tuple[Any, Any, np.ndarray]:
    """The scene, a finished take of nine frames of the chart on its plane, and the chart."""
    from blender_addon import takes

    picture = chart()
    for index in range(1, 10):
        write_png(tmp_path / f"frame_{index:04d}.png", picture)
    render = shot.render
    render.resolution_x = render.resolution_y = SIDE * BLOCK
    render.resolution_percentage, render.dither_intensity = 100, 0.0
    render.image_settings.file_format = "PNG"
    shot.camera.data.type = "ORTHO"
    take = shot.wanstage.takes.add()
    values = {"job_id": "c" * 32, "width": 64, "height": 64, "frames": 9, "fps": 16.0, "frame_start": 1.0,
              "camera": shot.camera.name, "frames_dir": str(tmp_path), "state": "finished"}  # fmt: skip
    for name, value in values.items():
        setattr(take, name, value)
    takes.relink(shot, take)
    return shot, take, picture


def engine(scene: Any, name: str) -> None:
    """Cycles, Workbench or EEVEE, as fast and as exact as they can be."""
    scene.render.engine = name
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.pixel_filter_type = 1, False, "BOX"
    scene.cycles.filter_width = 1.0
    scene.display.shading.light, scene.display.shading.color_type, scene.display.render_aa = "FLAT", "TEXTURE", "OFF"
    scene.eevee.taa_render_samples = 1


def rendered(scene: Any, folder: Path) -> np.ndarray:
    scene.render.filepath = str(folder / "render.png")
    bpy.ops.render.render(write_still=True)
    return read_png(folder / "render.png")


def errors(seen: np.ndarray, made: np.ndarray) -> tuple[int, int]:
    """Largest error in colours whose channels are at most 64 apart, and in all; the middles of the blocks."""
    seen, made = (each[2::BLOCK, 2::BLOCK].astype(int) for each in (seen, made))
    wrong = np.abs(seen - made).max(-1)
    return int(wrong[np.ptp(made, axis=-1) <= 64].max()), int(wrong.max())


EEVEE = "BLENDER_EEVEE" if bpy.app.version >= (5, 0, 0) else "BLENDER_EEVEE_NEXT"
SLOW = pytest.mark.skipif(
    not os.environ.get("WANSTAGE_EEVEE"), reason="EEVEE compiles shaders for minutes on a CPU: set WANSTAGE_EEVEE=1"
)


@pytest.mark.parametrize("name", ["CYCLES", "BLENDER_WORKBENCH", pytest.param(EEVEE, marks=SLOW)])
def test_every_view(charted: Any, tmp_path: Path, name: str) -> None:
    from blender_addon import colors

    scene, _, made = charted
    engine(scene, name)
    found = {}
    for view in views(scene):
        scene.view_settings.view_transform = view
        bpy.context.view_layer.update()  # as in a window: the handler sees the change
        found[view] = errors(rendered(scene, tmp_path), made)
        if view == "False Color":
            assert colors.note(scene) == "The False Color view changes the colours of takes"
            continue
        assert all(np.less_equal(found[view], ERRORS[view])), (view, found[view])
        assert bool(colors.note(scene)) == (ERRORS[view][1] > 1), view
    print(bpy.app.version_string, name, found)  # noqa: T201


def test_exposure_is_undone_and_the_rest_is_said(charted: Any, tmp_path: Path) -> None:
    from blender_addon import colors

    scene, _, made = charted
    engine(scene, "CYCLES")
    scene.view_settings.view_transform, scene.view_settings.exposure = "Filmic", 1.5
    bpy.context.view_layer.update()
    assert errors(rendered(scene, tmp_path), made)[0] <= 1
    scene.view_settings.gamma = 1.4
    assert colors.note(scene) == "Gamma 1.40 changes the colours of takes"
    assert bpy.ops.wanstage.standard_view() == {"FINISHED"}
    assert colors.note(scene) == ""
    bpy.context.view_layer.update()
    assert errors(rendered(scene, tmp_path), made)[1] <= 1


def test_solid_shading_has_pictures_of_its_own(charted: Any) -> None:
    from blender_addon import playback

    scene, take, _ = charted
    scene.render.engine, scene.view_settings.view_transform = "CYCLES", "Filmic"
    bpy.context.view_layer.update()
    plane = playback.find_plane(take.job_id)
    tree = plane.data.materials[0].node_tree
    spaces = [node.image.colorspace_settings.name for node in playback.picture_nodes(plane)]
    assert spaces == ["Filmic sRGB", "sRGB"]
    assert tree.nodes.active == tree.nodes[playback.SOLID]
    scene.frame_set(5)
    evaluated = tree.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert [evaluated.nodes[name].image_user.frame_offset for name in (playback.NODE, playback.SOLID)] == [4, 4]
    scene.view_settings.view_transform = "Standard"
    bpy.context.view_layer.update()
    assert tree.nodes.active == tree.nodes[playback.NODE]
    assert [node.image.colorspace_settings.name for node in playback.picture_nodes(plane)] == ["sRGB", "sRGB"]
    assert bpy.ops.wanstage.remove_take(job_id=take.job_id) == {"FINISHED"}
    assert [image for image in bpy.data.images if image.source == "SEQUENCE"] == []
