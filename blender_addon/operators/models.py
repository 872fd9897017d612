"""wanstage.copy_pull, wanstage.add_lora and wanstage.remove_lora."""

from __future__ import annotations

import bpy

from .. import catalog
from ..words import tr


class WANSTAGE_OT_copy_pull(bpy.types.Operator):
    """Copy the command that gets the chosen model's weights; run it on the backend's machine"""

    bl_idname = "wanstage.copy_pull"
    bl_label = "Copy Command"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        shot = context.scene.wanstage
        if not catalog.pull_command(catalog.model_info(shot.engine, shot.model)):
            cls.poll_message_set(tr("No weights are missing"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        shot = context.scene.wanstage
        command = catalog.pull_command(catalog.model_info(shot.engine, shot.model))
        context.window_manager.clipboard = command
        self.report({"INFO"}, tr("Copied: {text}", text=command))
        return {"FINISHED"}


class WANSTAGE_OT_add_lora(bpy.types.Operator):
    """Add a LoRA of the backend's model store"""

    bl_idname = "wanstage.add_lora"
    bl_label = "Add LoRA"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        shot = context.scene.wanstage
        shot.loras.add()
        shot.lora_index = len(shot.loras) - 1
        return {"FINISHED"}


class WANSTAGE_OT_remove_lora(bpy.types.Operator):
    """Remove the selected LoRA from the shot"""

    bl_idname = "wanstage.remove_lora"
    bl_label = "Remove LoRA"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if not len(context.scene.wanstage.loras):
            cls.poll_message_set(tr("The shot has no LoRAs"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        shot = context.scene.wanstage
        shot.loras.remove(min(max(shot.lora_index, 0), len(shot.loras) - 1))
        shot.lora_index = max(min(shot.lora_index, len(shot.loras) - 1), 0)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (WANSTAGE_OT_copy_pull, WANSTAGE_OT_add_lora, WANSTAGE_OT_remove_lora)
)
