"""What a .blend keeps of the Retarget panel: file, target and options, one set a scene."""

from __future__ import annotations

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, PointerProperty, StringProperty

from . import compat, playback

PLACES = [
    ("AUTO", "Automatic", "In the scene where the file knows the scene's camera, else where the rig stands"),
    ("START", "At the Rig", "The motion begins where the rig stands in rest"),
    ("FILE", "From the Origin", "As in the file, from the rig's own origin"),
    ("WORLD", "In the Scene", "As in the file, in the scene's own coordinates"),
]
LIMBS = [
    ("FK", "FK Controls", "Of a control rig the FK controls are keyed, and the switches are keyed to FK"),
    ("IK", "IK Controls", "Of a control rig hands, feet and poles are keyed, and the switches are keyed to IK"),
    ("DEFORM", "Deform Bones", "The deform bones themselves, as on a rig without controls"),
]


SOURCES = [
    ("FILE", "Film", "A film on the disk"),
    ("CLIP", "Movie Clip", "A movie clip that is in this file"),
    ("TAKE", "Selected Take", "A take of this scene, whose camera is known: the motion lands where it is seen"),
]
PEOPLE = [
    ("longest", "Longest", "The one who is seen longest"),
    ("largest", "Largest", "The one who is largest in the picture"),
    ("all", "Everybody", "As many people as are given"),
]


def _is_armature(_owner: bpy.types.ID, item: bpy.types.Object) -> bool:
    return item.type == "ARMATURE"


def _chosen(own: Any, _context: bpy.types.Context) -> None:
    """The bone table shows the target."""
    if own.armature is not None:
        own.id_data.wanstage.cast = own.armature


def _redraw(_own: Any, _context: bpy.types.Context) -> None:
    playback.redraw()


class WANSTAGE_PG_motion(bpy.types.PropertyGroup):
    """The search for motion that was begun last in a scene; a search that runs goes on by it after a reload."""

    job_id: StringProperty(name="Job", description="The backend's name for the job")
    state: StringProperty(name="State", description="What the job is at, as the backend says it")
    source: StringProperty(name="Source", description="The film that is looked at")
    folder: StringProperty(name="Folder", subtype="DIR_PATH", options={"ANIMATABLE"} | compat.RELATIVE,
                           description="Where the pose file goes")  # fmt: skip
    take_id: StringProperty(name="Take", description="The job of the take that is looked at")
    check: BoolProperty(name="Check", description="Whether the take is compared with its rig")
    problem: StringProperty(name="Problem", description="What went wrong")
    notes: StringProperty(name="Notes", description="What to know about the motion that was found, a sentence a line")
    frames: IntProperty(name="Frames", description="How many frames are looked at")
    frames_done: IntProperty(name="Frames Found", description="In how many frames people were looked for")
    received: IntProperty(name="Received", description="How many results are here")
    eta: FloatProperty(name="Seconds Left", default=-1.0, description="Negative: not known")
    rate: FloatProperty(name="Speed", description="Frames a second")
    first: IntProperty(name="First Frame", default=1, description="Scene frame at which the film begins")
    width: IntProperty(name="Width", description="Pixels of the film")
    height: IntProperty(name="Height", description="Pixels of the film")


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
    motion: PointerProperty(type=WANSTAGE_PG_motion)
    source: EnumProperty(name="Source", items=SOURCES, default="FILE", description="What the motion is found in")
    film: StringProperty(
        name="Film",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        description="A film with people in it, of any format",
    )
    clip: PointerProperty(name="Movie Clip", type=bpy.types.MovieClip, description="A film that is in this file")
    who: EnumProperty(name="Who", items=PEOPLE, default="longest", description="Whose motion is found")
    people: IntProperty(
        name="People", default=1, min=1, max=10, description="At most so many at once; more take longer"
    )
    stature: FloatProperty(
        name="Body Height", default=0.0, min=0.0, max=3.0, subtype="DISTANCE", unit="LENGTH",
        description="Of the person; 0 finds it by the camera or the proportions",
    )  # fmt: skip
    height: FloatProperty(
        name="Height", default=0.0, subtype="DISTANCE", unit="LENGTH", description="Lift the motion by this much"
    )
    live: BoolProperty(
        name="Show in View", default=True, update=_redraw,
        description="While motion is being found, draw who was found so far over the 3D view",
    )  # fmt: skip


def register() -> None:
    """The class and the scene's pointer."""
    bpy.utils.register_class(WANSTAGE_PG_motion)
    bpy.utils.register_class(WANSTAGE_PG_retarget)
    bpy.types.Scene.wanstage_retarget = PointerProperty(type=WANSTAGE_PG_retarget)


def unregister() -> None:
    """Take them away."""
    del bpy.types.Scene.wanstage_retarget
    bpy.utils.unregister_class(WANSTAGE_PG_retarget)
    bpy.utils.unregister_class(WANSTAGE_PG_motion)
