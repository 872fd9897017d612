"""Cuts a triangulated person into layers (torso, head, two arms, two legs) and ties each point to the bones.

Parts are found by distance *inside* the silhouette, so an arm that touches the hip stays an arm. Layers overlap
at shoulders, hips and neck, where their textures fade into each other: at rest they add up to the reference again.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree

from .mesh import Mesh
from .raster import bounds, look_up, screen_to_values, triangle_map
from .skeleton import (
    BONES,
    EAR_L,
    EAR_R,
    EYE_L,
    EYE_R,
    HEAD,
    HIP_L,
    HIP_R,
    LIMBS,
    NECK,
    PARTS,
    SHOULDER_L,
    SHOULDER_R,
    TORSO,
    Bools,
    Floats,
    Ints,
    Limb,
    smoothstep,
    unit,
)

SMOOTHING = 10
RIM = 1.7  # triangles by which neighbouring layers overlap


@dataclass(frozen=True)
class Layer:
    """Points (V,2) and triangles (T,3) of one layer, part weights (V,14) seen from the front and from the side,
    the part of each triangle (T,), and how opaque the layer is at each point (V,): from the front, and from the
    side beyond its ``own`` triangles (T,)."""

    name: str
    points: Floats
    triangles: Ints
    weights: Floats
    side_weights: Floats
    parts: Ints
    opacity: Floats
    side_opacity: Floats
    own: Bools


def cut_layers(mesh: Mesh, alpha: NDArray[np.uint8], joints: Floats) -> tuple[Layer, ...]:
    """Torso, head, right arm, left arm, right leg, left leg (a layer without triangles is left out)."""
    radii = bone_radii(alpha, joints)
    costs = part_costs(mesh, joints, radii)
    parts = np.argmin(costs[mesh.triangles].sum(axis=1), axis=1)
    neck = _neck_radius(alpha, joints)
    layers = [_torso_layer(mesh, parts, joints, radii, neck), _head_layer(mesh, parts, joints, neck)]
    layers += [_limb_layer(mesh, parts, joints, radii, limb) for limb in LIMBS]
    return tuple(layer for layer in layers if len(layer.triangles))


def bone_radii(alpha: NDArray[np.uint8], joints: Floats) -> Floats:
    """(12,) half widths of the limbs at the middle of their bones, px."""
    padded = cv2.copyMakeBorder((alpha >= 128).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    height, width = alpha.shape
    radii = np.zeros(len(BONES))
    for index, (a, b) in enumerate(BONES):
        along = joints[a] + (joints[b] - joints[a]) * np.linspace(0.35, 0.75, 7)[:, None]
        x, y = np.clip(along[:, 0].astype(int), 0, width - 1), np.clip(along[:, 1].astype(int), 0, height - 1)
        radii[index] = float(np.median(inside[y, x]))
    sizes = np.linalg.norm(np.diff(joints[np.array(BONES)], axis=1)[:, 0], axis=1)
    usual = np.tile([0.22, 0.17, 0.4, 0.22, 0.17, 0.4], 2)[: len(BONES)] * np.maximum(sizes, 1.0)
    radii = np.where(radii < 0.3 * usual, usual, radii)
    mirrored = radii.reshape(2, 2, 3)[:, ::-1].reshape(-1)
    return np.asarray(np.minimum(radii, 1.6 * mirrored))


def head_axis(joints: Floats) -> tuple[Floats, Floats]:
    """The neck joint and the head's centre (mean of eyes and ears)."""
    return joints[NECK], joints[[EYE_R, EYE_L, EAR_R, EAR_L]].mean(axis=0)


def _segments(joints: Floats) -> list[Floats]:
    """The seed polygon of each part: two points for a bone, the torso's outline, the head's axis."""
    neck, centre = head_axis(joints)
    up = centre - neck
    shoulders = joints[[SHOULDER_R, SHOULDER_L]]
    inset = shoulders.mean(axis=0) + 0.85 * (shoulders - shoulders.mean(axis=0))
    torso = np.stack([inset[0], neck + 0.3 * up, inset[1], joints[HIP_L], joints[HIP_R]])
    head = np.stack([neck + 0.62 * up, neck + 1.35 * up])
    return [*(joints[[a, b]] for a, b in BONES), torso, head]


