"""The Wanstage tab: connection, shot, generate; ``cast_panel`` and others add theirs.

Drawing looks at properties and at ``state`` alone: no file, no search, under 2 ms.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import catalog, compat, preflight, progress, room, shots, state, talking
from .operators import presets

STATUS = {
    "off": ("Not connected", "UNLINKED"),
    "starting": ("Starting the backend", "SORTTIME"),
    "connecting": ("Connecting", "SORTTIME"),
    "connected": ("Connected", "LINKED"),
    "lost": ("Not connected", "ERROR"),
}
CHAR_PX, FRAME_PX = 6.6, 62.0  # of Blender's own font at scale 1: a letter on average; icon, margins and tabs
LEAST_CHARS = 18


class _Panel:
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Wanstage"


def sentence(layout: Any, text: str, icon: str = "ERROR") -> None:
    """A sentence over as many rows as it takes: labels do not wrap."""
    line, width = "", chars_a_line()
    column = layout.column(align=True)
    for word in text.split():
        if line and len(line) + len(word) >= width:
            column.label(text=line, icon=icon)
            line, icon = "", "BLANK1"
        line = f"{line} {word}" if line else word
    column.label(text=line, icon=icon)


def chars_a_line() -> int:
    """How many letters a label of the sidebar shows at its present width."""
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale
    return max(int((region.width / scale - FRAME_PX) / CHAR_PX), LEAST_CHARS) if region else 42


class WANSTAGE_PT_connection(_Panel, bpy.types.Panel):
    """Where the backend is."""

    bl_label = "Connection"
    bl_order = -30  # the other parts of the tab are registered by files of their own

    def draw(self, _context: bpy.types.Context) -> None:
        layout, now = self.layout, state.now
        text, icon = STATUS[now.status]
        row = layout.row(align=True)
        row.label(text=text, icon=icon)
        if now.client is None and now.launch is None:
            row.operator("wanstage.connect")
        else:
            row.operator("wanstage.disconnect")
        if now.sentence:
            sentence(layout, now.sentence)


class WANSTAGE_PT_shot(_Panel, bpy.types.Panel):
    """What to make the clip of."""

    bl_label = "Shot"
    bl_order = -20

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        shot = scene.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(shot, "camera")
        layout.prop(shot, "use_scene_range")
        if not shot.use_scene_range:
            column = layout.column(align=True)
            column.prop(shot, "frame_start")
            column.prop(shot, "frame_end")
        layout.prop(shot, "fps", text="Rate")
        sentence(layout, frames_text(scene), "TIME")


def frames_text(scene: bpy.types.Scene) -> str:
    """Such as "81 of 83 frames, 5.1 seconds"."""
    count, whole = shots.frame_count(scene), shots.sample_count(scene)
    problems = preflight.frame_problems(scene) if whole else []
    if problems:
        return problems[0]
    of = f"{count} of {whole}" if count != whole else f"{count}"
    return f"{of} frames, {count / scene.wanstage.fps:.1f} seconds"


class WANSTAGE_PT_generate(_Panel, bpy.types.Panel):
    """Ask for a take."""

    bl_label = "Generate"

    def draw(self, context: bpy.types.Context) -> None:
        layout = self.layout
        shot = context.scene.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        presets.draw(layout)
        column = layout.column()
        column.use_property_split = False  # the titles of models are long
        column.prop(shot, "task", text="")
        column.prop(shot, "model_menu", text="")
        info = catalog.model_info(shot.engine, shot.model)
        if catalog.lack(info):
            sentence(column, catalog.lack(info), "IMPORT")
            if catalog.pull_command(info):
                column.operator("wanstage.copy_pull", icon="COPYDOWN")
        layout.prop(shot, "size_menu")
        if shot.size == catalog.CUSTOM:
            column = layout.column(align=True)
            column.prop(shot, "width")
            column.prop(shot, "height")
        if shot.task == talking.TASK:
            _talk(layout, context.scene)
        layout.prop(shot, "prompt")
        if info is not None and info.fast:
            layout.prop(shot, "quality")
        row = layout.row()
        row.scale_y = 1.4
        row.operator("wanstage.generate", icon="RENDER_ANIMATION")
        _progress(layout, context.scene)


def _talk(layout: Any, scene: bpy.types.Scene) -> None:
    """Which sound, who speaks, and how."""
    shot = scene.wanstage
    column = layout.column(align=True)
    column.prop(shot, "sound_from")
    if shot.sound_from == "strip":
        strip = None if shot.sound_strip else talking.find_strip(scene)
        column.prop(shot, "sound_strip", icon="SOUND", **compat.placeholder(strip.name if strip else ""))
    elif shot.sound_from == "speaker":
        column.prop(shot, "sound_speaker", icon="SPEAKER")
    else:
        column.prop(shot, "sound_file")
        column.prop(shot, "sound_skip")
    column = layout.column(align=True)
    column.prop(shot, "person")
    if shot.person == "file":
        column.prop(shot, "person_file")
    column = layout.column(heading="Motion", align=True)
    column.prop(shot, "from_person", text="From Image")
    column.prop(shot, "follow_pose")
    found = talking.problems(scene)
    if found:
        sentence(layout, found[0], "INFO")


class _Closed(_Panel):
    bl_parent_id = "WANSTAGE_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}


class WANSTAGE_PT_sampling(_Closed, bpy.types.Panel):
    """How the model samples."""

    bl_label = "Sampling"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = self.layout, context.scene.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(shot, "seed")
        if shot.engine != "wan":
            return
        layout.prop(shot, "steps")
        layout.prop(shot, "guidance")
        layout.prop(shot, "guidance_low")
        layout.prop(shot, "fit_frames")
        layout.prop(shot, "plan")
        info = catalog.model_info(shot.engine, shot.model)
        if info is not None:
            sentence(layout, f"0 is the model's own: {info.steps} steps, guidance {info.guidance:g}", "INFO")


class WANSTAGE_PT_animate(_Closed, bpy.types.Panel):
    """How a person is put on a character."""

    bl_label = "Animate and Replace"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        shot = context.scene.wanstage
        return shot.engine == "wan" and shot.task in preflight.WITH_PEOPLE

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = self.layout, context.scene.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(shot, "overlap")
        layout.prop(shot, "match_color")
        if shot.task == "replace":
            layout.prop(shot, "relight")
            layout.prop(shot, "plate")


class WANSTAGE_UL_loras(bpy.types.UIList):
    """One row a LoRA."""

    def draw_item(
        self, _context: Any, layout: Any, _data: Any, item: Any, _icon: int, _active: Any, _active_name: str
    ) -> None:
        row = layout.split(factor=0.7, align=True)
        row.label(text=item.name or "Name it below")
        row.prop(item, "weight", text="", emboss=False)


class WANSTAGE_PT_loras(_Closed, bpy.types.Panel):
    """What changes the model."""

    bl_label = "LoRAs"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene.wanstage.engine == "wan"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = self.layout, context.scene.wanstage
        row = layout.row()
        row.template_list("WANSTAGE_UL_loras", "", shot, "loras", shot, "lora_index", rows=2)
        column = row.column(align=True)
        column.operator("wanstage.add_lora", text="", icon="ADD")
        column.operator("wanstage.remove_lora", text="", icon="REMOVE")
        if 0 <= shot.lora_index < len(shot.loras):
            layout.use_property_split, layout.use_property_decorate = True, False
            for name in ("name", "weight", "expert"):
                layout.prop(shot.loras[shot.lora_index], name)


class WANSTAGE_PT_more(_Closed, bpy.types.Panel):
    """What is seldom changed."""

    bl_label = "More"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = self.layout, context.scene.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        layout.prop(shot, "negative_prompt")
        layout.prop(shot, "depth", text="Distance")
        layout.prop(shot, "frames_folder", text="Folder")
        layout.prop(shot, "plate_samples")
        layout.prop(shot, "occlusion", text="Occlusion")
        layout.prop(shot, "add_sound")
        layout.prop(shot, "make_room")
        layout.prop(shot, "free_card")


def _progress(layout: Any, scene: bpy.types.Scene) -> None:
    capture = state.now.capture
    if capture is not None:
        compat.draw_progress(layout, progress.share(capture.step, capture.steps), f"Capture: {capture.stage}")
    for take in scene.wanstage.takes:
        run = state.now.runs.get(take.job_id)
        if run is None or run.settled:
            continue
        row = layout.row(align=True)
        compat.draw_progress(row.row(), progress.part(take), take.name)
        row.operator("wanstage.cancel", text="", icon="X").job_id = take.job_id
        sentence(layout, progress.text(take), "BLANK1")
    held = progress.last_card(room.is_here())
    if held:
        sentence(layout, held, "MEMORY")
    if room.is_offered():
        layout.operator("wanstage.make_room")


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_UL_loras,
        WANSTAGE_PT_connection,
        WANSTAGE_PT_shot,
        WANSTAGE_PT_generate,
        WANSTAGE_PT_sampling,
        WANSTAGE_PT_animate,
        WANSTAGE_PT_loras,
        WANSTAGE_PT_more,
    )
)
