"""What a .blend keeps: the shot on its scene, the role on its armatures, the takes. Never a key or an address."""

from __future__ import annotations

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

from . import compat

SIZES = {"832x480": (832, 480), "1280x720": (1280, 720)}


def _is_camera(_owner: bpy.types.ID, item: bpy.types.Object) -> bool:
    return item.type == "CAMERA"


class WANSTAGE_PG_take(bpy.types.PropertyGroup):
    """One result of the shot. Datablocks are named, never held, so that undo and reload cannot break it."""

    job_id: StringProperty(name="Job", description="The backend's name for the job")
    state: StringProperty(name="State", default="draft")
    task: StringProperty(name="Task")
    engine: StringProperty(name="Engine")
    seed: IntProperty(name="Seed")
    width: IntProperty(name="Width")
    height: IntProperty(name="Height")
    frames: IntProperty(name="Frames")
    fps: FloatProperty(name="Frames a Second", default=16.0)
    frame_start: FloatProperty(name="First Frame", description="Scene frame at which the take begins")
    camera: StringProperty(name="Camera")
    frames_done: IntProperty(name="Frames Received")
    frames_dir: StringProperty(name="Frames Folder", description="Relative to the .blend once that is saved")
    stage: StringProperty(name="Stage")
    step: IntProperty(name="Step")
    steps: IntProperty(name="Steps")
    eta: FloatProperty(name="Seconds Left", default=-1.0)
    problem: StringProperty(name="Problem")
    plane: StringProperty(name="Plane")
    meta: StringProperty(name="Metadata", description="Versioned JSON: spec, hashes, timings and notes")


class WANSTAGE_PG_shot(bpy.types.PropertyGroup):
    """The shot of a scene: what to capture and what to ask for."""

    camera: PointerProperty(
        name="Camera",
        type=bpy.types.Object,
        poll=_is_camera,
        description="The shot's camera; empty uses the scene's",
    )
    use_scene_range: BoolProperty(
        name="Scene Range", default=True, description="Use the scene's own first and last frame"
    )
    frame_start: IntProperty(name="First", default=1, description="First scene frame of the shot")
    frame_end: IntProperty(name="Last", default=81, description="Last scene frame of the shot")
    size: EnumProperty(
        name="Size",
        items=[
            ("832x480", "832 x 480", "480p, fast"),
            ("1280x720", "1280 x 720", "720p"),
            ("CUSTOM", "Custom", "Width and height of your own"),
        ],
        default="832x480",
        description="Size of the frames that are made",
    )
    width: IntProperty(name="Width", default=832, min=64, max=4096, subtype="PIXEL")
    height: IntProperty(name="Height", default=480, min=64, max=4096, subtype="PIXEL")
    task: EnumProperty(
        name="Task",
        items=[
            ("animate", "Animate", "The rig's motion drives the person in a reference image"),
            ("i2v", "Image to Video", "The first frame with materials, moved by what the scene knows"),
        ],
        default="i2v",
        description="What to make of the shot",
    )
    engine: EnumProperty(
        name="Engine",
        items=[
            ("draft", "Draft", "Seconds on the processor, no weights: for timing and framing"),
            ("wan", "Wan", "The video model, on a backend that has it"),
            ("test", "Test", "Colour bars, to try the connection"),
        ],
        default="draft",
        description="What makes the frames",
    )
    model: StringProperty(name="Model", default="draft", description="Which model of the engine")
    fps: FloatProperty(
        name="Frames a Second",
        default=16.0,
        min=1.0,
        max=120.0,
        description="Of the frames that are made; time is kept whatever the scene's own rate is",
    )
    seed: IntProperty(name="Seed", default=0, min=0, description="Another seed gives another take")
    prompt: StringProperty(name="Prompt", maxlen=8000, description="What is seen, in words")
    negative_prompt: StringProperty(name="Negative", maxlen=8000, description="What must not be seen")
    frames_folder: StringProperty(
        name="Frames Folder",
        default="//wanstage/{scene}/{take}",
        description="Where the frames of new takes go in a saved file; {scene}, {task} and {take} are filled in",
    )
    depth: FloatProperty(
        name="Plane Distance",
        default=1.0,
        min=0.001,
        subtype="DISTANCE",
        description="How far in front of the camera new takes are placed",
    )
    occlusion: BoolProperty(
        name="Occlusion Tests", default=True, description="Find out which joints are hidden behind something"
    )
    takes: CollectionProperty(type=WANSTAGE_PG_take)
    take_index: IntProperty(name="Take")


class WANSTAGE_PG_character(bpy.types.PropertyGroup):
    """The role of an armature in the shot."""

    use: BoolProperty(name="In the Shot", default=True, description="Capture this armature as a character")
    name: StringProperty(name="Name", description="Empty uses the armature's own name")
    reference: StringProperty(
        name="Reference",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        description="Picture of the person to put on this character; transparent or plain background works best",
    )
    reference_image: PointerProperty(
        name="Reference Image",
        type=bpy.types.Image,
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
        description="Where the joints of the reference come from",
    )


CLASSES = (WANSTAGE_PG_take, WANSTAGE_PG_shot, WANSTAGE_PG_character)
_register, _unregister = bpy.utils.register_classes_factory(CLASSES)


def register() -> None:
    """Classes, then the pointers."""
    _register()
    bpy.types.Scene.wanstage = PointerProperty(type=WANSTAGE_PG_shot)
    bpy.types.Object.wanstage = PointerProperty(type=WANSTAGE_PG_character)


def unregister() -> None:
    """Pointers, then the classes."""
    del bpy.types.Object.wanstage
    del bpy.types.Scene.wanstage
    _unregister()
