"""The sub-panel "Other Machines": backends that are remembered, and a field for the code of a new one."""

from __future__ import annotations

from typing import Any

import bpy

from . import panels, preferences, remote, state
from .words import tr


class WANSTAGE_PT_remote(bpy.types.Panel):
    """Connect to a backend on another machine."""

    bl_label = "Other Machines"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Wanstage"
    bl_parent_id = "WANSTAGE_PT_connection"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, now = panels.split(self.layout), remote.now
        known = remote.names(preferences.settings().data)
        if known:
            _known(layout, known)
        column = layout.column(align=True)
        column.label(text="Connect to Another Machine")
        column.prop(context.window_manager, "wanstage_code", text="", icon="PASTEDOWN")
        if now.attempt is not None:
            panels.sentence(layout, tr("Asking the backend to let us in"), "SORTTIME")
            layout.operator("wanstage.pair_cancel", icon="X")
        else:
            text = tr("Pair") if now.code else tr("Pair by the Clipboard")
            column.operator("wanstage.pair", text=text, icon="LINKED", translate=False)
        if now.sentence:
            panels.sentence(layout, now.sentence, "ERROR" if now.failed else "CHECKMARK")
        elif not known:
            panels.sentence(layout, tr("Run 'wanstage pair' on the backend's machine: it prints a code"), "INFO")
        layout.operator("wanstage.connect_remote", text="Connection File", icon="FILE_FOLDER")


def _known(layout: Any, names: tuple[str, ...]) -> None:
    """A row for this machine and one for each other: connect, forget."""
    chosen = preferences.chosen()
    column = layout.column(align=True)
    for name in ("", *names):
        row = column.row(align=True)
        here = name == chosen
        icon = ("LINKED" if state.now.connected else "RADIOBUT_ON") if here else "RADIOBUT_OFF"
        row.operator("wanstage.use_backend", text=name or tr("This Machine"), icon=icon, translate=False).name = name
        if name:
            row.operator("wanstage.forget_backend", text="", icon="X").name = name


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_remote,))
