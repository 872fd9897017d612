"""The deformation itself: joints meet targets, nothing folds, rest gives the reference back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from tests.unit.draft_animate.doll import doll_body, draw_doll, pack_of, request_of, still
from wan_models.draft.animate import generate
from wan_models.draft.animate.actor import Actor
from wan_models.draft.animate.arap import Solver, rotations, stretches
from wan_models.draft.animate.bind import bone_radii, cut_layers, part_costs
from wan_models.draft.animate.joints import find_person
from wan_models.draft.animate.mesh import signed_areas, triangulate
from wan_models.draft.animate.skeleton import HEAD, TORSO
from wan_models.events import FramesDecoded
from wan_models.requests import Character, DrivePack, PoseTrack, Reference

BODY = [*range(1, 14), 18, 19]


@pytest.fixture(scope="module")
def actor(clip: DrivePack) -> Actor:
    hero = clip.characters[0]
    return Actor(hero, find_person("hero", hero.reference), clip.camera)


def test_every_joint_lands_within_two_pixels(actor: Actor) -> None:
    worst = 0.0
    targets = actor.character.pose.body
    for t in range(len(targets)):
        found = actor.puppet.on_screen(actor.pose(t))
        if t not in actor.motion.notes:
            worst = max(worst, float(np.abs(np.linalg.norm(found[BODY] - targets[t, BODY, :2], axis=1)).max()))
    assert worst < 2.0
    assert sum(t not in actor.motion.notes for t in range(len(targets))) > 40


def bent(**moves: float) -> np.ndarray:
    """The doll with limbs turned: degrees by joint, everything below follows."""
    body = doll_body()
    chains = {"arm_r": (2, [3, 4]), "fore_r": (3, [4]), "arm_l": (5, [6, 7]), "fore_l": (6, [7]),
              "leg_r": (8, [9, 10, 19]), "shin_r": (9, [10, 19]), "leg_l": (11, [12, 13, 18])}  # fmt: skip
    for name, degrees in moves.items():
        root, below = chains[name]
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turned = (body[below, :2] - body[root, :2]) @ np.array([[cos, sin], [-sin, cos]])
        body[below, :2] = body[root, :2] + turned
    return body


@pytest.mark.parametrize(
    "pose",
    [
        {}, {"arm_r": 20.0, "arm_l": -20.0}, {"arm_r": -30.0, "fore_r": -25.0}, {"fore_l": 45.0, "arm_l": 20.0},
        {"leg_r": 20.0, "leg_l": -15.0}, {"leg_r": 15.0, "shin_r": -30.0, "arm_l": 25.0},
    ],
)  # fmt: skip
def test_ordinary_poses_fold_nothing(reference: Reference, pose: dict[str, float]) -> None:
    actor = Actor(Character(1, "doll", still(bent(**pose)), reference), find_person("doll", reference), None)
    posed = actor.pose(0)
    assert len(actor.puppet.folded(posed)) == 0


def test_few_triangles_fold_in_a_real_motion(actor: Actor) -> None:
    shares = [len(actor.puppet.folded(actor.pose(t))) / len(actor.puppet.triangles) for t in range(0, 60, 3)]
    assert float(np.median(shares)) < 0.003
    assert max(shares) < 0.03


def test_identity_gives_the_reference_back() -> None:
    image = draw_doll(soft=False)
    body = doll_body()
    body[:, 0] += 58
    body[:, 1] -= 90  # the doll's legs leave the picture
    reference = Reference(image, doll_body(), source="hand")
    pack = pack_of(Character(1, "doll", still(body), reference))
    (frame,) = [e.frames[0] for e in generate(request_of(pack), lambda: False) if isinstance(e, FramesDecoded)]
    expected = image[90:330, :, :]
    got = frame[:, 58:358].astype(float)
    solid = expected[..., 3] == 255
    error = float(((got - expected[..., :3])[solid] ** 2).mean())
    assert 10 * math.log10(255**2 / max(error, 1e-9)) > 40.0


def test_the_same_request_gives_the_same_bytes(clip: DrivePack) -> None:
    def first(count: int) -> list[bytes]:
        events = generate(request_of(clip, frames=count), lambda: False)
        return [e.frames.tobytes() for e in events if isinstance(e, FramesDecoded)]

    assert first(3) == first(3)


def test_mesh_has_the_wanted_size_and_covers_the_person() -> None:
    alpha = draw_doll()[..., 3]
    mesh = triangulate(np.ascontiguousarray(alpha))
    assert 600 <= len(mesh.points) <= 1500
    areas = signed_areas(mesh.points[mesh.triangles])
    assert (areas > 0).all()
    assert areas.sum() > (alpha > 8).sum()


def test_parts_are_where_they_should_be(reference: Reference) -> None:
    person = find_person("doll", reference)
    mesh = triangulate(person.alpha)
    parts = np.argmin(part_costs(mesh, person.joints, bone_radii(person.alpha, person.joints)), axis=1)

    def part_at(joint: int, other: int) -> int:
        middle = person.joints[[joint, other]].mean(axis=0)
        return int(parts[np.argmin(np.linalg.norm(mesh.points - middle, axis=1))])

    assert [part_at(3, 4), part_at(6, 7), part_at(9, 10), part_at(12, 13)] == [1, 4, 7, 10]
    assert part_at(2, 11) == TORSO
    assert part_at(14, 17) == HEAD


def test_an_arm_that_touches_the_hip_stays_an_arm() -> None:
    body = doll_body()
    image = draw_doll()
    image[120:230, 80:140, 3] = 255  # a web between the right arm and the trunk
    person = find_person("doll", Reference(image, body))
    layers = {layer.name: layer for layer in cut_layers(triangulate(person.alpha), person.alpha, person.joints)}
    elbow = person.joints[3]
    own = layers["arm.R"].points[np.unique(layers["arm.R"].triangles[layers["arm.R"].own])]
    assert np.linalg.norm(own - elbow, axis=1).min() < 10
    waist = person.joints[[2, 8]].mean(axis=0) + np.array([10.0, 0.0])
    assert np.linalg.norm(own - waist, axis=1).min() > 10


def test_rotations_and_stretches_split_a_matrix() -> None:
    rng = np.random.default_rng(1)
    matrices = rng.normal(size=(50, 2, 2))
    matrices = matrices[np.linalg.det(matrices) > 0.05]
    turn, stretch = rotations(matrices), stretches(matrices)
    assert np.allclose(turn @ np.swapaxes(turn, 1, 2), np.eye(2))
    assert np.allclose(turn @ stretch, matrices)
    assert np.allclose(stretch, np.swapaxes(stretch, 1, 2))


def test_the_solver_keeps_a_rigid_motion() -> None:
    alpha = np.ascontiguousarray(draw_doll()[..., 3])
    mesh = triangulate(alpha)
    pins = csr_matrix((np.ones(2), ([0, 1], [0, len(mesh.points) - 1])), shape=(2, len(mesh.points)))
    solver = Solver(mesh.points, mesh.triangles, pins, np.full(2, 50.0))
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    wanted = mesh.points @ turn.T + (30, -20)
    stretch = np.tile(np.eye(2), (len(mesh.triangles), 1, 1))
    found = solver.solve(wanted, stretch, wanted[[0, -1]], 1.0, 3)
    assert np.abs(found - wanted).max() < 1e-2


def test_a_limb_that_points_at_the_camera_is_shortened_not_bulged(reference: Reference) -> None:
    body = doll_body()
    body[[4], :2] = body[3, :2] + 0.3 * (body[4, :2] - body[3, :2])
    track = still(body)
    actor = Actor(Character(1, "doll", track, reference), find_person("doll", reference), None)
    posed = actor.pose(0)
    lower = next(unit for unit in actor.puppet.units if unit.name == "arm.R.lower")
    points = posed.points[np.unique(actor.puppet.triangles[lower.triangles])]
    direction = (body[4, :2] - body[3, :2]) / np.linalg.norm(body[4, :2] - body[3, :2])
    across = (points - body[3, :2]) @ np.array([-direction[1], direction[0]])
    rest = actor.puppet.rest[np.unique(actor.puppet.triangles[lower.triangles])]
    joints = actor.puppet.skin.rest
    along = (joints[4] - joints[3]) / np.linalg.norm(joints[4] - joints[3])
    rest_across = (rest - joints[3]) @ np.array([-along[1], along[0]])
    assert np.ptp(across) < 1.25 * np.ptp(rest_across)


def test_missing_face_and_hands_do_not_matter(reference: Reference) -> None:
    track = still(doll_body(), frames=2)
    body = track.body.copy()
    body[:, [0, 14, 15, 16, 17], 4] = 4
    body[:, [0, 14, 15, 16, 17], :2] = np.nan
    actor = Actor(Character(1, "doll", PoseTrack(body), reference), find_person("doll", reference), None)
    posed = actor.pose(0)
    assert np.isfinite(posed.points).all()
    assert actor.motion.notes == {}
