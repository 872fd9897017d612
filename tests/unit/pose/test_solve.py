"""Landmarks of a known skeleton give back its bones; feet that stand are held; noise and gaps are borne."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.pose.walker import direction_errors, walker
from wan_models.pose import filters, place, turns
from wan_models.pose.contacts import ContactSettings, Ground, feet, find_contacts, lock, settle, slides, two_bones
from wan_models.pose.joints import INDEX, PARENTS, typical
from wan_models.pose.limits import SOFT, limit_fold, soften
from wan_models.pose.solve import F64, Solved, hand_points, measure, solve

SETTINGS = ContactSettings()


def seen_hands(truth: Solved) -> dict[str, F64]:
    return {side: (found := hand_points(truth, side)) - found[:, :1] for side in ("left", "right")}


def solved(truth: Solved, noise: float = 0.0, fps: float = 30.0) -> Solved:
    """What comes of the true landmarks, with ``noise`` metres on each."""
    points = truth.points()
    if noise:
        points = points + np.random.default_rng(0).normal(0, noise, points.shape)
        points = filters.zero_phase(points, fps, 6.0)
    hands = seen_hands(truth)
    return solve(points, measure(points, np.ones(points.shape[:2]), hands), hands)


def held(body: Solved, fps: float) -> tuple[Solved, np.ndarray]:
    ground = Ground(0.0, body.lengths.height, fps)
    contact = find_contacts(feet(body), ground, SETTINGS)
    body.root = body.root + settle(feet(body), contact, ground)
    return lock(body, contact, ground, SETTINGS), contact


@pytest.mark.parametrize("fps", [24.0, 30.0, 60.0])
def test_true_landmarks_give_the_true_bones_and_feet_that_stand(fps: float) -> None:
    truth = walker(3.0, fps, heading=0.7)
    found = solved(truth)
    errors = direction_errors(truth, found)
    assert max(float(each.max()) for each in errors.values()) < 0.05
    body, contact = held(found, fps)
    assert contact.mean() > 0.4
    assert slides(feet(body), contact).max() < 0.01
    assert feet(body)[..., 2].min() > -1e-6
    locked = direction_errors(truth, body)
    assert max(float(each.mean()) for each in locked.values()) < 0.5


def test_bone_lengths_are_constant_and_the_same_on_both_sides() -> None:
    body, _ = held(solved(walker(1.5, 30.0), noise=0.01), 30.0)
    positions = body.positions()
    for joint, parent in enumerate(PARENTS):
        if parent >= 0:
            lengths = np.linalg.norm(positions[:, joint] - positions[:, parent], axis=1)
            np.testing.assert_allclose(lengths, np.linalg.norm(body.rest[joint] - body.rest[parent]), atol=1e-9)
    np.testing.assert_allclose(body.rest[INDEX["leftFoot"]] * (-1, 1, 1), body.rest[INDEX["rightFoot"]])


def test_noise_is_borne() -> None:
    truth = walker(3.0, 30.0)
    body, contact = held(solved(truth, noise=0.015), 30.0)
    errors = direction_errors(truth, body)
    assert float(np.mean([each.mean() for name, each in errors.items() if "Leg" in name or "Arm" in name])) < 6.0
    assert contact.mean() > 0.3
    assert slides(feet(body), contact).max() < 0.01
    assert body.lengths.upper_leg == pytest.approx(truth.lengths.upper_leg, rel=0.05)


def test_a_known_camera_puts_the_root_where_it_was() -> None:
    truth = walker(2.0, 24.0)
    count = len(truth.root)
    camera = place.guessed(1280, 720, count)
    camera.world_from_camera[:, :3, 3] = (0.5, -6.0, 1.4)
    camera.world_from_camera[:, :3, :3] = (
        turns.about(np.array([1.0, 0, 0]), np.array(-0.1)) @ camera.world_from_camera[:, :3, :3]
    )
    pixels = place.to_picture(truth.points(), camera)
    marks = np.concatenate([pixels[..., :2], np.zeros((*pixels.shape[:2], 1)), np.ones((*pixels.shape[:2], 1))], axis=2)
    body = solved(truth)
    offsets = body.points() - body.root[:, None]
    root = place.place_root(offsets, marks, camera, 24.0, None)
    assert np.abs(root - truth.root).max() < 0.002
    half = place.place_root(offsets * 0.5, marks, camera, 24.0, None)
    standing = (half[:, None] + 0.5 * (feet(body) - body.root[:, None]))[:, 0]
    lowest = feet(body)[:, 0, 2] < 0.001
    part = place.CameraPath(camera.world_from_camera[lowest], camera.intrinsics[lowest])
    assert place.ground_scale(standing[lowest], part) == pytest.approx(2.0, rel=0.01)


def test_a_picture_relative_pose_is_turned_to_where_the_person_is() -> None:
    camera = place.guessed(1000, 500, 1)
    view = place.facing(np.array([[1000.0, 250.0]]), camera)
    forward = place.to_world(np.array([[[0.0, 0.0, 1.0]]]), camera, view)[0, 0]
    np.testing.assert_allclose(forward, [np.sin(np.radians(25)), np.cos(np.radians(25)), 0.0], atol=1e-9)


def test_the_ground_is_levelled_by_the_feet() -> None:
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-3, 3, (200, 2)), np.zeros(200)])
    tilted = points @ turns.about(np.array([1.0, 0, 0]), np.array(0.1)).T + np.array([0, 0, -1.3])
    turn = place.level([tilted, tilted + np.array([0, 0, 2.0])])
    assert np.ptp((tilted @ turn.T)[:, 2]) < 0.03
    one_place = np.array([[0.0, 5.0, -1.0], [0.0, 5.01, -1.01]])
    assert np.abs(place.level([one_place]) - np.eye(3)).max() < 0.01


def test_a_straight_limb_keeps_its_bend_plane() -> None:
    """The knee straightens and bends again: the thigh does not spin in between."""
    truth = walker(1.0, 30.0)
    points = truth.points()
    hip, ankle = points[:, 23], points[:, 27]
    away = np.abs(np.linspace(-1, 1, len(points)))[:, None]
    points[:, 25] = away * points[:, 25] + (1 - away) * (hip + ankle) / 2
    body = solve(points, truth.lengths)
    across = body.turns[:, INDEX["leftUpperLeg"]][:, :, 0]
    assert float((across * truth.turns[:, INDEX["leftUpperLeg"]][:, :, 0]).sum(-1).min()) > 0.95
    assert np.degrees(np.arccos(np.clip((across[1:] * across[:-1]).sum(-1), -1, 1))).max() < 10


def test_a_knee_does_not_bend_backwards() -> None:
    axis = np.array([[1.0, 0.0, 0.0]])
    thigh = np.array([[0.0, 0.0, -1.0]])
    wrong = turns.apply(turns.about(axis, np.array([-0.3])), thigh)
    np.testing.assert_allclose(limit_fold(thigh, wrong, axis, "knee"), thigh, atol=1e-9)
    right = turns.apply(turns.about(axis, np.array([1.0])), thigh)
    np.testing.assert_array_equal(limit_fold(thigh, right, axis, "knee"), right)
    assert 1.0 < float(soften(np.array(5.0), 0.0, 1.0)) <= 1.0 + SOFT


def test_two_bones_reach_or_stretch() -> None:
    start, axis = np.zeros((2, 3)), np.repeat([[1.0, 0, 0]], 2, 0)
    knee, end = two_bones(start, np.array([[0, 0, -0.6], [0, 0, -5.0]]), (0.4, 0.4), axis)
    np.testing.assert_allclose(end[0], [0, 0, -0.6], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(knee, axis=1), 0.4, atol=1e-6)
    assert knee[0, 1] < -0.2  # forward
    np.testing.assert_allclose(end[1], [0, 0, -0.8], atol=1e-3)


def test_lengths_of_what_is_never_seen_are_usual_ones() -> None:
    truth = walker(0.5, 30.0, typical(1.9))
    lengths = measure(truth.points(), np.zeros((15, 33)))
    assert lengths.height == pytest.approx(1.9, rel=0.02)
    assert lengths.hand == 1.0
