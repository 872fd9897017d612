"""The bone map's buttons: use the active bone, mirror, reset, export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty
from bpy_extras.io_utils import ExportHelper, ImportHelper

from .. import bonemap_store, cast, cast_properties, framing, preflight, shots, state
from ..capture.bonemap import JOINTS
from ..problems import UserProblem
from ..words import tr


class _OfRig:
    """Operators on the rig that the panel shows."""

    writes = True

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        item = cast.selected(context.scene)
        problem = "" if item is not None else tr("The scene has no armature")
        if item is not None and cls.writes and bonemap_store.keeper(item)[0] is None:
            problem = bonemap_store.keeper(item)[1]
        problem = problem or cls.problem(context, item)
        if problem:
            cls.poll_message_set(problem)
        return not problem

    @classmethod
    def problem(cls, _context: bpy.types.Context, _item: Any) -> str:
        """What else stands in the way."""
        return ""

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do it; a problem becomes the operator's error."""
        item = cast.selected(context.scene)
        try:
            said = self.act(item)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, said)
        return {"FINISHED"}


def _joint(asked: str) -> str:
    """A joint by name, else the one whose row is selected. Raises UserProblem."""
    if not asked:
        return bonemap_store.current_joint()
    if asked not in JOINTS:
        raise UserProblem(tr("There is no joint {joint}: there are {joints}", joint=asked, joints=", ".join(JOINTS)))
    return asked


class WANSTAGE_OT_use_active_bone(_OfRig, bpy.types.Operator):
    """The active bone of Pose Mode is this joint"""

    bl_idname = "wanstage.use_active_bone"
    bl_label = "Use Active Bone"
    bl_options = {"REGISTER", "UNDO"}

    joint: StringProperty(name="Joint", options={"SKIP_SAVE"}, description="Empty takes the selected one")

    @classmethod
    def problem(cls, context: bpy.types.Context, item: Any) -> str:
        active = context.view_layer.objects.active
        if active != item or item.mode != "POSE":
            return tr("Enter Pose Mode of {rig} and click a bone first", rig=item.name)
        return "" if item.data.bones.active is not None else tr("No bone is active: click one in Pose Mode")

    def act(self, item: bpy.types.Object) -> str:
        """Set it."""
        joint, bone = _joint(self.joint), item.data.bones.active.name
        bonemap_store.set_one(item, joint, bone)
        return tr("{joint} is {bone}", joint=joint, bone=bone)


class WANSTAGE_OT_set_bone(_OfRig, bpy.types.Operator):
    """Say which bone of the rig is a joint"""

    bl_idname = "wanstage.set_bone"
    bl_label = "Set Bone"
    bl_options = {"REGISTER", "UNDO"}

    joint: StringProperty(name="Joint", options={"SKIP_SAVE"}, description="Empty takes the selected one")
    bone: StringProperty(name="Bone", options={"SKIP_SAVE"}, description="Empty: the rig has no such joint")

    def act(self, item: bpy.types.Object) -> str:
        """Set it."""
        joint = _joint(self.joint)
        bonemap_store.set_one(item, joint, self.bone)
        return tr("{joint} is {bone}", joint=joint, bone=self.bone or tr("no bone"))


class WANSTAGE_OT_mirror_bones(_OfRig, bpy.types.Operator):
    """Give the other side the bones with mirrored names, as hand.L and hand.R"""

    bl_idname = "wanstage.mirror_bones"
    bl_label = "Mirror"
    bl_options = {"REGISTER", "UNDO"}

    side: EnumProperty(
        name="From",
        items=[
            ("L", "Left to Right", "The right side gets the bones named like those of the left"),
            ("R", "Right to Left", "The left side gets the bones named like those of the right"),
        ],
        default="L",
    )

    def act(self, item: bpy.types.Object) -> str:
        """Mirror."""
        count = bonemap_store.mirror(item, self.side)
        return tr("{count} bones of {rig} are set", count=count, rig=item.name) if count else tr("Both sides agree")


