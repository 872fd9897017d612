"""wanstage.retarget, wanstage.preview_retarget, wanstage.stop_retarget_preview and wanstage.record_pose."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from .. import retarget_properties
from ..problems import UserProblem
from ..retarget import bake, export, plan, preview, record
from ..words import tr


class _Planned:
    """What a script can say; the panel's buttons say all of it."""

    pose_file: StringProperty(name="Pose File", subtype="FILE_PATH", options={"SKIP_SAVE"})
    armature: StringProperty(
        name="Rig", options={"SKIP_SAVE"}, description="Name of the object; empty = the active one"
    )
    person: IntProperty(name="Person", min=0, max=63, options={"SKIP_SAVE"})
    first: IntProperty(name="First Frame", default=1, options={"SKIP_SAVE"})
    place: EnumProperty(name="Place", items=retarget_properties.PLACES, default="AUTO", options={"SKIP_SAVE"})
    limbs: EnumProperty(name="Limbs", items=retarget_properties.LIMBS, default="FK", options={"SKIP_SAVE"})
    lock_feet: BoolProperty(name="Lock Feet", default=True, options={"SKIP_SAVE"})
    fingers: BoolProperty(name="Fingers", default=True, options={"SKIP_SAVE"})
    face: BoolProperty(name="Face", default=True, options={"SKIP_SAVE"})
    height: FloatProperty(name="Height", default=0.0, options={"SKIP_SAVE"})

    def _plan(self, context: bpy.types.Context) -> plan.Plan:
        """Raises UserProblem."""
        if not self.pose_file:
            raise UserProblem(tr("Choose a pose file first."))
        if self.armature and self.armature not in bpy.data.objects:
            raise UserProblem(tr("There is no object named {name}: choose a character's armature.", name=self.armature))
        armature = bpy.data.objects[self.armature] if self.armature else target(context)
        options = plan.Options(
            self.person, self.first, self.place, self.lock_feet, self.fingers, self.face, self.limbs, self.height
        )
        return plan.make_plan(context.scene, armature, Path(bpy.path.abspath(self.pose_file)), options)


def target(context: bpy.types.Context) -> Any:
    """The panel's rig, else the active armature; None."""
    own = context.scene.wanstage_retarget
    active = context.view_layer.objects.active
    return own.armature or (active if active is not None and active.type == "ARMATURE" else None)


def fill(operator: Any, scene: bpy.types.Scene) -> None:
    """Give a button the panel's settings."""
    own = scene.wanstage_retarget
    operator.armature = own.armature.name if own.armature is not None else ""
    for name in ("pose_file", "person", "first", "place", "limbs", "lock_feet", "fingers", "face", "height"):
        setattr(operator, name, getattr(own, name))


class WANSTAGE_OT_retarget(_Planned, bpy.types.Operator):
    """Key the motion of a pose file on a rig, in a new action; the action it has is kept in a muted NLA track"""

    bl_idname = "wanstage.retarget"
    bl_label = "Bake"
    bl_options = {"REGISTER", "UNDO"}

    name: StringProperty(name="Action", options={"SKIP_SAVE"}, description="Name of the new action")

    def execute(self, context: bpy.types.Context) -> set[str]:
        preview.stop()
        try:
            planned = self._plan(context)
            action = bake.bake(context.scene, planned, self.name)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        for note in planned.notes:
            self.report({"WARNING"}, note)
        said = planned.report
        self.report(
            {"INFO"},
            tr("{action}: {bones} bones, {frames} frames, feet slide {slide} cm at most", action=action.name,
               bones=said["keyed_bones"], frames=said["keyed_frames"], slide=said["slide_after"]["worst_cm"]),
        )  # fmt: skip
        return {"FINISHED"}


class WANSTAGE_OT_preview_retarget(_Planned, bpy.types.Operator):
    """Show the motion on the rig without keying it; change frames to look through it"""

    bl_idname = "wanstage.preview_retarget"
    bl_label = "Preview"
    bl_options = {"REGISTER"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        preview.stop()
        try:
            preview.start(context.scene, self._plan(context))
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return {"FINISHED"}


class WANSTAGE_OT_stop_retarget_preview(bpy.types.Operator):
    """End the preview: the rig is posed as before it"""

    bl_idname = "wanstage.stop_retarget_preview"
    bl_label = "Stop Preview"
    bl_options = {"REGISTER"}

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        if not preview.is_on():
            cls.poll_message_set(tr("No rig shows a preview"))
        return preview.is_on()

    def execute(self, _context: bpy.types.Context) -> set[str]:
        preview.stop()
        return {"FINISHED"}


class WANSTAGE_OT_record_pose(ExportHelper, bpy.types.Operator):
    """Write the motion that a rig has now to a pose file, for other rigs: mocap from BVH or FBX, or your own keys"""

    bl_idname = "wanstage.record_pose"
    bl_label = "Record Pose File"

    filename_ext = ".npz"
    filter_glob: StringProperty(default="*.npz", options={"HIDDEN"})
    armature: StringProperty(
        name="Rig", options={"SKIP_SAVE"}, description="Name of the object; empty = the active one"
    )
    use_scene_range: BoolProperty(name="Scene Range", default=True, description="The scene's first to last frame")
    first: IntProperty(name="First", default=1)
    last: IntProperty(name="Last", default=250)

    def execute(self, context: bpy.types.Context) -> set[str]:
        scene = context.scene
        armature = bpy.data.objects.get(self.armature) if self.armature else target(context)
        if armature is None or armature.type != "ARMATURE":
            self.report({"ERROR"}, tr("Choose a character's armature."))
            return {"CANCELLED"}
        first, last = (scene.frame_start, scene.frame_end) if self.use_scene_range else (self.first, self.last)
        try:
            count = record.record(scene, armature, Path(bpy.path.abspath(self.filepath)), first, last)
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, tr("{count} frames of {name} are in the file", count=count, name=armature.name))
        return {"FINISHED"}


class WANSTAGE_OT_export_motion(ExportHelper, bpy.types.Operator):
    """Write the rig and its motion for other programs; the ending of the file says how: .bvh, .fbx, .glb, .gltf"""

    bl_idname = "wanstage.export_motion"
    bl_label = "Export Motion"

    filename_ext = ""
    filter_glob: StringProperty(default="*.bvh;*.fbx;*.glb;*.gltf", options={"HIDDEN"})
    armature: StringProperty(
        name="Rig", options={"SKIP_SAVE"}, description="Name of the object; empty = the active one"
    )

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> Any:
        if not self.filepath:
            self.filepath = "motion.fbx"
        return super().invoke(context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        armature = bpy.data.objects.get(self.armature) if self.armature else target(context)
        if armature is None or armature.type != "ARMATURE":
            self.report({"ERROR"}, tr("Choose a character's armature."))
            return {"CANCELLED"}
        try:
            kind = export.export(context.scene, armature, Path(bpy.path.abspath(self.filepath)))
        except UserProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, tr("{name} is written as {kind}", name=armature.name, kind=kind))
        return {"FINISHED"}


_CLASSES = (
    WANSTAGE_OT_retarget,
    WANSTAGE_OT_preview_retarget,
    WANSTAGE_OT_stop_retarget_preview,
    WANSTAGE_OT_record_pose,
    WANSTAGE_OT_export_motion,
)
_register, _unregister = bpy.utils.register_classes_factory(_CLASSES)


def register() -> None:
    """Classes; handlers come with a preview."""
    preview.register()
    _register()


def unregister() -> None:
    """A preview ends first."""
    preview.unregister()
    _unregister()
