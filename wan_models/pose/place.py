"""Where the person stands: from the estimator's view to the world, by a camera that is known or guessed.

A picture's axes are x right, y down, z away from the camera; a camera looks along its -Z with +Y up (Blender's).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from . import turns
from .filters import Smoothing, plausible, weighted
from .joints import MP, SIDES
from .posefile import CameraPath

F64 = NDArray[np.float64]

FIELD_OF_VIEW = 50.0
"""Degrees along the longer side that are taken where nobody knows the camera: between a telephone's 65 and a portrait
lens's 35. Half of it wrong makes the distance as much wrong, the pose stays."""
_BODY = [MP[side + part] for side in SIDES for part in ("Shoulder", "Hip", "Knee", "Ankle", "Elbow", "Wrist")]
_LEVEL = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""World from a level camera: its right is +X, its up is +Z, it looks along +Y."""
LOOKS_BACK = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""The picture's axes from those of a head in rest (faces -Y, up is +Z) that looks into the camera."""
_TO_CAMERA = np.array([1.0, -1.0, -1.0])
_ODD = 0.01  # of the distance: jumps as small as this are believed
_UPRIGHT = np.radians(30.0)
_NEAR = 0.3  # metres: nobody is nearer to the camera


def guessed(width: int, height: int, count: int, degrees: float = FIELD_OF_VIEW) -> CameraPath:
    """A level pinhole camera at the origin that does not move."""
    focal = max(width, height) / 2 / np.tan(np.radians(degrees) / 2)
    world = np.eye(4)
    world[:3, :3] = _LEVEL
    inner = np.array([focal, focal, width / 2, height / 2])
    return CameraPath(np.repeat(world[None], count, 0), np.repeat(inner[None], count, 0), guessed=True)


def part_of(camera: CameraPath, first: int, last: int) -> CameraPath:
    """The camera of frames first..last."""
    return CameraPath(
        camera.world_from_camera[first : last + 1], camera.intrinsics[first : last + 1], camera.kind, camera.guessed
    )


def facing(pixels: F64, camera: CameraPath) -> F64:
    """(T,3,3) from the middle of the picture to the person: what a network that sees a crop takes for straight on is
    the direction of the crop. ``pixels`` (T,2): the middle of the hips.
    """
    inner = camera.intrinsics
    if camera.kind != "perspective":
        return np.repeat(np.eye(3)[None], len(pixels), 0)
    ray = np.stack([*((pixels - inner[:, 2:]) / inner[:, :2]).T, np.ones(len(pixels))], axis=1)
    return turns.smallest(np.array([0.0, 0.0, 1.0]), ray)


def to_world(vectors: F64, camera: CameraPath, view: F64 | None = None) -> F64:
    """Vectors (T,...,3) of the picture's axes in the world's; ``view`` (T,3,3) as ``facing`` gives it."""
    turn = camera.world_from_camera[:, :3, :3] * _TO_CAMERA
    turn = turn if view is None else turn @ view
    flat = vectors.reshape(len(vectors), -1, 3)
    return np.asarray((flat @ np.swapaxes(turn, 1, 2)).reshape(vectors.shape))


def to_picture(points: F64, camera: CameraPath) -> F64:
    """(T,N,3): x px, y px, depth in metres of world points (T,N,3)."""
    local = from_world(points - camera.world_from_camera[:, None, :3, 3], camera)
    inner, depth = camera.intrinsics[:, None], local[..., 2:]
    flat = local[..., :2] / np.maximum(depth, 1e-6) if camera.kind == "perspective" else local[..., :2]
    return np.concatenate([flat * inner[..., :2] + inner[..., 2:], depth], axis=-1)


def rays(pixels: F64, camera: CameraPath) -> F64:
    """(T,N,2): x / z and y / z of what is seen at ``pixels`` (T,N,2); of an orthographic camera x and y in metres."""
    inner = camera.intrinsics[:, None]
    return np.asarray((pixels - inner[..., 2:]) / inner[..., :2])


def from_world(vectors: F64, camera: CameraPath) -> F64:
    """Vectors (T,N,3) of the world's axes in the picture's."""
    return np.asarray(vectors @ (camera.world_from_camera[:, :3, :3] * _TO_CAMERA))


