"""The part of the Takes panel that places the selected take: distance, offset, and what its colours become."""

from __future__ import annotations

from typing import Any

import bpy

from . import colors, panels, playback
from .words import tr


class WANSTAGE_PT_plane(bpy.types.Panel):
    """Where and when the selected take is seen."""

    bl_space_type, bl_region_type, bl_category = "VIEW_3D", "UI", "Wanstage"
    bl_label = "Plane"
    bl_parent_id = "WANSTAGE_PT_takes"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        shot = context.scene.wanstage
        return 0 <= shot.take_index < len(shot.takes)

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = self.layout, context.scene.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        take = shot.takes[shot.take_index]
        plane = playback.find_plane(take.job_id)
        if plane is None or playback.DEPTH not in plane:
            panels.sentence(layout, tr("The take has no plane yet: it comes with the first picture"), "INFO")
        else:
            layout.prop(plane, f'["{playback.DEPTH}"]', text="Distance")
        layout.prop(take, "background", text="Background")
        column = layout.column(align=True)
        column.prop(take, "slip")
        column.prop(take, "outside")
        color_note(layout, context.scene)


def color_note(layout: Any, scene: bpy.types.Scene) -> None:
    """What the scene's view does to takes, with its Fix; nothing when they are seen as made."""
    note = colors.note(scene)
    if note:
        panels.sentence(layout, tr("{note}: the Standard view shows them as made", note=note), "COLOR")
        layout.operator("wanstage.standard_view")


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_plane,))
