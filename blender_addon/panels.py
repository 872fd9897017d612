"""The Wanstage tab: Connection, Shot, Characters, Look, Generate, Takes, Retarget, in the order of work.

Drawing looks at properties and at ``state`` alone: no file, no search, under 2 ms.
"""

from __future__ import annotations

import functools
import re
from typing import Any

import blf
import bpy

from . import catalog, compat, estimates, heard, preferences, preflight, progress, pump, room, shots, state, talking
from .operators import presets
from .words import CONTEXT, noted, tr

STATUS = {
    "off": (noted("Not connected"), "UNLINKED"),
    "starting": (noted("Starting the backend"), "SORTTIME"),
    "connecting": (noted("Connecting"), "SORTTIME"),
    "connected": (noted("Connected"), "LINKED"),
    "lost": (noted("Not connected"), "ERROR"),
}
FRAME_PX = 88.0  # at scale 1: a label's icon, the margins of a panel, the tabs
LEAST_PX = 80.0
WORDS = re.compile(r"\s*[（《“]*(?:[\u2e80-\uffef]|[^\s\u2e80-\uffef]+)[，。：；、）》”！？]*")
"""Pieces between which a line may end: words with the space before them, single Chinese letters with their signs."""


class _Panel:
    """In the tab of the sidebar. ``bl_order`` of the main panels is their place, whatever registers first."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Wanstage"
    bl_translation_context = CONTEXT


def split(layout: Any) -> Any:
    """The same layout with names of properties to the left of their values, and no dots to animate them by."""
    layout.use_property_split, layout.use_property_decorate = True, False
    return layout


def sentence(layout: Any, text: str, icon: str = "ERROR", *, inset: float = 0.0) -> None:
    """A sentence over as many rows as it takes, since labels do not wrap. ``inset``: pixels lost to boxes round it."""
    column = layout.column(align=True)
    for line in wrapped(text, label_px() - inset):
        column.label(text=line, icon=icon, translate=False)
        icon = "BLANK1"


def label_px() -> float:
    """How wide a label of the sidebar can be at its present width, in pixels of scale 1."""
    region, scale = bpy.context.region, bpy.context.preferences.system.ui_scale
    return max(region.width / scale - FRAME_PX, LEAST_PX) if region else 280.0


def wrapped(text: str, most: float) -> list[str]:
    """``text`` in lines of at most ``most`` pixels; a word that is longer, such as a path, is cut into pieces."""
    points = bpy.context.preferences.ui_styles[0].widget.points
    lines, line, far = [], "", 0.0
    for found in WORDS.findall(text):
        word = found
        if line and far + text_px(word, points) > most:
            lines.append(line)
            line, far, word = "", 0.0, word.lstrip()
        while text_px(word, points) > most and len(word) > 1:
            fits = max(int(len(word) * most / text_px(word, points)), 1)
            lines.append(word[:fits])
            word = word[fits:]
        line, far = line + word, far + text_px(word, points)
    return [*lines, line] if line else lines


@functools.lru_cache(maxsize=8192)
def text_px(text: str, points: float) -> float:
    """How wide Blender's own font draws a text, in pixels of scale 1."""
    compat.font_size(0, points)
    return float(blf.dimensions(0, text)[0])


def chars_a_line() -> int:
    """About how many letters a label of the sidebar shows at its present width."""
    return int(label_px() / 6.6)


class WANSTAGE_PT_connection(_Panel, bpy.types.Panel):
    """Where the backend is."""

    bl_label = "Connection"
    bl_order = 0

    def draw(self, _context: bpy.types.Context) -> None:
        layout, now = self.layout, state.now
        text, icon = STATUS[now.status]
        name = preferences.chosen()
        if name and now.status == "connected":
            layout.label(text=tr("Connected to {name}", name=name), icon=icon, translate=False)
        else:
            layout.label(text=text, icon=icon)
        if now.client is None and now.launch is None:
            layout.operator("wanstage.connect", icon="LINKED")
        else:
            layout.operator("wanstage.disconnect", icon="UNLINKED")
        if now.sentence:
            sentence(layout, now.sentence)


class WANSTAGE_PT_shot(_Panel, bpy.types.Panel):
    """What to make the clip of."""

    bl_label = "Shot"
    bl_order = 10

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
        layout.prop(shot, "fps", text=tr("Rate"), translate=False)
        sentence(layout, frames_text(scene), "TIME")


def frames_text(scene: bpy.types.Scene) -> str:
    """Such as "81 of 83 frames, 5.1 seconds"."""
    count, whole = shots.frame_count(scene), shots.sample_count(scene)
    problems = preflight.frame_problems(scene) if whole else []
    if problems:
        return problems[0]
    seconds = count / scene.wanstage.fps
    if count != whole:
        return tr("{count} of {whole} frames, {seconds:.1f} seconds", count=count, whole=whole, seconds=seconds)
    return tr("{count} frames, {seconds:.1f} seconds", count=count, seconds=seconds)


class WANSTAGE_PT_look(_Panel, bpy.types.Panel):
    """What is seen."""

    bl_label = "Look"
    bl_order = 30

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        column = layout.column()
        column.use_property_split = False  # names of tasks are long
        column.prop(shot, "task", text="")
        _words(layout, shot, "prompt", noted("What is seen, in words"))
        _words(layout, shot, "negative_prompt", noted("What must not be seen"))
        if shot.task in shots.STILLS:
            layout.prop(shot, "first_image", **compat.placeholder(tr("The camera's view")))
        if shot.task == talking.TASK:
            _talk(layout, context.scene)
        if shot.engine == "wan" and shot.task == "replace":
            layout.prop(shot, "plate")
            layout.prop(shot, "relight")


