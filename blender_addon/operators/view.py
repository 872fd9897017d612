"""wanstage.standard_view: the Fix of a view that changes the colours of takes."""

from __future__ import annotations

import bpy

from .. import colors, placing


class WANSTAGE_OT_standard_view(bpy.types.Operator):
    """Set the scene's view to Standard without look, exposure, gamma and curve: takes are seen as they were made"""

    bl_idname = "wanstage.standard_view"
    bl_label = "Use the Standard View"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set it; planes follow."""
        colors.make_standard(context.scene)
        placing.watch(context.scene)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_standard_view,))
