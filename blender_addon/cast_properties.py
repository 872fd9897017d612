"""What a .blend keeps of the people in a shot: the role, reference and face of an armature, the bone map of its rig.

Everything may be set in a library override, so that linked characters keep theirs.
"""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from . import bonemap_store, compat

OVERRIDES = {"LIBRARY_OVERRIDABLE"}
ROLES = [
    ("DRIVE", "Driven", "The model puts a person on this character, who moves as its rig does", "ARMATURE_DATA", 0),
    ("KEEP", "Kept", "Stays in the picture as it is: a part of the scene", "SCENE_DATA", 1),
    ("OUT", "Left Out", "Not captured at all: neither the rig nor what hangs on it is seen", "GHOST_DISABLED", 2),
]  # fmt: skip


def role_of(item: Any) -> str:
    """ "DRIVE", "KEEP" or "OUT"; files from before there were roles have ``use`` alone."""
    own = item.wanstage
    return "OUT" if own.left_out else "DRIVE" if own.use else "KEEP"


def set_role(item: Any, role: str) -> None:
    """As the panel's menu does."""
    item.wanstage.use, item.wanstage.left_out = role == "DRIVE", role == "OUT"


def _get_role(self: Any) -> int:
    return 2 if self.left_out else 0 if self.use else 1


def _set_role(self: Any, number: int) -> None:
    self.use, self.left_out = number == 0, number == 2


class WANSTAGE_PG_rig(bpy.types.PropertyGroup):
    """Of an armature's data: all objects that use it share it."""

    bone_map: StringProperty(
        name="Bone Map", override=OVERRIDES, description="JSON: canonical joint to bone, what was set by hand"
    )


class WANSTAGE_PG_joint(bpy.types.PropertyGroup):
    """A row of a list, kept with the window: a canonical joint or an armature is its name."""


class WANSTAGE_PG_character(bpy.types.PropertyGroup):
    """The role of an armature in the shot."""

    use: BoolProperty(
        name="In the Shot", default=True, override=OVERRIDES, description="Capture this armature as a character"
    )
    left_out: BoolProperty(
        name="Left Out", default=False, override=OVERRIDES, description="Neither the rig nor what hangs on it is seen"
    )
    role: EnumProperty(
        name="Role",
        items=ROLES,
        get=_get_role,
        set=_set_role,
        override=OVERRIDES,
        options={"SKIP_SAVE"},
        description="What this armature is in the shot",
    )
    name: StringProperty(name="Name", override=OVERRIDES, description="Empty uses the armature's own name")
    reference: StringProperty(
        name="Reference",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        override=OVERRIDES,
        description="Picture of the person to put on this character; transparent or plain background works best",
    )
    reference_image: PointerProperty(
        name="Reference Image",
        type=bpy.types.Image,
        override=OVERRIDES,
        description="The same as an image of this file; used when no path is given",
    )
    joints: EnumProperty(
        name="Joints",
        items=[
            (
                "auto",
                "Automatic",
                "From the .joints.json beside the picture if there is one, else found by the backend",
            ),
            ("find", "Find", "Found in the picture by the backend"),
        ],
        default="auto",
        override=OVERRIDES,
        description="Where the joints of the reference come from",
    )
    face: EnumProperty(
        name="Face",
        items=[
            ("rig", "Rig", "The rig's own face, as the camera sees it, drives the expression"),
            ("film", "Video", "A film of a face, from the shot's first frame on, drives the expression"),
            ("none", "None", "The expression is not driven"),
        ],
        default="rig",
        override=OVERRIDES,
        description="Where the expression comes from",
    )
    face_film: StringProperty(
        name="Video",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        override=OVERRIDES,
        description="A film, or the first of numbered pictures; its middle square is taken, so let the face fill it",
    )
    framing: EnumProperty(
        name="Framing",
        items=[
            ("auto", "Automatic", "The person of the picture is put where the rig is in the first frame, and as large"),
            ("none", "As It Is", "The whole picture, in the middle of the frame"),
            ("box", "Own Box", "As Automatic, with the person where you say"),
        ],
        default="auto",
        override=OVERRIDES,
        description="How the reference picture is placed in the frame",
    )
    box_left: FloatProperty(
        name="Left", default=0.25, min=0.0, max=1.0, subtype="FACTOR", override=OVERRIDES,
        description="Left side of the person in the picture",
    )  # fmt: skip
    box_right: FloatProperty(
        name="Right", default=0.75, min=0.0, max=1.0, subtype="FACTOR", override=OVERRIDES,
        description="Right side of the person in the picture",
    )  # fmt: skip
    box_top: FloatProperty(
        name="Crown", default=0.05, min=0.0, max=1.0, subtype="FACTOR", override=OVERRIDES,
        description="Top of the person's head, from the picture's top",
    )  # fmt: skip
    box_bottom: FloatProperty(
        name="Soles", default=0.95, min=0.0, max=1.0, subtype="FACTOR", override=OVERRIDES,
        description="Where the person stands, from the picture's top",
    )  # fmt: skip
    bone_map: StringProperty(
        name="Bone Map", override=OVERRIDES,
        description="As the rig's own, where that cannot be written because it is linked",
    )  # fmt: skip
    joint_bone: StringProperty(
        name="Bone",
        get=bonemap_store.get_bone,
        set=bonemap_store.set_bone,
        override=OVERRIDES,
        options={"SKIP_SAVE"},
        description="Which bone of the rig is this joint; empty: none",
    )


CLASSES = (WANSTAGE_PG_rig, WANSTAGE_PG_joint, WANSTAGE_PG_character)


def register() -> None:
    """The pointers; ``properties`` has registered the classes."""
    bpy.types.Object.wanstage = PointerProperty(type=WANSTAGE_PG_character, override=OVERRIDES)
    bpy.types.Armature.wanstage = PointerProperty(type=WANSTAGE_PG_rig, override=OVERRIDES)
    bpy.types.WindowManager.wanstage_joints = CollectionProperty(type=WANSTAGE_PG_joint)
    bpy.types.WindowManager.wanstage_cast = CollectionProperty(type=WANSTAGE_PG_joint)
    bpy.types.WindowManager.wanstage_joint = IntProperty(name="Joint")


def unregister() -> None:
    """Back again."""
    del bpy.types.WindowManager.wanstage_joint
    del bpy.types.WindowManager.wanstage_cast
    del bpy.types.WindowManager.wanstage_joints
    del bpy.types.Armature.wanstage
    del bpy.types.Object.wanstage
