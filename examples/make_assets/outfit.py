"""Dresses the MakeHuman base body: skin where it shows, T-shirt, trousers, shoes, hair and eyes as one skinned mesh.

The clothes are cut from the base mesh's own ``helper-tights`` layer, which carries skin weights like the body.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import bmesh
import bpy
import numpy as np
from mpfb import BaseMesh
from retarget import Array, Skeleton, unit

Plane = tuple[Array, Array]  # a point and a normal; what lies on the normal's side is cut away
ARMS = ("Arm", "Hand", "Finger", "Thumb")
SLOTS = ("Skin", "Hair", "Shirt", "Trousers", "Shoes", "Soles", "EyeWhite", "Iris", "Trim", "Brows")


@dataclass
class Part:
    """One garment: which faces, how far (metres) they stand off the body, where they are cut, which material slot."""

    slot: str
    faces: list[tuple[int, ...]]
    puff: Callable[[Array], Array]
    cuts: list[Plane] = field(default_factory=list)
    sleeves: list[Plane] = field(default_factory=list)  # as cuts, for faces that follow the arms only


@dataclass
class Body:
    """The base mesh with its skin ``weights`` (n, bones)."""

    mesh: BaseMesh
    skeleton: Skeleton
    weights: Array

    def joint(self, name: str) -> Array:
        """A bone's rest head."""
        return self.skeleton.heads[self.skeleton.index[name]]

    def share(self, *names: str) -> Array:
        """How much (n,) each vertex follows bones whose names contain one of ``names``."""
        columns = [i for i, bone in enumerate(self.skeleton.bones) if any(n in bone.name for n in names)]
        return self.weights[:, columns].sum(1)

    def where(self, group: str, keep: Array) -> list[tuple[int, ...]]:
        """The group's faces all of whose vertices are kept."""
        return [face for face in self.mesh.groups[group] if all(keep[v] for v in face)]


def even(metres: float) -> Callable[[Array], Array]:
    """The same stand-off everywhere."""
    return lambda points: np.full(len(points), metres)


def along(body: Body, start: str, end: str, part: float) -> Plane:
    """The plane across a limb at ``part`` of the way between two joints."""
    a, b = body.joint(start), body.joint(end)
    return a + (b - a) * part, unit(b - a)


def parts(body: Body) -> list[Part]:
    """Everything the person is made of, innermost first."""
    return [skin(body), *eyes(body), hair(body), shirt(body), trousers(body), *shoes(body)]


def skin(body: Body) -> Part:
    """The body where clothes leave it bare, with a margin under them."""
    points = body.mesh.vertices
    arm = body.share("ForeArm", "Hand", "Finger", "Thumb") > 0.02
    for side in ("Left", "Right"):
        at, normal = along(body, f"{side}Arm", f"{side}ForeArm", 0.3)
        arm |= ((points - at) @ normal > 0) & (body.share(f"{side}Arm") > 0.5)
    head = points[:, 2] > body.joint("Neck")[2] - 0.07
    return Part("Skin", body.where("body", arm | (head & (body.share("Arm") < 0.3))), even(0.0))


def shirt(body: Body) -> Part:
    """A T-shirt with short sleeves, worn over the trousers."""
    keep = body.share("Foot", "Toe") < 0.02
    hem = body.joint("LeftUpLeg")[2] - 0.03
    cuts = [(np.array([0, 0, hem]), np.array([0, 0, -1.0]))]
    sleeves = [along(body, f"{s}Arm", f"{s}ForeArm", 0.62) for s in ("Left", "Right")]
    neck = body.joint("Neck")
    cuts.append((neck + np.array([0, -0.02, 0.012]), unit(np.array([0, -0.4, 1.0]))))
    waist = body.joint("LowerBack")[2]

    def puff(points: Array) -> Array:
        return 0.011 + 0.016 * np.clip((waist + 0.12 - points[:, 2]) / 0.25, 0, 1)

    return Part("Shirt", body.where("helper-tights", keep), puff, cuts, sleeves)


def trousers(body: Body) -> Part:
    """Straight trousers down to the ankles."""
    keep = (body.share("Arm", "Hand", "Shoulder") < 0.02) & (body.share("Foot", "Toe") < 0.9)
    top, ankle = body.joint("LowerBack")[2] - 0.02, body.joint("LeftFoot")[2]
    up, down = np.array([0, 0, 1.0]), np.array([0, 0, -1.0])
    cuts = [(np.array([0, 0, top]), up), (np.array([0, 0, ankle + 0.005]), down)]

    def puff(points: Array) -> Array:
        height = (points[:, 2] - ankle) / (top - ankle)
        return np.interp(height, [0, 0.25, 0.55, 1], [0.024, 0.017, 0.013, 0.009])

    return Part("Trousers", body.where("helper-tights", keep), puff, cuts)


def shoes(body: Body) -> list[Part]:
    """Low shoes with a sole of another colour."""
    foot = body.share("Foot", "Toe") > 0.2
    ankle = body.joint("LeftFoot")[2]
    floor = body.mesh.vertices[sorted({v for f in body.where("helper-tights", foot) for v in f}), 2].min()
    edge, lip = np.array([0, 0, floor + 0.022]), np.array([0, 0, ankle + 0.03])
    up = np.array([0, 0, 1.0])
    faces = body.where("helper-tights", foot)
    return [
        Part("Shoes", faces, even(0.011), [(lip, up), (edge, -up)]),
        Part("Soles", faces, even(0.014), [(edge, up)]),
    ]


