"""The figure as pixels: Blender 5.2 can draw without a window, where the machine has OpenGL (by software will do)."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

import gpu  # noqa: E402
from mathutils import Matrix  # noqa: E402

WIDTH, HEIGHT = 320, 180


@pytest.fixture
def screen(addon: Any) -> Iterator[Any]:
    """An offscreen to draw in."""
    if not hasattr(gpu, "init"):
        pytest.skip("this Blender draws in windows alone")
    try:
        gpu.init()
    except SystemError as error:
        pytest.skip(f"no OpenGL here: {error}")
    made = gpu.types.GPUOffScreen(WIDTH, HEIGHT)
    yield made
    made.free()


def pixels(screen: Any, draw: Any) -> np.ndarray:
    """What a function draws over black, in a view of 3.2 by 1.8 metres from the front; (h,w,4), from below."""
    with screen.bind(), gpu.matrix.push_pop(), gpu.matrix.push_pop_projection():
        frame = gpu.state.active_framebuffer_get()
        frame.clear(color=(0, 0, 0, 1))
        gpu.matrix.load_matrix(Matrix(((1, 0, 0, 0), (0, 0, 1, 0), (0, -1, 0, 0), (0, 0, 0, 1))))
        gpu.matrix.load_projection_matrix(Matrix.Diagonal((1 / 1.6, 1 / 0.9, -0.1, 1.0)))
        draw()
        read = frame.read_color(0, 0, WIDTH, HEIGHT, 4, 0, "UBYTE")
    read.dimensions = WIDTH * HEIGHT * 4
    return np.array(read, np.uint8).reshape(HEIGHT, WIDTH, 4)


def test_lines_are_where_the_person_is_in_the_colours_of_how_sure(screen: Any) -> None:
    from blender_addon.film import figure, live

    points, sure = np.full((1, figure.POINTS, 3), np.nan), np.zeros((1, figure.POINTS))
    places = {11: (0.3, 0.0, 0.5), 13: (0.9, 0.0, 0.5), 12: (-0.3, 0.0, 0.5), 14: (-0.9, 0.0, 0.5)}
    for at, place in places.items():
        points[0, at], sure[0, at] = place, 1.0
    sure[0, 14] = sure[0, 12] = 0.2  # the right arm is hardly seen
    made = [live._batch(*part) for part in (figure.bones(points, sure), figure.joints(points, sure))]
    before = gpu.state.depth_test_get()

    def draw() -> None:
        for batch, width in zip(made, (live.BONE_PX, live.JOINT_PX), strict=True):
            live._draw(batch, width, SimpleNamespace(width=WIDTH, height=HEIGHT))

    seen = pixels(screen, draw).astype(int)
    row = round((0.5 / 1.8 + 0.5) * HEIGHT)
    left, right = (seen[row - 2 : row + 3, round((x / 3.2 + 0.5) * WIDTH)].max(axis=0) for x in (0.6, -0.6))
    assert left[1] > 150 > left[0], "green"
    assert right[0] > 60
    assert right[0] > 1.3 * right[1], "red, and pale"
    assert seen[: row - 12, :, :3].max() == 0, "nothing below"
    assert gpu.state.depth_test_get() == before
    live._draw(None, 1.0, SimpleNamespace(width=WIDTH, height=HEIGHT))
    assert live._batch(*figure.bones(points[:0], sure[:0])) is None