def place_root(offsets: F64, landmarks: F64, camera: CameraPath, fps: float, smoothing: Smoothing | None) -> F64:
    """(T,3) where the root must be so that the skeleton meets the landmarks in the picture.

    ``offsets`` (T,33,3): the skeleton's points from its root, world axes. ``landmarks`` (T,33,4) px and visibility.
    Least squares over the body, each point as sure as it is seen; the distance is smoothed more than the rest.
    """
    local = from_world(offsets[:, _BODY], camera)
    flat = rays(landmarks[:, _BODY, :2], camera)
    weight = np.maximum(landmarks[:, _BODY, 3], 0.02) ** 2
    if camera.kind != "perspective":
        across = ((flat - local[..., :2]) * weight[..., None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
        found = np.column_stack([across, np.full(len(across), 5.0)])
    else:
        found = _meet(local, flat, weight)
        if smoothing is not None:
            found = _steadied(found, weight.mean(axis=1, keepdims=True), fps, smoothing)
    turn = camera.world_from_camera[:, :3, :3] * _TO_CAMERA
    return np.asarray(camera.world_from_camera[:, :3, 3] + (turn @ found[..., None])[..., 0])


def _steadied(found: F64, weight: F64, fps: float, smoothing: Smoothing) -> F64:
    """Places (T,3) before the camera, smoothed in the picture and, more, in distance; what jumps is not believed."""
    distance, side = np.log(found[:, None, 2:]), (found[:, :2] / found[:, 2:])[:, None]
    trust = np.minimum(plausible(distance, weight, fps, _ODD), plausible(side, weight, fps, _ODD))
    away = np.exp(weighted(distance, trust, fps, smoothing.depth))[:, 0]
    return np.column_stack([weighted(side, trust, fps, smoothing.cutoff)[:, 0] * away, away])


def _meet(local: F64, flat: F64, weight: F64) -> F64:
    """(T,3) translations: tx - u tz = u oz - ox and the same for y, twice, the second time weighted by nearness so that
    it is the error in the picture that is least.
    """
    found = np.zeros((len(local), 3))
    scale = np.ones(weight.shape)
    for _ in range(3):
        strength = (weight / scale**2)[..., None]
        rows = np.zeros((*flat.shape, 3))
        rows[..., 0, 0] = rows[..., 1, 1] = 1.0
        rows[..., 2] = -flat
        right = flat * local[..., 2:] - local[..., :2]
        normal = np.einsum("tnik,tnil,tn->tkl", rows, rows, strength[..., 0])
        known = np.einsum("tnik,tni,tn->tk", rows, right, strength[..., 0])
        found = np.linalg.solve(normal + 1e-12 * np.eye(3), known[..., None])[..., 0]
        found[:, 2] = np.maximum(found[:, 2], _NEAR)
        scale = np.maximum(local[..., 2] + found[:, 2:], _NEAR)
    return found


def ground_scale(feet: F64, camera: CameraPath) -> float | None:
    """By how much a body of unknown height is too small: feet (N,3) that stand must lie at z = 0. None where the camera
    is too low, or sees too little of the ground, to tell.

    ``camera``: of the same N frames. The picture stays the same when body and distance grow together.
    """
    eye = camera.world_from_camera[:, :3, 3]
    down = eye[:, 2] - feet[:, 2]
    clear = (eye[:, 2] > 0.3) & (down > 0.1 * np.linalg.norm(feet - eye, axis=-1))
    if clear.sum() < 3:
        return None
    return float(np.median(eye[clear, 2] / down[clear]))


def upright(axes: F64, tilt: float = 0.12, lean: float = 0.05) -> F64:
    """(3,3) the turn of a guessed world that makes people upright who stand: ``axes`` (N,3) from their ankles to their
    ears.

    They lean by ``lean`` radians in the mean, and the camera is level within ``tilt`` (a priori). Axes that are far
    from upright say nothing: somebody lies, or hangs.
    """
    ways = turns.unit(axes)
    ways = ways[ways[:, 2] > np.cos(_UPRIGHT)]
    if not len(ways):
        return np.eye(3)
    mean = turns.unit(np.median(ways, axis=0)) / lean**2 + np.array([0.0, 0.0, 1.0]) / tilt**2
    return np.asarray(turns.smallest(mean, np.array([0.0, 0.0, 1.0])))


def level(groups: list[F64], spread: float = 0.04, tilt: float = 0.06) -> F64:
    """(3,3) the turn that makes the ground level on which the points of each group (N,3) stand.

    Each group has a height of its own; ``spread`` metres is how far points lie off, ``tilt`` radians how far the world
    is from level (a priori): a few points in one place do not turn the world.
    """
    rows, right, count = [], [], len(groups)
    for number, points in enumerate(groups):
        own = np.zeros((len(points), count))
        own[:, number] = 1.0
        rows.append(np.column_stack([points[:, :2], own]) / spread)
        right.append(points[:, 2] / spread)
    prior = np.zeros((2, 2 + count))
    prior[0, 0] = prior[1, 1] = 1.0 / tilt
    slope = np.linalg.lstsq(np.vstack([*rows, prior]), np.concatenate([*right, np.zeros(2)]), rcond=None)[0]
    normal = np.array([-slope[0], -slope[1], 1.0])
    return np.asarray(turns.smallest(normal[None], np.array([0.0, 0.0, 1.0]))[0])
