"""The hips' offset on which held feet stand, and the ground that skin tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from blender_addon.retarget import soles, stance

FPS = 24.0
T = 120


def drift(speed: float) -> np.ndarray:
    """A foot that slips along X, in metres a frame."""
    return np.stack([speed * np.arange(T), np.zeros(T)], 1)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_short_clips(frames: int) -> None:
    down = np.ones(frames, bool)
    path = np.full((frames, 2), 0.1)
    assert stance.over_ground([path, path], [down, down], FPS).shape == (frames, 2)
    np.testing.assert_allclose(stance.up_and_down([np.full(frames, 0.02)], [down], FPS), 0.02, rtol=1e-3)


def test_one_foot_that_slips_moves_the_hips_the_other_way() -> None:
    down = np.ones(T, bool)
    path = drift(0.0005)
    left = path + stance.over_ground([path, np.zeros((T, 2))], [down, ~down], FPS)
    assert np.ptp(path[:, 0]) > 0.05
    assert np.ptp(left, axis=0).max() < 0.0015


def test_two_feet_that_part_share_it() -> None:
    down = np.ones(T, bool)
    offset = stance.over_ground([drift(0.0002), drift(-0.0002)], [down, down], FPS)
    np.testing.assert_allclose(offset, 0.0, atol=1e-9)


def test_the_offset_is_smooth_and_goes_back_in_the_air() -> None:
    down = np.zeros(T, bool)
    down[20:50] = True
    offset = stance.over_ground([drift(0.001)], [down], FPS)
    assert np.abs(offset[90:]).max() < 0.002
    assert np.abs(np.diff(offset, 2, axis=0)).max() * FPS**2 < 2.0  # m/s^2


def test_a_long_walk_of_other_proportions_stays_near_its_path() -> None:
    """Each step asks for 7 mm more than the actor went: over 60 steps 42 cm, were nothing given back."""
    steps, length = 60, 12
    count = steps * length
    step = np.arange(count) // length
    downs = [step % 2 == 0, step % 2 == 1]
    slips = [
        np.stack([0.007 * (np.arange(count) % length) / length, np.zeros(count)], 1) * down[:, None] for down in downs
    ]
    offset = stance.over_ground(slips, downs, FPS)
    assert np.abs(offset).max() < 0.06
    for path, down in zip(slips, downs, strict=True):
        after = (path + offset)[:, 0]
        runs = [range(n * length, (n + 1) * length) for n in range(steps) if down[n * length]]
        assert max(np.ptp(after[list(run)]) for run in runs) < 0.008


def test_a_foot_rolls_from_heel_to_ball() -> None:
    places = np.zeros((6, 2, 3))
    places[:, 0, 0], places[:, 1, 0] = np.arange(6), 10.0 * np.arange(6)
    contact = np.array([[1, 0], [1, 0], [1, 1], [1, 1], [0, 1], [0, 0]], bool)
    np.testing.assert_allclose(stance.slip(places, contact)[:, 0], [0.0, 1.0, 2.0, 12.0, 22.0, 0.0])
    swapped = np.array([[1, 0], [0, 1], [0, 1], [0, 0], [0, 1], [0, 1]], bool)
    np.testing.assert_allclose(stance.slip(places, swapped)[:, 0], [0.0, 0.0, 10.0, 0.0, 0.0, 10.0])


def test_held_feet_bring_the_hips_to_the_ground_and_no_jerk() -> None:
    down = np.zeros(T, bool)
    down[30:60] = True
    height = np.where(down, -0.03, 0.0)
    offset = stance.up_and_down([height, np.zeros(T)], [down, ~np.ones(T, bool)], FPS)
    np.testing.assert_allclose(offset[35:55], -0.03, atol=0.002)
    assert np.abs(np.diff(offset, 2)).max() * FPS**2 < 1.0


def mesh(points: list[tuple[float, float, float]], modifiers: tuple[str, ...] = ("ARMATURE",)) -> Any:
    """What of a mesh object is read."""

    def foreach_get(_name: str, flat: np.ndarray) -> None:
        flat[:] = np.array(points, np.float32).ravel()

    count = len(points)
    vertices = type("Vertices", (), {"__len__": lambda _: count, "foreach_get": staticmethod(foreach_get)})()
    return SimpleNamespace(
        type="MESH", modifiers=[SimpleNamespace(type=each) for each in modifiers], matrix_world=np.eye(4),
        data=SimpleNamespace(vertices=vertices),
    )  # fmt: skip


FEET = np.array([[0.1, 0.0, 0.5], [0.1, 0.0, 0.08], [0.1, -0.15, 0.03]])


@pytest.mark.parametrize(
    ("skin", "ground"),
    [
        ([], 0.03),
        ([mesh([(0.1, -0.12, -0.01), (0.1, 0.0, 0.4)])], -0.01),
        ([mesh([(0.1, -0.12, -0.01)], modifiers=())], 0.03),  # nothing turns it
        ([mesh([(1.5, 0.0, -0.05)])], 0.03),  # a cloak's hem, a sword
        ([mesh([(0.1, -0.12, -0.9)])], 0.03),  # a pedestal
        ([mesh([])], 0.03),
    ],
)
def test_the_ground_is_where_the_skin_of_the_feet_ends(skin: list[Any], ground: float) -> None:
    armature = SimpleNamespace(children_recursive=skin, matrix_world=np.eye(4))
    assert soles.lowest(armature, np.eye(3), FEET) == pytest.approx(ground)
    assert soles.lowest(object(), np.eye(3), FEET) == pytest.approx(0.03)
