"""wanstage.to_sequencer and wanstage.export_take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from .. import choices, export, framefiles, sequence, takes
from ..words import tr
from .choose import _OnFrames, selected_problem

KINDS = [
    ("MP4", "MP4 Video", "H.264 at the take's own rate, with its sound"),
    ("PNG", "PNG Pictures", "The frames as they are, with what made them inside"),
    ("EXR", "OpenEXR Pictures", "Half float, scene linear"),
]


class WANSTAGE_OT_to_sequencer(_OnFrames, bpy.types.Operator):
    """Put the take into the Video Sequencer at its first frame, in time whatever the scene's rate is, with its sound"""

    bl_idname = "wanstage.to_sequencer"
    bl_label = "Send to Sequencer"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})
    beside: BoolProperty(
        name="Beside Other Takes",
        default=False,
        options={"SKIP_SAVE"},
        description="On a channel of its own; else a take of the same shot that is there gives its place",
    )

    def _do(self, _context: bpy.types.Context, take: Any) -> set[str]:
        scene, _ = takes.find(take.job_id)
        instead = [] if self.beside else [each.job_id for each in choices.rivals(scene, take)]
        strip = sequence.send(scene, take, takes.folder(take), instead)
        if takes.sound_file(take).is_file():
            takes.add_sound(scene, take)
        self.report(
            {"INFO"},
            tr(
                "{take} is on channel {channel}; renders of {scene} now show the sequencer",
                take=take.name,
                channel=strip.channel,
                scene=scene.name,
            ),
        )
        return {"FINISHED"}


class WANSTAGE_OT_export_take(bpy.types.Operator):
    """Write the selected take as a video or as numbered pictures"""

    bl_idname = "wanstage.export_take"
    bl_label = "Export"

    kind: EnumProperty(name="Format", items=KINDS, default="MP4")
    filepath: StringProperty(name="To", subtype="FILE_PATH", options={"SKIP_SAVE"})
    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.mp4;*.png;*.exr", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The selected take must have frames; says why not."""
        problem = selected_problem(context, frames=True)
        if problem:
            cls.poll_message_set(problem)
        return not problem

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask where."""
        take = _OnFrames._take(self, context)
        base = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        name = framefiles.safe_name(f"{context.scene.name} {take.name} seed {take.seed}")
        self.filepath = str(base / (f"{name}.mp4" if self.kind == "MP4" else name))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it."""
        take = _OnFrames._take(self, context)
        if take is None:
            self.report({"ERROR"}, tr("There is no such take in this file"))
            return {"CANCELLED"}
        if not self.filepath:
            self.report({"ERROR"}, tr("Choose a file to write, or a folder for pictures"))
            return {"CANCELLED"}
        target = Path(bpy.path.abspath(self.filepath))
        try:
            written = export.export(take, self.kind, target)
        except export.UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        if self.kind != "MP4":
            export.copy_meta(take, target)
        what = (
            written[0] if len(written) == 1 else tr("{count} pictures in {target}", count=len(written), target=target)
        )
        self.report({"INFO"}, tr("{take} was written: {what}", take=take.name, what=what))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_to_sequencer, WANSTAGE_OT_export_take))
