"""Characters: who is in the shot and as what, whose picture the model takes, which bone is which joint.

Drawing looks at properties and at what is known already: no file, no search.
"""

from __future__ import annotations

from typing import Any

import bpy

from . import bonemap_store, cast, cast_properties, faces, framing, preflight, shots, talking
from .capture.bonemap import BoneMap
from .panels import _Panel, chars_a_line, sentence
from .words import noted, tr

HOW_ICONS = {"name": "CHECKMARK", "alternative": "CHECKMARK", "geometry": "QUESTION", "yours": "USER", "none": "BLANK1"}
MOST_ROWS, ROWS = 5, 7
WIDE_CHARS = 36
PREVIEW_SCALE = 7.0
KINDS = {
    "hips": noted("Hips"), "chest": noted("Chest"), "neck": noted("Neck"), "head": noted("Head"),
    "clavicle": noted("Clavicle"), "upper_arm": noted("Upper Arm"), "forearm": noted("Forearm"), "hand": noted("Hand"),
    "thigh": noted("Thigh"), "shin": noted("Shin"), "foot": noted("Foot"), "toe": noted("Toe"), "eye": noted("Eye"),
    "thumb": noted("Thumb"), "index": noted("Index"), "middle": noted("Middle"), "ring": noted("Ring"),
    "pinky": noted("Pinky"),
}  # fmt: skip


class WANSTAGE_UL_cast(bpy.types.UIList):
    """One row an armature: whether it has a person's picture, its name, its role."""

    use_filter_show = False

    def draw_item(
        self, context: Any, layout: Any, _data: Any, row: Any, _icon: int, _active: Any, _active_name: str
    ) -> None:
        item = cast.find(context.scene, row.name)
        if item is None:  # gone since the rows were written
            layout.label(text=row.name, icon="BLANK1")
            return
        role = cast_properties.role_of(item)
        line = layout.row(align=True)
        wide = chars_a_line() >= WIDE_CHARS
        names = line.split(factor=0.6, align=True) if wide else line
        names.active = role != "OUT" and not item.hide_render
        names.label(text=item.name, icon="IMAGE_DATA" if shots.has_reference(item) else "OUTLINER_OB_ARMATURE")
        names.prop(item.wanstage, "role", text="", icon_only=not wide, emboss=False)


class WANSTAGE_PT_characters(_Panel, bpy.types.Panel):
    """Who is in the shot."""

    bl_label = "Characters"
    bl_order = 20

    def draw(self, context: bpy.types.Context) -> None:
        layout, scene = self.layout, context.scene
        item = cast.selected(scene)
        if item is None:
            sentence(layout, tr("The scene has no armature"), "INFO")
            return
        if not cast.rows_match(scene):
            bonemap_store.want_rows()
        rows, manager = min(max(len(cast.names(scene)), 2), MOST_ROWS), context.window_manager
        layout.template_list(
            "WANSTAGE_UL_cast", "", manager, "wanstage_cast", scene.wanstage, "cast_index", rows=rows, maxrows=MOST_ROWS
        )
        problem = cast.too_many(scene)
        if problem:
            sentence(layout, problem, "ERROR")
            layout.operator("wanstage.drive_only", icon="PINNED")
        layout.use_property_split, layout.use_property_decorate = True, False
        _person(layout.column(), item, scene.wanstage)


def _person(layout: Any, item: bpy.types.Object, shot: Any) -> None:
    """What is said of the selected armature."""
    own = item.wanstage
    if item.library is not None:
        sentence(layout, tr("{name} is linked: make a library override to change this", name=item.name), "LINKED")
    layout.enabled = item.library is None
    layout.prop(own, "role")
    if item.hide_render:
        sentence(layout, tr("{name} is hidden in renders, so it is not captured", name=item.name), "RESTRICT_RENDER_ON")
    if cast_properties.role_of(item) != "DRIVE":
        return
    speaks = shot.task == talking.TASK and shot.person == "character"
    if not speaks and shot.task not in preflight.WITH_PEOPLE:
        return
    layout.prop(own, "reference")
    if not own.reference:
        layout.prop(own, "reference_image", text="or Image")
    if speaks:
        return
    layout.prop(own, "joints")
    if shot.engine == "wan":
        _face(layout, item)


