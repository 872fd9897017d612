"""wanstage.make_room: Blender's share of the graphics card given back while jobs run here."""

from __future__ import annotations

import bpy

from .. import room, state
from ..words import tr


class WANSTAGE_OT_make_room(bpy.types.Operator):
    """Put viewports into Solid shading and free what renders keep on the card, until the last job has ended"""

    bl_idname = "wanstage.make_room"
    bl_label = "Make Room"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Only while a job runs on this machine: else nothing would bring the viewports back."""
        if not state.now.active():
            cls.poll_message_set(tr("No job is going on"))
            return False
        if not room.is_here():
            cls.poll_message_set(tr("The backend runs on another machine, with a card of its own"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Do it and say what was found."""
        made = room.make()
        if made:
            said = tr("{count} viewports and renders give their memory back until the job has ended", count=made)
        else:
            said = tr("Blender holds nothing that it could give back")
        self.report({"INFO"}, said)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_make_room,))
