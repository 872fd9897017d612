"""wanstage.find_motion, cancel_motion, copy_motion_pull, check_take and clear_follow_markers."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from .. import catalog, choices, retarget_properties, takes
from ..film import check, job, source
from ..problems import UserProblem
from ..words import tr


def named_take(scene: bpy.types.Scene, name: str) -> Any:
    """A take by its job, its name or its number from 1; empty = the selected one; None."""
    rows = scene.wanstage.takes
    if not name:
        return choices.selected(scene)
    if name.isdigit() and 0 < int(name) <= len(rows):
        return rows[int(name) - 1]
    return next((take for take in rows if name in {take.job_id, take.name}), None)


class WANSTAGE_OT_find_motion(bpy.types.Operator):
    """Have the backend find the motion of the people in a film; the pose file becomes the Retarget panel's"""

    bl_idname = "wanstage.find_motion"
    bl_label = "Find Motion"

    source: EnumProperty(name="Source", items=retarget_properties.SOURCES, default="FILE", options={"SKIP_SAVE"})
    film: StringProperty(name="Film", subtype="FILE_PATH", options={"SKIP_SAVE"})
    clip: StringProperty(name="Movie Clip", options={"SKIP_SAVE"}, description="Name of the movie clip")
    take: StringProperty(name="Take", options={"SKIP_SAVE"}, description="Name or number; empty = the selected one")
    people: IntProperty(name="People", default=1, min=1, max=10, options={"SKIP_SAVE"})
    who: StringProperty(
        name="Who", default="longest", options={"SKIP_SAVE"},
        description="longest, largest, all, a number, or X,Y or X,Y@FRAME in pixels of the film",
    )  # fmt: skip
    stature: FloatProperty(name="Body Height", default=0.0, min=0.0, max=3.0, options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        try:
            found = job.problem(scene)
            if found:
                raise UserProblem(found)
            job_id = job.start(scene, self._film(scene), job.Wish(self.people, self.who, self.stature))
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, tr("The motion is being found in {name}", name=job.find(job_id)[1].source))
        return {"FINISHED"}

    def _film(self, scene: bpy.types.Scene) -> job.Film:
        if self.source == "FILE":
            return source.of_file(self.film)
        if self.source == "CLIP":
            return source.of_clip(bpy.data.movieclips.get(self.clip))
        return source.of_take(scene, named_take(scene, self.take))[0]


class WANSTAGE_OT_cancel_motion(bpy.types.Operator):
    """Stop looking for motion"""

    bl_idname = "wanstage.cancel_motion"
    bl_label = "Cancel"

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            job.cancel(context.scene)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return {"FINISHED"}


class WANSTAGE_OT_copy_motion_pull(bpy.types.Operator):
    """Copy the command that gets what the backend lacks; run it on the backend's machine"""

    bl_idname = "wanstage.copy_motion_pull"
    bl_label = "Copy Command"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        found = bool(catalog.command_in(job.row(context.scene).problem))
        if not found:
            cls.poll_message_set(tr("No weights are missing"))
        return found

    def execute(self, context: bpy.types.Context) -> set[str]:
        command = catalog.command_in(job.row(context.scene).problem)
        context.window_manager.clipboard = command
        self.report({"INFO"}, tr("Copied: {text}", text=command))
        return {"FINISHED"}


class WANSTAGE_OT_check_take(bpy.types.Operator):
    """Find the motion in a take and compare it with the rigs as they are now: where does it not follow?"""

    bl_idname = "wanstage.check_take"
    bl_label = "Did It Follow?"
    bl_options = {"REGISTER", "UNDO"}

    take: StringProperty(name="Take", options={"SKIP_SAVE"}, description="Name or number; empty = the selected one")
    force: BoolProperty(
        name="Look Anew", options={"SKIP_SAVE"}, description="Also when the motion of the take was found before"
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        take = named_take(scene, self.take)
        try:
            if take is None:
                raise UserProblem(tr("There is no such take in this file"))
            sent = check.begin(scene, take, force=self.force)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        said = [tr("The motion is being found in {name}", name=take.name)] if sent else check.sentences(take)
        for text in said:
            self.report({"INFO"}, text)
        return {"FINISHED"}


class WANSTAGE_OT_clear_follow_markers(bpy.types.Operator):
    """Take away the markers that Did It Follow has set; your own stay"""

    bl_idname = "wanstage.clear_follow_markers"
    bl_label = "Remove Markers"
    bl_options = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        count = sum(check.clear_markers(scene, take) for scene, take in takes.all_takes() if scene == context.scene)
        self.report({"INFO"}, tr("{count} markers removed", count=count))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_OT_find_motion,
        WANSTAGE_OT_cancel_motion,
        WANSTAGE_OT_copy_motion_pull,
        WANSTAGE_OT_check_take,
        WANSTAGE_OT_clear_follow_markers,
    )
)