class WANSTAGE_OT_reset_bones(_OfRig, bpy.types.Operator):
    """Forget what was set by hand: the bone is found by itself again"""

    bl_idname = "wanstage.reset_bones"
    bl_label = "Reset"
    bl_options = {"REGISTER", "UNDO"}

    joint: StringProperty(name="Joint", options={"SKIP_SAVE"}, description="Empty takes the selected one")
    every: BoolProperty(name="All", options={"SKIP_SAVE"}, description="All joints of the rig")

    @classmethod
    def problem(cls, _context: bpy.types.Context, item: Any) -> str:
        return "" if bonemap_store.overrides_of(item) else tr("No bone of {rig} was set by hand", rig=item.name)

    def act(self, item: bpy.types.Object) -> str:
        """Reset."""
        count = bonemap_store.reset(item) if self.every else bonemap_store.reset(item, (_joint(self.joint),))
        return tr("{count} bones of {rig} are found by themselves again", count=count, rig=item.name)


class WANSTAGE_OT_export_bones(_OfRig, ExportHelper, bpy.types.Operator):
    """Write the bone map to a file, for other files and other people"""

    bl_idname = "wanstage.export_bones"
    bl_label = "Export Bone Map"

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})
    writes = False

    def act(self, item: bpy.types.Object) -> str:
        """Write."""
        path = Path(self.filepath)
        try:
            path.write_text(bonemap_store.to_json(item), encoding="utf-8")
        except OSError as error:
            problem = tr("{file} cannot be written ({reason}): choose another folder", file=path, reason=error.strerror)
            raise UserProblem(problem) from error
        return tr("The bone map of {rig} is in {file}", rig=item.name, file=path)


class WANSTAGE_OT_import_bones(_OfRig, ImportHelper, bpy.types.Operator):
    """Take the bone map from a file that Export Bone Map wrote"""

    bl_idname = "wanstage.import_bones"
    bl_label = "Import Bone Map"
    bl_options = {"REGISTER", "UNDO"}

    filename_ext = ".json"
    filter_glob: StringProperty(default="*.json", options={"HIDDEN"})

    def act(self, item: bpy.types.Object) -> str:
        """Read."""
        path = Path(self.filepath)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or tr("it is no text")
            raise UserProblem(tr("{file} cannot be read ({reason})", file=path.name, reason=reason)) from error
        count, lacking = bonemap_store.from_json(item, text, path.name)
        said = tr("{count} joints of {rig} have their bones from {file}", count=count, rig=item.name, file=path.name)
        if lacking:
            self.report({"WARNING"}, tr("{rig} lacks the bones of: {joints}", rig=item.name, joints=", ".join(lacking)))
        return said


class WANSTAGE_OT_preview_framing(_OfRig, bpy.types.Operator):
    """Show the reference as the model gets it, with the rig's skeleton of the first frame over it"""

    bl_idname = "wanstage.preview_framing"
    bl_label = "Preview"

    writes = False

    @classmethod
    def problem(cls, context: bpy.types.Context, item: Any) -> str:
        found = preflight.capture_problems(context.scene)
        if state.now.capture is not None:
            return tr("A capture is going on")
        if not shots.has_reference(item):
            return tr("{name} has no reference picture: choose one", name=item.name)
        return found[0] if found else ""

    def act(self, item: bpy.types.Object) -> str:
        """Make it."""
        found = framing.preview(bpy.context.scene, item)
        return " ".join(found.said) or tr("The picture is sent as it is")


class WANSTAGE_OT_drive_only(_OfRig, bpy.types.Operator):
    """The model puts a person on this character; the others are kept as they are, a part of the scene"""

    bl_idname = "wanstage.drive_only"
    bl_label = "Drive the Selected Only"
    bl_options = {"REGISTER", "UNDO"}

    @classmethod
    def problem(cls, _context: bpy.types.Context, item: Any) -> str:
        return "" if shots.has_reference(item) else tr("{name} has no reference picture: choose one", name=item.name)

    def act(self, item: bpy.types.Object) -> str:
        """Set the roles."""
        cast_properties.set_role(item, "DRIVE")
        kept = cast.drive_only(bpy.context.scene, item)
        return tr("{name} is driven, kept as they are: {others}", name=item.name, others=", ".join(kept) or "-")


register, unregister = bpy.utils.register_classes_factory(
    (
        WANSTAGE_OT_use_active_bone,
        WANSTAGE_OT_set_bone,
        WANSTAGE_OT_mirror_bones,
        WANSTAGE_OT_reset_bones,
        WANSTAGE_OT_export_bones,
        WANSTAGE_OT_import_bones,
        WANSTAGE_OT_preview_framing,
        WANSTAGE_OT_drive_only,
    )
)
