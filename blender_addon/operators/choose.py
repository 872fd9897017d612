"""What is done with a take: play, solo, star, accept, reject, make again, take its settings, clear."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, IntProperty, StringProperty

from .. import choices, framefiles, generation, paths, playback, preflight, pump, state, take_settings, takes
from ..problems import UserProblem
from ..words import tr
from .generate import Stepwise
from .takes import _OnTake

MIB = 2**20


def selected_problem(context: bpy.types.Context, *, frames: bool = False) -> str:
    """Why nothing can be done with the selected take; empty when it can."""
    take = choices.selected(context.scene)
    if take is None:
        return (
            tr("The shot has no takes yet")
            if not len(context.scene.wanstage.takes)
            else tr("Select a take in the list")
        )
    if frames and not take.frames_done:
        return tr("{take} has no frames", take=take.name)
    if frames and take.state not in takes.ENDED:
        return tr("{take} is still being made", take=take.name)
    return ""


class _OnFrames(_OnTake):
    """An operator on a take that has ended and has frames."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The selected take must have frames; says why not."""
        problem = selected_problem(context, frames=True)
        if problem:
            cls.poll_message_set(problem)
        return not problem

    def _shown(self, context: bpy.types.Context, take: Any) -> None:
        """Its plane, made again when it was deleted. Raises UserProblem."""
        if playback.find_plane(take.job_id) is None:
            takes.relink(context.scene, take)
        if playback.find_plane(take.job_id) is None:
            message = tr("{take} has no frames on disk in {folder}", take=take.name, folder=takes.folder(take))
            raise UserProblem(message)


class WANSTAGE_OT_play_take(_OnFrames, bpy.types.Operator):
    """Show this take alone and play its frames in a loop; again to stop and put the preview range away"""

    bl_idname = "wanstage.play_take"
    bl_label = "Play"

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        scene = context.scene
        if context.screen is not None and context.screen.is_animation_playing:
            bpy.ops.screen.animation_cancel(restore_frame=False)
            scene.use_preview_range = False
            return {"FINISHED"}
        self._shown(context, take)
        takes.solo(scene, take.job_id)
        first, last = choices.scene_frames(scene, take)
        scene.use_preview_range = True
        scene.frame_preview_start, scene.frame_preview_end = first, last
        scene.frame_set(first)
        if bpy.ops.screen.animation_play.poll():
            bpy.ops.screen.animation_play()
        return {"FINISHED"}


class WANSTAGE_OT_star_take(_OnTake, bpy.types.Operator):
    """Star the take, or take its star away; Clear All but Starred keeps it"""

    bl_idname = "wanstage.star_take"
    bl_label = "Star"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, _context: bpy.types.Context, take: Any) -> set[str]:
        take.choice.starred = not take.choice.starred
        return {"FINISHED"}


class WANSTAGE_OT_accept_take(_OnFrames, bpy.types.Operator):
    """This take is the shot's: its plane is shown, those of the shot's other takes are hidden; again to undo that"""

    bl_idname = "wanstage.accept_take"
    bl_label = "Accept"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        if take.choice.verdict == "accepted":
            take.choice.verdict = "none"
            return {"FINISHED"}
        self._shown(context, take)
        choices.accept(context.scene, take)
        self.report({"INFO"}, tr("{take} is the shot's", take=take.name))
        return {"FINISHED"}


class WANSTAGE_OT_reject_take(_OnTake, bpy.types.Operator):
    """Hide this take; its frames stay until it is cleared. Again to take it back"""

    bl_idname = "wanstage.reject_take"
    bl_label = "Reject"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        if take.choice.verdict == "rejected":
            take.choice.verdict = "none"
        else:
            choices.reject(context.scene, take)
        return {"FINISHED"}


