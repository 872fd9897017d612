"""wanstage.setup and its companions: the local backend's environment, and the way to a backend elsewhere."""

from __future__ import annotations

from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from .. import compat, launch, preferences, pump, setup_run, state
from ..problems import UserProblem
from ..setup import machine
from ..words import spoken, tr

CHOICES = (
    ("draft", "Draft only, 180 MB", "The Draft engine, on any machine without a graphics card; 180 MB are loaded"),
    ("wan", "Wan models, about 3 GB", "The Wan models too, for an NVIDIA card; their weights are loaded later"),
)
NETWORK = ("install", "repair")


def root_of(text: str) -> Path:
    """The folder of the setup: the operator's own, else the usual one."""
    return Path(bpy.path.abspath(text)) if text else machine.default_root()


def network_sentence() -> str:
    """Why nothing may be loaded now; empty when it may."""
    if compat.online_allowed():
        return ""
    forced = compat.offline_forced()
    how = (
        tr("Blender was started with --offline-mode")
        if forced
        else tr("switch on Allow Online Access in the preferences")
    )
    return tr("The setup loads the backend's packages and Blender may not use the network: {how}", how=how)


class _Setup:
    """What all of them have: a folder, how long to wait, and that only one works at a time."""

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if setup_run.card.running is not None:
            cls.poll_message_set(tr("The setup is working: wait, or press Cancel"))
            return False
        return True

    def begin(self, command: str, *options: str) -> set[str]:
        """Start it, and wait for its end if asked to."""
        try:
            sentence = network_sentence() if command in NETWORK else ""
            if sentence:
                raise UserProblem(sentence)
            setup_run.start(command, preferences.settings().data, root_of(self.folder), *options)
        except UserProblem as problem:
            setup_run.card.sentence, setup_run.card.failed = str(problem), True
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        pump.start_timer()
        return self._wait() if self.wait else {"FINISHED"}

    def _wait(self) -> set[str]:
        if not pump.pump(lambda: setup_run.card.running is None, self.wait):
            self.report({"WARNING"}, tr("The setup still works after {seconds:.0f} seconds", seconds=self.wait))
        elif setup_run.card.failed and setup_run.card.result is None:
            self.report({"ERROR"}, spoken(setup_run.card.sentence))
            return {"CANCELLED"}
        return {"FINISHED"}


class WANSTAGE_OT_setup(_Setup, bpy.types.Operator):
    """Set a backend up on this machine, in an environment of its own; says first what will be done"""

    bl_idname = "wanstage.setup"
    bl_label = "Set Up"

    choice: EnumProperty(name="What", items=CHOICES, options={"SKIP_SAVE"}, description="What to install")
    ask: BoolProperty(
        name="Ask", default=False, options={"SKIP_SAVE"}, description="Only say what would be done, and load nothing"
    )
    python: StringProperty(
        name="Python", subtype="FILE_PATH", options={"SKIP_SAVE"}, description="The Python to make the environment with"
    )
    folder: StringProperty(
        name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"}, description="Instead of the usual folder"
    )
    wait: FloatProperty(
        name="Wait", default=0.0, min=0.0, options={"SKIP_SAVE"}, description="Seconds to wait for the end; 0 does not"
    )

    def execute(self, _context: bpy.types.Context) -> set[str]:
        options = ["--choice", self.choice]
        if self.python:
            options += ["--python", bpy.path.abspath(self.python)]
        return self.begin("plan" if self.ask else "install", *options)


class WANSTAGE_OT_setup_repair(_Setup, bpy.types.Operator):
    """Look for what is missing or changed in the backend's environment and install that again"""

    bl_idname = "wanstage.setup_repair"
    bl_label = "Repair"

    folder: StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"}, description="As of Set Up")
    wait: FloatProperty(name="Wait", default=0.0, min=0.0, options={"SKIP_SAVE"}, description="As of Set Up")

    def execute(self, _context: bpy.types.Context) -> set[str]:
        found = setup_run.known(root_of(self.folder))
        return self.begin("repair", "--choice", found.choice if found and found.choice else "draft")


