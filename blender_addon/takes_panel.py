"""Takes: the list of what was made, what to do with the selected one, comparing, and giving it on.

Drawing looks at properties and at what is loaded already: no file, no search.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import catalog, choices, compat, heard, progress, soundtrack, state, takes, talking, thumbnails
from .operators import deliver
from .panels import _Panel, chars_a_line, sentence, split
from .words import tr

WIDE_CHARS = 36
ICONS = {"finished": "CHECKMARK", "failed": "ERROR", "cancelled": "X", "lost": "QUESTION"}


def state_text(take: Any) -> str:
    """What a take is at, in a word or two."""
    if take.state not in takes.ENDED:
        return heard.title(take.stage) if take.stage else heard.state(take.state)
    if take.choice.verdict != "none":
        return tr(take.choice.verdict.capitalize())
    return heard.state(take.state)


def state_icon(take: Any) -> str:
    """The icon of a row: what went wrong first, then what was decided."""
    if take.state not in takes.ENDED:
        return "SORTTIME"
    if take.state != "finished":
        return ICONS[take.state]
    if take.choice.outdated:
        return "FILE_REFRESH"
    return {"accepted": "CHECKBOX_HLT", "rejected": "TRASH"}.get(take.choice.verdict, ICONS["finished"])


def made_text(take: Any) -> list[str]:
    """Such as "Done, seed 7", "Wan2.2 Animate 14B", "81 frames, 5.1 s", "Made in 3 min 5 s"."""
    long = choices.seconds_long(take)
    if take.frames_done != take.frames:
        frames = tr(
            "{count} of {whole} frames, {seconds:.1f} s", count=take.frames_done, whole=take.frames, seconds=long
        )
    else:
        frames = tr("{count} frames, {seconds:.1f} s", count=take.frames, seconds=long)
    info = catalog.model_info(take.engine, take.choice.model)
    said = [
        tr("{state}, seed {seed}", state=state_text(take), seed=take.seed),
        info.title if info is not None else take.choice.model or take.engine,
        frames,
    ]
    return [*said, tr("Made in {time}", time=time_text(take.choice.seconds))] if take.choice.seconds else said


def time_text(seconds: float) -> str:
    """Such as "12 s" or "3 min 5 s"."""
    whole = round(seconds)
    if whole < 60:
        return tr("{seconds} s", seconds=whole)
    return tr("{minutes} min {seconds} s", minutes=whole // 60, seconds=whole % 60)


class WANSTAGE_UL_takes(bpy.types.UIList):
    """One row a take: picture, name, seed, star, eye."""

    def draw_item(
        self, _context: Any, layout: Any, _data: Any, item: Any, _icon: int, _active: Any, _active_name: str
    ) -> None:
        row = layout.row(align=True)
        row.active = item.choice.verdict != "rejected"
        picture = thumbnails.icon(item)
        said = state_icon(item)
        if picture:
            row.label(text="", icon_value=picture)
        if not picture or said != ICONS["finished"]:
            row.label(text="", icon=said)
        going = item.frames_done != item.frames and item.state not in takes.ENDED
        number = f"{item.frames_done}/{item.frames}" if going else str(item.seed)
        wide = going or chars_a_line() >= WIDE_CHARS  # in a narrow sidebar the name matters more
        names = row.split(factor=0.6, align=True) if wide else row
        names.prop(item, "name", text="", emboss=False)
        if wide:
            names.label(text=number)
        star = "SOLO_ON" if item.choice.starred else "SOLO_OFF"
        row.prop(item.choice, "starred", text="", icon=star, emboss=False)
        row.prop(item, "seen", text="", icon="HIDE_OFF" if item.seen else "HIDE_ON", emboss=False)


class WANSTAGE_MT_take(bpy.types.Menu):
    """What is done with a take less often."""

    bl_label = "Take"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        take = choices.selected(context.scene)
        layout.operator("wanstage.use_settings", icon="PASTEDOWN")
        layout.operator("wanstage.begin_next", icon="FORWARD")
        layout.operator("wanstage.retry", icon="FILE_REFRESH").job_id = take.job_id if take else ""
        layout.separator()
        layout.operator("wanstage.relink_takes", icon="LINKED")
        layout.operator("wanstage.find_lost_takes", icon="VIEWZOOM")
        layout.operator("wanstage.attach", icon="URL")
        layout.separator()
        layout.operator("wanstage.clear_takes", icon="TRASH")


class WANSTAGE_PT_takes(_Panel, bpy.types.Panel):
    """What was made."""

    bl_label = "Takes"
    bl_order = 50

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        shot = scene.wanstage
        row = layout.row()
        row.template_list("WANSTAGE_UL_takes", "", shot, "takes", shot, "take_index", rows=4)
        take = choices.selected(scene)
        column = row.column(align=True)
        column.operator("wanstage.accept_take", text="", icon="CHECKMARK")
        column.operator("wanstage.reject_take", text="", icon="X")
        column.operator("wanstage.remove_take", text="", icon="TRASH").job_id = take.job_id if take else ""
        column.separator()
        column.menu("WANSTAGE_MT_take", text="", icon="DOWNARROW_HLT")
        if take is not None:
            _one(layout, scene, take)


def _one(layout: Any, scene: bpy.types.Scene, take: Any) -> None:
    """The selected take."""
    picture = thumbnails.icon(take)
    if picture:
        layout.template_icon(icon_value=picture, scale=5.0)
    column = layout.column(align=True)
    for line in made_text(take):
        column.label(text=line)
    if take.problem:
        sentence(layout, tr(take.problem))  # ours, or the backend's as it came
    if take.choice.outdated:
        said = take.choice.outdated
        sentence(layout, tr("Out of date: {reason}", reason=said), "FILE_REFRESH")
        layout.operator("wanstage.redo_take", icon="FILE_REFRESH")
    row = layout.row(align=True)
    playing = bpy.context.screen is not None and bpy.context.screen.is_animation_playing
    row.operator("wanstage.play_take", text="Stop" if playing else "Play", icon="PAUSE" if playing else "PLAY")
    row.operator("wanstage.show_take", text="Solo", icon="HIDE_OFF").job_id = take.job_id
    layout.operator("wanstage.another_seed", icon="DUPLICATE")
    if take.task == talking.TASK:
        _take_sound(layout, scene, take)


def _take_sound(layout: Any, scene: bpy.types.Scene, take: Any) -> None:
    """A take that has a sound: into the sequencer, and Blender's own setting that keeps the pictures with it."""
    if take.state in takes.ENDED and soundtrack.find(scene, take.job_id) is None:
        layout.operator("wanstage.add_sound", icon="SOUND").job_id = take.job_id
    if scene.sync_mode != "AUDIO_SYNC":
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(scene, "sync_mode", text="Playback")


