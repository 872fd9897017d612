"""The card that sets a backend up, shown while none is known; and what to do with the one that was set up.

Drawing looks at ``setup_run.card`` alone, which the pump fills.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import compat, panels, preferences, setup_run, state
from .operators.setup import network_sentence
from .words import noted, spoken, tr

STAGES = {
    "check": noted("Check"),
    "environment": noted("Environment"),
    "torch": noted("PyTorch"),
    "packages": noted("Packages"),
    "doctor": noted("Self-Test"),
    "draft": noted("Draft"),
    "remove": noted("Remove"),
}


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Wanstage"
    bl_parent_id = "WANSTAGE_PT_connection"


class WANSTAGE_PT_setup(_Panel, bpy.types.Panel):
    """A backend for this machine, or one elsewhere."""

    bl_label = "Set Up"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        card = setup_run.card
        if card.running or card.plan or card.result or card.sentence:
            return True
        return state.now.client is None and state.now.launch is None and not preferences.backend_python()

    def draw(self, context: bpy.types.Context) -> None:
        card = setup_run.card
        if card.running is not None:
            _working(self.layout, card.running)
        elif card.plan is not None:
            _plan(self.layout, card.plan)
        elif card.result is not None:
            _ready(self.layout, card.result)
        else:
            _first(self.layout, context)
        if card.sentence:
            panels.sentence(self.layout, spoken(card.sentence), "ERROR" if card.failed else "INFO")
            self.layout.operator("wanstage.setup_copy_log", icon="COPYDOWN")


def _first(layout: Any, context: bpy.types.Context) -> None:
    if not preferences.backend_python():
        panels.sentence(layout, tr("No backend is set up on this machine yet"), "INFO")
    column = layout.column(align=True)
    column.prop(context.window_manager, "wanstage_setup", expand=True)
    found = setup_run.known()
    row = layout.row()
    row.scale_y = 1.4
    title = noted("Go On with the Setup") if found and not found.finished else noted("Set Up")
    told = row.operator("wanstage.setup", text=title, icon="IMPORT")
    told.choice, told.ask = context.window_manager.wanstage_setup, True
    if found is not None:
        row = layout.row(align=True)
        row.operator("wanstage.setup_repair", icon="TOOL_SETTINGS")
        row.operator("wanstage.setup_remove", text="Remove", icon="TRASH")


def _plan(layout: Any, plan: dict[str, Any]) -> None:
    """What will be done, before it is."""
    for text in plan["sentences"]:
        panels.sentence(layout, spoken(text), "DOT")
    offline = network_sentence()
    if offline:
        panels.sentence(layout, offline)
    row = layout.row(align=True)
    row.scale_y = 1.4
    install = row.row(align=True)
    install.enabled = not offline
    told = install.operator("wanstage.setup", text="Install", icon="IMPORT")
    told.choice, told.ask = plan["choice"], False
    row.operator("wanstage.setup_back")


def _working(layout: Any, running: setup_run.Running) -> None:
    now = running.progress
    compat.draw_progress(layout, now.fraction, tr(STAGES.get(now.stage, "Starting")))
    panels.sentence(layout, spoken(now.text), "SORTTIME")
    if now.words():
        panels.sentence(layout, now.words(), "BLANK1")  # too long for one row of a narrow sidebar
    layout.operator("wanstage.setup_cancel", icon="X")


def _ready(layout: Any, result: dict[str, Any]) -> None:
    """What the self-test and the round trip said."""
    trip, draft = result["round_trip"], result["draft"]
    panels.sentence(
        layout,
        tr("Self-test passed: first frame after {seconds:.1f} s", seconds=trip["first_frame_ms"] / 1000),
        "CHECKMARK",
    )
    panels.sentence(
        layout,
        tr("Draft made {count} frames in {seconds} s", count=draft["frames"], seconds=draft["seconds"]),
        "CHECKMARK",
    )
    torch = result.get("torch", {})
    if torch.get("version"):
        cards = ", ".join(card["name"] for card in torch.get("cards", [])) or tr("no NVIDIA card")
        panels.sentence(layout, tr("PyTorch {version}, {cards}", version=torch["version"], cards=cards), "CHECKMARK")
    if state.now.client is None and state.now.launch is None:
        layout.operator("wanstage.connect", icon="LINKED")


class WANSTAGE_PT_local(_Panel, bpy.types.Panel):
    """The backend that was set up here."""

    bl_label = "Local Backend"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        found = setup_run.known()
        return setup_run.card.running is None and found is not None and found.finished

    def draw(self, _context: bpy.types.Context) -> None:
        layout, found = self.layout, setup_run.known()
        if found is not None:
            engines = tr("Draft and Wan") if found.choice == "wan" else tr("Draft only")
            panels.sentence(
                layout,
                tr("Version {version}, {engines}, {maker}", version=found.version, engines=engines, maker=found.maker),
                "INFO",
            )
            if found.torch:
                panels.sentence(layout, spoken(found.torch), "BLANK1")
        row = layout.row(align=True)
        row.operator("wanstage.setup_repair", icon="TOOL_SETTINGS")
        row.operator("wanstage.setup_remove", text="Remove", icon="TRASH")
        if found is not None and found.choice != "wan":
            told = layout.operator("wanstage.setup", text="Add the Wan Models", icon="IMPORT")
            told.choice, told.ask = "wan", True
        layout.operator("wanstage.setup_copy_log", icon="COPYDOWN")


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_setup, WANSTAGE_PT_local))
