"""wanstage.list_shots, wanstage.submit_shots, wanstage.cancel_shots, wanstage.use_shot and wanstage.lay_out_shots."""

from __future__ import annotations

import bpy
from bpy.props import BoolProperty, StringProperty

from .. import batch, generation, pump, sequence, state, takes, timeline
from ..words import noted, tr
from .generate import Stepwise, poll_of


class WANSTAGE_OT_list_shots(bpy.types.Operator):
    """List the shots that the timeline's camera markers make; what each has of its own is kept"""

    bl_idname = "wanstage.list_shots"
    bl_label = "List Shots"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_of(cls, [] if timeline.bound(context.scene) else timeline.sentences(context.scene))

    def execute(self, context: bpy.types.Context) -> set[str]:
        self.report({"INFO"}, tr("{count} shots", count=timeline.refresh(context.scene)))
        return {"FINISHED"}


class WANSTAGE_OT_submit_shots(Stepwise, bpy.types.Operator):
    """Capture the timeline's shots one after another and send each to the backend; Esc stops"""

    bl_idname = "wanstage.submit_shots"
    bl_label = "Submit All Shots"
    bl_options = {"UNDO"}

    force: BoolProperty(name="Capture Anew", options={"SKIP_SAVE"}, description="Also what seems not to have changed")
    stopped = noted("Stopped: shots that were sent go on, Cancel All stops them too")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.now.capture is not None:
            cls.poll_message_set(tr("A capture is going on"))
            return False
        return poll_of(cls, batch.problems(context.scene))

    def _steps(self, context: bpy.types.Context) -> generation.Steps:
        timeline.refresh(context.scene)
        return batch.submit_all(context.scene, force=self.force)

    def _finish(self, _context: bpy.types.Context, sent: batch.Sent) -> set[str]:
        pump.start_timer()
        for name, sentence in sent.problems.items():
            self.report({"WARNING" if sent.jobs else "ERROR"}, f"{name}: {sentence}")
        if not sent.jobs:
            return {"CANCELLED"}
        count, whole = len(sent.jobs), len(sent.jobs) + len(sent.problems)
        if sent.problems:
            said = tr("{count} of {whole} shots are on their way", count=count, whole=whole)
        else:
            said = tr("{count} shots are on their way", count=count)
        self.report({"INFO"}, said)
        return {"FINISHED"}


class WANSTAGE_OT_cancel_shots(bpy.types.Operator):
    """Stop the jobs of all shots of the timeline; the frames that arrived are kept"""

    bl_idname = "wanstage.cancel_shots"
    bl_label = "Cancel All"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_of(cls, [] if batch.running(context.scene) else [tr("No shot of the timeline is being made")])

    def execute(self, context: bpy.types.Context) -> set[str]:
        jobs = batch.running(context.scene)
        for job_id in jobs:
            state.now.client.cancel(job_id)
        self.report({"INFO"}, tr("{count} shots are stopped", count=len(jobs)))
        return {"FINISHED"}


class WANSTAGE_OT_use_shot(bpy.types.Operator):
    """Make this the scene's shot: its camera and range in the Shot panel, and the timeline at its first frame"""

    bl_idname = "wanstage.use_shot"
    bl_label = "Go to Shot"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Shot", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        cut = timeline.find(scene, self.name)
        if cut is None:
            self.report({"ERROR"}, tr("The timeline has no shot named {name}: list the shots again", name=self.name))
            return {"CANCELLED"}
        shot = scene.wanstage
        shot.camera, shot.use_scene_range = cut.camera, False
        shot.frame_start, shot.frame_end = cut.first, cut.last
        scene.frame_set(cut.first)
        return {"FINISHED"}


class WANSTAGE_OT_lay_out_shots(bpy.types.Operator):
    """Put the shown take of every shot into the Video Sequencer, in order, at the shot's frames"""

    bl_idname = "wanstage.lay_out_shots"
    bl_label = "Lay Out in Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        made = any(take.shot and take.frames_done for take in context.scene.wanstage.takes)
        return poll_of(cls, [] if made else [tr("No shot of the timeline has frames yet")])

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        scene.wanstage_timeline.use_sequencer = True
        jobs = [job_id for cut in timeline.cuts(scene) if (job_id := batch.chosen(scene, cut))]
        for job_id in jobs:
            sequence.lay(scene, takes.find(job_id)[1])
        self.report({"INFO"}, tr("{count} shots are in the sequencer", count=len(jobs)))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_OT_list_shots,
        WANSTAGE_OT_submit_shots,
        WANSTAGE_OT_cancel_shots,
        WANSTAGE_OT_use_shot,
        WANSTAGE_OT_lay_out_shots,
    )
)
