"""wanstage.task_preset, wanstage.add_preset, and the menu that has both kinds of presets."""

from __future__ import annotations

from typing import Any

import bpy
from bl_operators.presets import AddPresetBase
from bpy.props import EnumProperty

from .. import presets
from ..words import tr


class WANSTAGE_OT_task_preset(bpy.types.Operator):
    """Set task, model, size and sampling for a kind of shot"""

    bl_idname = "wanstage.task_preset"
    bl_label = "Task Preset"
    bl_options = {"REGISTER", "UNDO"}

    preset: EnumProperty(
        name="Preset",
        items=[(name, each.title, each.said) for name, each in presets.PRESETS.items()],
        options={"SKIP_SAVE"},
        description="What kind of shot it is",
    )

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: Any) -> str:
        """What the preset is for."""
        return tr(presets.PRESETS[properties.preset].said)

    def execute(self, context: bpy.types.Context) -> set[str]:
        said, well = presets.apply(context.scene, self.preset)
        WANSTAGE_MT_presets.bl_label = presets.PRESETS[self.preset].title
        self.report({"INFO" if well else "WARNING"}, said)
        return {"FINISHED"}


class WANSTAGE_MT_presets(bpy.types.Menu):
    """The tasks, then the user's own."""

    bl_label = "Presets"
    preset_subdir = presets.FOLDER
    preset_operator = "script.execute_preset"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        for name, each in presets.PRESETS.items():
            layout.operator("wanstage.task_preset", text=each.title, icon=each.icon).preset = name
        if bpy.utils.preset_paths(presets.FOLDER):  # else Blender says that paths are missing
            layout.separator()
            bpy.types.Menu.draw_preset(self, context)


class WANSTAGE_OT_add_preset(AddPresetBase, bpy.types.Operator):
    """Keep how this shot is made as a preset of your own, or remove the chosen one"""

    bl_idname = "wanstage.add_preset"
    bl_label = "Add Preset"
    preset_menu = "WANSTAGE_MT_presets"
    preset_subdir = presets.FOLDER
    preset_defines = ("shot = bpy.context.scene.wanstage",)
    preset_values = tuple(f"shot.{name}" for name in presets.VALUES)


def draw(layout: Any, shot: Any) -> None:
    """The row at the top of Generate."""
    row = layout.row(align=True)
    row.menu("WANSTAGE_MT_presets", text=presets.shown(WANSTAGE_MT_presets.bl_label, shot), icon="PRESET")
    row.operator("wanstage.add_preset", text="", icon="ADD")
    row.operator("wanstage.add_preset", text="", icon="REMOVE").remove_active = True


register, unregister = bpy.utils.register_classes_factory(
    (WANSTAGE_OT_task_preset, WANSTAGE_MT_presets, WANSTAGE_OT_add_preset)
)
