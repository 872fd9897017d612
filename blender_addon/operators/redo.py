"""wanstage.redo_part and wanstage.redo_edge."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from .. import choices, generation, pump, redo, redo_properties, takes
from ..problems import UserProblem
from ..words import tr
from .choose import selected_problem
from .generate import Stepwise


class WANSTAGE_OT_redo_part(Stepwise, bpy.types.Operator):
    """Make some frames of this take again, or one character in them, as a new take; all else stays byte for byte"""

    bl_idname = "wanstage.redo_part"
    bl_label = "Redo"
    bl_options = {"UNDO"}  # no REGISTER: "Adjust Last Operation" would submit again

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"}, description="Empty takes the selected take")
    first: IntProperty(
        name="First", default=1, options={"SKIP_SAVE"}, description="First frame of the take that is made again, from 1"
    )
    last: IntProperty(
        name="Last", default=0, options={"SKIP_SAVE"}, description="Last frame that is made again; 0 is the take's last"
    )
    character: StringProperty(
        name="Character",
        options={"SKIP_SAVE"},
        description="Only this character changes; empty makes whole frames again",
    )
    overlap: IntProperty(
        name="Overlap",
        default=4,
        min=0,
        max=64,
        options={"SKIP_SAVE"},
        description="Frames at each end of the part over which the new ones are blended with the take's",
    )
    seed: IntProperty(name="Seed", default=-1, min=-1, options={"SKIP_SAVE"}, description="-1 takes the next free seed")
    match_color: BoolProperty(
        name="Match Colors",
        options={"SKIP_SAVE"},
        description="Match the new frames' colors to the take's at the first of them",
    )
    model: StringProperty(
        name="Model", options={"SKIP_SAVE"}, description="Another of the video models; empty takes the take's own"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A whole take, and a backend that can make a part of it; says why not."""
        said = selected_problem(context, frames=True) or redo.problem(choices.selected(context.scene))
        if said:
            cls.poll_message_set(said)
        return not said

    def _steps(self, context: bpy.types.Context) -> generation.Steps:
        scene = context.scene
        take = takes.find(self.job_id)[1] if takes.find(self.job_id) else choices.selected(scene)
        if take is None or (self.job_id and take.job_id != self.job_id):
            raise UserProblem(tr("There is no such take in this file"))
        seed = None if self.seed < 0 else self.seed
        wish = redo.Wish(take.job_id, self.first, self.last or take.frames, self.character, self.overlap, seed,
                         self.match_color, self.model)  # fmt: skip
        return (yield from redo.remake(scene, wish))

    def _finish(self, _context: bpy.types.Context, made: tuple[str, Any]) -> set[str]:
        job_id, source = made
        for sentence in source.warnings:
            self.report({"WARNING"}, sentence)
        pump.start_timer()
        name = takes.find(job_id)[1].name
        if source.why:
            self.report(
                {"INFO"}, tr("{why}: the shot was captured again. {name} is on its way", why=source.why, name=name)
            )
        else:
            self.report({"INFO"}, tr("{name} is on its way", name=name))
        return {"FINISHED"}


class WANSTAGE_OT_redo_edge(bpy.types.Operator):
    """Set this end of the part to the take's frame at the playhead"""

    bl_idname = "wanstage.redo_edge"
    bl_label = "From Playhead"
    bl_options = {"REGISTER", "UNDO"}

    edge: EnumProperty(
        name="End",
        items=[("FIRST", "First", "The part's first frame"), ("LAST", "Last", "The part's last frame")],
        default="FIRST",
        options={"SKIP_SAVE"},
        description="Which end of the part is set",
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The selected take must have frames."""
        said = selected_problem(context, frames=True)
        if said:
            cls.poll_message_set(said)
        return not said

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set it; the other end moves along when it would lie on the wrong side."""
        scene = context.scene
        own, at = scene.wanstage.redo, redo_properties.playhead(scene, choices.selected(scene))
        first, last = own.first, own.last
        if self.edge == "FIRST":
            own.first, own.last = at, max(at, last)
        else:
            own.first, own.last = min(at, first), at
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_OT_redo_part, WANSTAGE_OT_redo_edge))
