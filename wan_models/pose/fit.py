"""The body's points moved to where the picture shows them.

An estimator knows far better where a joint is in the picture than how far it is away. So the joints are moved, frame by
frame, until the picture, the bones' lengths and the estimator's depths agree as well as they can: least squares by
Gauss and Newton over the 17 points of a frame, all frames at once. Coordinates are the picture's axes (x right, y down,
z away from the camera), metres from the camera.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .joints import EARS, MP, SIDES, Lengths

F64 = NDArray[np.float64]

PARTS = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel", "Toe")
POINTS: tuple[int, ...] = tuple(MP[side + part] for part in PARTS for side in SIDES)
"""MediaPipe's number of each point; after them comes the middle of the ears."""
_COUNT = len(POINTS) + 1
_AT = {number: place for place, number in enumerate(POINTS)}
_ROUNDS = 4
_BLOCK = 512  # frames at once: 11 MB of normal equations


@dataclass(frozen=True)
class Trust:
    """Metres by which each of what is known may be wrong (one standard deviation): ``picture``, a sure point in the
    picture at its distance; ``rod``, a bone's length; ``depth`` and ``across``, how a bone of the body's mean length
    lies by the estimator's own metres, towards the camera and across; ``root``, the distance of the hips.
    """

    picture: float = 0.012
    rod: float = 0.04
    depth: float = 0.05
    across: float = 0.1
    root: float = 0.01


@dataclass(frozen=True)
class _Bone:
    """From a mean of points to a mean of points: ``parts`` of each of them, negative where it begins."""

    points: tuple[int, ...]
    parts: tuple[float, ...]
    length: float


def _bones(lengths: Lengths) -> list[_Bone]:
    def place(side: str, part: str) -> int:
        return _AT[MP[side + part]]

    def line(part: str, length: float) -> _Bone:
        return _Bone((place("right", part), place("left", part)), (-1.0, 1.0), length)

    hips, shoulders = ([place(side, part) for side in SIDES] for part in ("Hip", "Shoulder"))
    sole = lengths.heel + lengths.toe
    found = [
        line("Hip", lengths.hip_width),
        line("Shoulder", lengths.shoulder_width),
        _Bone((*hips, *shoulders), (-0.5, -0.5, 0.5, 0.5), lengths.trunk),
        _Bone((*shoulders, _COUNT - 1), (-0.5, -0.5, 1.0), lengths.neck),
    ]
    for side in SIDES:
        for one, other, length in (
            ("Shoulder", "Elbow", lengths.upper_arm),
            ("Elbow", "Wrist", lengths.lower_arm),
            ("Hip", "Knee", lengths.upper_leg),
            ("Knee", "Ankle", lengths.lower_leg),
            ("Ankle", "Heel", float(np.hypot(lengths.ankle, lengths.heel))),
            ("Ankle", "Toe", float(np.hypot(lengths.ankle, lengths.toe))),
            ("Heel", "Toe", sole),
        ):
            found.append(_Bone((place(side, one), place(side, other)), (-1.0, 1.0), length))
    return found


def gathered(values: F64) -> F64:
    """(T,17,...) the points of this module among MediaPipe's 33, (T,33,...)."""
    return np.concatenate([values[:, list(POINTS)], values[:, list(EARS)].mean(axis=1, keepdims=True)], axis=1)


def fit(points: F64, rays: F64, sure: F64, lengths: Lengths, *, perspective: bool = True, trust: Trust) -> F64:
    """(T,17,3): ``points`` (T,17,3) moved. ``rays`` (T,17,2): where they are seen, as x / z and y / z (an orthographic
    camera: x and y). ``sure`` (T,17): 0 to 1.
    """
    bones = _bones(lengths)
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(points), _BLOCK)]
    return np.concatenate(
        [_fitted(points[at], rays[at], sure[at], bones, perspective=perspective, trust=trust) for at in blocks]
    )


def _fitted(points: F64, rays: F64, sure: F64, bones: list[_Bone], *, perspective: bool, trust: Trust) -> F64:
    usual = [_way(points, bone) for bone in bones]
    steady, aim = _linear(points, rays, sure, bones, usual, perspective=perspective, trust=trust)
    found = points
    for _ in range(_ROUNDS):
        matrix, right = steady.copy(), aim.copy()
        for bone in bones:
            way = _way(found, bone)
            along = way / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6)
            # |way| - length, made linear about where the bone points now.
            _add(matrix, right, bone, _outer(along) / trust.rod**2, along * bone.length / trust.rod**2)
        flat = matrix.transpose(0, 1, 3, 2, 4).reshape(len(found), 3 * _COUNT, 3 * _COUNT)
        found = np.asarray(np.linalg.solve(flat, right.reshape(len(found), -1, 1))).reshape(found.shape)
    return found


def _linear(
    points: F64, rays: F64, sure: F64, bones: list[_Bone], usual: list[F64], *, perspective: bool, trust: Trust
) -> tuple[F64, F64]:
    """What does not change from round to round: matrices (T,17,17,3,3) and right sides (T,17,3)."""
    count = len(points)
    matrix, right = np.zeros((count, _COUNT, _COUNT, 3, 3)), np.zeros((count, _COUNT, 3))
    weight = sure / trust.picture**2
    for place in range(_COUNT):
        rows = np.zeros((count, 2, 3))
        rows[:, 0, 0] = rows[:, 1, 1] = 1.0
        if perspective:
            rows[:, :, 2] = -rays[:, place]
        else:
            right[:, place, :2] = weight[:, place, None] * rays[:, place]
        matrix[:, place, place] += weight[:, place, None, None] * np.swapaxes(rows, 1, 2) @ rows
    for bone, way in zip(bones, usual, strict=True):
        aim = way * (bone.length / np.maximum(np.linalg.norm(way, axis=-1, keepdims=True), 1e-6))
        firm = np.array([trust.across, trust.across, trust.depth]) ** -2.0
        _add(matrix, right, bone, np.broadcast_to(np.diag(firm), (count, 3, 3)), aim * firm)
    root = _Bone((_AT[23], _AT[24]), (0.5, 0.5), 0.0)
    away = np.zeros((count, 3))
    away[:, 2] = _way(points, root)[:, 2] / trust.root**2
    _add(matrix, right, root, np.broadcast_to(np.diag([0.0, 0.0, trust.root**-2.0]), (count, 3, 3)), away)
    return matrix, right


def _way(points: F64, bone: _Bone) -> F64:
    return np.asarray(np.einsum("tpc,p->tc", points[:, list(bone.points)], np.array(bone.parts)))


def _outer(vectors: F64) -> F64:
    return vectors[:, :, None] * vectors[:, None, :]


def _add(matrix: F64, right: F64, bone: _Bone, block: F64, aim: F64) -> None:
    for one, part in zip(bone.points, bone.parts, strict=True):
        right[:, one] += part * aim
        for other, share in zip(bone.points, bone.parts, strict=True):
            matrix[:, one, other] += part * share * block


def spread(points: F64, moves: F64) -> F64:
    """MediaPipe's 33 points (T,33,3) after this module's 17 moved by ``moves`` (T,17,3): hands go with the wrists, the
    head with the ears.
    """
    found = points.copy()
    found[:, list(POINTS)] += moves[:, :-1]
    found[:, :11] += moves[:, -1:]
    for side in SIDES:
        found[:, [MP[side + part] for part in ("Pinky", "Index", "Thumb")]] += moves[:, [_AT[MP[f"{side}Wrist"]]]]
    return found