def _face(layout: Any, item: bpy.types.Object) -> None:
    own = item.wanstage
    layout.prop(own, "face")
    if own.face == "film":
        layout.prop(own, "face_film")
    elif own.face == "rig" and faces.known(item) is False:
        sentence(layout, tr("The rig has no face: expression is not driven"), "INFO")


class _Closed(_Panel):
    bl_parent_id = "WANSTAGE_PT_characters"
    bl_options = {"DEFAULT_CLOSED"}


# ---- reference framing ---------------------------------------------------------------------------------------


class WANSTAGE_PT_framing(_Closed, bpy.types.Panel):
    """Where the person of the reference picture is put."""

    bl_label = "Reference Framing"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        item, shot = cast.selected(context.scene), context.scene.wanstage
        return item is not None and cast_properties.role_of(item) == "DRIVE" and shot.task in preflight.WITH_PEOPLE

    def draw(self, context: bpy.types.Context) -> None:
        layout, item = self.layout, cast.selected(context.scene)
        own = item.wanstage
        layout.use_property_split, layout.use_property_decorate = True, False
        column = layout.column()
        column.enabled = item.library is None
        column.prop(own, "framing")
        if own.framing == "box":
            box = column.column(align=True)
            for name in ("box_top", "box_bottom", "box_left", "box_right"):
                box.prop(own, name, slider=True)
        if not cast.drives_one(context.scene.wanstage):
            sentence(layout, tr("The draft cuts the person out by itself: the picture is sent as it is"), "INFO")
        _preview(layout, context.scene, item)


def _preview(layout: Any, scene: bpy.types.Scene, item: bpy.types.Object) -> None:
    found = framing.shown(scene, item)
    layout.operator("wanstage.preview_framing", icon="HIDE_OFF" if found is None or found.fresh else "FILE_REFRESH")
    if found is None:
        return
    column = layout.column()
    column.active = found.fresh
    if found.icon:
        column.template_icon(icon_value=found.icon, scale=PREVIEW_SCALE)
    for text in found.said:
        sentence(column, text, "INFO")


# ---- bone map ------------------------------------------------------------------------------------------------


def joint_title(joint: str) -> str:
    """ "upper_arm.L" as "L Upper Arm", "index.2.R" as "R Index 2": the side is seen in a narrow sidebar, too."""
    kind, *rest = joint.split(".")
    side = [rest.pop()] if rest else []
    return " ".join((*side, tr(KINDS[kind]), *rest))


def short(bone: str) -> str:
    """A bone's name without the namespace that all bones of its rig have: "mixamorig:Hips" as "Hips"."""
    return bone.replace("|", ":").rsplit(":", 1)[-1]


class WANSTAGE_UL_joints(bpy.types.UIList):
    """One row a joint: how it was found, its name, its bone, how sure that is."""

    def draw_item(
        self, context: Any, layout: Any, _data: Any, item: Any, _icon: int, _active: Any, _active_name: str
    ) -> None:
        rig = cast.selected(context.scene)
        found = bonemap_store.known(rig) if rig is not None else None
        row = layout.row(align=True)
        joint = item.name
        if found is None:
            row.label(text=joint_title(joint), icon="BLANK1")
            return
        stale = found.stale.get(joint)
        halves = row.split(factor=0.56, align=True)
        halves.label(text=joint_title(joint), icon="ERROR" if stale else HOW_ICONS[found.how(joint)])
        sure = found.confidence.get(joint, 0.0)
        wide = chars_a_line() >= WIDE_CHARS  # in a narrow sidebar the icon has to do
        cells = halves.split(factor=0.75, align=True) if wide else halves
        cells.label(text=short(stale or found.bones.get(joint, "")))
        if wide:
            cells.label(text=f"{sure:.0%}" if sure else "")


