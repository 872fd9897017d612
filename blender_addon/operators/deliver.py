"""wanstage.to_sequencer and wanstage.export_take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from .. import choices, export, framefiles, sequence, state, takes
from ..problems import UserProblem
from ..words import noted, tr
from .choose import _OnFrames, selected_problem
from .generate import Stepwise

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


class WANSTAGE_OT_export_take(Stepwise, bpy.types.Operator):
    """Write the selected take as a video or as numbered pictures"""

    bl_idname = "wanstage.export_take"
    bl_label = "Export"

    kind: EnumProperty(name="Format", items=KINDS, default="MP4")
    filepath: StringProperty(name="To", subtype="FILE_PATH", options={"SKIP_SAVE"})
    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.mp4;*.png;*.exr", options={"HIDDEN"})
    stopped = noted("Stopped: what was written is taken away again")
    budget_s = 0.005  # Blender is used meanwhile

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The selected take must have frames; says why not."""
        problem = selected_problem(context, frames=True)
        if not problem and state.now.export is not None:
            problem = tr("A take is being exported")
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
        """From the file browser step by step, from a script in one go."""
        if self._in_window(context):
            return self._begin(context)
        return super().execute(context)

    def _in_window(self, context: bpy.types.Context) -> bool:
        return self.options.is_invoke and not bpy.app.background and context.window is not None

    def _steps(self, context: bpy.types.Context) -> export.Steps:
        take = _OnFrames._take(self, context)
        if take is None:
            raise UserProblem(tr("There is no such take in this file"))
        if not self.filepath:
            raise UserProblem(tr("Choose a file to write, or a folder for pictures"))
        target, made = Path(bpy.path.abspath(self.filepath)), export.source(take)
        return made, (yield from export.steps(made, self.kind, target, job=self._in_window(context)))

    def _finish(self, _context: bpy.types.Context, done: tuple[export.Source, list[Path]]) -> set[str]:
        made, written = done
        if len(written) == 1:
            what = str(written[0])
        else:
            what = tr("{count} pictures in {target}", count=len(written), target=written[0].parent)
        self.report({"INFO"}, tr("{take} was written: {what}", take=made.name, what=what))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_to_sequencer, WANSTAGE_OT_export_take))
