"""Rotations in bulk: quaternions are (..., 4) w x y z of unit length, matrices (..., 3, 3), all float64. No bpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
EPSILON = 1e-9


def unit(vectors: Array) -> Array:
    """Vectors (..., n) of length 1; those without a length stay zero."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, EPSILON))


def to_matrix(quaternions: Array) -> Array:
    """Rotation matrices of unit quaternions."""
    w, x, y, z = np.moveaxis(np.asarray(quaternions, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, -1) for row in rows], -2)


def to_quaternion(matrices: Array) -> Array:
    """Unit quaternions of rotation matrices, w not negative: the largest of the four is found first (Shepperd)."""
    m = np.asarray(matrices, np.float64)
    flat = m.reshape(-1, 3, 3)
    trace = np.trace(flat, axis1=1, axis2=2)
    diagonal = np.einsum("nii->ni", flat)
    choice = np.argmax(np.concatenate([trace[:, None], diagonal], 1), 1)
    found = np.empty((len(flat), 4))
    rows = np.arange(len(flat))
    whole = choice == 0
    found[whole, 0] = 1 + trace[whole]
    for n, (j, k) in enumerate(((2, 1), (0, 2), (1, 0))):
        found[whole, n + 1] = flat[whole, j, k] - flat[whole, k, j]
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        here = rows[choice == i + 1]
        part = flat[here]
        found[here, 0] = part[:, k, j] - part[:, j, k]
        found[here, 1 + i] = 1 + part[:, i, i] - part[:, j, j] - part[:, k, k]
        found[here, 1 + j] = part[:, j, i] + part[:, i, j]
        found[here, 1 + k] = part[:, k, i] + part[:, i, k]
    found = unit(found)
    found *= np.where(found[:, :1] < 0, -1.0, 1.0)
    return found.reshape(*m.shape[:-2], 4)


def continuous(quaternions: Array) -> Array:
    """(T, ..., 4) with signs chosen so that neighbours in time lie on the same side."""
    dots = np.sum(quaternions[1:] * quaternions[:-1], -1)
    signs = np.cumprod(np.where(dots < 0, -1.0, 1.0), axis=0)
    return np.concatenate([quaternions[:1], quaternions[1:] * signs[..., None]])


def slerp(a: Array, b: Array, share: Array | float) -> Array:
    """From ``a`` to ``b`` the short way round; ``share`` 0..1 is broadcast over the quaternions."""
    weight = np.broadcast_to(np.asarray(share, np.float64), a.shape[:-1])[..., None]
    dot = np.sum(a * b, -1, keepdims=True)
    b = np.where(dot < 0, -b, b)
    angle = np.arccos(np.clip(np.abs(dot), -1.0, 1.0))
    sine = np.sin(angle)
    near = sine < 1e-6
    safe = np.where(near, 1.0, sine)
    left = np.where(near, 1.0 - weight, np.sin((1.0 - weight) * angle) / safe)
    right = np.where(near, weight, np.sin(weight * angle) / safe)
    return unit(left * a + right * b)


def between(a: Array, b: Array) -> Array:
    """The least rotation (3, 3) that brings direction ``a`` (3,) to ``b``."""
    a, b = unit(a), unit(b)
    cross, dot = np.cross(a, b), float(a @ b)
    if dot < -1.0 + 1e-9:
        axis = unit(np.cross(a, np.eye(3)[int(np.argmin(np.abs(a)))]))
        return 2.0 * np.outer(axis, axis) - np.eye(3)
    skew = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    return np.asarray(np.eye(3) + skew + skew @ skew / (1.0 + dot))


def frame(along: Array, side: Array) -> Array:
    """Rotation (..., 3, 3) whose columns are ``along``, the part of ``side`` square to it, and their cross product."""
    x = unit(along)
    y = unit(side - np.sum(side * x, -1, keepdims=True) * x)
    return np.stack([x, y, np.cross(x, y)], -1)


def angle_between(a: Array, b: Array) -> Array:
    """Degrees between vectors (..., 3); exact for small angles too."""
    cross = np.linalg.norm(np.cross(a, b), axis=-1)
    return np.asarray(np.degrees(np.arctan2(cross, np.sum(a * b, -1))))


def twist_share(turns: Array, axis: Array, share: float) -> Array:
    """Of rotations (T, 3, 3) the turn about ``axis`` (3,) alone, ``share`` of it, as rotations (T, 3, 3)."""
    quaternions = to_quaternion(turns)
    along = quaternions[:, 1:] @ unit(axis)
    half = np.arctan2(along, quaternions[:, 0])
    half = (np.unwrap(2.0 * half) / 2.0) * share
    made = np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * unit(axis)], 1)
    return to_matrix(made)
