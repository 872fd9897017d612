"""Joints go where the picture shows them, whatever the estimator thinks of their depth; heads go with faces."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.unit.pose.filmed import camera_of, clip_of, seen_of, track_of
from tests.unit.pose.walker import direction_errors, walker
from wan_models.pose import fit as fitting
from wan_models.pose import place, turns
from wan_models.pose.build import PoseOptions, build
from wan_models.pose.estimator import Seen
from wan_models.pose.filters import Smoothing
from wan_models.pose.joints import INDEX
from wan_models.pose.posefile import CameraPath, PoseFile
from wan_models.pose.solve import F64, Solved

FPS = 24.0
LIMBS = ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")


@pytest.fixture(scope="module")
def truth() -> Solved:
    return walker(2.0, FPS)


def wrong_depths(count: int) -> F64:
    """Metres, slow and different for each point, as an estimator errs."""
    rng = np.random.default_rng(3)
    times = np.arange(count)[:, None] / FPS
    return 0.08 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8, 33) * times + rng.uniform(0, 6, 33))


def posed(seen: list[Seen], camera: CameraPath, **changes: Any) -> PoseFile:
    options = PoseOptions(camera=camera, **{"hold_feet": False, "smoothing": None, **changes})
    return build(clip_of(len(seen), FPS), [track_of(seen)], options)


def as_solved(pose: PoseFile) -> Solved:
    person = pose.people[0]
    rotation = np.asarray(turns.matrices(person.rotation), np.float64)
    return Solved(None, np.asarray(person.rest, float), rotation, np.asarray(person.root, float))  # type: ignore[arg-type]


def off_picture(pose: PoseFile, truth: Solved, camera: CameraPath) -> float:
    """Mean distance of the limbs' joints in the picture, as a part of the body's height there."""
    marks = [INDEX[side + limb] for side in ("left", "right") for limb in LIMBS]
    shown = place.to_picture(np.asarray(pose.people[0].position, float), camera)[:, marks, :2]
    meant = place.to_picture(truth.positions(), camera)[:, marks, :2]
    height = np.ptp(place.to_picture(truth.points(), camera)[..., 1], axis=1)
    return float((np.linalg.norm(shown - meant, axis=-1) / height[:, None]).mean())


def test_joints_are_where_the_picture_shows_them(truth: Solved) -> None:
    count = len(truth.root)
    camera = camera_of(count)
    pose = posed(seen_of(truth, camera, wrong_depths(count)), camera, height=1.7)
    assert off_picture(pose, truth, camera) < 0.008


def test_depths_that_are_wrong_turn_limbs_less(truth: Solved) -> None:
    """Of a camera that sees the person from the side of the walk."""
    from wan_models.pose.solve import measure, solve

    count = len(truth.root)
    camera, depth = camera_of(count), wrong_depths(count)
    seen = seen_of(truth, camera, depth)
    local = np.stack([each.world[:, :3] for each in seen]).astype(float)
    points = place.to_world(local, camera)
    plain = solve(points, measure(points, np.ones(points.shape[:2])))
    fitted = as_solved(posed(seen, camera, height=1.7))
    bones = [f"{side}{a}>{side}{b}" for side in ("left", "right") for a, b in pairwise(LIMBS)
             if b != "UpperLeg"]  # fmt: skip
    before, after = (
        np.mean([direction_errors(truth, each)[bone].mean() for bone in bones]) for each in (plain, fitted)
    )
    assert before > 8
    assert after < 0.8 * before


def test_true_points_stay_true(truth: Solved) -> None:
    camera = camera_of(len(truth.root))
    found = as_solved(posed(seen_of(truth, camera), camera))
    errors = direction_errors(truth, found)
    body = [each for bone, each in errors.items() if not bone.endswith(("Proximal", "Intermediate", "Distal"))]
    assert max(float(each.max()) for each in body) < 0.5


@pytest.mark.parametrize("kind", ["perspective", "orthographic"])
def test_bones_keep_their_lengths(truth: Solved, kind: str) -> None:
    count = len(truth.root)
    camera = camera_of(count)
    seen = seen_of(truth, camera, wrong_depths(count))
    if kind == "orthographic":
        local = place.from_world(truth.points() - camera.world_from_camera[:, None, :3, 3], camera)
        inner = np.repeat([[100.0, 100.0, 320.0, 240.0]], count, 0)
        camera = replace(camera, kind=kind, intrinsics=inner)
        flat = 100.0 * local[..., :2] + (320.0, 240.0)
        seen = [
            replace(each, landmarks=np.column_stack([xy, each.landmarks[:, 2:]]).astype(np.float32))
            for each, xy in zip(seen, flat, strict=True)
        ]
    person = posed(seen, camera).people[0]
    for joint, parent in ((INDEX["leftLowerArm"], INDEX["leftUpperArm"]), (INDEX["rightFoot"], INDEX["rightLowerLeg"])):
        lengths = np.linalg.norm(person.position[:, joint] - person.position[:, parent], axis=1)
        assert np.ptp(lengths) < 1e-4
    ratio = np.linalg.norm(person.rest[INDEX["leftHand"]] - person.rest[INDEX["leftLowerArm"]])
    assert 0.2 < ratio < 0.35


def test_feet_that_stand_move_a_body_along_the_view(truth: Solved) -> None:
    """Holding feet on the ground keeps the body where the picture shows it."""
    count = len(truth.root)
    camera = camera_of(count)
    seen = seen_of(truth, camera, wrong_depths(count))
    free, held = (posed(seen, camera, height=1.7, hold_feet=hold, smoothing=Smoothing()) for hold in (False, True))
    assert held.people[0].contact.mean() > 0.1
    assert off_picture(held, truth, camera) < off_picture(free, truth, camera) + 0.01


def faced(seen: list[Seen], truth: Solved, camera: CameraPath, frames: range) -> list[Seen]:
    """With the true head as a face model tells it, in some frames."""
    to_picture = np.swapaxes(camera.world_from_camera[:, :3, :3] * (1.0, -1.0, -1.0), 1, 2)
    heads = to_picture @ truth.turns[:, INDEX["head"]] @ place.LOOKS_BACK.T
    return [
        replace(each, face_turn=heads[i].astype(np.float32)) if i in frames else each for i, each in enumerate(seen)
    ]


def head_errors(pose: PoseFile, truth: Solved) -> F64:
    """(T,) degrees."""
    step = np.swapaxes(truth.turns[:, INDEX["head"]], 1, 2) @ as_solved(pose).turns[:, INDEX["head"]]
    return np.degrees(np.linalg.norm(turns.vectors(step), axis=1))


def test_a_head_goes_with_its_face_and_does_not_pop() -> None:
    truth = walker(2.0, FPS, heading=0.4)
    count = len(truth.root)
    camera, frames = camera_of(count), range(10, 30)
    depth = np.zeros((count, 33))
    depth[:, 0] = depth[:, 9:11] = 0.05  # nose and mouth further away: the head looks down
    bare = seen_of(truth, camera, depth)
    pose = posed(faced(bare, truth, camera, frames), camera)
    without, found = head_errors(posed(bare, camera), truth), head_errors(pose, truth)
    assert without[frames].mean() > 8
    assert found[frames].mean() < 3
    steps = np.swapaxes(as_solved(pose).turns[:-1, INDEX["head"]], 1, 2) @ as_solved(pose).turns[1:, INDEX["head"]]
    assert np.degrees(np.linalg.norm(turns.vectors(steps), axis=1)).max() < 9


def test_a_face_that_looks_the_other_way_is_somebody_elses() -> None:
    truth = walker(1.0, FPS, heading=0.4)
    camera = camera_of(len(truth.root))
    bare = seen_of(truth, camera)
    wrong = [replace(each, face_turn=np.diag([-1.0, 1.0, -1.0]).astype(np.float32)) for each in bare]
    np.testing.assert_allclose(
        head_errors(posed(wrong, camera), truth), head_errors(posed(bare, camera), truth), atol=0.1
    )


def test_a_neck_leans_to_where_the_ears_are(truth: Solved) -> None:
    leaned = replace(truth, turns=truth.turns.copy())
    lean = turns.about(np.array([1.0, 0.0, 0.0]), np.array(np.radians(25.0)))
    leaned.turns[:, INDEX["neck"]] = leaned.turns[:, INDEX["neck"]] @ lean
    camera = camera_of(len(truth.root))
    found = as_solved(posed(seen_of(leaned, camera), camera))
    assert direction_errors(leaned, found)["neck>head"].mean() < 2
    assert direction_errors(truth, found)["neck>head"].mean() > 20


def test_hips_that_are_seen_too_low_are_put_right(truth: Solved) -> None:
    """An estimator says how far its points lie from the joints."""
    count = len(truth.root)
    camera = camera_of(count)
    joints = truth.points()
    trunk = (joints[:, [11, 12]] - joints[:, [23, 24]]).mean(axis=1, keepdims=True)
    low = 0.08 * trunk / 0.92  # of the way from the low hips to the shoulders
    pixels = place.to_picture(joints[:, [23, 24]] - low, camera)[..., :2]
    seen = seen_of(truth, camera)
    sunk = [replace(each, landmarks=each.landmarks.copy(), world=each.world.copy()) for each in seen]
    for index, each in enumerate(sunk):
        each.landmarks[[23, 24], :2] = pixels[index]
        each.world[[23, 24], :3] -= place.from_world(low, camera)[index].astype(np.float32)
    clip = replace(clip_of(count, FPS), skin=(0.08, 0.0))
    options = PoseOptions(camera=camera, height=1.7, smoothing=None, hold_feet=False)
    person = build(clip, [track_of(sunk)], options).people[0]
    np.testing.assert_allclose(person.position[:, :5], truth.positions()[:, :5], atol=0.03)
    np.testing.assert_allclose(person.landmarks[:, 23, :2], pixels[:, 0], atol=1e-3)  # what was seen stays as it was


@pytest.mark.parametrize("pitch", [-8.0, 6.0])
def test_a_camera_that_nobody_knows_is_levelled_by_those_who_stand(truth: Solved, pitch: float) -> None:
    count = len(truth.root)
    camera = camera_of(count)
    tilt = turns.about(np.array([1.0, 0.0, 0.0]), np.array(np.radians(pitch)))
    world = camera.world_from_camera.copy()
    world[:, :3, :3] = tilt @ world[:, :3, :3]
    camera = replace(camera, world_from_camera=world)
    options = PoseOptions(smoothing=None)
    found = build(clip_of(count, FPS), [track_of(seen_of(truth, camera, 0.5 * wrong_depths(count)))], options)
    assert found.camera is not None
    looks = -found.camera.world_from_camera[0, :3, 2]
    assert np.degrees(np.arcsin(looks[2])) == pytest.approx(pitch, abs=3.0)


def test_a_long_clip_is_fitted_in_bounded_memory(truth: Solved) -> None:
    """Frames are fitted in blocks: the normal equations of 2,000 frames alone would be 42 MB, several times over."""
    camera = camera_of(len(truth.root))
    local = place.from_world(truth.points() - camera.world_from_camera[:, None, :3, 3], camera)
    some = np.tile(fitting.gathered(local), (2000 // len(local) + 1, 1, 1))
    rays = some[..., :2] / some[..., 2:]
    tracemalloc.start()
    found = fitting.fit(
        some + np.array([0.0, 0.0, 0.01]), rays, np.ones(some.shape[:2]), truth.lengths, trust=fitting.Trust()
    )
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 70e6
    assert np.abs(found[..., :2] / found[..., 2:] - rays).max() < 0.01
