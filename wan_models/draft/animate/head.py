"""The head's picture for one frame: the face, the hair behind it, or, from the side, one beside the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .puppet import Unit
from .skeleton import EAR_L, EAR_R, Floats, smoothstep

TURN = 1.0  # cosine of the angle at which the first hair comes into view, from the front; and the last face from behind
BEYOND = 0.15  # of the distance of the ears, how far the head goes beyond each of them
SOFT = 0.15  # of the same, half the width of the border between hair and face


class HeadView:
    """``unit`` is the head's, ``joints`` (22,2) the reference's; ``faces`` 1 when that shows the face, -1 the back."""

    def __init__(self, unit: Unit, joints: Floats, faces: float) -> None:
        self._unit, self._faces = unit, faces
        right, left = float(joints[EAR_R, 0]), float(joints[EAR_L, 0])
        self._right, self._wide = right, left - right
        opaque = np.flatnonzero((unit.front[..., 3] > 0).any(axis=1))
        self._rows = slice(int(opaque[0]), int(opaque[-1]) + 1) if len(opaque) else slice(0, 0)

    def texture(self, yaw: float, mirror: float) -> NDArray[np.uint8]:
        """Premultiplied RGBA for a head turned by ``yaw`` degrees (0 faces the camera, positive shows its right side).

        ``mirror`` is the puppet's. The ear that the face is next to on screen stays the same as the puppet turns over.
        """
        if self._faces < 0 or abs(self._wide) < 2:
            return self._unit.front if mirror > 0 else self._unit.back
        share = 0.5 + 0.5 * float(np.cos(np.radians(yaw))) / TURN
        if share >= 1:
            return self._unit.front
        if share <= 0:
            return self._unit.back
        face = self._face(share, right_side=yaw > 0, mirror=mirror)
        rows = self._rows
        mixed = self._unit.back.copy()
        front, back = (view[rows].astype(np.float32) for view in (self._unit.front, self._unit.back))
        mixed[rows] = np.rint(back + (front - back) * face[None, :, None]).astype(np.uint8)
        return mixed

    def _face(self, share: float, *, right_side: bool, mirror: float) -> NDArray[np.float32]:
        """How much of each column is face: seen from its right side, a head has its hair next to the right ear."""
        across = (np.arange(self._unit.front.shape[1]) + 0.5 - self._right) / self._wide  # 0 right ear, 1 left ear
        if right_side == (mirror > 0):
            across = 1 - across  # now 0 is the ear that the face is next to
        edge = -BEYOND - SOFT + share * (1 + 2 * BEYOND + 2 * SOFT)
        return np.asarray(1 - smoothstep(edge - SOFT, edge + SOFT, across.astype(np.float64)), np.float32)
