"""From a person of a pose file to turns and hip positions of a rig's joints. Pure numpy.

Everything is in canonical axes (left +X, up +Z, facing -Y). A joint's turn is the file's own rotation of that joint
times the alignment of the rig's rest (``align``). The path of the middle between the hip joints is scaled by the
length of the legs, so that steps stay in proportion and a standing person stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..problems import UserProblem
from ..words import tr
from . import joints
from .align import align
from .posefile import Person
from .rig import Rig
from .turns import Array, slerp, to_matrix, to_quaternion, twist_share, unit

UPPER = (joints.INDEX["leftUpperLeg"], joints.INDEX["rightUpperLeg"])
LEG = ("UpperLeg", "LowerLeg", "Foot")


@dataclass(frozen=True)
class Samples:
    """A person at the times that are keyed: ``turns`` (T,J,3,3), ``middle`` (T,3) between the hip joints, in metres."""

    seconds: Array
    turns: Array
    middle: Array
    contact: Array
    confidence: Array
    face: Array | None


@dataclass(frozen=True)
class Motion:
    """What the rig shall do: ``turns`` (T,N,3,3) of its nodes from rest, ``hips`` (T,3) the first node's head in the
    rig's units; ``turns[:, n] @ rest rotation`` is the bone's. ``scale``: rig units a metre of the file."""

    turns: Array
    hips: Array
    contact: Array
    aligned: Array
    scale: float


def sample(person: Person, fps: float, seconds: Array) -> Samples:
    """The person at ``seconds`` (T,) after the file's first frame, between its frames where need be."""
    at = np.clip(np.asarray(seconds, np.float64) * fps, person.first, person.last)
    low = np.minimum(np.floor(at + 1e-6).astype(int), person.last)
    high = np.minimum(low + 1, person.last)
    share = np.clip(at - low, 0.0, 1.0)
    share = np.where(share < 1e-6, 0.0, share)
    turned = slerp(person.rotation[low], person.rotation[high], share[:, None])
    offset = person.rest[list(UPPER)].mean(0) - person.rest[0]
    path = person.root + np.einsum("tij,j->ti", to_matrix(person.rotation[:, 0]), offset)

    def mix(values: Array) -> Array:
        weight = share.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(values[low] * (1.0 - weight) + values[high] * weight)

    near = np.where(share < 0.5, low, high)
    face = None if person.face is None else mix(person.face)
    return Samples(seconds, to_matrix(turned), mix(path), person.contact[near], mix(person.confidence), face)


def solve(rig: Rig, person: Person, samples: Samples) -> Motion:
    """The rig's motion before its feet are locked. Raises UserProblem when the rig has no legs to scale by."""
    aligned = align(rig, person.rest)
    turns = np.stack([_turn(samples, rig, i, aligned[i]) for i in range(len(rig.nodes))], 1)
    _bend_spine(rig, samples, turns)
    scale = leg_length(rig) / _file_leg(person)
    middle = _middle(rig)
    rest_middle = person.rest[list(UPPER)].mean(0)
    path = (samples.middle - rest_middle * [0.0, 0.0, 1.0]) * scale
    path[:, 2] += standing_height(rig, aligned) + rig.floor
    hips = path + np.einsum("tij,j->ti", turns[:, 0], rig.head[0] - middle)
    return Motion(turns, hips, samples.contact, aligned, scale)


def _turn(samples: Samples, rig: Rig, i: int, aligned: Array) -> Array:
    node = rig.nodes[i]
    first, second = samples.turns[:, joints.INDEX[node.first]], samples.turns[:, joints.INDEX[node.second]]
    if node.twist:
        relative = np.swapaxes(first, 1, 2) @ second
        along = joints.rest_direction(node.first)
        return np.asarray(first @ twist_share(relative, np.zeros(3) if along is None else along, node.share) @ aligned)
    if node.share:
        first = to_matrix(slerp(to_quaternion(first), to_quaternion(second), node.share))
    return np.asarray(first @ aligned)


def _bend_spine(rig: Rig, samples: Samples, turns: Array) -> None:
    """Turn the bones that share the spine's bend, in place, so that together they lean as the file's spine does."""
    rows = [i for i, node in enumerate(rig.nodes) if node.name.startswith("spine")]
    if len(rows) > 1:
        lack = samples.turns[:, joints.INDEX["spine"]] @ np.swapaxes(mean_turn(turns[:, rows]), 1, 2)
        turns[:, rows] = lack[:, None] @ turns[:, rows]


