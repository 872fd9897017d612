"""Places points of the reference by the bones of one frame: the start of the deformation, and the targets of its pins.

A limb's bone maps its part by an affine map: turned, scaled along the bone to the target's length
(foreshortening), scaled across it by the character's scale, so that limbs keep the reference's width.
The torso is a bilinear patch between shoulders and hips; the head is a similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .arap import stretches
from .skeleton import (
    BONES,
    EAR_L,
    EAR_R,
    FACE,
    HEAD,
    HIP_L,
    HIP_R,
    NECK,
    PARTS,
    SHOULDER_L,
    SHOULDER_R,
    TORSO,
    Bools,
    Floats,
    foot_down,
    perpendicular,
    unit,
)

# A trunk is nearly an elliptic cylinder: how deep it is to how wide, at hips and shoulders. So wide it stays
# when it is seen from the side.
DEPTH_TO_WIDTH = (0.58, 0.5)
FEET = (8, 11)  # bones
MAX_NECK = 1.12  # of the reference's
MIN_BONE_LENGTH = 0.12  # of the reference's, below which a bone keeps its last direction


@dataclass(frozen=True)
class Pose:
    """One frame's targets: ``joints`` (22,2) px, ``scale`` px a reference px, ``mirror`` -1 seen from behind."""

    joints: Floats
    scale: float
    mirror: float
    face_known: Bools  # (22,) points that may place the head


@dataclass(frozen=True)
class Patch:
    """The torso: spine from ``hips`` to ``shoulders`` (mid points), half-width vectors towards the left side."""

    hips: Floats
    shoulders: Floats
    hip_half: Floats
    shoulder_half: Floats

    @staticmethod
    def of(joints: Floats) -> Patch:
        """The patch of joints (22,2)."""
        hips, shoulders = joints[[HIP_R, HIP_L]].mean(axis=0), joints[[SHOULDER_R, SHOULDER_L]].mean(axis=0)
        return Patch(hips, shoulders, joints[HIP_L] - hips, joints[SHOULDER_L] - shoulders)

    def at(self, uv: Floats) -> Floats:
        """Points (N,2) of patch coordinates (N,2): u -1 right .. 1 left, v 0 hips .. 1 shoulders."""
        u, v = uv[:, :1], uv[:, 1:]
        inside = np.clip(v, -0.25, 1.25)
        half = self.hip_half * (1 - inside) + self.shoulder_half * inside
        return np.asarray(self.hips + (self.shoulders - self.hips) * v + half * u)

    def coordinates(self, points: Floats) -> Floats:
        """Patch coordinates (N,2) of points, by Newton's method."""
        spine = self.shoulders - self.hips
        v = (points - self.hips) @ spine / (spine @ spine)
        uv = np.stack([np.zeros_like(v), v], axis=1)
        for _ in range(8):
            inside = np.clip(uv[:, 1:], -0.25, 1.25)
            du = self.hip_half * (1 - inside) + self.shoulder_half * inside
            free = (np.abs(uv[:, 1:] - 0.5) < 0.75).astype(float)
            dv = spine + (self.shoulder_half - self.hip_half) * uv[:, :1] * free
            uv = uv + np.linalg.solve(np.stack([du, dv], axis=2), (points - self.at(uv))[:, :, None])[:, :, 0]
        return uv

    def widened(self, rest: Patch, scale: float, mirror: float) -> tuple[Patch, float, float]:
        """This patch as wide as a trunk is at that angle, and how wide shoulders and hips are apart (0..1)."""
        across = mirror * -perpendicular(unit(self.shoulders - self.hips))
        rest_across = -perpendicular(unit(rest.shoulders - rest.hips))
        halves, ratios = [], []
        pairs = ((self.hip_half, rest.hip_half), (self.shoulder_half, rest.shoulder_half))
        for (half, rest_half), depth in zip(pairs, DEPTH_TO_WIDTH, strict=True):
            full = scale * abs(float(rest_half @ rest_across))
            sign = np.sign(float(rest_half @ rest_across)) or 1.0
            true = float(half @ across) * sign
            cosine = float(np.clip(true / max(full, 1e-6), 0.0, 1.0))
            wide = max(true, full * float(np.sqrt(cosine**2 + depth**2 * (1.0 - cosine**2))))
            halves.append(half + across * sign * (wide - true))
            ratios.append(true / max(full, 1e-6))
        return Patch(self.hips, self.shoulders, halves[0], halves[1]), ratios[1], ratios[0]


