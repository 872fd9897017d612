"""Rotations of many frames at once, as matrices (...,3,3): frames of two directions, blends, smallest turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

F64 = NDArray[np.float64]
_TINY = 1e-9


def unit(vectors: F64) -> F64:
    """Vectors (...,3) of length 1; those of no length stay 0."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), _TINY))


def dot(one: F64, other: F64) -> F64:
    """Products of (...,3) with (...,3), as (...,1)."""
    return np.asarray((one * other).sum(axis=-1, keepdims=True))


def without(vectors: F64, axis: F64) -> F64:
    """What of the vectors is at right angles to the unit vectors ``axis``."""
    return vectors - dot(vectors, axis) * axis


def basis(first: F64, second: F64) -> F64:
    """(...,3,3) whose columns are ``first``'s direction, what of ``second`` is across it, and their cross product."""
    one = unit(first)
    two = without(second, one)
    flat = np.linalg.norm(two, axis=-1, keepdims=True) < 1e-7
    spare = np.where(np.abs(one[..., 2:3]) < 0.9, np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0]))
    two = unit(np.where(flat, without(spare, one), two))
    return np.stack([one, two, np.cross(one, two)], axis=-1)


def from_to(first: F64, second: F64, rest_first: F64, rest_second: F64) -> F64:
    """The rotations that bring a bone from its two directions in rest to the given ones (the first exactly)."""
    return np.asarray(basis(first, second) @ np.swapaxes(basis(rest_first, rest_second), -1, -2))


def smallest(one: F64, other: F64) -> F64:
    """The smallest rotations that bring directions ``one`` (...,3) to ``other``."""
    one, other = np.broadcast_arrays(unit(one), unit(other))
    axis = np.cross(one, other)
    sine, cosine = np.linalg.norm(axis, axis=-1), dot(one, other)[..., 0]
    spare = basis(one, np.roll(one, 1, axis=-1))[..., 1]
    axis = np.where((sine < 1e-9)[..., None], spare, unit(axis))
    return about(axis, np.arctan2(sine, cosine))


def about(axis: F64, angle: F64) -> F64:
    """Rotations about unit axes (...,3) by angles (...) in radians."""
    axis, angle = np.broadcast_arrays(axis, np.asarray(angle)[..., None])
    flat = Rotation.from_rotvec((axis * angle).reshape(-1, 3)).as_matrix()
    return np.asarray(flat.reshape(*axis.shape[:-1], 3, 3))


def vectors(turns: F64) -> F64:
    """(T,3) axes times angles in radians of (T,3,3)."""
    return np.asarray(Rotation.from_matrix(turns).as_rotvec())


def from_vectors(vectors: F64) -> F64:
    """The inverse of ``vectors``."""
    return np.asarray(Rotation.from_rotvec(vectors).as_matrix())


def halfway(one: F64, other: F64, part: F64 | float = 0.5) -> F64:
    """Rotations (T,3,3) at ``part`` (a number, or (T,1)) of the way from ``one`` to ``other``."""
    step = Rotation.from_matrix(np.swapaxes(one, -1, -2) @ other).as_rotvec() * part
    return np.asarray(one @ Rotation.from_rotvec(step).as_matrix())


def angle_about(axis: F64, one: F64, other: F64) -> F64:
    """Signed angles (...) from ``one`` to ``other`` about the unit vectors ``axis``."""
    one, other = without(one, axis), without(other, axis)
    return np.asarray(np.arctan2(dot(np.cross(one, other), axis)[..., 0], dot(one, other)[..., 0]))


def apply(turns: F64, vectors: F64) -> F64:
    """Rotations (...,3,3) applied to vectors (...,3)."""
    return np.asarray((turns @ vectors[..., None])[..., 0])


def quaternions(turns: F64) -> F64:
    """(T,J,4) w x y z of (T,J,3,3), signs chosen so that they do not jump in time."""
    found = np.roll(Rotation.from_matrix(turns.reshape(-1, 3, 3)).as_quat(), 1, axis=-1).reshape(*turns.shape[:2], 4)
    found[0] *= np.where(found[0, :, :1] < 0, -1.0, 1.0)
    flips = np.where((found[1:] * found[:-1]).sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    found[1:] *= np.cumprod(flips, axis=0)
    return np.asarray(found)


def matrices(quaternion: NDArray[np.floating]) -> F64:
    """(...,3,3) of quaternions w x y z (...,4)."""
    flat = np.roll(np.asarray(quaternion, np.float64).reshape(-1, 4), -1, axis=-1)
    return np.asarray(Rotation.from_quat(flat).as_matrix().reshape(*quaternion.shape[:-1], 3, 3))


def bridge(turns: F64, known: NDArray[np.bool_]) -> F64:
    """Rotations (T,3,3) with the frames that are not ``known`` between those that are; at the ends the nearest."""
    frames = np.flatnonzero(known)
    if len(frames) < 2:
        return np.repeat(turns[frames], len(turns), axis=0) if len(frames) else turns
    between = Slerp(frames, Rotation.from_matrix(turns[frames]))
    return np.asarray(between(np.clip(np.arange(len(turns)), frames[0], frames[-1])).as_matrix())
