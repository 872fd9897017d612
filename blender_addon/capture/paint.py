"""Flat colours for the clay: what each material is mostly like, softened, so that clothes and walls can be told apart.

A material's colour is its Principled base colour where that is one colour, else its viewport colour; a material that
says neither (Blender's own grey) leaves the neutral clay, and a character its tint.
"""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .clay import PAINT, PERSON_PAINT, SET_COLOUR, SET_PAINT, TINTS

Array = NDArray[Any]
Colour = tuple[float, float, float]

BLENDERS_GREY = 0.8  # a new material's viewport colour


class Palette:
    """Colours by row; row 0 is the neutral set. Rows are made as materials are met."""

    def __init__(self, characters: list[int]) -> None:
        self._tints = {index: TINTS[n % len(TINTS)] for n, index in enumerate(characters)}
        self._colours: list[Colour] = [SET_COLOUR]
        self._rows: dict[tuple[str, int], int] = {}

    def colours(self) -> Array:
        """float32 (n,3), linear."""
        return np.array(self._colours, np.float32)

    def paint(self, data: bpy.types.Mesh, evaluated: bpy.types.Object, mesh: bpy.types.Mesh, character: int) -> None:
        """Write each face's row into the attribute ``wanstage_paint`` of ``data``, which has the faces of ``mesh``."""
        slots = [slot.material for slot in evaluated.material_slots] or list(mesh.materials) or [None]
        rows = np.array([self._row(material, character) for material in slots], np.float32)
        chosen = np.empty(len(mesh.polygons), np.int32)
        mesh.polygons.foreach_get("material_index", chosen)
        attribute = data.attributes.get(PAINT) or data.attributes.new(PAINT, "FLOAT", "FACE")
        attribute.data.foreach_set("value", rows[np.clip(chosen, 0, len(rows) - 1)])

    def _row(self, material: bpy.types.Material | None, character: int) -> int:
        key = (material.name_full if material else "", character)
        if key not in self._rows:
            self._rows[key] = len(self._colours)
            self._colours.append(self._colour(material, character))
        return self._rows[key]

    def _colour(self, material: bpy.types.Material | None, character: int) -> Colour:
        neutral = self._tints.get(character, SET_COLOUR)
        own = material_colour(material)
        if own is None:
            return neutral
        amount = PERSON_PAINT if character else SET_PAINT
        red, green, blue = (n + (c - n) * amount for n, c in zip(neutral, own, strict=True))
        return (red, green, blue)


def material_colour(material: bpy.types.Material | None) -> Colour | None:
    """Linear RGB that stands for the material, None when it says nothing."""
    if material is None:
        return None
    base = _base_colour(material)
    if base is not None:
        return base
    red, green, blue = material.diffuse_color[:3]
    if max(abs(value - BLENDERS_GREY) for value in (red, green, blue)) < 1e-3:
        return None
    return (red, green, blue)


def _base_colour(material: bpy.types.Material) -> Colour | None:
    tree = material.node_tree
    for node in tree.nodes if tree is not None else ():
        if node.type == "BSDF_PRINCIPLED":
            socket = node.inputs["Base Color"]
            return None if socket.is_linked else tuple(socket.default_value[:3])
    return None
