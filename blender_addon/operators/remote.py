"""wanstage.pair, wanstage.pair_cancel, wanstage.use_backend and wanstage.forget_backend."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import FloatProperty, StringProperty

from .. import VERSION, compat, preferences, preflight, pump, remote, state
from ..problems import UserProblem
from ..words import tr
from . import connection


class WANSTAGE_OT_pair(bpy.types.Operator):
    """Pair with the backend of another machine by the code that 'wanstage pair' printed there, then connect to it"""

    bl_idname = "wanstage.pair"
    bl_label = "Pair"

    code: StringProperty(
        name="Code", options={"SKIP_SAVE", "HIDDEN"}, description="Instead of the field's; empty takes the clipboard"
    )
    wait: FloatProperty(
        name="Wait",
        default=0.0,
        min=0.0,
        options={"SKIP_SAVE"},
        description="Seconds to wait until connected; 0 returns at once in the window, waits up to 60 without one",
    )

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if remote.now.attempt is not None:
            cls.poll_message_set(tr("Pairing goes on: wait, or press Cancel"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        text = self.code or remote.now.code or context.window_manager.clipboard
        try:
            code = remote.read(text)
            remote.begin(code, allowed(code), f"Wanstage for Blender {VERSION}")
            seconds = self.wait or (60.0 if bpy.app.background else 0.0)
            if seconds:
                self._wait(seconds)
        except UserProblem as problem:
            remote.now.sentence, remote.now.failed = str(problem), True
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        pump.start_timer()
        return {"FINISHED"}

    def _wait(self, seconds: float) -> None:
        pump.pump(lambda: remote.now.attempt is None and state.now.status != "connecting", seconds)
        if not state.now.connected or remote.now.failed:
            waited = tr("The backend did not answer within {seconds:.0f} seconds", seconds=seconds)
            raise UserProblem(remote.now.sentence or state.now.sentence or waited)


def allowed(code: Any) -> list[str]:
    """The code's endpoints that Blender may speak to. Raises UserProblem when there is none, with how to allow it."""
    online, forced = compat.online_allowed(), compat.offline_forced()
    problems = [preflight.network_problem(each, allowed=online, forced=forced) for each in code.endpoints()]
    found = [each for each, problem in zip(code.endpoints(), problems, strict=True) if not problem]
    if not found:
        raise UserProblem(problems[0])
    return found


class WANSTAGE_OT_pair_cancel(bpy.types.Operator):
    """Stop pairing"""

    bl_idname = "wanstage.pair_cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if remote.now.attempt is None:
            cls.poll_message_set(tr("No pairing goes on"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        remote.stop()
        return {"FINISHED"}


class WANSTAGE_OT_use_backend(bpy.types.Operator):
    """Connect to this backend, now and whenever Connect is pressed; jobs at the one before go on"""

    bl_idname = "wanstage.use_backend"
    bl_label = "Use Backend"

    name: StringProperty(
        name="Name", options={"SKIP_SAVE"}, description="One that was paired; empty is this machine's own"
    )
    wait: FloatProperty(name="Wait", default=0.0, min=0.0, options={"SKIP_SAVE"}, description="As of Connect")

    def execute(self, _context: bpy.types.Context) -> set[str]:
        own = preferences.settings()
        try:
            if self.name and self.name not in remote.names(own.data):
                there = ", ".join(remote.names(own.data)) or tr("none")
                problem = tr(
                    "No backend of the name {name} is remembered, there are: {names}", name=self.name, names=there
                )
                raise UserProblem(problem)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        connection.leave()
        remote.now.sentence = ""
        preferences.choose(self.name)
        return bpy.ops.wanstage.connect(wait=self.wait)


class WANSTAGE_OT_forget_backend(bpy.types.Operator):
    """Delete the keys of this backend from this machine; the backend forgets ours by 'wanstage unpair' there"""

    bl_idname = "wanstage.forget_backend"
    bl_label = "Forget"

    name: StringProperty(name="Name", options={"SKIP_SAVE"}, description="Of the backend")

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        try:
            remote.forget(preferences.settings().data, self.name)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        if preferences.chosen() == self.name:
            preferences.choose("")
            state.disconnect()
        self.report({"INFO"}, tr("{name} is forgotten here", name=self.name))
        return {"FINISHED"}


_register, _unregister = bpy.utils.register_classes_factory(
    (WANSTAGE_OT_pair, WANSTAGE_OT_pair_cancel, WANSTAGE_OT_use_backend, WANSTAGE_OT_forget_backend)
)


def _get_code(_owner: bpy.types.WindowManager) -> str:
    return remote.now.code


def _set_code(_owner: bpy.types.WindowManager, text: str) -> None:
    """A damaged code is told at once: its checksum needs no network."""
    remote.now.code, remote.now.sentence, remote.now.failed = text.strip(), "", False
    try:
        if remote.now.code:
            remote.read(remote.now.code)
    except UserProblem as problem:
        remote.now.sentence, remote.now.failed = str(problem), True


def register() -> None:
    """The operators, and the field for the code: read and written by functions, so that no file ever holds it."""
    _register()
    bpy.types.WindowManager.wanstage_code = StringProperty(
        name="Pairing Code",
        description="Paste the line that 'wanstage pair' printed on the backend's machine",
        get=_get_code,
        set=_set_code,
        options={"SKIP_SAVE"},
    )


def unregister() -> None:
    """What was pasted is forgotten."""
    remote.reset()
    del bpy.types.WindowManager.wanstage_code
    _unregister()
