"""wanstage.check, wanstage.fix and wanstage.go_to_frame."""

from __future__ import annotations

import bpy
from bpy.props import IntProperty, StringProperty

from .. import findings, fixes, generation, state
from ..problems import UserProblem
from ..words import noted, tr
from .generate import Stepwise


class WANSTAGE_OT_check(Stepwise, bpy.types.Operator):
    """Look whether the shot will work: settings, camera, sound, and what the characters do in the picture"""

    bl_idname = "wanstage.check"
    bl_label = "Check Shot"

    stopped = noted("Stopped: the shot is not checked")

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.now.capture is not None:
            cls.poll_message_set(tr("A capture is going on"))
            return False
        return True

    def _steps(self, context: bpy.types.Context) -> generation.Steps:
        return findings.look(context.scene)

    def _finish(self, context: bpy.types.Context, found: tuple[findings.Finding, ...]) -> set[str]:
        grave = sum(each.severity == "error" for each in found)
        doubts = sum(each.severity == "warning" for each in found)
        for area in context.screen.areas if context.screen is not None else ():
            area.tag_redraw()
        self.report(
            {"INFO"},
            tr("The shot is checked: {grave} to put right, {doubts} to think about", grave=grave, doubts=doubts),
        )
        return {"FINISHED"}


class WANSTAGE_OT_fix(bpy.types.Operator):
    """Put this right"""

    bl_idname = "wanstage.fix"
    bl_label = "Fix"
    bl_options = {"REGISTER", "UNDO"}

    finding: StringProperty(name="Finding", options={"SKIP_SAVE"}, description="What to put right")
    how: StringProperty(name="How", options={"SKIP_SAVE"}, description="Which remedy; empty takes the first")

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            said = fixes.apply(context.scene, self.finding, self.how)
        except (UserProblem, RuntimeError) as problem:  # the latter from an operator that was called
            self.report({"ERROR"}, str(problem).removeprefix("Error: ").strip())
            return {"CANCELLED"}
        findings.again(context.scene)
        self.report({"INFO"}, said)
        return {"FINISHED"}


class WANSTAGE_OT_go_to_frame(bpy.types.Operator):
    """Show the first frame of it"""

    bl_idname = "wanstage.go_to_frame"
    bl_label = "Go to Frame"
    bl_options = {"UNDO"}

    frame: IntProperty(name="Frame", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        context.scene.frame_set(self.frame)
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_check, WANSTAGE_OT_fix, WANSTAGE_OT_go_to_frame))
