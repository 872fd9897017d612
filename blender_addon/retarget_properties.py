"""What a .blend keeps of the Retarget panel: file, target and options, one set a scene."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import compat

PLACES = [
    ("AUTO", "Automatic", "In the scene where the file knows the scene's camera, else where the rig stands"),
    ("START", "At the Rig", "The motion begins where the rig stands in rest"),
    ("FILE", "From the Origin", "As in the file, from the rig's own origin"),
    ("WORLD", "In the Scene", "As in the file, in the scene's own coordinates"),
]
LIMBS = [
    ("FK", "FK Controls", "Of a control rig the FK controls are keyed, and the switches are keyed to FK"),
    ("DEFORM", "Deform Bones", "The deform bones themselves, as on a rig without controls"),
]


def _is_armature(_owner: bpy.types.ID, item: bpy.types.Object) -> bool:
    return item.type == "ARMATURE"


def _chosen(own: Any, _context: bpy.types.Context) -> None:
    """The bone table shows the target."""
    if own.armature is not None:
        own.id_data.wanstage.cast = own.armature


class WANSTAGE_PG_retarget(bpy.types.PropertyGroup):
    """Settings of the Retarget panel."""

    pose_file: StringProperty(
        name="Pose File",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        description="What `wanstage pose` wrote from a film, or Record Pose File from a rig",
    )
    armature: PointerProperty(
        name="Rig",
        type=bpy.types.Object,
        poll=_is_armature,
        update=_chosen,
        description="The character that takes the motion; empty uses the active armature",
    )
    person: IntProperty(name="Person", min=0, max=63, description="Which of the file's people, counted from 0")
    first: IntProperty(name="First Frame", default=1, description="Scene frame at which the film begins")
    place: EnumProperty(name="Place", items=PLACES, default="AUTO", description="Where the motion is put")
    limbs: EnumProperty(name="Limbs", items=LIMBS, default="FK", description="What of a control rig is keyed")
    lock_feet: BoolProperty(
        name="Lock Feet", default=True, description="Feet that are on the ground in the film stay in their place"
    )
    fingers: BoolProperty(name="Fingers", default=True, description="Key the fingers")
    face: BoolProperty(
        name="Face", default=True, description="Key shape keys with ARKit names on the meshes of the rig"
    )
    height: FloatProperty(
        name="Height", default=0.0, subtype="DISTANCE", unit="LENGTH", description="Lift the motion by this much"
    )


def register() -> None:
    """The class and the scene's pointer."""
    bpy.utils.register_class(WANSTAGE_PG_retarget)
    bpy.types.Scene.wanstage_retarget = PointerProperty(type=WANSTAGE_PG_retarget)


def unregister() -> None:
    """Take them away."""
    del bpy.types.Scene.wanstage_retarget
    bpy.utils.unregister_class(WANSTAGE_PG_retarget)