class Skin:
    """The reference's joints (22,2) and torso; ``posed`` gives the maps of one frame."""

    def __init__(self, rest: Floats) -> None:
        self.rest = rest
        self.patch = Patch.of(rest)
        a, b = np.array(BONES).T
        self._a, self._b = a, b
        self.lengths = np.linalg.norm(rest[b] - rest[a], axis=1)

    def posed(self, pose: Pose, last: PosedSkin | None) -> PosedSkin:
        """All part maps for ``pose``; ``last`` is the frame before."""
        flip = np.array([pose.mirror, 1.0])
        start, end = self.rest[self._a] * flip, self.rest[self._b] * flip
        rest_direction = unit(end - start)
        vector = pose.joints[self._b] - pose.joints[self._a]
        length = np.linalg.norm(vector, axis=1)
        fallback = last.directions if last is not None else unit(vector)
        steady = np.clip(length / np.maximum(MIN_BONE_LENGTH * pose.scale * self.lengths, 1e-6), 0.0, 1.0)[:, None]
        direction = unit(steady * unit(vector) + (1 - steady) * fallback)
        # along the bone only as far as the target says, across it by the character's scale
        along = (vector * direction).sum(axis=1) / np.maximum(self.lengths, 1e-6)
        frame = np.stack([direction, perpendicular(direction)], axis=2)
        rest_frame = np.stack([rest_direction, perpendicular(rest_direction)], axis=2)
        visible = np.maximum(along, 0.2 * pose.scale)
        stretch = np.zeros((len(BONES), 2, 2))
        stretch[:, 0, 0], stretch[:, 1, 1] = visible, pose.scale
        symmetric = rest_frame @ stretch @ np.swapaxes(rest_frame, 1, 2)
        matrices = frame @ (np.swapaxes(rest_frame, 1, 2) @ symmetric)
        for bone in FEET:
            foot = self._foot(bone, pose, flip)
            if foot is not None:
                matrices[bone] = foot
                symmetric[bone] = stretches(foot[None])[0]
        patch, shoulders, hips = Patch.of(pose.joints).widened(self.patch, pose.scale, pose.mirror)
        head = self._head(pose, patch)
        return PosedSkin(self, pose, matrices, symmetric, direction, patch, (shoulders, hips), head)

    def _foot(self, bone: int, pose: Pose, flip: Floats) -> Floats | None:
        """A foot's map (2,2): its sole stays level while the toes go to where they are, and it gets longer sideways,
        for a shoe seen from the front must serve from the side. None where the reference's feet are seen flat."""
        ankle, toe = BONES[bone]
        knee = BONES[bone - 1][0]
        rest = self.rest[[knee, ankle, toe]] * flip
        joints = pose.joints[[knee, ankle, toe]]
        rest_down, down = foot_down(rest[1] - rest[0]), foot_down(joints[1] - joints[0])
        rest_foot, foot = rest[2] - rest[1], joints[2] - joints[1]
        deep, length = float(rest_foot @ rest_down), float(np.linalg.norm(rest_foot))
        if deep < 0.5 * length or float(foot @ down) < 0.2 * pose.scale * deep:
            return None
        side = perpendicular(down)
        aside = abs(float(foot @ side)) / (pose.scale * length)
        wide = 1.0 + 0.5 * float(np.clip(aside - 0.3, 0.0, 1.6))
        target = np.stack([pose.scale * wide * side, foot], axis=1)
        return np.asarray(target @ np.linalg.inv(np.stack([perpendicular(rest_down), rest_foot], axis=1)))

    def _head(self, pose: Pose, patch: Patch) -> tuple[Floats, Floats, Floats]:
        """The head's similarity: matrix (2,2), centre in the reference (mirrored), centre on screen."""
        flip = np.array([pose.mirror, 1.0])
        known = [i for i in (EAR_R, EAR_L) if pose.face_known[i]]
        if len(known) < 2:  # the middle of the ears stays put when the head turns; the face does not
            known = [i for i in FACE if pose.face_known[i]]
        rest_neck, neck = self.rest[NECK] * flip, pose.joints[NECK]
        if not known:
            turn = _turn((self.patch.shoulders - self.patch.hips) * flip, patch.shoulders - patch.hips)
            return pose.scale * turn, rest_neck, neck
        centre, target = self.rest[known].mean(axis=0) * flip, pose.joints[known].mean(axis=0)
        turn = _turn(centre - rest_neck, target - neck)
        # the neck may look shorter, bent towards the camera, but hardly longer than it is
        away = target - neck
        length = float(np.linalg.norm(away))
        longest = MAX_NECK * pose.scale * float(np.linalg.norm(centre - rest_neck))
        target = neck + away * min(1.0, longest / max(length, 1e-6))
        return pose.scale * turn, centre, target


@dataclass(frozen=True)
class PosedSkin:
    """The part maps of one frame. ``widths``: how wide shoulders and hips are seen, 1 as in the reference."""

    skin: Skin
    pose: Pose
    matrices: Floats
    symmetric: Floats
    directions: Floats
    patch: Patch
    widths: tuple[float, float]
    head: tuple[Floats, Floats, Floats]

    def place(self, points: Floats, uv: Floats, weights: Floats) -> Floats:
        """Points (N,2) of the reference on screen, blended by part weights (N,14)."""
        flip = np.array([self.pose.mirror, 1.0])
        seen = points * flip
        a = [bone[0] for bone in BONES]
        offsets = self.pose.joints[a] - np.einsum("bij,bj->bi", self.matrices, self.skin.rest[a] * flip)
        blended = np.einsum("nb,bij->nij", weights[:, :TORSO], self.matrices)
        placed = np.einsum("nij,nj->ni", blended, seen) + weights[:, :TORSO] @ offsets
        matrix, centre, target = self.head
        placed += weights[:, HEAD, None] * ((seen - centre) @ matrix.T + target)
        placed += weights[:, TORSO, None] * self.patch.at(uv)
        return np.asarray(placed)

    def stretch(self, weights: Floats, torso: Floats) -> Floats:
        """The stretch (T,2,2) of triangles with part weights (T,14); ``torso`` (T,2,2) is the patch's own."""
        blended = np.einsum("tb,bij->tij", weights[:, :TORSO], self.symmetric)
        blended += weights[:, TORSO, None, None] * torso
        blended += weights[:, HEAD, None, None] * (self.pose.scale * np.eye(2))
        return np.asarray(blended)


def one_part(part: int, count: int) -> Floats:
    """Part weights (count,14) that follow one part alone."""
    weights = np.zeros((count, PARTS))
    weights[:, part] = 1.0
    return weights


def _turn(rest: Floats, target: Floats) -> Floats:
    """The rotation (2,2) that turns ``rest`` towards ``target``."""
    cos, sin = float(rest @ target), float(rest[0] * target[1] - rest[1] * target[0])
    length = float(np.hypot(cos, sin))
    if length < 1e-9:
        return np.eye(2)
    return np.array([[cos, -sin], [sin, cos]]) / length