def part_costs(mesh: Mesh, joints: Floats, radii: Floats) -> Floats:
    """(V,14): distance to each part along paths inside the silhouette, less the part's half width."""
    count = len(mesh.points)
    edges = np.unique(np.sort(mesh.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1), axis=0)
    lengths = np.linalg.norm(mesh.points[edges[:, 0]] - mesh.points[edges[:, 1]], axis=1)
    rows, columns, values = [edges[:, 0]], [edges[:, 1]], [lengths]
    for part, seed in enumerate(_segments(joints)):
        distance = _distance_to_polygon(mesh.points, seed)
        near = np.flatnonzero(distance <= max(1.2 * mesh.spacing, distance.min() + 1e-6))
        rows.append(np.full(len(near), count + part))
        columns.append(near)
        values.append(np.maximum(distance[near], 1e-6))
    size = count + PARTS
    graph = csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size))
    # a path may not use another part's seed as a shortcut, so seeds are asked one by one
    reach = np.stack([_from_seed(graph, count, part) for part in range(PARTS)], axis=1)
    costs = np.minimum(reach, 1e6)
    for part, radius in enumerate(radii):
        # behind its root a limb has no width: that is the trunk's
        a, b = joints[BONES[part][0]], joints[BONES[part][1]]
        ahead = (mesh.points - a) @ unit(b - a) / max(radius, 1e-6)
        costs[:, part] -= radius * (np.clip(1.0 + 1.2 * ahead, 0.0, 1.0) if part % 3 == 0 else 1.0)
        if part in (6, 9):
            costs[:, part] += 8.0 * radius * np.clip(0.05 - ahead, 0.0, 1.0)
    return np.asarray(costs)


def _from_seed(graph: csr_matrix, count: int, part: int) -> Floats:
    keep = np.concatenate([np.arange(count), [count + part]])
    own = graph[keep][:, keep]
    return np.asarray(dijkstra(own, directed=False, indices=[count])[0, :count])


def _distance_to_polygon(points: Floats, polygon: Floats) -> Floats:
    """Distance to a segment (2,2), or to a filled polygon (N,2)."""
    if len(polygon) > 2:
        shape = polygon.astype(np.float32)
        signed = [cv2.pointPolygonTest(shape, (float(x), float(y)), True) for x, y in points]
        return np.asarray(np.maximum(-np.asarray(signed, np.float64), 0.0))
    a, ab = polygon[0], polygon[1] - polygon[0]
    t = np.clip((points - a) @ ab / max(float(ab @ ab), 1e-9), 0.0, 1.0)
    return np.asarray(np.linalg.norm(points - a - t[:, None] * ab, axis=1))


def _neck_radius(alpha: NDArray[np.uint8], joints: Floats) -> float:
    neck, centre = head_axis(joints)
    return 0.55 * float(np.linalg.norm(centre - neck)) + 1.0


def _layer(
    name: str, mesh: Mesh, keep: Bools, own: Bools, *, parts: Ints, fades: tuple[Floats, Floats], weights: Floats
) -> Layer:
    """The layer of triangles ``keep``; points of its ``own`` triangles are opaque, the others fade (V,)
    (from the front, from the side)."""
    triangles = mesh.triangles[keep]
    opacity = fades[0].copy()
    opacity[mesh.triangles[own].ravel()] = 1.0
    used, renumbered = np.unique(triangles, return_inverse=True)
    front = _smoothed(weights[used], renumbered.reshape(-1, 3))
    side = front.copy()
    limb_part = int(np.bincount(parts[own], minlength=PARTS)[:TORSO].argmax()) if own.any() else 0
    if name.startswith(("arm", "leg")):
        root = limb_part - limb_part % 3
        side[:, root] += side[:, TORSO]
        side[:, TORSO] = 0.0
    numbered = renumbered.reshape(-1, 3).astype(np.int64)
    shown = opacity[used], fades[1][used], own[keep]
    return Layer(name, mesh.points[used], numbered, front, side, parts[keep], *shown)


def neighbour_mean(triangles: Ints, count: int) -> csr_matrix:
    """(V,V): the matrix that gives each point the mean of its neighbours."""
    edges = triangles[:, [0, 1, 1, 2, 2, 0, 1, 0, 2, 1, 0, 2]].reshape(-1, 2)
    near = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    return csr_matrix(diags(1.0 / np.maximum(np.asarray(near.sum(axis=1)).ravel(), 1.0)) @ near)


def _smoothed(weights: Floats, triangles: Ints) -> Floats:
    """Weights (V,14) averaged with their neighbours' a few times, so that no triangle is torn between two parts."""
    mean = neighbour_mean(triangles, len(weights))
    for _ in range(SMOOTHING):
        weights = 0.4 * weights + 0.6 * (mean @ weights)
    return np.asarray(weights)


