"""wanstage.compare_takes and wanstage.end_compare."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import EnumProperty, StringProperty

from .. import choices, compare, takes
from ..problems import UserProblem
from ..words import tr

_kept: list[tuple[str, str, str]] = []


def others(scene: bpy.types.Scene) -> list[Any]:
    """The takes that the selected one can be compared with: same shot, with frames."""
    take = choices.selected(scene)
    if take is None or not take.frames_done or take.state not in takes.ENDED:
        return []
    return [each for each in choices.rivals(scene, take) if each.frames_done and each.state in takes.ENDED]


def _items(_owner: Any, context: bpy.types.Context) -> list[tuple[str, str, str]]:
    """Blender needs the strings to live on: the list is kept."""
    _kept[:] = [(each.job_id, each.name, tr("Seed {seed}", seed=each.seed)) for each in others(context.scene)]
    return _kept


class WANSTAGE_OT_compare_takes(bpy.types.Operator):
    """Show another take over the selected one, on its plane: a wipe, or their difference"""

    bl_idname = "wanstage.compare_takes"
    bl_label = "Compare With"
    bl_options = {"REGISTER", "UNDO"}
    bl_property = "other"

    job_id: StringProperty(name="A", options={"SKIP_SAVE"}, description="Empty takes the selected take")
    second: StringProperty(name="B", options={"SKIP_SAVE"}, description="The take that it is compared with")
    other: EnumProperty(name="With", items=_items, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There must be two finished takes of one shot."""
        if others(context.scene):
            return True
        cls.poll_message_set(tr("Comparing needs two finished takes of the same camera and time"))
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Both must have planes; the first's is shown."""
        scene = context.scene
        found = takes.find(self.job_id) if self.job_id else (scene, choices.selected(scene))
        second = takes.find(self.second or self.other)
        if found is None or second is None:
            self.report({"ERROR"}, tr("There is no such take in this file"))
            return {"CANCELLED"}
        try:
            for take in (found[1], second[1]):
                if takes.playback.find_plane(take.job_id) is None:
                    takes.relink(scene, take)
            takes.solo(scene, found[1].job_id)
            compare.start(scene, found[1], second[1])
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return {"FINISHED"}


class WANSTAGE_OT_end_compare(bpy.types.Operator):
    """Show one take again; nothing of the comparison is left in its material"""

    bl_idname = "wanstage.end_compare"
    bl_label = "End Comparison"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Only while two are compared."""
        if context.scene.wanstage.compare.first:
            return True
        cls.poll_message_set(tr("No takes are being compared"))
        return False

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Put the material back."""
        compare.stop()
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_compare_takes, WANSTAGE_OT_end_compare))
