"""The Retarget panel: pose file, rig, options, preview, bake, and what came of it."""

from __future__ import annotations

from typing import Any

import bpy

from . import cast, cast_panel, compat
from .operators import retarget as operators
from .panels import _Panel, sentence
from .retarget import bake, preview
from .words import tr

WORST_ROWS = 5


class WANSTAGE_PT_retarget(_Panel, bpy.types.Panel):
    """Motion of a film on the user's rig."""

    bl_label = "Retarget"
    bl_order = 60
    bl_options = {"DEFAULT_CLOSED"}

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        own, item = scene.wanstage_retarget, operators.target(context)
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(own, "pose_file", **compat.placeholder(tr("From a film or a rig")))
        layout.prop(own, "armature", **compat.placeholder(item.name if item is not None else ""))
        layout.prop(own, "person")
        layout.prop(own, "first")
        if item is None:
            sentence(layout, tr("Choose a character's armature."), "INFO")
        row = layout.row(align=True)
        row.scale_y = 1.4
        row.enabled = bool(own.pose_file) and item is not None
        if preview.is_on():
            row.operator("wanstage.stop_retarget_preview", text="Stop", icon="X")
        else:
            operators.fill(row.operator("wanstage.preview_retarget", icon="HIDE_OFF"), scene)
        operators.fill(row.operator("wanstage.retarget", icon="ACTION"), scene)
        on = preview.current()
        if on is not None:
            sentence(layout, tr("{name} shows a preview: nothing is keyed", name=on.plan.armature), "HIDE_OFF")


class _Closed(_Panel):
    bl_parent_id = "WANSTAGE_PT_retarget"
    bl_options = {"DEFAULT_CLOSED"}


class WANSTAGE_PT_retarget_options(_Closed, bpy.types.Panel):
    """How the motion is put on the rig."""

    bl_label = "Options"

    def draw(self, context: bpy.types.Context) -> None:
        layout, own = self.layout, context.scene.wanstage_retarget
        layout.use_property_split, layout.use_property_decorate = True, False
        for name in ("place", "limbs", "height", "lock_feet", "fingers", "face"):
            layout.prop(own, name)
        column = layout.column(align=True)
        column.operator("wanstage.record_pose", icon="REC")
        column.operator("wanstage.export_motion", icon="EXPORT")


class WANSTAGE_PT_retarget_bones(_Closed, bpy.types.Panel):
    """The bone table of the Characters panel, for the rig that takes the motion."""

    bl_label = "Bones"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return cast.selected(context.scene) is not None

    def draw(self, context: bpy.types.Context) -> None:
        self.layout.label(text=cast.selected(context.scene).name, icon="ARMATURE_DATA")
        cast_panel.WANSTAGE_PT_bones.draw(self, context)


class WANSTAGE_PT_retarget_report(_Closed, bpy.types.Panel):
    """What the last bake on the rig came to."""

    bl_label = "Report"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return _report(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        found = _report(context)
        if found is not None:
            draw_report(self.layout, found)


def _report(context: bpy.types.Context) -> dict[str, Any] | None:
    on, item = preview.current(), operators.target(context)
    if on is not None:
        return on.plan.report
    data = item.animation_data if item is not None else None
    return bake.read_report(data.action) if data is not None else None


def summary(found: dict[str, Any]) -> list[str]:
    """The numbers of a report in sentences."""
    turned, before, after = found["direction"], found["slide_before"], found["slide_after"]
    jitter, coverage = found["jitter"], found["coverage"]
    return [
        tr("{bones} bones in {frames} frames", bones=found["keyed_bones"], frames=found["keyed_frames"]),
        tr("Bones point {mean}° off, {worst}° at worst", mean=f"{turned['mean_deg']:.2f}",
           worst=f"{turned['worst_deg']:.2f}"),
        tr("Feet slide {after} cm at most, {before} before", after=f"{after['worst_cm']:.1f}",
           before=f"{before['worst_cm']:.1f}"),
        *_held(found.get("held")),
        tr("Jitter {after} m/s², {before} before", after=f"{jitter['after']:.1f}", before=f"{jitter['before']:.1f}"),
        tr("{have} of {of} joints", have=coverage["joints"], of=coverage["of"]),
    ]  # fmt: skip


def _held(held: dict[str, float] | None) -> list[str]:
    """What holding the feet took; bakes of older versions do not say."""
    if held is None:
        return []
    hips, legs = f"{held['root_offset_cm']:.1f}", f"{held['legs_worst_deg']:.1f}"
    return [tr("To hold the feet, hips move {hips} cm and legs turn {legs}° at most", hips=hips, legs=legs)]


def draw_report(layout: Any, found: dict[str, Any]) -> None:
    """Numbers first, then the bones that are off, then sentences."""
    for text in summary(found):
        sentence(layout, text, "DOT")
    worst = sorted(found["bones"].items(), key=lambda item: -item[1]["worst_deg"])[:WORST_ROWS]
    for bone, error in worst:
        if error["worst_deg"] >= 0.5:
            layout.label(text=f"{bone}: {error['worst_deg']:.1f}°", icon="BONE_DATA")
    for text in found.get("notes", ()):
        sentence(layout, text, "INFO")


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_PT_retarget,
        WANSTAGE_PT_retarget_options,
        WANSTAGE_PT_retarget_bones,
        WANSTAGE_PT_retarget_report,
    )
)
