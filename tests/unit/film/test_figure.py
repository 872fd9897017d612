"""What the backend finds in a frame as lines in space, against a walker whose places are known."""

from __future__ import annotations

import numpy as np
import pytest

from blender_addon.film import figure
from tests.unit.pose.walker import walker
from wan_models.pose import engine, place
from wan_models.pose.clip import FrameFound
from wan_models.pose.estimator import Seen
from wan_models.pose.posefile import CameraPath

WIDTH, HEIGHT = 960, 540
HIPS = [23, 24]


def camera(*, orthographic: bool = False) -> CameraPath:
    """Two metres up, six before the walker, looking a little down and aside."""
    down, aside = np.radians(80.0), np.radians(10.0)
    turn_x = np.array([[1, 0, 0], [0, np.cos(down), -np.sin(down)], [0, np.sin(down), np.cos(down)]])
    turn_z = np.array([[np.cos(aside), -np.sin(aside), 0], [np.sin(aside), np.cos(aside), 0], [0, 0, 1]])
    world = np.eye(4)
    world[:3, :3], world[:3, 3] = turn_z @ turn_x, (1.2, -6.0, 2.0)
    inner = np.array([200.0, 200.0, 480.0, 270.0]) if orthographic else np.array([800.0, 800.0, 480.0, 270.0])
    kind = "orthographic" if orthographic else "perspective"
    return CameraPath(np.repeat(world[None], 12, 0), np.repeat(inner[None], 12, 0), kind)


def streamed(points: np.ndarray, path: CameraPath, at: int, hand: np.ndarray | None = None) -> bytes:
    """What the engine sends of the walker at a frame: as an estimator sees it that takes the hips for straight on."""
    pixels = place.to_picture(points, path)[at]
    axes = path.world_from_camera[at, :3, :3] * (1.0, -1.0, -1.0)
    local = (points[at] - points[at, HIPS].mean(axis=0)) @ axes
    view = place.facing(pixels[None, HIPS].mean(axis=1)[..., :2], CameraPath(
        path.world_from_camera[at : at + 1], path.intrinsics[at : at + 1], path.kind))[0]  # fmt: skip
    ones = np.ones((33, 1))
    seen = Seen(
        np.hstack([pixels, ones]).astype(np.float32),
        np.hstack([local @ view, ones]).astype(np.float32),
        left_hand=None if hand is None else (hand @ axes @ view).astype(np.float32),
    )
    return engine.packed(FrameFound(at, ((7, seen),)))


def view(path: CameraPath, at: int) -> figure.View:
    return figure.View(path.world_from_camera[at], path.intrinsics[at], path.kind == "orthographic")


def test_a_person_stands_where_the_known_camera_saw_them() -> None:
    points, path = walker(0.5, 24.0).points(), camera()
    for at in range(0, 12, 3):
        rows = figure.people(streamed(points, path, at))
        found, sure = figure.placed(rows, view(path, at), {})
        assert np.abs(found[0, :33] - points[at]).max() < 1e-3
        assert np.abs(found[0, figure.NECK] - points[at, [11, 12]].mean(axis=0)).max() < 1e-3
        assert (sure[0, :36] == 1.0).all()
        assert (sure[0, 36:] == 0.0).all()


def test_points_cover_the_film_exactly_when_the_distance_is_steadied() -> None:
    points, path = walker(0.5, 24.0).points(), camera()
    distances = {7: 9.0}  # metres: much too far
    found, _ = figure.placed(figure.people(streamed(points, path, 0)), view(path, 0), distances)
    shown = place.to_picture(np.repeat(found[:, :33], 12, 0), path)[0]
    assert np.abs(shown[:, :2] - place.to_picture(points, path)[0, :, :2]).max() < 0.05
    true = place.to_picture(points, path)[0, HIPS, 2].mean()
    assert true < distances[7] < 9.0
    for _ in range(40):
        figure.placed(figure.people(streamed(points, path, 0)), view(path, 0), distances)
    assert distances[7] == pytest.approx(true, rel=0.01)


