"""Motion from Film, in the Retarget panel, and Did It Follow, in the Takes panel.

Drawing looks at properties and at what is loaded already: no file, no search.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import catalog, choices, compat, progress, state, takes, thumbnails
from .film import check, job
from .panels import _Panel, sentence, split
from .words import tr

STRIP_SCALE = 7.0  # rows high


class WANSTAGE_PT_motion(_Panel, bpy.types.Panel):
    """Have the motion of a film found."""

    bl_label = "Motion from Film"
    bl_parent_id = "WANSTAGE_PT_retarget"
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = split(self.layout), context.scene
        own = scene.wanstage_retarget
        layout.prop(own, "source")
        if own.source == "FILE":
            layout.prop(own, "film")
        elif own.source == "CLIP":
            layout.prop(own, "clip")
        else:
            take = choices.selected(scene)
            sentence(layout, take.name if take is not None else tr("Select a take first"), "RENDER_ANIMATION")
        layout.prop(own, "who")
        if own.who == "all":
            layout.prop(own, "people")
        layout.prop(own, "stature", **compat.placeholder(tr("Automatic")))
        _button(layout, scene)
        if own.motion.job_id and not own.motion.check:
            draw_search(layout, scene)


def _button(layout: Any, scene: bpy.types.Scene) -> None:
    own = scene.wanstage_retarget
    row = layout.row()
    row.scale_y = 1.4
    row.enabled = own.motion.state not in job.LOOKED_FOR
    button = row.operator("wanstage.find_motion", icon="ARMATURE_DATA")
    button.source, button.film, button.who, button.stature = own.source, own.film, own.who, own.stature
    button.clip = own.clip.name if own.clip is not None else ""
    button.people = own.people if own.who == "all" else 1


def draw_search(layout: Any, scene: bpy.types.Scene) -> None:
    """How far a scene's search is, or how it ended."""
    own = scene.wanstage_retarget.motion
    if own.state in job.LOOKED_FOR:
        compat.draw_progress(layout, progress.share(own.frames_done, own.frames), search_text(own))
        pace = search_pace(own)
        if pace:
            layout.label(text=pace, icon="BLANK1", translate=False)
        row = layout.row(align=True)
        row.use_property_split = False
        row.prop(scene.wanstage_retarget, "live", text="", icon="ARMATURE_DATA")
        row.operator("wanstage.cancel_motion", icon="X")
    elif own.problem:
        sentence(layout, own.problem)
        if catalog.command_in(own.problem):
            layout.operator("wanstage.copy_motion_pull", icon="COPYDOWN")
    elif own.state == "finished":
        sentence(layout, tr("The motion of {name} is the pose file now", name=own.source), "CHECKMARK")
        for note in own.notes.splitlines():
            sentence(layout, note, "INFO")
    elif own.state == "cancelled":
        sentence(layout, tr("Stopped"), "X")


def search_text(own: Any) -> str:
    """Such as "24 of 81 frames"."""
    run = state.now.runs.get(own.job_id)
    if own.frames_done == 0:
        sent, total = run.upload if run is not None else (0, 0)
        if total and sent < total:
            return tr("Uploading: {percent} % of {size:.0f} MB", percent=100 * sent // total, size=total / 1e6)
        return tr("Waiting")
    return tr("Frame {done} of {count}", done=own.frames_done, count=own.frames)


def search_pace(own: Any) -> str:
    """Such as "17.2 a second, 4 s left"; empty while it is not known."""
    if own.rate <= 0 or not own.frames_done:
        return ""
    said = tr("{rate:.1f} a second", rate=own.rate)
    return said if own.eta < 0 else tr("{said}, {time} left", said=said, time=progress.duration(own.eta))


class WANSTAGE_PT_follow(_Panel, bpy.types.Panel):
    """Whether the selected take follows the rigs."""

    bl_label = "Did It Follow?"
    bl_parent_id = "WANSTAGE_PT_takes"
    bl_options = {"DEFAULT_CLOSED"}

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return choices.selected(context.scene) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        take, own = choices.selected(scene), scene.wanstage_retarget.motion
        row = layout.row()
        row.enabled = take.state in takes.ENDED and own.state not in job.LOOKED_FOR
        row.operator("wanstage.check_take", icon="VIEWZOOM", text="Compare with the Rig").take = take.job_id
        if own.check and own.take_id == take.job_id and own.state != "finished":
            draw_search(layout, scene)
        told = takes.meta(take).get(check.KEY)
        if told:
            draw_verdict(layout, take, told)


def draw_verdict(layout: Any, take: Any, told: dict[str, Any]) -> None:
    """The sentences, the mean of each part of the body, the strip in the same order, and the markers' end."""
    for text in check.sentences(take):
        sentence(layout, text, "DOT")
    if take.choice.outdated:
        sentence(layout, tr("The rig as it is now: {what}", what=take.choice.outdated), "FILE_REFRESH")
    names = layout.column(align=True)
    for each in told["people"]:
        for part in check.PARTS:
            share = each.get("groups", {}).get(part)
            names.label(text=tr(part) if share is None else f"{tr(part)}  {100 * share:.0f} %", translate=False)
    picture = thumbnails.file_icon(f"{take.job_id} {check.STRIP} {told.get('made')}", check.strip_file(take))
    if picture:
        layout.template_icon(icon_value=picture, scale=STRIP_SCALE)
    if told.get("markers"):
        layout.operator("wanstage.clear_follow_markers", icon="MARKER")


register, unregister = bpy.utils.register_classes_factory((WANSTAGE_PT_motion, WANSTAGE_PT_follow))
