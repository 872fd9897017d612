"""The sub-panel "Shots from the Timeline": the list, what the chosen one has of its own, all of them at once."""

from __future__ import annotations

from typing import Any

import bpy

from . import batch, compat, panels, state, takes_panel, timeline
from .words import tr


class WANSTAGE_UL_timeline(bpy.types.UIList):
    """One row a shot: whether it is submitted, its name, its frames."""

    def draw_item(
        self, context: Any, layout: Any, _data: Any, item: Any, _icon: int, _active: Any, _active_name: str
    ) -> None:
        cut = timeline.find(context.scene, item.name)
        split = layout.split(factor=0.68, align=True)
        row = split.row(align=True)
        row.prop(item, "use", text="")
        row.label(text=item.name, icon=_icon_of(context.scene, item.name))
        split.label(text=f"{cut.first}-{cut.last}" if cut is not None else "Gone")


def _icon_of(scene: bpy.types.Scene, name: str) -> str:
    """Of the shot's newest take."""
    state_of = next((take.state for take in reversed(scene.wanstage.takes) if take.shot == name), "")
    return takes_panel.ICONS.get(state_of, "SORTTIME") if state_of else "CAMERA_DATA"


class WANSTAGE_PT_timeline(bpy.types.Panel):
    """The timeline's shots."""

    bl_label = "Shots from the Timeline"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Wanstage"
    bl_parent_id = "WANSTAGE_PT_shot"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        own = scene.wanstage_timeline
        for sentence in timeline.sentences(scene):
            panels.sentence(layout, sentence, "INFO")
        if not timeline.is_listed(scene):
            layout.operator("wanstage.list_shots", icon="FILE_REFRESH")
        if len(own.rows):
            layout.template_list("WANSTAGE_UL_timeline", "", own, "rows", own, "index", rows=3)
            if 0 <= own.index < len(own.rows):
                _row(layout, scene, own.rows[own.index])
        _all(layout, scene)


def _row(layout: Any, scene: bpy.types.Scene, item: Any) -> None:
    """What the chosen shot has of its own."""
    cut = timeline.find(scene, item.name)
    text = cut.camera.name if cut is not None else "Go to Shot"
    layout.operator("wanstage.use_shot", text=text, icon="VIEW_CAMERA").name = item.name
    column = layout.column()
    column.use_property_split, column.use_property_decorate = True, False
    column.prop(item, "task")
    column.prop(item, "prompt", **compat.placeholder(tr("As the scene")))
    column.prop(item, "negative_prompt", **compat.placeholder(tr("As the scene")))
    column.prop(item, "quality")
    row = column.row(heading="Own Seed", align=True)
    row.prop(item, "own_seed", text="")
    sub = row.row()
    sub.active = item.own_seed
    sub.prop(item, "seed", text="")


def _all(layout: Any, scene: bpy.types.Scene) -> None:
    row = layout.row(align=True)
    row.scale_y = 1.2
    row.operator("wanstage.submit_shots", icon="RENDER_ANIMATION")
    row.operator("wanstage.cancel_shots", text="", icon="X")
    if state.now.batch:
        layout.label(text=state.now.batch, icon="SORTTIME")
    going = len(batch.running(scene))
    if going:
        layout.label(text=tr("{count} shots are being made", count=going), icon="SORTTIME")
    row = layout.row(align=True)
    row.prop(scene.wanstage_timeline, "use_sequencer")
    row.operator("wanstage.lay_out_shots", text="Lay Out", icon="SEQUENCE")


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_UL_timeline, WANSTAGE_PT_timeline))
