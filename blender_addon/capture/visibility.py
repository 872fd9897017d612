"""Is a joint seen? Off screen, behind the camera, or hidden by a surface in front of it.

A joint sits inside its own limb, so its own body's surface within the thickness of that body part hides nothing;
any other surface clearly in front of it does. What stands in front is asked of a probe: rendered depth and mask,
or rays.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .camera import CameraSample
from .offsets import BODY_POINTS, N_FACE, N_HAND
from .params import PLANE

if TYPE_CHECKING:
    import bpy

Array = NDArray[Any]

VISIBLE, OCCLUDED, OFF_SCREEN, BEHIND, MISSING = range(5)
STATE_SCORE = np.array([1.0, 0.7, 0.5, 0.0, 0.0])
"""What a state leaves of a joint's confidence: its place is known exactly, but a model should trust what it sees."""

_THICKNESS = {
    "nose": 0.30, "eye": 0.45, "ear": 0.55, "neck": 0.9, "shoulder": 0.75, "elbow": 0.55, "wrist": 0.45,
    "hip": 1.2, "knee": 0.75, "ankle": 0.6, "toe": 0.5,
}  # fmt: skip
"""How deep under its own skin a joint may lie, in head heights (about 0.2 m)."""

OTHER_MARGIN = 0.15  # head heights: another surface this far in front of a joint hides it
HAND_THICKNESS = 0.25
MAX_SKIPPED = 64  # surfaces hidden from renders that a ray passes before it gives up
STEP = 1e-4  # metres


class OccluderProbe(Protocol):
    """Knows the nearest surface in front of points."""

    def front(self, world: Array, pixels: Array, depth: Array) -> tuple[Array, Array]:
        """Depth of the nearest surface in metres along the view axis (+inf = none) and whose it is (0 = the set)."""


def _thickness() -> Array:
    body = [_THICKNESS[point.partition(".")[0]] for point in BODY_POINTS]
    return np.array(body + [HAND_THICKNESS] * (2 * N_HAND) + [0.4] * N_FACE)


THICKNESS = _thickness()


def point_states(
    world: Array,
    pixels: Array,
    depth: Array,
    size: tuple[int, int],
    *,
    front: OccluderProbe | None,
    index: int,
    head: float,
) -> tuple[Array, Array]:
    """State (67,) and score factor (67,) of a character's points; ``head`` is its head's height in metres."""
    missing = ~np.isfinite(world).all(axis=1)
    with np.errstate(invalid="ignore"):
        behind = depth <= 0.0
        off = (pixels < 0.0).any(axis=1) | (pixels >= size).any(axis=1)
    state = np.full(len(world), VISIBLE)
    state[off] = OFF_SCREEN
    state[behind] = BEHIND
    state[missing] = MISSING
    seen = np.flatnonzero(state == VISIBLE)
    if front is not None and len(seen):
        nearest, owner = front.front(world[seen], pixels[seen], depth[seen])
        margin = np.where(owner == index, THICKNESS[seen], OTHER_MARGIN) * head
        state[seen[nearest < depth[seen] - margin]] = OCCLUDED
    return state, STATE_SCORE[state]


class MapProbe:
    """Looks a sample's rendered depth and mask up."""

    def __init__(self, depth: Array, mask: Array) -> None:
        self._depth, self._mask = depth, mask

    def front(self, world: Array, pixels: Array, depth: Array) -> tuple[Array, Array]:
        """See ``OccluderProbe``."""
        x, y = pixels.astype(int).T
        return self._depth[y, x].astype(np.float64), self._mask[y, x].astype(int)


class RayProbe:
    """Casts a ray from the camera to each point through an evaluated scene."""

    def __init__(
        self, copy: bpy.types.Scene, scene: bpy.types.Scene, readers: list[Any], gone: Iterable[Any] = ()
    ) -> None:
        """``gone``: objects that are not to be seen."""
        from .evaluate import character_objects

        self._scene = copy
        self._owner = {
            item.name_full: reader.params.index
            for reader in readers
            for item in character_objects(scene, reader.armature)
        }
        self._gone = {item.name_full for item in gone}
        self._depsgraph: Any = None
        self._camera: CameraSample | None = None

    def at(self, depsgraph: bpy.types.Depsgraph, camera: CameraSample) -> None:
        """The sample that the next questions are about."""
        self._depsgraph, self._camera = depsgraph, camera

    def front(self, world: Array, pixels: Array, depth: Array) -> tuple[Array, Array]:
        """See ``OccluderProbe``."""
        if self._camera is None:
            msg = "RayProbe.at must be called before RayProbe.front"
            raise RuntimeError(msg)
        forward = -self._camera.world[:3, 2]
        start = np.broadcast_to(self._camera.world[:3, 3], world.shape)
        if self._camera.orthographic:
            start = world - depth[:, None] * forward
        nearest = np.full(len(world), np.inf)
        owner = np.zeros(len(world), int)
        for i, (origin, point) in enumerate(zip(start, world, strict=True)):
            hit = self._cast(origin, point)
            if hit is not None:
                nearest[i] = float((hit[0] - self._camera.world[:3, 3]) @ forward)
                owner[i] = self._owner.get(hit[1], 0)
        return nearest, owner

    def _cast(self, origin: Array, point: Array) -> tuple[Array, str] | None:
        """The first surface on the way that renders and is no take's plane: where, and its object's name."""
        for _ in range(MAX_SKIPPED):
            way = point - origin
            length = float(np.linalg.norm(way))
            if length < STEP:
                return None
            hit, place, _, _, item, _ = self._scene.ray_cast(self._depsgraph, origin, way / length, distance=length)
            if not hit:
                return None
            if not item.hide_render and not item.get(PLANE) and item.name_full not in self._gone:
                return np.array(place), item.name_full
            origin = np.array(place) + way / length * STEP
        return None