class _Closed(_Panel):
    bl_parent_id = "WANSTAGE_PT_takes"
    bl_options = {"DEFAULT_CLOSED"}


class WANSTAGE_PT_compare(_Closed, bpy.types.Panel):
    """Two takes on one plane."""

    bl_label = "Compare"

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = split(self.layout), context.scene
        asked = scene.wanstage.compare
        if not asked.first:
            layout.operator_menu_enum("wanstage.compare_takes", "other", icon="MOD_ARRAY")
            return
        first, second = takes.find(asked.first), takes.find(asked.second)
        if first and second:
            layout.label(text=tr("{first} and {second}", first=first[1].name, second=second[1].name), icon="MOD_ARRAY")
        row = layout.row()
        row.use_property_split = False
        row.prop(asked, "mode", expand=True)
        if asked.mode == "wipe":
            layout.prop(asked, "wipe", slider=True)
        else:
            layout.prop(asked, "gain")
        shading = getattr(context.space_data, "shading", None)
        if shading is not None and shading.type in {"SOLID", "WIREFRAME"}:
            sentence(layout, tr("Solid view shows A alone: choose Material Preview"), "INFO")
        layout.operator("wanstage.end_compare", icon="X")


class WANSTAGE_PT_deliver(_Closed, bpy.types.Panel):
    """Give the take on."""

    bl_label = "Deliver"

    def draw(self, _context: bpy.types.Context) -> None:
        layout, going = self.layout, state.now.export
        if going is not None:
            compat.draw_progress(layout, progress.share(going.step, going.steps), going.stage)
        layout.operator("wanstage.to_sequencer", icon="SEQUENCE")
        row = layout.row(align=True)
        for kind, _title, _said in deliver.KINDS:
            row.operator("wanstage.export_take", text=kind, icon="EXPORT").kind = kind


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_UL_takes,
        WANSTAGE_MT_take,
        WANSTAGE_PT_takes,
        WANSTAGE_PT_compare,
        WANSTAGE_PT_deliver,
    )
)