class WANSTAGE_OT_clear_takes(bpy.types.Operator):
    """Delete every take that is neither starred nor accepted, with its plane and files; undo cannot bring files back"""

    bl_idname = "wanstage.clear_takes"
    bl_label = "Clear All but Starred"
    bl_options = {"UNDO"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There must be something to clear."""
        if choices.disposable(context.scene):
            return True
        cls.poll_message_set(tr("Every finished take is starred or accepted: there is nothing to clear"))
        return False

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Tell what goes and what it frees, then ask."""
        return context.window_manager.invoke_props_dialog(self, width=360)

    def draw(self, context: bpy.types.Context) -> None:
        """What would be deleted."""
        self.layout.label(text=told(context.scene), icon="TRASH")
        for take in choices.disposable(context.scene)[:8]:
            size = framefiles.size(takes.folder(take)) / MIB
            self.layout.label(
                text=tr("{take}, seed {seed}: {size:.1f} MB", take=take.name, seed=take.seed, size=size), icon="BLANK1"
            )
        self.layout.label(text=tr("Files that are deleted do not come back by undo"), icon="ERROR")

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Delete them."""
        try:
            count, freed = choices.clear(context.scene)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, deleted(count, freed))
        return {"FINISHED"}


def deleted(count: int, freed: int) -> str:
    """What Clear All but Starred did."""
    if count == 1:
        return tr("1 take deleted, {mib:.1f} MB freed", mib=freed / MIB)
    return tr("{count} takes deleted, {mib:.1f} MB freed", count=count, mib=freed / MIB)


def told(scene: bpy.types.Scene) -> str:
    """Such as "Delete 3 takes and free 41.0 MB?"."""
    found = choices.disposable(scene)
    if len(found) == 1:
        return tr("Delete 1 take and free {mib:.1f} MB?", mib=choices.disk_bytes(found) / MIB)
    return tr("Delete {count} takes and free {mib:.1f} MB?", count=len(found), mib=choices.disk_bytes(found) / MIB)


class WANSTAGE_OT_use_settings(_OnTake, bpy.types.Operator):
    """Put the settings that this take was made with back into the shot: prompt, seed, model, size, range, characters"""

    bl_idname = "wanstage.use_settings"
    bl_label = "Use These Settings"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The selected take must have kept its settings."""
        problem = selected_problem(context) or (
            ""
            if "settings" in takes.meta(choices.selected(context.scene))
            else tr("This take was made before takes kept their settings")
        )
        if problem:
            cls.poll_message_set(problem)
        return not problem

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        lost = restore(context.scene, take)
        if lost:
            self.report(
                {"WARNING"},
                tr("Not in this file any more, so not restored: {names}", names=", ".join(sorted(set(lost)))),
            )
        else:
            self.report({"INFO"}, tr("The shot has the settings of {take}", take=take.name))
        return {"FINISHED"}


def restore(scene: bpy.types.Scene, take: Any) -> list[str]:
    """A take's settings, seed and prompt into the shot; returns what could not be."""
    made = takes.meta(take)
    lost = take_settings.apply(scene, made.get("settings") or {})
    scene.wanstage.seed = int(made.get("seed", take.seed)) % 2**31
    scene.wanstage.prompt = made.get("prompt", scene.wanstage.prompt)
    return lost


class _Again(Stepwise):
    """Generates with the settings of the selected take."""

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A take, and a backend that can make it."""
        problem = selected_problem(context)
        if not problem and state.now.capture is not None:
            problem = tr("A capture is going on")
        take = choices.selected(context.scene)
        if not problem:
            model = take.choice.model or context.scene.wanstage.model
            problem = next(iter(preflight.backend_problems(take.engine, take.task, model)), "")
        if problem:
            cls.poll_message_set(problem)
        return not problem

    def _seed(self, scene: bpy.types.Scene, take: Any) -> int:
        return int(takes.meta(take).get("seed", take.seed))

    def _steps(self, context: bpy.types.Context) -> generation.Steps:
        scene = context.scene
        found = takes.find(self.job_id) if self.job_id else (scene, choices.selected(scene))
        if found is None or found[1] is None:
            message = tr("There is no such take in this file")
            raise UserProblem(message)
        take = found[1]
        seed = self._seed(scene, take)
        restore(scene, take)
        scene.wanstage.seed = seed % 2**31
        return (yield from generation.generate(scene, generation.Wish(take.task, seed)))

    def _finish(self, _context: bpy.types.Context, job_id: str) -> set[str]:
        pump.start_timer()
        self.report({"INFO"}, tr("{take} is on its way", take=takes.find(job_id)[1].name))
        return {"FINISHED"}


class WANSTAGE_OT_another_seed(_Again, bpy.types.Operator):
    """Make this take again with another seed; the shot takes over its settings"""

    bl_idname = "wanstage.another_seed"
    bl_label = "Same with Another Seed"
    bl_options = {"UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})
    seed: IntProperty(name="Seed", default=-1, min=-1, options={"SKIP_SAVE"}, description="-1 takes the next free seed")

    def _seed(self, scene: bpy.types.Scene, take: Any) -> int:
        return self.seed if self.seed >= 0 else choices.another_seed(scene, take)


class WANSTAGE_OT_redo_take(_Again, bpy.types.Operator):
    """Make this take again from the scene as it is now, with the same settings and seed"""

    bl_idname = "wanstage.redo_take"
    bl_label = "Redo"
    bl_options = {"UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})


class WANSTAGE_OT_begin_next(_OnFrames, bpy.types.Operator):
    """The last frame of this take becomes the first image of the next shot, which begins where the take ends"""

    bl_idname = "wanstage.begin_next"
    bl_label = "Begin Next Shot Here"
    bl_options = {"REGISTER", "UNDO"}

    job_id: StringProperty(name="Job", options={"SKIP_SAVE"})
    move_range: BoolProperty(
        name="Move Range",
        default=True,
        description="The shot's range begins at the take's last frame, as long as it is",
    )

    def _do(self, context: bpy.types.Context, take: Any) -> set[str]:
        scene, shot = context.scene, context.scene.wanstage
        path = framefiles.path_of(takes.folder(take), take.frames_done - 1)
        if not path.is_file():
            message = tr("{take} has no frames on disk in {folder}", take=take.name, folder=takes.folder(take))
            raise UserProblem(message)
        shot.first_image = paths.relative(path)
        if shot.task not in generation.shots.STILLS:
            shot.task = "i2v"
        if self.move_range:
            first, last = generation.shots.frame_range(scene)
            start = round(take.frame_start + (take.frames_done - 1) / take.fps * takes.scene_fps(scene))
            shot.use_scene_range = False
            shot.frame_start, shot.frame_end = start, start + max(last - first, 0)
        self.report({"INFO"}, tr("The next clip begins with the last frame of {take}", take=take.name))
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_OT_play_take,
        WANSTAGE_OT_star_take,
        WANSTAGE_OT_accept_take,
        WANSTAGE_OT_reject_take,
        WANSTAGE_OT_clear_takes,
        WANSTAGE_OT_use_settings,
        WANSTAGE_OT_another_seed,
        WANSTAGE_OT_redo_take,
        WANSTAGE_OT_begin_next,
    )
)
