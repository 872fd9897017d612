"""wanstage.capture, wanstage.generate and wanstage.cancel.

From a button both capture modally: a timer takes steps of the capture, Esc ends it. Called from a script
(EXEC) they run to their end.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, StringProperty

from .. import export, generation, heard, playback, preflight, properties, pump, state, takes, talking, wire
from ..problems import UserProblem
from ..words import noted, tr

STEP_BUDGET_S = 0.05

_going: list[tuple[Any, bpy.types.Timer]] = []
"""What modal operators are at: steps and timer. Blender does not ask them to end when their class is unregistered."""


class Stepwise:
    """Runs ``self._steps(context)``, a generator, at once or from a modal timer."""

    stopped = noted("Stopped: nothing was captured or sent")
    budget_s = STEP_BUDGET_S
    _running: Any = None
    _timer: Any = None

    def execute(self, context: bpy.types.Context) -> set[str]:
        """To the end, in one go."""
        try:
            steps = self._steps(context)
            while True:
                try:
                    next(steps)
                except StopIteration as done:
                    return self._finish(context, done.value)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """From a button: step by step."""
        if bpy.app.background or context.window is None:
            return self.execute(context)
        return self._begin(context)

    def _begin(self, context: bpy.types.Context) -> set[str]:
        self._running = self._steps(context)
        self._timer = context.window_manager.event_timer_add(0.01, window=context.window)
        context.window_manager.modal_handler_add(self)
        _going.append((self._running, self._timer))
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Esc ends it; everything else waits until the scene is as it was."""
        if event.type == "ESC":
            self._running.close()
            self._end(context)
            self.report({"WARNING"}, tr(self.stopped))
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"}
        deadline = time.perf_counter() + self.budget_s
        try:
            while time.perf_counter() < deadline and next(self._running) is not export.WAIT:
                pass
        except StopIteration as done:
            self._end(context)
            return self._finish(context, done.value)
        except UserProblem as problem:
            self._end(context)
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        except Exception:
            self._end(context)  # a modal operator that dies must not leave its timer behind
            raise
        _tell(context)
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends us: a file is loaded, or the program quits."""
        if self._running is not None:
            self._running.close()
            self._end(context)

    def _end(self, context: bpy.types.Context) -> None:
        if (self._running, self._timer) in _going:
            _going.remove((self._running, self._timer))
        context.window_manager.event_timer_remove(self._timer)
        context.workspace.status_text_set(None)
        self._running = self._timer = None
        playback.redraw()


def _tell(context: bpy.types.Context) -> None:
    now = state.now.capture or state.now.export
    if now is not None:
        stage = now.stage if now is state.now.export else heard.stage(now.stage)  # an export's is the take's name
        said = tr("Wanstage: {stage} {step} of {steps}, Esc stops", stage=stage, step=now.step, steps=now.steps)
        context.workspace.status_text_set(f"{state.now.batch}, {said}" if state.now.batch else said)
    playback.redraw()


class WANSTAGE_OT_capture(Stepwise, bpy.types.Operator):
    """Capture what the scene knows about the shot, and write it as a bundle if a file is given"""

    bl_idname = "wanstage.capture"
    bl_label = "Capture"

    filepath: StringProperty(
        name="Bundle", subtype="FILE_PATH", options={"SKIP_SAVE"}, description="Zip to write; empty keeps the shot here"
    )
    task: EnumProperty(
        name="Task",
        items=properties.TASKS,
        default="i2v",
        options={"SKIP_SAVE"},
        description="What the bundle's job asks for",
    )
    force: BoolProperty(
        name="Capture Anew", options={"SKIP_SAVE"}, description="Also when nothing seems to have changed"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return poll_of(cls, preflight.capture_problems(context.scene))

    def _steps(self, context: bpy.types.Context) -> generation.Steps:
        scene = context.scene
        told = generation.Told()
        if self.filepath and self.task in {*preflight.WITH_PEOPLE, talking.TASK}:
            generation.refuse(preflight.task_problems(scene, self.task))
            told = generation.told(scene, self.task)
        cached = yield from generation.drive_pack(scene, force=self.force, task=self.task if self.filepath else None)
        if self.filepath:
            spec = generation.spec_of(scene, generation.Wish(self.task), cached, told)
            _write_bundle(Path(bpy.path.abspath(self.filepath)), spec)
        return cached

    def _finish(self, _context: bpy.types.Context, cached: state.CachedPack) -> set[str]:
        for sentence in cached.warnings:
            self.report({"WARNING"}, sentence)
        count = cached.pack.frames
        if self.filepath:
            said = tr("The shot is captured: {count} frames, written to {path}", count=count, path=self.filepath)
        else:
            said = tr("The shot is captured: {count} frames", count=count)
        self.report({"INFO"}, said)
        return {"FINISHED"}


def _write_bundle(path: Path, spec: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        wire.load("bundle").write_bundle(path, spec, generation.assets())
    except (OSError, wire.errors.WanstageError) as error:
        reason = getattr(error, "strerror", None) or error
        problem = tr(
            "The bundle cannot be written to {path} ({reason}): choose another place or free disk space",
            path=path,
            reason=reason,
        )
        raise UserProblem(problem) from error


class WANSTAGE_OT_generate(Stepwise, bpy.types.Operator):
    """Capture the shot, send it to the backend and stream the frames onto a plane in front of the camera"""

    bl_idname = "wanstage.generate"
    bl_label = "Generate"
    bl_options = {"UNDO"}  # no REGISTER: "Adjust Last Operation" would submit again

    task: EnumProperty(
        name="Task",
        items=[
            ("shot", "As the Shot Says", ""),
            *properties.TASKS,
        ],
        default="shot",
        options={"SKIP_SAVE"},
    )
    seed: IntProperty(name="Seed", default=-1, min=-1, options={"SKIP_SAVE"}, description="-1 takes the shot's seed")
    force: BoolProperty(
        name="Capture Anew", options={"SKIP_SAVE"}, description="Also when nothing seems to have changed"
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.now.capture is not None:
            cls.poll_message_set(tr("A capture is going on"))
            return False
        shot = context.scene.wanstage
        found = preflight.backend_problems(shot.engine, shot.task, shot.model)
        found += preflight.capture_problems(context.scene)
        if shot.task == talking.TASK:
            found += talking.problems(context.scene)
        return poll_of(cls, found)

    def _steps(self, context: bpy.types.Context) -> generation.Steps:
        scene = context.scene
        task = scene.wanstage.task if self.task == "shot" else self.task
        return generation.generate(scene, generation.Wish(task, None if self.seed < 0 else self.seed, force=self.force))

    def _finish(self, context: bpy.types.Context, job_id: str) -> set[str]:
        cached = state.now.packs.get(context.scene.name)
        for sentence in cached.warnings if cached else ():
            self.report({"WARNING"}, sentence)
        pump.start_timer()
        name = takes.find(job_id)[1].name
        self.report({"INFO"}, tr("{take} is on its way", take=name))
        return {"FINISHED"}


def poll_of(cls: Any, problems: list[str]) -> bool:
    """False with the first of the problems as the button's reason, if there is one."""
    if problems:
        cls.poll_message_set(problems[0])
    return not problems


class WANSTAGE_OT_cancel(bpy.types.Operator):
    """Stop a job at the backend; the frames that arrived are kept"""

    bl_idname = "wanstage.cancel"
    bl_label = "Cancel"

    job_id: StringProperty(
        name="Job", options={"SKIP_SAVE"}, description="Empty stops every unfinished job of the file"
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not state.now.active():
            cls.poll_message_set(tr("No job is going on"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        runs = [run for run in state.now.active() if self.job_id in {"", run.job_id}]
        if not runs:
            self.report({"ERROR"}, tr("No job {job} is going on", job=self.job_id))
            return {"CANCELLED"}
        for run in runs:
            state.now.client.cancel(run.job_id)
        return {"FINISHED"}


register, _unregister = bpy.utils.register_classes_factory(
    (WANSTAGE_OT_capture, WANSTAGE_OT_generate, WANSTAGE_OT_cancel)
)


def unregister() -> None:
    """Put the scene back that a capture was at, and take its timer away."""
    while _going:
        steps, timer = _going.pop()
        steps.close()
        bpy.context.window_manager.event_timer_remove(timer)
        if bpy.context.workspace is not None:
            bpy.context.workspace.status_text_set(None)
    _unregister()
