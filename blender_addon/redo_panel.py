"""Redo Part, under Takes: some frames of the selected take again, or one character in them."""

from __future__ import annotations

from typing import Any

import bpy

from . import choices, redo, redo_properties, shots, takes
from .panels import _Panel, sentence
from .words import tr


class WANSTAGE_PT_redo(_Panel, bpy.types.Panel):
    """Which part of the take is made again."""

    bl_label = "Redo Part"
    bl_parent_id = "WANSTAGE_PT_takes"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        own, take = scene.wanstage.redo, choices.selected(scene)
        if take is None:
            sentence(layout, tr("Select a take in the list"), "INFO")
            return
        layout.row().prop(own, "what", expand=True)
        layout.use_property_split, layout.use_property_decorate = True, False
        column = layout.column(align=True)
        for edge in ("FIRST", "LAST"):
            row = column.row(align=True)
            row.prop(own, edge.lower())
            row.operator("wanstage.redo_edge", text="", icon="TIME").edge = edge
        layout.label(text=scene_text(scene, take, own.first, own.last), icon="TIME")
        if own.what == "CHARACTER":
            layout.prop(own, "character")
        layout.prop(own, "overlap")
        layout.prop(own, "seed")
        layout.prop(own, "match_color")
        if take.engine == "wan":
            layout.prop(own, "model")
        _button(layout, scene, take, own)


def _button(layout: Any, scene: bpy.types.Scene, take: Any, own: Any) -> None:
    """What is wrong or worth knowing, then the button with all that is set."""
    model = own.model if take.engine == "wan" and own.model != redo_properties.SAME else ""
    said = redo.range_problem(take, own.first, own.last)
    if not said and not redo.problem(take):
        said = redo.model_problem(take, model)
    if not said and own.what == "CHARACTER" and not shots.characters(scene):
        said = tr("The shot has no characters: make whole frames again")
    if said:
        sentence(layout, said)
    elif take.choice.outdated:
        sentence(layout, tr("The scene has changed since: the part is made from the scene as it is now"), "INFO")
    elif take.engine == "draft" and take.task != "s2v":
        sentence(layout, tr("The draft makes the same frames again until the scene is changed"), "INFO")
    button = layout.operator("wanstage.redo_part", icon="FILE_REFRESH")
    button.job_id, button.first, button.last = take.job_id, own.first, own.last
    button.overlap, button.seed, button.match_color = own.overlap, own.seed, own.match_color
    button.character = own.character if own.what == "CHARACTER" and own.character != redo_properties.NOBODY else ""
    button.model = model


def scene_text(scene: bpy.types.Scene, take: Any, first: int, last: int) -> str:
    """Such as "Scene frames 31 to 63"."""
    step = takes.scene_fps(scene) / take.fps
    at = [round(take.frame_start + take.slip + (each - 1) * step) for each in (first, last)]
    return tr("Scene frames {first} to {last}", first=at[0], last=at[1])


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_redo,))
