"""A person ready to be posed: layers, one prefactored deformation, textures for the front and the back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .arap import Solver, stretches
from .back import back_view
from .bind import Layer, bake, bake_side, cut_layers, opaqueness
from .mesh import signed_areas, triangulate
from .skeleton import (
    BONES,
    HEAD,
    HIP_L,
    HIP_R,
    NECK,
    PARTS,
    SHOULDER_L,
    SHOULDER_R,
    TORSO,
    Floats,
    Ints,
    smoothstep,
)
from .skin import Patch, Pose, PosedSkin, Skin, one_part

ITERATIONS = 4
JOINT_WEIGHT = 200.0
BONE_WEIGHT = 1.0
WELD_WEIGHT = 0.2
SIDE_WIDTH = 0.6  # of the reference's shoulders or hips, below which the body counts as seen from the side

UNITS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("leg.R.upper", "leg.R", (6, 9, TORSO)), ("leg.R.lower", "leg.R", (7, 8)),
    ("leg.L.upper", "leg.L", (6, 9, TORSO)), ("leg.L.lower", "leg.L", (10, 11)),
    ("torso", "torso", tuple(range(PARTS))), ("head", "head", tuple(range(PARTS))),
    ("arm.R.upper", "arm.R", (0, TORSO)), ("arm.R.lower", "arm.R", (1, 2)),
    ("arm.L.upper", "arm.L", (3, TORSO)), ("arm.L.lower", "arm.L", (4, 5)),
)  # fmt: skip
"""What is painted as one: name, its layer, the parts of its triangles. Listed far to near at equal depth."""


@dataclass(frozen=True)
class Unit:
    """One painted piece: its triangles in the puppet, and its textures, premultiplied RGBA."""

    name: str
    triangles: Ints
    front: NDArray[np.uint8]
    side: NDArray[np.uint8]
    back: NDArray[np.uint8]

    def texture(self, posed: Posed) -> NDArray[np.uint8]:
        """The texture for one frame: from behind the head shows hair, from the side layers overlap less."""
        if self.name == "head":
            return self.front if posed.mirror > 0 else self.back
        width = posed.skin.widths[1 if self.name.startswith("leg") else 0]
        return self.front if width > SIDE_WIDTH else self.side


@dataclass(frozen=True)
class Posed:
    """One frame's shape: ``points`` (V,2) on screen, ``mirror`` -1 seen from behind, and the maps that made it."""

    points: Floats
    mirror: float
    skin: PosedSkin


