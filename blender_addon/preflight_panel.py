"""The sub-panel "Will this shot work?": one line a finding, with its buttons. Drawing shows what was found before."""

from __future__ import annotations

from typing import Any

import bpy

from . import findings, panels, state
from .words import tr

ICONS = {"error": "CANCEL", "warning": "ERROR", "info": "INFO"}


class WANSTAGE_PT_preflight(bpy.types.Panel):
    """What was found in the shot."""

    bl_label = "Will This Shot Work?"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Wanstage"
    bl_parent_id = "WANSTAGE_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        found, fresh = findings.kept(context.scene)
        layout.operator("wanstage.check", icon="CHECKMARK" if found is None or fresh else "FILE_REFRESH")
        if found is None:
            return
        if not fresh and state.now.capture is None:
            panels.sentence(layout, tr("The scene changed since: check again"), "TIME")
        if not found:
            layout.label(text="Nothing stands in the way", icon="CHECKMARK")
        column = layout.column()
        column.active = fresh
        for each in found:
            _line(column, each)


def _line(layout: Any, each: findings.Finding) -> None:
    """A sentence, and under it what puts it right."""
    box = layout.box().column(align=True)
    panels.sentence(box, each.text, ICONS[each.severity])
    if not each.fixes and each.frame is None:
        return
    row = box.row(align=True)
    for fix in each.fixes:
        button = row.operator("wanstage.fix", text=fix.label, icon="TOOL_SETTINGS" if fix is each.fixes[0] else "NONE")
        button.finding, button.how = each.id, fix.how
    if each.frame is not None:
        text = "" if each.fixes else tr("Frame {frame}", frame=each.frame)
        row.operator("wanstage.go_to_frame", text=text, icon="TIME").frame = each.frame


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_preflight,))
