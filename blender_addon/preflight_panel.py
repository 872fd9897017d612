"""The sub-panel "Will this shot work?": one line a finding, with its buttons. Drawing shows what was found before."""

from __future__ import annotations

from typing import Any

import bpy

from . import findings, panels, state
from .words import tr

BOX_PX = 14.0  # at scale 1, as the others: what a box takes of a row's width
LABEL_ICON_PX = 22.0
BUTTON_PX = 34.0  # a button's icon and margins
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
    panels.sentence(box, each.text, ICONS[each.severity], inset=BOX_PX)
    if not each.fixes and each.frame is None:
        return
    beside = _fit_beside(each)
    row = box.row(align=True) if beside else box.column(align=True)
    for fix in each.fixes:
        button = row.operator("wanstage.fix", text=fix.label, icon="TOOL_SETTINGS" if fix is each.fixes[0] else "NONE")
        button.finding, button.how = each.id, fix.how
    if each.frame is not None:
        text = "" if each.fixes and beside else tr("Frame {frame}", frame=each.frame)
        row.operator("wanstage.go_to_frame", text=text, icon="TIME").frame = each.frame


def _fit_beside(each: findings.Finding) -> bool:
    """Whether the buttons can be read in one row, in which all are equally wide but the one that is an icon."""
    count = len(each.fixes)
    if count < 2:
        return True
    points = bpy.context.preferences.ui_styles[0].widget.points
    widest = max(panels.text_px(fix.label, points) for fix in each.fixes)
    room = panels.label_px() + LABEL_ICON_PX - BOX_PX - (LABEL_ICON_PX if each.frame is not None else 0.0)
    return room / count >= widest + BUTTON_PX


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_preflight,))
