"""The derived points of the head and the feet against the bodies of both previz rigs, at rest and in motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest

from blender_addon.capture import CharacterParams
from blender_addon.capture.offsets import BODY_POINTS
from blender_addon.capture.pose import RigReader

ASSETS = Path(__file__).resolve().parents[3] / "examples" / "assets"
WITHIN_M = {"nose": 0.012, "eye": 0.012, "ear": 0.015, "toe": 0.035}  # measured: at most 0.8, 0.8, 1.1 and 2.9 cm


def append(name: str) -> tuple[Any, Any]:
    """Rig and body of a previz file, in the open scene."""
    with bpy.data.libraries.load(str(ASSETS / name), link=False) as (_, wanted):
        wanted.objects = ["Hero", "Hero body"]
    for item in wanted.objects:
        bpy.context.scene.collection.objects.link(item)
    return bpy.data.objects["Hero"], bpy.data.objects["Hero body"]


def vertices_of(body: Any, material: str) -> np.ndarray:
    """Indices of a material's vertices."""
    number = body.data.materials.find(material)
    return np.unique([v for face in body.data.polygons if face.material_index == number for v in face.vertices])


def landmarks(body: Any) -> dict[str, np.ndarray]:
    """Point -> indices of the vertices whose mean it is. The body stands upright along Z and faces -Y at rest."""
    rest = np.array([vertex.co for vertex in body.data.vertices])
    skin, iris, shoes = (vertices_of(body, f"Previz {part}") for part in ("Skin", "Iris", "Shoes"))
    head = skin[rest[skin, 2] > rest[:, 2].max() - 0.25]
    found = {"nose": head[[np.argmin(rest[head, 1])]]}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        across = sign * rest[head, 0]
        found[f"eye.{side}"] = iris[sign * rest[iris, 0] > 0]
        found[f"ear.{side}"] = head[across > 0.9 * across.max()]
        shoe = shoes[sign * rest[shoes, 0] > 0]
        found[f"toe.{side}"] = shoe[[np.argmin(rest[shoe, 1])]]
    return found


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("name", ["previz_human.blend", "previz_mixamo.blend"])
def test_derived_points_lie_on_the_body(name: str, moving: bool) -> None:
    rig, body = append(name)
    if moving:
        bpy.context.scene.frame_set(20)
    else:
        rig.animation_data_clear()
        for bone in rig.pose.bones:
            bone.matrix_basis.identity()
    depsgraph = bpy.context.evaluated_depsgraph_get()
    points, _ = RigReader(CharacterParams("Hero", "Hero", 1), rig).read(depsgraph)
    shown = body.evaluated_get(depsgraph)
    placed = np.array([shown.matrix_world @ vertex.co for vertex in shown.data.vertices])
    for point, indices in landmarks(body).items():
        away = np.linalg.norm(points[BODY_POINTS.index(point)] - placed[indices].mean(axis=0))
        assert away < WITHIN_M[point.partition(".")[0]], (point, away)