def test_without_perspective_the_size_stays() -> None:
    points, path = walker(0.5, 24.0).points(), camera(orthographic=True)
    found, _ = figure.placed(figure.people(streamed(points, path, 4)), view(path, 4), {})
    apart = found[0, :33] - points[4]
    assert np.abs(apart - apart.mean(axis=0)).max() < 1e-3


def test_a_hand_hangs_on_its_wrist() -> None:
    points, path = walker(0.5, 24.0).points(), camera()
    hand = np.random.default_rng(1).normal(0.0, 0.05, (21, 3))
    found, sure = figure.placed(figure.people(streamed(points, path, 0, hand)), view(path, 0), {})
    left = found[0, figure.LEFT : figure.LEFT + 21]
    assert np.abs(left - (points[0, 15] + hand - hand[0])).max() < 2e-3
    assert (sure[0, figure.LEFT : figure.RIGHT] == 1.0).all()
    assert np.isnan(found[0, figure.RIGHT :]).all()
    lines, _ = figure.bones(found, sure)
    assert len(lines) == 2 * (21 + 21)


def test_a_guessed_camera_puts_the_person_upright_at_the_origin_that_is_given() -> None:
    points = walker(0.5, 24.0).points()
    path = place.guessed(WIDTH, HEIGHT, 12)
    shifted = points + np.array([0.3, 5.0, -0.9])
    own = figure.guessed(WIDTH, HEIGHT)
    assert np.allclose(own.intrinsics, path.intrinsics[0])
    assert np.allclose(own.world_from_camera, path.world_from_camera[0])
    found, sure = figure.placed(figure.people(streamed(shifted, path, 0)), own, {})
    there = found + figure.standing(found, sure, np.array([2.0, 1.0, 0.5]))
    assert there[0, figure.HIPS, :2] == pytest.approx([2.0, 1.0])
    assert there[0, 27:33, 2].min() == pytest.approx(0.5)
    assert there[0, 0, 2] - there[0, 27:33, 2].min() == pytest.approx(np.ptp(points[0, :, 2]), abs=0.15)
    assert there[0, 11, 0] > there[0, 12, 0], "the left is at +X of who faces -Y"


def test_colours_tell_how_sure_and_what_is_not_known_is_left_out() -> None:
    points, path = walker(0.5, 24.0).points(), camera()
    found, sure = figure.placed(figure.people(streamed(points, path, 0)), view(path, 0), {})
    sure[0, 15] = 0.05  # the left wrist
    sure[0, 16] = 0.5
    places, shades = figure.bones(found, sure)
    assert len(places) == len(shades) == 2 * (21 - 1)
    marks, _ = figure.joints(found, sure)
    assert len(marks) == 6 * (len(figure.JOINTS) - 1)
    red, yellow, green = figure.colours(np.array([0.0, 0.5, 1.0]))
    assert red[0] > 2 * red[1]
    assert yellow[:2].min() > 2 * yellow[2]
    assert green[1] > 2 * green[0]
    assert red[3] < yellow[3] < green[3] == 1.0
    assert figure.colours(np.ones(2), 0.5)[0, 3] == 0.5
    assert figure.bones(found, sure)[0].dtype == figure.joints(found, sure)[1].dtype == np.float32


def test_a_frame_without_anybody_and_half_a_person() -> None:
    rows = figure.people(b"")
    found, sure = figure.placed(rows, figure.guessed(WIDTH, HEIGHT), {})
    assert found.shape == (0, figure.POINTS, 3)
    assert len(figure.bones(found, sure)[0]) == len(figure.joints(found, sure)[0]) == 0
    assert len(figure.people(b"\0" * (4 * figure.COLUMNS + 100))) == 1
    assert figure.COLUMNS == engine.COLUMNS
