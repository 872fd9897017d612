"""wanstage.connect and wanstage.disconnect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, FloatProperty, StringProperty

from .. import compat, handlers, heard, launch, preferences, preflight, pump, setup_run, state, wire
from ..problems import UserProblem
from ..words import tr


class WANSTAGE_OT_connect(bpy.types.Operator):
    """Connect to the backend; start one on this machine if none is running"""

    bl_idname = "wanstage.connect"
    bl_label = "Connect"

    connection_file: StringProperty(
        name="Connection File",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"},
        description="Instead of the preferences' own",
    )
    python: StringProperty(
        name="Backend Python", subtype="FILE_PATH", options={"SKIP_SAVE"}, description="Instead of the preferences' own"
    )
    backend_folder: StringProperty(
        name="Backend Folder", subtype="DIR_PATH", options={"SKIP_SAVE"}, description="Instead of the preferences' own"
    )
    start: BoolProperty(
        name="Start", default=True, options={"SKIP_SAVE"}, description="Start a backend when none is running"
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
        if state.now.status in {"starting", "connecting", "connected"}:
            cls.poll_message_set(tr("Already connected or about to be"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        try:
            self._begin()
            seconds = self.wait or (60.0 if bpy.app.background else 0.0)
            if seconds:
                _wait(seconds)
        except (UserProblem, wire.errors.WanstageError) as problem:
            sentence = heard.reason(problem)
            state.disconnect()
            state.now.status, state.now.sentence = "lost", sentence
            self.report({"ERROR"}, sentence)
            return {"CANCELLED"}
        pump.start_timer()
        return {"FINISHED"}

    def _begin(self) -> None:
        own = preferences.settings()
        named = bpy.path.abspath(self.connection_file)
        path = Path(named) if named else own.connection_file
        state.disconnect()
        connection = launch.living(path)
        if connection is not None:
            _check_network(connection)
            pump.open_client(connection)
        elif preferences.chosen() and not named:
            problem = tr(
                "No backend answers for {name}: start it there, or choose another under Other Machines",
                name=preferences.chosen(),
            )
            raise UserProblem(problem)
        elif not self.start or (named and path.is_file()):
            problem = tr(
                "No backend answers for {path}: start it, or leave the connection file empty to start one here",
                path=path,
            )
            raise UserProblem(problem)
        else:
            python = bpy.path.abspath(self.python) or own.python
            folder = bpy.path.abspath(self.backend_folder) or own.backend_folder
            state.now.launch = launch.start(python, folder, own.data, path, own.idle_exit_s)
            state.now.status = "starting"


def _check_network(connection: Any) -> None:
    allowed, forced = compat.online_allowed(), compat.offline_forced()
    sentence = preflight.network_problem(connection.endpoint, allowed=allowed, forced=forced)
    if sentence:
        raise UserProblem(sentence)


def _wait(seconds: float) -> None:
    """Until connected. Raises UserProblem with what went wrong."""
    now = state.now
    pump.pump(lambda: now.connected, seconds)
    if not now.connected:
        raise UserProblem(
            now.sentence or tr("The backend did not answer within {seconds:.0f} seconds", seconds=seconds)
        )


def leave() -> None:
    """Close the connection, or give up one that is being made; nothing turns any more unless the set-up goes on."""
    pump.end(state.now.launch)
    if setup_run.card.running is None:
        pump.stop_timer()
    state.disconnect()


class WANSTAGE_OT_disconnect(bpy.types.Operator):
    """Close the connection; jobs go on at the backend and can be attached again"""

    bl_idname = "wanstage.disconnect"
    bl_label = "Disconnect"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.now.client is None and state.now.launch is None:
            cls.poll_message_set(tr("Not connected"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        leave()
        return {"FINISHED"}


class WANSTAGE_OT_attach(bpy.types.Operator):
    """Follow the jobs of unfinished takes again, after a file load or a lost connection"""

    bl_idname = "wanstage.attach"
    bl_label = "Attach"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if state.now.client is None:
            cls.poll_message_set(tr("No backend is connected: press Connect first"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        count = handlers.attach_unfinished()
        self.report(
            {"INFO"}, tr("{count} unfinished takes are followed", count=count) if count else tr("No take is unfinished")
        )
        return {"FINISHED"}


register, unregister = bpy.utils.register_classes_factory(
    (WANSTAGE_OT_connect, WANSTAGE_OT_disconnect, WANSTAGE_OT_attach)
)