class Puppet:
    """A person cut out of a reference (``image`` (h,w,4), ``alpha`` (h,w)) with joints (22,2) in its pixels."""

    def __init__(self, image: NDArray[np.uint8], alpha: NDArray[np.uint8], joints: Floats) -> None:
        self.skin = Skin(joints)
        mesh = triangulate(alpha)
        layers = cut_layers(mesh, alpha, joints)
        starts = np.cumsum([0, *(len(layer.points) for layer in layers)])
        self.rest = np.concatenate([layer.points for layer in layers])
        self.triangles: Ints = np.concatenate(
            [layer.triangles + start for layer, start in zip(layers, starts[:-1], strict=True)]
        )
        self.weights = np.concatenate([layer.weights for layer in layers])
        self._side = np.concatenate([layer.side_weights for layer in layers])
        self._arm = np.concatenate([np.full(len(layer.points), layer.name.startswith("arm")) for layer in layers])
        self._uv = self.skin.patch.coordinates(self.rest)
        self.units = _units(image, alpha, joints, layers, mesh.spacing)
        self._pins = _Pins.of(self, layers, starts, joints)
        self.solver = Solver(self.rest, self.triangles, self._pins.matrix, self._pins.strengths)

    def pose(self, pose: Pose, last: Posed | None) -> Posed:
        """The puppet in one frame's pose; ``last`` is the frame before (for bones seen end on)."""
        skin = self.skin.posed(pose, last.skin if last else None)
        weights = self._weights(skin)
        start = skin.place(self.rest, self._uv, weights)
        patch = skin.patch.at(self._uv)
        torso = stretches(self.solver.jacobians(patch, pose.mirror))
        stretch = skin.stretch(weights[self.triangles].mean(axis=1), torso)
        targets = self._pins.targets(skin, start)
        points = self.solver.solve(start, stretch, targets, pose.mirror, ITERATIONS)
        return Posed(points, pose.mirror, skin)

    def _weights(self, skin: PosedSkin) -> Floats:
        """Limbs let go of the torso where it is seen from the side, as its outline no longer leads to them."""
        shoulders, hips = (1.0 - smoothstep(0.45, 0.8, np.asarray(width)) for width in skin.widths)
        free = np.where(self._arm, shoulders, hips)[:, None]
        return np.asarray(self.weights + free * (self._side - self.weights))

    def folded(self, posed: Posed) -> Ints:
        """Indices of triangles that are turned over."""
        return np.flatnonzero(signed_areas(posed.points[self.triangles]) * posed.mirror <= 0)

    def on_screen(self, posed: Posed) -> Floats:
        """Where the 22 joints of the reference have landed (22,2); joints without a pin are NaN."""
        found = np.full((22, 2), np.nan)
        for joint, row in self._pins.joints.items():
            base = self._pins.matrix[row] @ posed.points
            found[joint] = np.asarray(base).ravel() + self._pins.anchor(posed.skin, joint)
        return found


def _units(
    image: NDArray[np.uint8], alpha: NDArray[np.uint8], joints: Floats, layers: tuple[Layer, ...], spacing: float
) -> tuple[Unit, ...]:
    behind = back_view(image, alpha, joints)
    starts = np.cumsum([0, *(len(layer.triangles) for layer in layers)])
    by_name = {layer.name: (layer, start) for layer, start in zip(layers, starts[:-1], strict=True)}
    baked = {
        name: (
            bake(image, alpha, layer),
            bake_side(image, alpha, layer, spacing),
            bake(behind, alpha, layer),
        )
        for name, (layer, _) in by_name.items()
    }
    units = []
    for name, layer_name, parts in UNITS:
        if layer_name not in by_name:
            continue
        layer, start = by_name[layer_name]
        chosen = np.flatnonzero(np.isin(layer.parts, parts))
        chosen = chosen[np.argsort(opaqueness(alpha, layer)[chosen], kind="stable")] + start
        if len(chosen):
            views = baked[layer_name]
            units.append(Unit(name, chosen, *views))
    return tuple(units)