def hairline(body: Body, points: Array) -> Array:
    """Signed distance (n,) in metres into the hair from its edge, on the head of the base mesh."""
    eye = body.mesh.vertices[sorted({v for f in body.mesh.groups["helper-l-eye"] for v in f})].mean(0)
    top = body.mesh.vertices[sorted({v for f in body.mesh.groups["body"] for v in f}), 2].max()
    y = points[:, 1] - eye[1]  # 0 at the eyes, growing towards the back of the head
    size = top - eye[2]
    edge = np.interp(y / size, [-0.3, 0.05, 0.35, 0.62, 0.85, 1.05, 1.5], [0.62, 0.56, 0.30, 0.22, -0.05, -0.42, -0.55])
    return (points[:, 2] - eye[2]) - edge * size


def hair(body: Body) -> Part:
    """A cap of short hair over the scalp."""
    points = body.mesh.vertices
    keep = (hairline(body, points) > -0.03) & (body.share("Head") > 0.5)
    faces = body.where("body", keep)
    inside = sorted({v for f in faces for v in f})
    ear = np.abs(points[:, 0]) > np.percentile(np.abs(points[inside, 0]), 99.5)
    keep &= ~ear

    def puff(where: Array) -> Array:
        return np.interp(hairline(body, where), [-0.03, -0.004, 0.006, 0.04], [-0.007, -0.003, 0.004, 0.015])

    return Part("Hair", body.where("body", keep), puff)


def eyes(body: Body) -> list[Part]:
    """Eyeballs, with the iris as the faces that look forward."""
    found: list[Part] = []
    for group in ("helper-l-eye", "helper-r-eye"):
        faces = body.mesh.groups[group]
        numbers = sorted({v for face in faces for v in face})
        centre = body.mesh.vertices[numbers].mean(0)
        radius = np.linalg.norm(body.mesh.vertices[numbers] - centre, axis=1).max()
        ahead = [(body.mesh.vertices[list(f)].mean(0) - centre)[1] < -0.8 * radius for f in faces]
        found.append(Part("Iris", [f for f, a in zip(faces, ahead, strict=True) if a], even(0.0)))
        found.append(Part("EyeWhite", [f for f, a in zip(faces, ahead, strict=True) if not a], even(0.0)))
    return found


def build_mesh(body: Body, name: str) -> bpy.types.Mesh:
    """One mesh of all parts, with a deform layer in the order of the skeleton's bones and a slot a material."""
    bm = bmesh.new()
    layer = bm.verts.layers.deform.verify()
    for part in parts(body):
        _add(bm, layer, body, part)
    mesh = bpy.data.meshes.new(name)
    bm.to_mesh(mesh)
    bm.free()
    mesh.polygons.foreach_set("use_smooth", [True] * len(mesh.polygons))
    return mesh


def _add(bm: bmesh.types.BMesh, layer: object, body: Body, part: Part) -> None:
    numbers = sorted({v for face in part.faces for v in face})
    normals = vertex_normals(body.mesh.vertices, part.faces)
    points = body.mesh.vertices[numbers]
    points = points + normals[numbers] * part.puff(points)[:, None]
    made = {}
    for number, point in zip(numbers, points, strict=True):
        made[number] = bm.verts.new(point)
        for bone in np.flatnonzero(body.weights[number] > 0.004):
            made[number][layer][int(bone)] = float(body.weights[number, bone])
    faces = [bm.faces.new([made[v] for v in face]) for face in part.faces]
    for face in faces:
        face.material_index = SLOTS.index(part.slot)
    arm = body.share(*ARMS) > 0.4
    kept, arms = [], []
    for face, numbers in zip(faces, part.faces, strict=True):
        side = np.sign(body.mesh.vertices[list(numbers), 0].mean())
        (arms if part.sleeves and all(arm[v] for v in numbers) else kept).append((face, side))
    for plane in part.sleeves:
        _cut(bm, [f for f, side in arms if side == np.sign(plane[0][0])], [plane])
    _cut(bm, [f for f, _ in kept], part.cuts)


def _cut(bm: bmesh.types.BMesh, faces: list[bmesh.types.BMFace], cuts: list[Plane]) -> None:
    for point, normal in cuts:
        edges = {e for f in faces for e in f.edges}
        verts = {v for f in faces for v in f.verts}
        cut = bmesh.ops.bisect_plane(
            bm, geom=[*faces, *edges, *verts], plane_co=point, plane_no=normal, clear_outer=True, dist=1e-5
        )
        faces = [f for f in cut["geom"] if isinstance(f, bmesh.types.BMFace) and f.is_valid]


def vertex_normals(points: Array, faces: list[tuple[int, ...]]) -> Array:
    """Area-weighted unit normals (n,3) of the vertices that ``faces`` touch; others stay zero."""
    normals = np.zeros_like(points)
    for face in faces:
        a, b, c = points[face[0]], points[face[1]], points[face[2]]
        normal = np.cross(b - a, c - a)
        for vertex in face:
            normals[vertex] += normal
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)