def _limb_layer(mesh: Mesh, parts: Ints, joints: Floats, radii: Floats, limb: Limb) -> Layer:
    own = _main_piece(mesh, np.isin(parts, limb.bones))
    reach = cap_radius(radii, limb)
    distance = np.linalg.norm(mesh.points - joints[limb.root], axis=1)
    rim = _rim(mesh, own)
    # thighs reach less far into the trunk than arms: a shirt's hem hangs over them, not with them
    fade = np.maximum(1.0 - smoothstep(0.35 * reach, reach, distance), rim**3 if limb.name.startswith("leg") else rim)
    side = 1.0 - smoothstep(0.25 * reach, 0.65 * reach, distance)
    cap = (parts == TORSO) & (fade[mesh.triangles].max(axis=1) > 0.0)
    if limb.name.startswith("leg"):  # the thighs touch each other too
        cap |= np.isin(parts, (6, 9)) & ~own & (rim[mesh.triangles].max(axis=1) > 0.0)
    own_points = np.zeros(len(mesh.points), bool)
    own_points[mesh.triangles[own].ravel()] = True
    weights = _limb_weights(mesh.points, own_points, joints, radii, limb)
    return _layer(limb.name, mesh, own | cap, own, parts=parts, fades=(fade, side), weights=weights)


def _rim(mesh: Mesh, own: Bools) -> Floats:
    """(V,): 1 on the points of ``own`` triangles, 0 from a little more than a triangle beyond them."""
    points = np.zeros(len(mesh.points), bool)
    points[mesh.triangles[own].ravel()] = True
    if not points.any():
        return np.zeros(len(mesh.points))
    distance = np.asarray(cKDTree(mesh.points[points]).query(mesh.points)[0], np.float64)
    return np.asarray(1.0 - smoothstep(0.0, RIM * mesh.spacing, distance))


def cap_radius(radii: Floats, limb: Limb) -> float:
    """How far a limb's layer reaches into the torso around its root, px."""
    return (0.95 if limb.name.startswith("arm") else 0.45) * float(radii[limb.bones[0]])