def mean_turn(turns: Array) -> Array:
    """The turn (T,3,3) that several bones (T,n,3,3) have on average."""
    quaternions = to_quaternion(turns)
    signs = np.where(np.sum(quaternions * quaternions[:, :1], -1, keepdims=True) < 0, -1.0, 1.0)
    return to_matrix(unit((quaternions * signs).sum(1)))


def _middle(rig: Rig) -> Array:
    """Between the rig's hip joints, in rest."""
    legs = [i for i in (rig.find("leftUpperLeg"), rig.find("rightUpperLeg")) if i >= 0]
    return np.asarray(rig.head[legs].mean(0))


def standing_height(rig: Rig, aligned: Array) -> float:
    """Of the middle between the hip joints above the soles when the legs are straight, in the rig's units."""
    heads = positions(rig, aligned[None], rig.head[:1])[0]
    feet = [i for i in (rig.find("leftFoot"), rig.find("rightFoot")) if i >= 0]
    legs = [i for i in (rig.find("leftUpperLeg"), rig.find("rightUpperLeg")) if i >= 0]
    if not feet:
        return float(_middle(rig)[2] - rig.ground)
    ankle = rig.head[feet, 2].mean() - rig.ground
    return float(heads[legs, 2].mean() - heads[feet, 2].mean() + ankle)


def leg_length(rig: Rig) -> float:
    """From hip joint to ankle along the bones, in the rig's units. Raises UserProblem."""
    found = []
    for side in ("left", "right"):
        rows = [rig.find(side + part) for part in LEG]
        if rows[0] < 0 or rows[1] < 0:
            continue
        end = rig.head[rows[2]] if rows[2] >= 0 else rig.tail[rows[1]]
        found.append(np.linalg.norm(rig.head[rows[1]] - rig.head[rows[0]]) + np.linalg.norm(end - rig.head[rows[1]]))
    if not found or max(found) < 1e-6:
        msg = tr("{rig} has no legs to measure: choose thigh and shin in the bone map.", rig=rig.name)
        raise UserProblem(msg)
    return float(np.mean(found))


def _file_leg(person: Person) -> float:
    rows = [[joints.INDEX[side + part] for part in LEG] for side in ("left", "right")]
    length = np.mean([np.linalg.norm(np.diff(person.rest[row], axis=0), axis=1).sum() for row in rows])
    if length < 1e-3:
        msg = tr("The legs of the pose file have no length: make it anew with `wanstage pose`.")
        raise UserProblem(msg)
    return float(length)


def positions(rig: Rig, turns: Array, hips: Array) -> Array:
    """Heads (T,N,3) of the nodes, each carried by the node above."""
    heads = np.empty((len(hips), len(rig.nodes), 3))
    heads[:, 0] = hips
    for i, node in enumerate(rig.nodes):
        if node.parent >= 0:
            offset = rig.head[i] - rig.head[node.parent]
            heads[:, i] = heads[:, node.parent] + turns[:, node.parent] @ offset
    return heads


def pole(rig: Rig, motion: Motion, heads: Array, upper: str) -> Array:
    """Where the pole (T,3) of a limb is: before the knee or behind the elbow, in the plane of the limb, well away."""
    lower = upper.replace("Upper", "Lower")
    end = lower.replace("LowerLeg", "Foot").replace("LowerArm", "Hand")
    rows = [rig.find(name) for name in (upper, lower, end)]
    first, middle, last = (heads[:, row] for row in rows)
    along = unit(last - first)
    out = (middle - first) - np.sum((middle - first) * along, -1, keepdims=True) * along
    plain = joints.FORWARD if "Leg" in upper else -joints.FORWARD
    straight = motion.turns[:, rows[0]] @ motion.aligned[rows[0]].T @ plain
    straight = unit(straight - np.sum(straight * along, -1, keepdims=True) * along)
    length = np.linalg.norm(middle - first, axis=-1, keepdims=True)
    share = np.clip((np.linalg.norm(out, axis=-1, keepdims=True) / length - 0.01) / 0.04, 0.0, 1.0)
    return np.asarray(middle + unit(share * unit(out) + (1.0 - share) * straight) * length * 2.0)


def start_here(rig: Rig, motion: Motion) -> Motion:
    """The same motion, moved over the ground so that it begins where the rig stands in rest."""
    shift = (rig.head[0] - motion.hips[0]) * [1.0, 1.0, 0.0]
    return replace(motion, hips=motion.hips + shift)