class WANSTAGE_MT_bones(bpy.types.Menu):
    """What is done with a bone map less often."""

    bl_label = "Bone Map"

    def draw(self, _context: bpy.types.Context) -> None:
        layout = self.layout
        layout.operator("wanstage.mirror_bones", text="Mirror Left to Right", icon="MOD_MIRROR").side = "L"
        layout.operator("wanstage.mirror_bones", text="Mirror Right to Left", icon="MOD_MIRROR").side = "R"
        layout.separator()
        layout.operator("wanstage.reset_bones", text="Reset All", icon="LOOP_BACK").every = True
        layout.separator()
        layout.operator("wanstage.import_bones", icon="IMPORT")
        layout.operator("wanstage.export_bones", icon="EXPORT")


class WANSTAGE_PT_bones(_Closed, bpy.types.Panel):
    """Which bone of the rig is which joint."""

    bl_label = "Bone Map"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        return cast.selected(context.scene) is not None

    def draw(self, context: bpy.types.Context) -> None:
        layout, item, manager = self.layout, cast.selected(context.scene), context.window_manager
        if not manager.wanstage_joints:
            bonemap_store.want_rows()
            layout.label(text=tr("Looking at the bones"), icon="SORTTIME")
            return
        found = bonemap_store.known(item)
        if found is not None:
            sentence(layout, summary(found), "ERROR" if found.absent() or found.stale else "CHECKMARK")
        layout.template_list(
            "WANSTAGE_UL_joints", "", manager, "wanstage_joints", manager, "wanstage_joint", rows=ROWS, maxrows=ROWS
        )
        _joint(layout.column(), item, found)
        row = layout.row(align=True)
        row.operator("wanstage.use_active_bone", icon="EYEDROPPER")
        row.operator("wanstage.reset_bones", text="", icon="LOOP_BACK")
        row.menu("WANSTAGE_MT_bones", text="", icon="DOWNARROW_HLT")


def _joint(layout: Any, item: bpy.types.Object, found: BoneMap | None) -> None:
    """The selected joint: its bone, which can be searched, and how it was found."""
    owner, said = bonemap_store.keeper(item)
    row = layout.row()
    row.enabled = owner is not None
    row.use_property_split, row.use_property_decorate = True, False
    row.prop_search(item.wanstage, "joint_bone", item.data, "bones", text=joint_title(bonemap_store.current_joint()))
    if found is not None:
        sentence(layout, how_text(found, bonemap_store.current_joint()), "INFO")
    if said:
        sentence(layout, said, "LINKED")


def summary(found: BoneMap) -> str:
    """What there is to say of a whole map, such as "Mixamo: 48 joints, 2 of them yours"."""
    absent = found.absent()
    if found.stale:
        joint, bone = next(iter(found.stale.items()))
        return tr("{joint} is set to {bone}, which the rig does not have", joint=joint_title(joint), bone=bone)
    if absent:
        named = ", ".join(joint_title(joint) for joint in absent[:3])
        return tr("{count} joints that are needed have no bone: {joints}", count=len(absent), joints=named)
    family = found.family.replace("_", " ").capitalize()
    if found.family == "unknown":
        return tr("Found by shape: {count} joints, look through them", count=len(found.bones))
    return tr("{family} names: {count} joints, {yours} set by hand", family=family, count=len(found.bones),
              yours=len(found.yours))  # fmt: skip


def how_text(found: BoneMap, joint: str) -> str:
    """How a joint's bone was found."""
    texts = {
        "name": tr("Found by its name"),
        "alternative": tr("Found by another usual name"),
        "geometry": tr("Found by the rig's shape: look whether it is right"),
        "yours": tr("Set by hand"),
        "none": tr("No bone: its place is reckoned from others, or it is left out"),
    }
    text = texts[found.how(joint)]
    return f"{text} ({found.confidence[joint]:.0%})" if joint in found.bones else text


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_UL_cast,
        WANSTAGE_UL_joints,
        WANSTAGE_MT_bones,
        WANSTAGE_PT_characters,
        WANSTAGE_PT_framing,
        WANSTAGE_PT_bones,
    )
)