def _words(layout: Any, shot: Any, name: str, hint: str) -> None:
    """A text over the whole width, under its name."""
    column = layout.column(align=True)
    column.use_property_split = False
    column.label(text=shot.bl_rna.properties[name].name)
    column.prop(shot, name, text="", **compat.placeholder(tr(hint)))


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


class WANSTAGE_PT_generate(_Panel, bpy.types.Panel):
    """Ask for a take."""

    bl_label = "Generate"
    bl_order = 40

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        presets.draw(layout, shot)
        info = catalog.model_info(shot.engine, shot.model)
        _model(layout, shot, info)
        layout.prop(shot, "size_menu")
        if shot.size == catalog.CUSTOM:
            column = layout.column(align=True)
            column.prop(shot, "width")
            column.prop(shot, "height")
        if info is not None and info.fast:
            layout.prop(shot, "quality")
        for text, symbol in estimates.lines(context.scene):
            sentence(layout, text, symbol)
        if state.now.resting and estimates.is_asked(context.scene):
            pump.start_timer()  # a setting has changed: its answer is waited for
        row = layout.row()
        row.scale_y = 1.4
        row.operator("wanstage.generate", icon="RENDER_ANIMATION")
        _progress(layout, context.scene)


def _model(layout: Any, shot: Any, info: Any) -> None:
    """The menu over the whole width, since titles of models are long; and what the model lacks."""
    column = layout.column()
    column.use_property_split = False
    column.prop(shot, "model_menu", text="")
    if catalog.lack(info):
        sentence(column, catalog.lack(info), "IMPORT")
        if catalog.pull_command(info):
            column.operator("wanstage.copy_pull", icon="COPYDOWN")


class _Closed(_Panel):
    bl_parent_id = "WANSTAGE_PT_generate"
    bl_options = {"DEFAULT_CLOSED"}


class WANSTAGE_PT_sampling(_Closed, bpy.types.Panel):
    """How the model samples."""

    bl_label = "Sampling"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        layout.prop(shot, "seed")
        if shot.engine != "wan":
            return
        column = layout.column(align=True)
        column.prop(shot, "steps")
        column.prop(shot, "guidance")
        column.prop(shot, "guidance_low", text="Details")
        info = catalog.model_info(shot.engine, shot.model)
        if info is not None:
            sentence(
                layout,
                tr(
                    "0 is the model's own: {steps} steps, guidance {guidance:g}",
                    steps=info.steps,
                    guidance=info.guidance,
                ),
                "INFO",
            )
        layout.prop(shot, "fit_frames")


class WANSTAGE_PT_pieces(_Closed, bpy.types.Panel):
    """How clips that are longer than the model's own are made."""

    bl_label = "Long Clips"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        shot = context.scene.wanstage
        return shot.engine == "wan" and shot.task in preflight.WITH_PEOPLE

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        layout.prop(shot, "overlap")
        layout.prop(shot, "match_color")


class WANSTAGE_UL_loras(bpy.types.UIList):
    """One row a LoRA."""

    def draw_item(
        self, _context: Any, layout: Any, _data: Any, item: Any, _icon: int, _active: Any, _active_name: str
    ) -> None:
        row = layout.split(factor=0.7, align=True)
        row.label(text=item.name or tr("Name it below"))
        row.prop(item, "weight", text="", emboss=False)


class WANSTAGE_PT_loras(_Closed, bpy.types.Panel):
    """What changes the model."""

    bl_label = "LoRAs"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return context.scene.wanstage.engine == "wan"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        row = layout.row()
        row.template_list("WANSTAGE_UL_loras", "", shot, "loras", shot, "lora_index", rows=2)
        column = row.column(align=True)
        column.operator("wanstage.add_lora", text="", icon="ADD")
        column.operator("wanstage.remove_lora", text="", icon="REMOVE")
        if 0 <= shot.lora_index < len(shot.loras):
            for name in ("name", "weight", "expert"):
                layout.prop(shot.loras[shot.lora_index], name)


class WANSTAGE_PT_output(_Closed, bpy.types.Panel):
    """Where frames go, and where they are seen."""

    bl_label = "Output"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        layout.prop(shot, "frames_folder", text="Folder")
        layout.prop(shot, "depth", text="Distance")
        layout.column(heading="Sound").prop(shot, "add_sound", text="To Sequencer")


class WANSTAGE_PT_performance(_Closed, bpy.types.Panel):
    """What costs time and memory."""

    bl_label = "Performance"

    def draw(self, context: bpy.types.Context) -> None:
        layout, shot = split(self.layout), context.scene.wanstage
        if shot.engine == "wan":
            layout.prop(shot, "plan")
        column = layout.column(heading="Card", align=True)
        column.prop(shot, "make_room")
        column.prop(shot, "free_card", text="Free after Shot")
        column = layout.column(heading="Capture", align=True)
        column.prop(shot, "occlusion")
        layout.prop(shot, "plate_samples")


def _progress(layout: Any, scene: bpy.types.Scene) -> None:
    capture = state.now.capture
    if capture is not None:
        compat.draw_progress(
            layout,
            progress.share(capture.step, capture.steps),
            tr("Capture: {stage}", stage=heard.stage(capture.stage)),
        )
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
        WANSTAGE_PT_look,
        WANSTAGE_PT_generate,
        WANSTAGE_PT_sampling,
        WANSTAGE_PT_pieces,
        WANSTAGE_PT_loras,
        WANSTAGE_PT_output,
        WANSTAGE_PT_performance,
    )
)
