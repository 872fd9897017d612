"""Left and right, front and back: what is mistaken is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.unit.pose.filmed import camera_of, clip_of, seen_of, track_of
from tests.unit.pose.walker import direction_errors, turned, walker
from wan_models.pose import sides, turns
from wan_models.pose.build import PoseOptions, build
from wan_models.pose.estimator import Seen
from wan_models.pose.joints import INDEX, MP
from wan_models.pose.solve import F64, Solved

FPS = 24.0


def landmarks_of(truth: Solved) -> F64:
    return np.stack([each.landmarks for each in seen_of(truth, camera_of(len(truth.root)))]).astype(float)


def test_frames_with_the_sides_the_wrong_way_round_are_found() -> None:
    marks = landmarks_of(walker(2.0, FPS, heading=0.3))
    wrong = np.zeros(len(marks), bool)
    wrong[[0, 12, 13, 14, 30, 47]] = True
    marks[wrong] = marks[wrong][:, sides.MIRRORED]
    np.testing.assert_array_equal(sides.mistaken(marks), wrong)


def test_somebody_who_turns_round_is_not_mistaken() -> None:
    truth = walker(2.0, FPS)
    spun = [turned(truth, angle) for angle in np.linspace(0, 2 * np.pi, len(truth.root))]
    marks = np.stack([landmarks_of(each)[frame] for frame, each in enumerate(spun)])
    assert not sides.mistaken(marks).any()
    assert not sides.mistaken(marks[:1]).any()


@pytest.mark.parametrize("limbs", [sides.LEGS, sides.ARMS])
def test_legs_or_arms_alone_are_put_right(limbs: tuple[int, ...]) -> None:
    truth = walker(1.5, FPS, heading=1.2)
    camera = camera_of(len(truth.root))
    marks = landmarks_of(truth)
    crossed = marks.copy()
    frames = np.zeros(len(marks), bool)
    frames[14:18] = True
    sides.swap(crossed, frames, limbs)
    assert np.abs(crossed - marks).max() > 10
    good = seen_of(truth, camera)
    bad = [replace(each, landmarks=row.astype(np.float32)) for each, row in zip(good, crossed, strict=True)]
    for each, frame in zip(bad, frames, strict=True):
        sides.swap(each.world[None], np.array([frame]), limbs)
    options = PoseOptions(camera=camera)
    one, other = (build(clip_of(len(each), FPS), [track_of(each)], options).people[0]
                  for each in (seen_of(truth, camera), bad))  # fmt: skip
    np.testing.assert_allclose(one.position, other.position, atol=0.05)


def test_points_mirror_twice_to_themselves() -> None:
    np.testing.assert_array_equal(sides.MIRRORED[sides.MIRRORED], np.arange(33))
    assert sides.MIRRORED[MP["leftHeel"]] == MP["rightHeel"]


def test_a_film_with_mistaken_frames_gives_the_pose_of_one_without() -> None:
    truth = walker(1.5, FPS, heading=0.3)
    camera = camera_of(len(truth.root))
    good = seen_of(truth, camera)
    bad = [
        Seen(each.landmarks[sides.MIRRORED], each.world[sides.MIRRORED]) if i in range(12, 16) else each
        for i, each in enumerate(good)
    ]
    options = PoseOptions(camera=camera)
    one, other = (build(clip_of(len(each), FPS), [track_of(each)], options).people[0] for each in (good, bad))
    np.testing.assert_allclose(one.position, other.position, atol=1e-4)


def test_feet_that_point_backwards_are_turned_round() -> None:
    truth = walker(1.0, FPS)
    right = np.stack([each.world for each in seen_of(truth, camera_of(len(truth.root)))]).astype(float)
    np.testing.assert_array_equal(sides.backward_feet(right), right)
    wrong = right.copy()
    ankle = wrong[5:9, MP["leftAnkle"], 2]
    for part in ("leftHeel", "leftToe"):
        wrong[5:9, MP[part], 2] = 2 * ankle - wrong[5:9, MP[part], 2]
    np.testing.assert_allclose(sides.backward_feet(wrong), right, atol=1e-6)


def test_walker_turns_as_asked() -> None:
    """The filmed walker is the walker, turned."""
    truth = walker(0.5, FPS)
    errors = direction_errors(walker(0.5, FPS, heading=1.0), turned(truth, 1.0))
    assert max(float(each.max()) for each in errors.values()) < 1e-3
    assert turns.unit(truth.turns[0, INDEX["hips"]][:, 0])[2] < 0.1
