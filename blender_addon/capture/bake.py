"""Copies what the evaluated scene shows into the clay scene, updating only what changed.

Every mesh-like instance becomes an object of its own with ``pass_index`` = its row here; its points also carry their
place at sample 0 (attribute ``wanstage_rest``, in the object's own space), which ``origin.py`` turns into motion.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from ..words import noted, tr
from .clay import REST, ClayScene
from .evaluate import Scratch, character_objects
from .paint import Palette
from .params import PLANE

Array = NDArray[Any]

MESH_LIKE = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
UNBAKED = {"CURVES": noted("hair curves"), "VOLUME": noted("a volume"), "POINTCLOUD": noted("a point cloud"),
           "GPENCIL": noted("grease pencil"), "GREASEPENCIL": noted("grease pencil")}  # fmt: skip
MAX_INDEX = 32767  # of Object.pass_index
LOST = 1.0e30  # a rest position that sample 0 never shows


@dataclass
class _Mesh:
    """A temporary mesh and what it holds."""

    data: Any
    coordinates: Array
    corners: int
    stamp: int


@dataclass
class _Item:
    """A temporary object; ``first`` is its matrix at sample 0, None when it was not there."""

    item: Any
    mesh: _Mesh
    matrix: Matrix
    first: Array | None
    character: int
    in_world: bool
    stamp: int


class Bake:
    """The clay scene's contents. Row r of ``owners`` and ``first_matrices`` is of pass index r; row 0 is nothing."""

    def __init__(
        self,
        made: Scratch,
        clay: ClayScene,
        scene: bpy.types.Scene,
        copy: bpy.types.Scene,
        characters: list[tuple[int, Any]],
        *,
        gone: Container[Any] = (),
    ) -> None:
        """``gone``: objects that are not to be seen."""
        self._made, self._clay = made, clay
        self._owner = {item: index for index, armature in characters for item in character_objects(scene, armature)}
        self._palette = Palette([index for index, _ in characters])
        self._rendered = {item for item in _rendered_objects(copy) if item not in gone}
        self._items: dict[Any, _Item] = {}
        self._shared: dict[int, _Mesh] = {}
        self._stamp = -1
        self.warnings: list[str] = []

    @property
    def owners(self) -> Array:
        """uint8 (rows,): character index of each pass index."""
        return np.array([0, *(item.character for item in self._items.values())], np.uint8)

    @property
    def first_matrices(self) -> list[Array | None]:
        """World matrix at sample 0 of each pass index."""
        return [None, *(item.first for item in self._items.values())]

    @property
    def palette(self) -> Array:
        """float32 (n,3) linear colours; faces carry their row (attribute ``wanstage_paint``)."""
        return self._palette.colours()

    def update(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Bring the clay scene to the depsgraph's time."""
        self._stamp += 1
        self._shared.clear()
        for instance in depsgraph.object_instances:
            if self._is_rendered(instance):
                self._take(instance)
        for item in self._items.values():
            hidden = item.stamp != self._stamp
            if item.item.hide_render != hidden:
                item.item.hide_render = hidden

    def _is_rendered(self, instance: bpy.types.DepsgraphObjectInstance) -> bool:
        item = instance.object
        source = (instance.parent if instance.is_instance else item).original
        if not instance.show_self or source not in self._rendered or item.original.hide_render:
            return False
        if item.original.get(PLANE):
            return False
        if not getattr(item, "visible_camera", True):
            return False
        if item.type in UNBAKED:
            self._warn(
                tr("{name} is {kind}, which the clay render cannot show.", name=item.name, kind=tr(UNBAKED[item.type]))
            )
        if any(system.settings.type == "HAIR" and not instance.is_instance for system in item.particle_systems):
            self._warn(tr("The particle hair of {name} is not in the clay render.", name=item.name))
        return item.type in MESH_LIKE

    def _warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def _take(self, instance: bpy.types.DepsgraphObjectInstance) -> None:
        source = (instance.parent if instance.is_instance else instance.object).original
        key = (source.as_pointer(), instance.object.original.as_pointer(), *instance.persistent_id)
        if not instance.is_instance:
            key = (source.as_pointer(),)
        evaluated = instance.object
        mesh = evaluated.data if evaluated.type == "MESH" else evaluated.to_mesh()
        if mesh is not None and len(mesh.polygons):
            matrix = instance.matrix_world.copy()
            item = self._items.get(key)
            if item is None:
                self._items[key] = item = self._make(source, evaluated, mesh, matrix)
            else:
                self._refresh(item, evaluated, mesh, matrix)
            item.stamp = self._stamp
        if evaluated.type != "MESH":
            evaluated.to_mesh_clear()

    def _make(
        self, source: bpy.types.Object, evaluated: bpy.types.Object, mesh: bpy.types.Mesh, matrix: Matrix
    ) -> _Item:
        character = self._owner.get(source, 0)
        sheared = _is_sheared(matrix)
        record = None if sheared else self._shared.get(mesh.as_pointer())
        if record is None or record.data.materials[0] != self._material(character):
            record = self._new_mesh(evaluated, mesh, character, matrix if sheared else None)
            if not sheared:
                self._shared[mesh.as_pointer()] = record
        item = self._made.add("objects", bpy.data.objects.new(".wanstage_clay", record.data))
        item.pass_index = min(len(self._items) + 1, MAX_INDEX)
        item.visible_shadow = item.visible_diffuse = item.visible_glossy = False
        self._clay.scene.collection.objects.link(item)
        place = Matrix() if sheared else matrix
        item.matrix_world = place
        first = np.array(place, np.float64) if self._stamp == 0 and item.pass_index < MAX_INDEX else None
        return _Item(item, record, place, first, character, sheared, self._stamp)

    def _material(self, character: int) -> bpy.types.Material:
        return self._clay.person if character else self._clay.surroundings

    def _new_mesh(
        self, evaluated: bpy.types.Object, mesh: bpy.types.Mesh, character: int, matrix: Matrix | None
    ) -> _Mesh:
        data = self._made.add("meshes", bpy.data.meshes.new(".wanstage_clay"))
        data.materials.append(self._material(character))
        record = _Mesh(data, _coordinates(mesh, matrix), len(mesh.loops), self._stamp)
        _fill(record, mesh, keep_rest=self._stamp == 0)
        self._palette.paint(record.data, evaluated, mesh, character)
        return record

    def _refresh(self, item: _Item, evaluated: bpy.types.Object, mesh: bpy.types.Mesh, matrix: Matrix) -> None:
        if not item.in_world and matrix != item.matrix:
            item.matrix = matrix
            item.item.matrix_world = matrix
        record = item.mesh
        if record.stamp == self._stamp:
            return
        record.stamp = self._stamp
        coordinates = _coordinates(mesh, matrix if item.in_world else None)
        if len(coordinates) != len(record.coordinates) or len(mesh.loops) != record.corners:
            record.coordinates, record.corners = coordinates, len(mesh.loops)
            record.data.clear_geometry()
            _fill(record, mesh, keep_rest=False)
            self._palette.paint(record.data, evaluated, mesh, item.character)
        elif not np.array_equal(coordinates, record.coordinates):
            record.coordinates = coordinates
            record.data.vertices.foreach_set("co", coordinates)
            record.data.update()


def _rendered_objects(copy: bpy.types.Scene) -> set[Any]:
    """Objects that some collection of the scene renders."""
    found: set[Any] = set()

    def walk(collection: bpy.types.Collection, layer: bpy.types.LayerCollection) -> None:
        if collection.hide_render or layer.exclude:
            return
        found.update(collection.objects)
        for child in layer.children:
            walk(child.collection, child)

    walk(copy.collection, copy.view_layers[0].layer_collection)
    return found


def _is_sheared(matrix: Matrix) -> bool:
    """True when location, rotation and scale cannot make this matrix, as an object's own matrix must."""
    again = Matrix.LocRotScale(*matrix.decompose())
    return bool(np.abs(np.array(again) - np.array(matrix)).max() > 1e-5 * max(1.0, np.abs(np.array(matrix)).max()))


def _coordinates(mesh: bpy.types.Mesh, matrix: Matrix) -> Array:
    """float32 (3 n,), through ``matrix`` when given."""
    flat = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", flat)
    if matrix is None:
        return flat
    world = np.array(matrix, np.float64)
    points = flat.reshape(-1, 3) @ world[:3, :3].T + world[:3, 3]
    return np.ascontiguousarray(points, np.float32).ravel()


def _fill(record: _Mesh, mesh: bpy.types.Mesh, keep_rest: bool) -> None:
    """Copy the topology of ``mesh`` and write the record's points."""
    data, faces = record.data, len(mesh.polygons)
    corners = np.empty(record.corners, np.int32)
    starts, totals = np.empty(faces, np.int32), np.empty(faces, np.int32)
    smooth = np.empty(faces, bool)
    mesh.loops.foreach_get("vertex_index", corners)
    mesh.polygons.foreach_get("loop_start", starts)
    mesh.polygons.foreach_get("loop_total", totals)
    mesh.polygons.foreach_get("use_smooth", smooth)
    if "sharp_edge" in mesh.attributes:
        smooth[:] = False  # a smooth shell with creases reads better faceted than melted
    data.vertices.add(len(record.coordinates) // 3)
    data.loops.add(record.corners)
    data.polygons.add(faces)
    data.vertices.foreach_set("co", record.coordinates)
    data.loops.foreach_set("vertex_index", corners)
    data.polygons.foreach_set("loop_start", starts)
    if bpy.app.version < (4, 1):
        data.polygons.foreach_set("loop_total", totals)
    data.polygons.foreach_set("use_smooth", smooth)
    rest = data.attributes.get(REST) or data.attributes.new(REST, "FLOAT_VECTOR", "POINT")
    lost = np.full_like(record.coordinates, LOST)
    rest.data.foreach_set("vector", record.coordinates if keep_rest else lost)
    data.update(calc_edges=True)