class WANSTAGE_OT_setup_remove(_Setup, bpy.types.Operator):
    """Delete the environment that the setup made, and nothing else: takes and models stay"""

    bl_idname = "wanstage.setup_remove"
    bl_label = "Remove the Local Backend"

    folder: StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"}, description="As of Set Up")
    wait: FloatProperty(name="Wait", default=0.0, min=0.0, options={"SKIP_SAVE"}, description="As of Set Up")

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        if state.now.client is not None or state.now.launch is not None:
            cls.poll_message_set(tr("A backend is connected: press Disconnect first"))
            return False
        return super().poll(context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, _context: bpy.types.Context) -> set[str]:
        return self.begin("remove", *self._backend())

    def _backend(self) -> list[str]:
        """A backend of this machine that still runs would lose its files: it is ended first."""
        try:
            found = launch.living(preferences.settings().connection_file)
        except UserProblem:
            return []
        return ["--stop", str(found.pid)] if found and found.pid and launch.is_loopback(found.endpoint) else []


class WANSTAGE_OT_setup_cancel(bpy.types.Operator):
    """Stop the setup; what was loaded is kept, and Set Up goes on from there"""

    bl_idname = "wanstage.setup_cancel"
    bl_label = "Cancel"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if setup_run.card.running is None:
            cls.poll_message_set(tr("No setup is working"))
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        if setup_run.card.running is not None:
            setup_run.card.running.cancel()
        return {"FINISHED"}


class WANSTAGE_OT_setup_back(bpy.types.Operator):
    """Do not set up what was planned"""

    bl_idname = "wanstage.setup_back"
    bl_label = "Back"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        setup_run.card.plan = None
        return {"FINISHED"}


class WANSTAGE_OT_setup_copy_log(bpy.types.Operator):
    """Copy the setup's log, to ask for help with"""

    bl_idname = "wanstage.setup_copy_log"
    bl_label = "Copy Log"

    folder: StringProperty(name="Folder", subtype="DIR_PATH", options={"SKIP_SAVE"}, description="As of Set Up")

    def execute(self, context: bpy.types.Context) -> set[str]:
        text = setup_run.log(root_of(self.folder)) or setup_run.card.sentence
        if not text:
            self.report({"WARNING"}, tr("There is no log yet: nothing was set up"))
            return {"CANCELLED"}
        context.window_manager.clipboard = text
        self.report({"INFO"}, tr("Copied {count} lines", count=len(text.splitlines())))
        return {"FINISHED"}


class WANSTAGE_OT_connect_remote(bpy.types.Operator):
    """Connect to a backend on another machine by the connection file that it wrote for you"""

    bl_idname = "wanstage.connect_remote"
    bl_label = "Connect to a Remote Backend"

    filepath: StringProperty(subtype="FILE_PATH", options={"SKIP_SAVE"})
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        try:
            launch.read(Path(bpy.path.abspath(self.filepath)))
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        addon = context.preferences.addons.get(preferences.__package__)
        if addon is not None:
            addon.preferences.connection_file = self.filepath
        return bpy.ops.wanstage.connect(connection_file=self.filepath, start=False)


_CLASSES = (
    WANSTAGE_OT_setup, WANSTAGE_OT_setup_repair, WANSTAGE_OT_setup_remove, WANSTAGE_OT_setup_cancel,
    WANSTAGE_OT_setup_back, WANSTAGE_OT_setup_copy_log, WANSTAGE_OT_connect_remote,
)  # fmt: skip
_register, _unregister = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    """The operators, and which of the choices the card shows."""
    _register()
    bpy.types.WindowManager.wanstage_setup = EnumProperty(
        name="What", items=CHOICES, options={"SKIP_SAVE"}, description="What to install"
    )


def unregister() -> None:
    """A setup that works goes on; the next registration finds it."""
    setup_run.card.running = None
    del bpy.types.WindowManager.wanstage_setup
    _unregister()