@dataclass(frozen=True)
class _Pins:
    """Points of the mesh held in place: ``matrix`` (P,V), rest places (P,2), part weights (P,14).

    Welds hold the vertices of limbs that lie on the trunk where the skin puts them.
    """

    matrix: csr_matrix
    strengths: Floats
    places: Floats
    uv: Floats
    weights: Floats
    welds: Ints
    joints: dict[int, int]

    @staticmethod
    def of(puppet: Puppet, layers: tuple[Layer, ...], starts: Ints, joints: Floats) -> _Pins:
        wanted: list[tuple[int, int, Floats, float, int]] = []  # layer, part, place, strength, joint or -1
        for index, layer in enumerate(layers):
            wanted += [(index, *pin) for pin in _pins_of(layer.name, joints)]
        rows, columns, values, places, weights, strengths, named = [], [], [], [], [], [], {}
        for row, (index, part, place, strength, joint) in enumerate(wanted):
            corners, shares = _locate(layers[index], place)
            rows += [row] * 3
            columns += list(corners + starts[index])
            values += list(shares)
            places.append(shares @ layers[index].points[corners])
            weights.append(one_part(part, 1)[0])
            strengths.append(strength)
            if joint >= 0:
                named[joint] = row
        count = len(wanted)
        trunk = np.concatenate([np.full(len(layer.points), layer.name == "torso") for layer in layers])
        welds = np.flatnonzero((puppet.weights[:, TORSO] > 0.6) & ~trunk)
        rows += list(count + np.arange(len(welds)))
        columns += list(welds)
        values += [1.0] * len(welds)
        matrix = csr_matrix((values, (rows, columns)), shape=(count + len(welds), len(puppet.rest)))
        rest = np.array(places)
        all_strengths = np.concatenate([strengths, np.full(len(welds), WELD_WEIGHT)])
        uv = puppet.skin.patch.coordinates(rest)
        return _Pins(matrix, all_strengths, rest, uv, np.array(weights), welds, named)

    def targets(self, skin: PosedSkin, start: Floats) -> Floats:
        """(P,2): joints where they must be, other pins by their own part, welds where the skin puts them."""
        placed = skin.place(self.places, self.uv, self.weights)
        for joint, row in self.joints.items():
            placed[row] = skin.pose.joints[joint] - self.anchor(skin, joint)
        return np.concatenate([placed, start[self.welds]])

    def anchor(self, skin: PosedSkin, joint: int) -> Floats:
        """From a pin to the joint it stands for: nothing, but for joints outside the silhouette."""
        row, rest = self.joints[joint], skin.skin.rest[joint]
        if np.allclose(rest, self.places[row]):
            return np.zeros(2)
        part = int(np.argmax(self.weights[row]))
        flip = np.array([skin.pose.mirror, 1.0])
        matrix = skin.matrices[part] if part < TORSO else skin.pose.scale * np.eye(2)
        return np.asarray(matrix @ ((rest - self.places[row]) * flip))


def _pins_of(layer: str, joints: Floats) -> list[tuple[int, Floats, float, int]]:
    """Pins of a layer: part, place in the reference, strength, and the joint it stands for or -1."""
    if layer == "torso":
        corners = [(TORSO, joints[j], JOINT_WEIGHT, -1) for j in (SHOULDER_R, SHOULDER_L, HIP_R, HIP_L)]
        return [*corners, (TORSO, joints[NECK], JOINT_WEIGHT, NECK)]
    if layer == "head":
        neck, centre = joints[NECK], joints[14:18].mean(axis=0)
        return [(HEAD, centre, JOINT_WEIGHT, -1), (HEAD, centre + 0.3 * (centre - neck), BONE_WEIGHT, -1)]
    first = {"arm.R": 0, "arm.L": 3, "leg.R": 6, "leg.L": 9}[layer]
    pins: list[tuple[int, Floats, float, int]] = [(first, joints[BONES[first][0]], JOINT_WEIGHT, BONES[first][0])]
    for bone in range(first, first + 3):
        a, b = BONES[bone]
        middle = [(bone, joints[a] + t * (joints[b] - joints[a]), BONE_WEIGHT, -1) for t in (0.25, 0.5, 0.75)]
        pins += [*middle, (bone, joints[b], JOINT_WEIGHT, b)]
    return pins


def _locate(layer: Layer, place: Floats) -> tuple[Ints, Floats]:
    """The triangle nearest to a point: its corners, and the barycentric shares of the nearest point inside it."""
    corners = layer.points[layer.triangles]
    a, edges = corners[:, 0], corners[:, 1:] - corners[:, :1]
    shares = np.linalg.solve(np.swapaxes(edges, 1, 2), (place - a)[:, :, None])[:, :, 0]
    full = np.concatenate([1.0 - shares.sum(axis=1, keepdims=True), shares], axis=1)
    inside = np.clip(full, 0.0, None)
    inside /= inside.sum(axis=1, keepdims=True)
    distance = np.linalg.norm(np.einsum("tk,tkj->tj", inside, corners) - place, axis=1)
    best = int(np.argmin(distance))
    return layer.triangles[best], inside[best]


__all__ = ["Patch", "Posed", "Puppet", "Unit"]