def _main_piece(mesh: Mesh, own: Bools) -> Bools:
    """Only the largest piece of a part: stray islands are no limb."""
    if not own.any():
        return own
    count = len(mesh.points)
    triangles = mesh.triangles[own]
    edges = triangles[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = csr_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    best = np.bincount(labels[triangles[:, 0]]).argmax()
    kept = own.copy()
    kept[np.flatnonzero(own)] = labels[triangles[:, 0]] == best
    return kept


def _limb_weights(points: Floats, own_points: Bools, joints: Floats, radii: Floats, limb: Limb) -> Floats:
    """(V,14): along the limb from the torso to its tip, blended across each joint by the limb's half width."""
    weights = np.zeros((len(points), PARTS))
    direction = unit(joints[BONES[limb.bones[0]][1]] - joints[limb.root])
    reach = cap_radius(radii, limb)
    passed = smoothstep(-0.9 * reach, 0.45 * reach, (points - joints[limb.root]) @ direction)
    # what is the trunk's own stays with the trunk, so that the overlap lies still where it ends
    apart = smoothstep(0.3 * reach, 0.95 * reach, np.linalg.norm(points - joints[limb.root], axis=1))
    passed = np.where(own_points, passed, passed * (1.0 - apart))
    weights[:, TORSO] = 1.0 - passed
    left = passed
    for first, second in zip(limb.bones, limb.bones[1:], strict=False):
        joint = joints[BONES[second][0]]
        axis = unit(unit(joint - joints[BONES[first][0]]) + unit(joints[BONES[second][1]] - joint) + 1e-6 * direction)
        width = 0.8 * min(radii[first], radii[second]) + 1.0
        over = smoothstep(-width, width, (points - joint) @ axis)
        weights[:, first] = left * (1.0 - over)
        left = left * over
    weights[:, limb.bones[-1]] = left
    return weights


def _torso_layer(mesh: Mesh, parts: Ints, joints: Floats, radii: Floats, neck: float) -> Layer:
    own = parts == TORSO
    rim = _rim(mesh, own)
    fade = np.zeros(len(mesh.points))
    keep = own.copy()
    for limb in LIMBS:
        reach = cap_radius(radii, limb)
        distance = np.linalg.norm(mesh.points - joints[limb.root], axis=1)
        stump = np.maximum(rim, 1.0 - smoothstep(0.3 * reach, 0.7 * reach, distance))
        keep |= (parts == limb.bones[0]) & (stump[mesh.triangles].max(axis=1) > 0.0)
        fade = np.maximum(fade, stump)
    base, _ = head_axis(joints)
    distance = np.linalg.norm(mesh.points - base, axis=1)
    keep |= (parts == HEAD) & (distance[mesh.triangles].max(axis=1) < neck * 1.3)
    neck_fade = 1.0 - smoothstep(0.9 * neck, 1.3 * neck, distance)
    fade = np.maximum(fade, neck_fade)
    weights = _neck_weights(mesh.points, joints)
    side = np.minimum(fade, neck_fade)  # from the side no stumps of arms or thighs may hang out beside the trunk
    return _layer("torso", mesh, keep, own, parts=parts, fades=(fade, side), weights=weights)


def _neck_weights(points: Floats, joints: Floats) -> Floats:
    """(V,14): torso below the neck, head above it, blended along the neck."""
    neck, centre = head_axis(joints)
    up = centre - neck
    along = (points - neck) @ up / max(float(up @ up), 1e-9)
    aside = np.linalg.norm(points - neck - along[:, None] * up, axis=1) / max(float(np.linalg.norm(up)), 1e-9)
    weights = np.zeros((len(points), PARTS))
    weights[:, HEAD] = smoothstep(0.2, 0.6, along) * (1.0 - smoothstep(0.9, 1.4, aside))
    weights[:, TORSO] = 1.0 - weights[:, HEAD]
    return weights


def _head_layer(mesh: Mesh, parts: Ints, joints: Floats, neck: float) -> Layer:
    own = parts == HEAD
    base, centre = head_axis(joints)
    up = unit(centre - base)
    rise = (mesh.points - base) @ up
    aside = np.abs((mesh.points - base) @ np.array([-up[1], up[0]]))
    cap = (
        (parts == TORSO) & (rise[mesh.triangles].max(axis=1) > -0.1 * neck) & (aside[mesh.triangles].min(axis=1) < neck)
    )
    fade = smoothstep(-0.1 * neck, 0.5 * neck, rise) * (1.0 - smoothstep(0.6 * neck, neck, aside))
    return _layer(
        "head", mesh, own | cap, own, parts=parts, fades=(fade, fade), weights=_neck_weights(mesh.points, joints)
    )


def bake(image: NDArray[np.uint8], alpha: NDArray[np.uint8], layer: Layer) -> NDArray[np.uint8]:
    """The layer's texture: premultiplied RGBA (h,w,4) of the person, faded where the layer ends inside them."""
    return _faded(image, alpha, _shown(layer, layer.opacity, alpha.shape))


def bake_side(image: NDArray[np.uint8], alpha: NDArray[np.uint8], layer: Layer, spacing: float) -> NDArray[np.uint8]:
    """The same for a body seen from the side, where the layer's edges come into view: little overlap, round edges."""
    own = layer.points[np.unique(layer.triangles[layer.own])]
    solid = (alpha > 8).astype(np.float32)
    mask = np.zeros(alpha.shape, np.float32)
    if len(own):
        seen = triangle_map(layer.points[layer.triangles[layer.own]], (0, 0, alpha.shape[1], alpha.shape[0]))
        mask = (seen >= 0).astype(np.float32) * solid
    sigma = 0.8 * spacing
    near = cv2.GaussianBlur(mask, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(solid, (0, 0), sigma), 1e-3)
    edge = np.clip((near.astype(np.float64) - 0.4) * spacing / 2.5 + 0.5, 0.0, 1.0)
    return _faded(image, alpha, np.maximum(edge, _shown(layer, layer.side_opacity, alpha.shape)))


def opaqueness(alpha: NDArray[np.uint8], layer: Layer) -> Floats:
    """(T,) how opaque each triangle is: where a layer folds onto itself, the clearer ones must be painted first."""
    points = layer.points[layer.triangles]
    inner = 0.7 * points + 0.3 * points.mean(axis=1, keepdims=True)
    height, width = alpha.shape
    x = np.clip(inner[..., 0].astype(np.int64), 0, width - 1)
    y = np.clip(inner[..., 1].astype(np.int64), 0, height - 1)
    return np.asarray((alpha[y, x] / 255.0).mean(axis=1) * layer.opacity[layer.triangles].mean(axis=1))


def _shown(layer: Layer, opacity: Floats, shape: tuple[int, ...]) -> Floats:
    """Point values (V,) spread over the pixels of the layer's triangles (h,w)."""
    corners = layer.points[layer.triangles]
    box = bounds(corners, shape[1], shape[0])
    seen = triangle_map(corners, box)
    shown = np.zeros(shape[:2])
    values = screen_to_values(corners, opacity[layer.triangles][:, :, None])
    shown[box[1] : box[3], box[0] : box[2]] = np.clip(look_up(seen, values, box, 0.0)[0], 0.0, 1.0)
    return shown


def _faded(image: NDArray[np.uint8], alpha: NDArray[np.uint8], shown: Floats) -> NDArray[np.uint8]:
    opaque = shown * (alpha / 255.0)
    return np.asarray(np.rint(np.dstack([image[..., :3] * opaque[..., None], opaque * 255.0])), np.uint8)
