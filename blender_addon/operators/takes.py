"""wanstage.show_take, wanstage.retry, wanstage.remove_take, wanstage.add_sound, wanstage.relink_takes and
wanstage.find_lost_takes."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import StringProperty

from .. import generation, handlers, lost, playback, pump, redo, state, takes
from ..problems import UserProblem
from ..words import tr


class _OnTake:
    """An operator on one take: that of ``job_id``, else the selected one."""

    def _take(self, context: bpy.types.Context) -> Any:
        shot = context.scene.wanstage
        if self.job_id:
            found = takes.find(self.job_id)
            return found[1] if found else None
        return shot.takes[shot.take_index] if 0 <= shot.take_index < len(shot.takes) else None

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There must be a take."""
        if not len(context.scene.wanstage.takes):
            cls.poll_message_set(tr("The shot has no takes yet"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Find the take, do it, tell what went wrong."""
        take = self._take(context)
        if take is None:
            self.report({"ERROR"}, tr("There is no such take in this file"))
            return {"CANCELLED"}
        try:
            return self._do(context, take)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}


class WANSTAGE_OT_show_take(_OnTake, bpy.types.Operator):
    """Show this take's plane and hide those of the other takes"""

    bl_idname = "wanstage.show_take"
    bl_label = "Show Take"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        if playback.find_plane(take.job_id) is None:
            takes.relink(context.scene, take)
        if playback.find_plane(take.job_id) is None:
            message = tr("{take} has no frames on disk in {folder}", take=take.name, folder=takes.folder(take))
            raise UserProblem(message)
        takes.solo(context.scene, take.job_id)
        return {"FINISHED"}


class WANSTAGE_OT_retry(_OnTake, bpy.types.Operator):
    """Follow an unfinished take again, or make the take once more with the same settings"""

    bl_idname = "wanstage.retry"
    bl_label = "Retry"
    bl_options = {"UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        if state.now.client is None:
            message = tr("No backend is connected: press Connect first")
            raise UserProblem(message)
        run = state.now.runs.get(take.job_id)
        if run is not None and run.problem and run.update is not None and run.update.state != "failed":
            generation.attach(take)  # the disk was full or the connection broke: the job itself is well
            return {"FINISHED"}
        part = redo.again(take)
        if part is not None:
            steps = redo.remake(context.scene, part)
            for _ in steps:
                pass
            pump.start_timer()
            return {"FINISHED"}
        made = takes.meta(take)
        wish = generation.Wish(take.task, int(made.get("seed", take.seed)), made.get("prompt"))
        steps = generation.generate(context.scene, wish)
        for _ in steps:
            pass
        pump.start_timer()
        return {"FINISHED"}


class WANSTAGE_OT_remove_take(_OnTake, bpy.types.Operator):
    """Remove the take with its plane and its files"""

    bl_idname = "wanstage.remove_take"
    bl_label = "Remove Take"
    bl_options = {"UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Files are deleted, which undo cannot bring back: ask."""
        return context.window_manager.invoke_confirm(self, event)

    def _do(self, _context: bpy.types.Context, take: Any) -> set[str]:
        run = state.now.runs.pop(take.job_id, None)
        if run is not None and not run.settled and state.now.client is not None:
            state.now.client.cancel(take.job_id)
        scene, _ = takes.find(take.job_id)
        takes.remove(scene, take.job_id)
        return {"FINISHED"}


class WANSTAGE_OT_add_sound(_OnTake, bpy.types.Operator):
    """Add the take's sound to the Video Sequencer, at the take's first frame"""

    bl_idname = "wanstage.add_sound"
    bl_label = "Add Sound to Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, _context: bpy.types.Context, take: Any) -> set[str]:
        scene, _ = takes.find(take.job_id)
        if not takes.sound_file(take).is_file():
            message = tr(
                "{take} has no sound at {path}: only talking shots have one",
                take=take.name,
                path=takes.sound_file(take),
            )
            raise UserProblem(message)
        if not takes.add_sound(scene, take):
            message = tr(
                "Blender cannot play the sound of {take}, see {path}", take=take.name, path=takes.sound_file(take)
            )
            raise UserProblem(message)
        return {"FINISHED"}


class WANSTAGE_OT_relink_takes(bpy.types.Operator):
    """Put the planes of all takes right again: camera, sequence and timing, from the frames on disk"""

    bl_idname = "wanstage.relink_takes"
    bl_label = "Relink Takes"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        for scene, take in takes.all_takes():
            if take.state in takes.ENDED:
                takes.relink(scene, take)
        return {"FINISHED"}


class WANSTAGE_OT_find_lost_takes(bpy.types.Operator):
    """List takes again whose frames are on the disk, such as after a crash before the file was saved"""

    bl_idname = "wanstage.find_lost_takes"
    bl_label = "Find Lost Takes"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, _context: bpy.types.Context) -> set[str]:
        found = [lost.add_back(each) for each in lost.find()]
        if not found:
            self.report({"INFO"}, tr("Every take on the disk is in a list"))
            return {"CANCELLED"}
        if state.now.client is not None:
            handlers.attach_unfinished()
        self.report({"INFO"}, tr("Found and listed again: {takes}", takes=", ".join(take.name for take in found)))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_OT_show_take,
        WANSTAGE_OT_retry,
        WANSTAGE_OT_remove_take,
        WANSTAGE_OT_add_sound,
        WANSTAGE_OT_relink_takes,
        WANSTAGE_OT_find_lost_takes,
    )
)
