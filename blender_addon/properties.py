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

from . import cast, cast_properties, catalog, choices, compat, placing, redo_properties, take_properties, talking

SIZES = catalog.SIZES
TASKS = [
    ("animate", "Animate", "The rig's motion drives the person in a reference image"),
    ("replace", "Replace", "The person in a reference image takes the rig's place in the shot; all else stays"),
    ("i2v", "Image to Video", "The first frame with materials, moved by what the scene knows or by the prompt"),
    ("ti2v", "Text and Image to Video", "The first frame with materials, moved by the prompt, on the small model"),
    ("flf2v", "First and Last Frame", "From the first frame with materials to the last, by the prompt"),
    ("t2v", "Text to Video", "The prompt alone"),
    ("s2v", "Talking Shot", "Sound drives the person in a picture: a line of dialogue becomes a talking shot"),
]


def _is_camera(_owner: bpy.types.ID, item: bpy.types.Object) -> bool:
    return item.type == "CAMERA"


def _is_armature(_owner: bpy.types.ID, item: bpy.types.Object) -> bool:
    return item.type == "ARMATURE"


def _is_speaker(_owner: bpy.types.ID, item: bpy.types.Object) -> bool:
    return item.type == "SPEAKER"


def _strip_names(_owner: bpy.types.ID, context: bpy.types.Context, _typed: str) -> list[str]:
    return talking.strip_names(context.scene)


CUSTOM_NUMBER = 8  # files keep numbers: sizes that were added later come behind it
SIZE_ITEMS = [
    *(
        (name, name.replace("x", " x "), "Width and height in pixels", "NONE", place + (place >= CUSTOM_NUMBER))
        for place, name in enumerate(SIZES)
    ),
    (catalog.CUSTOM, "Custom", "Width and height of your own", "NONE", CUSTOM_NUMBER),
]


class WANSTAGE_PG_take(bpy.types.PropertyGroup):
    """One result of the shot. Datablocks are named, so that undo and reload cannot break it, but the camera."""

    job_id: StringProperty(name="Job", description="The backend's name for the job")
    state: StringProperty(name="State", default="draft", description="What the job is at, as the backend says it")
    task: StringProperty(name="Task", description="What the take was asked for")
    engine: StringProperty(name="Engine", description="What made the take")
    seed: IntProperty(name="Seed", description="The seed that the take was made with")
    width: IntProperty(name="Width", description="Of the take's frames, pixels")
    height: IntProperty(name="Height", description="Of the take's frames, pixels")
    frames: IntProperty(name="Frames", description="How many frames the take is to have")
    fps: FloatProperty(name="Frames a Second", default=16.0, description="Of the take's frames")
    frame_start: FloatProperty(name="First Frame", description="Scene frame at which the take begins")
    camera: StringProperty(name="Camera", description="The camera that the take is seen by")
    seen_by: PointerProperty(type=bpy.types.Object, description="The camera itself: it may be renamed")
    shot: StringProperty(name="Shot", description="The timeline's shot that it is a take of; empty: the scene's")
    frame_end: IntProperty(name="Last Frame", description="Last scene frame of the timeline's shot")
    frames_done: IntProperty(name="Frames Received", description="How many frames are on the disk")
    frames_dir: StringProperty(name="Frames Folder", description="Relative to the .blend once that is saved")
    stage: StringProperty(name="Stage", description="What the engine is doing")
    step: IntProperty(name="Step", description="How far the stage is")
    steps: IntProperty(name="Steps", description="How many steps the stage has")
    eta: FloatProperty(name="Seconds Left", default=-1.0, description="Of the stage; negative: not known")
    problem: StringProperty(name="Problem", description="What went wrong")
    plane: StringProperty(name="Plane", description="The object that shows the take")
    pixel_aspect: FloatProperty(name="Pixel Aspect", default=1.0, description="Of the scene when the take was made")
    slip: FloatProperty(
        name="Offset", default=0.0, update=placing.changed, description="Scene frames by which the take begins later"
    )
    outside: EnumProperty(
        name="Outside",
        items=[
            ("HOLD", "Hold", "The first frame is held before the take, the last one after it"),
            ("HIDE", "Hide", "The plane is seen during the take only"),
        ],
        default="HOLD",
        update=placing.changed,
        description="What the plane shows before and after the take",
    )
    background: BoolProperty(
        name="Camera Background",
        default=False,
        update=placing.changed,
        description="Show the take behind the camera's view instead of on a plane; renders do not have it",
    )
    sound_added: BoolProperty(name="Sound Added", description="Its sound was put into the sequencer")
    meta: StringProperty(name="Metadata", description="Versioned JSON: spec, hashes, timings and notes")
    seen: BoolProperty(
        name="Show",
        get=choices.is_seen,
        set=choices.set_seen,
        options={"SKIP_SAVE"},
        description="Whether the take's plane is visible; showing one hides the others",
    )
    choice: PointerProperty(type=take_properties.WANSTAGE_PG_choice)


class WANSTAGE_PG_lora(bpy.types.PropertyGroup):
    """A LoRA of the backend's model store, by name."""

    name: StringProperty(name="Name", maxlen=200, description="Its name in the backend's model store, never a path")
    weight: FloatProperty(name="Weight", default=1.0, min=-4.0, max=4.0, description="How strongly it acts")
    expert: EnumProperty(
        name="Expert",
        items=[
            ("both", "All", "Every network of the model"),
            ("high", "High Noise", "The expert of the first steps, for models that have two"),
            ("low", "Low Noise", "The expert of the last steps, for models that have two"),
        ],
        default="both",
        description="Which network it changes",
    )


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
        items=SIZE_ITEMS,
        default="832x480",
        description="Size of the frames that are made",
    )
    size_menu: EnumProperty(
        name="Size",
        items=catalog.size_items,
        get=catalog.get_size,
        set=catalog.choose_size,
        options={"SKIP_SAVE"},
        description="The sizes that the model is made for",
    )
    width: IntProperty(
        name="Width", default=832, min=64, max=4096, subtype="PIXEL", description="Of the frames that are made"
    )
    height: IntProperty(
        name="Height", default=480, min=64, max=4096, subtype="PIXEL", description="Of the frames that are made"
    )
    task: EnumProperty(
        name="Task",
        items=TASKS,
        default="i2v",
        update=catalog.task_changed,
        description="What to make of the shot",
    )
    engine: EnumProperty(
        name="Engine",
        items=[(name, title, said) for name, (title, said) in catalog.ENGINE_TITLES.items()],
        default="draft",
        description="What makes the frames",
    )
    model: StringProperty(name="Model", default="draft", description="Which model of the engine")
    model_menu: EnumProperty(
        name="Model",
        items=catalog.model_items,
        get=catalog.get_model,
        set=catalog.set_model,
        options={"SKIP_SAVE"},
        description="What makes the frames; choosing one sets its rate, and a size that it can make",
    )
    fit_frames: BoolProperty(
        name="Fit Frames",
        default=True,
        description="When the model cannot make as many frames as the range has, make the most that it can",
    )
    quality: EnumProperty(
        name="Quality",
        items=[
            ("default", "Default", "All steps, as the model was made for"),
            ("fast", "Fast", "Few steps, by the model's own step-saving LoRAs"),
        ],
        default="default",
        description="How much time a take may take",
    )
    steps: IntProperty(name="Steps", default=0, min=0, max=1000, description="Denoising steps; 0 = the model's own")
    guidance: FloatProperty(
        name="Guidance",
        default=0.0,
        min=0.0,
        max=100.0,
        description="How strongly the prompt leads; 0 = the model's own",
    )
    guidance_low: FloatProperty(
        name="Guidance, Details",
        default=0.0,
        min=0.0,
        max=100.0,
        description="The same for the second expert of models that have two; 0 = the model's own",
    )
    plan: EnumProperty(
        name="Memory",
        items=[
            ("auto", "Automatic", "What fits the backend's card and memory"),
            ("resident", "Resident", "All on the card"),
            (
                "resident-fp8",
                "Resident, 8 Bit",
                "All on the card, weights in 8 bit: half the memory, a little different",
            ),
            ("swap", "Swap", "One network at a time on the card"),
            ("swap-fp8", "Swap, 8 Bit", "One network at a time, weights in 8 bit"),
            ("stream", "Stream", "Block by block from the main memory: least of the card, slowest"),
            ("stream-fp8", "Stream, 8 Bit", "Block by block, weights in 8 bit"),
        ],
        default="auto",
        description="Where the backend keeps the weights",
    )
    overlap: EnumProperty(
        name="Overlap",
        items=[
            ("1", "1 Frame", "Each piece of a long clip goes on from the last frame of the one before"),
            ("5", "5 Frames", "From the last five: smoother seams, a little more work"),
        ],
        default="1",
        description="Long clips are made in pieces",
    )
    match_color: BoolProperty(
        name="Match Colours", default=False, description="Each piece of a long clip takes the colours of the first"
    )
    relight: BoolProperty(
        name="Relight", default=False, description="Light the new person as the shot is lit, by the relighting LoRA"
    )
    plate: EnumProperty(
        name="Background",
        items=[
            ("look", "Scene", "The scene with materials and light, without the characters"),
            ("film", "Camera Background", "The film or picture behind the camera's view"),
        ],
        default="look",
        description="The picture to keep round the person who is replaced",
    )
    plate_samples: IntProperty(
        name="Samples", default=16, min=1, max=4096, description="Cycles samples a pixel of pictures with materials"
    )
    sound_from: EnumProperty(
        name="Sound",
        items=[
            ("strip", "Sequencer", "A sound strip of the Video Sequencer, as it is trimmed and placed"),
            ("speaker", "Speaker", "The sound of a speaker object, from where it begins to play"),
            ("file", "File", "A sound or video file, beginning at the shot's first frame"),
        ],
        default="strip",
        description="Where the sound comes from that drives the shot",
    )
    sound_strip: StringProperty(
        name="Strip",
        search=_strip_names,
        description="The sound strip; empty uses the active one, or the only one that plays during the shot",
    )
    sound_speaker: PointerProperty(
        name="Speaker",
        type=bpy.types.Object,
        poll=_is_speaker,
        description="The speaker object; distance and direction are not heard",
    )
    sound_file: StringProperty(
        name="File",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        description="A sound file, or a video with sound",
    )
    sound_skip: FloatProperty(
        name="Start",
        default=0.0,
        min=0.0,
        max=86400.0,
        subtype="TIME",
        unit="TIME",
        description="Where in the file the shot begins, in seconds",
    )
    person: EnumProperty(
        name="Person",
        items=[
            ("character", "Character", "The reference picture of a character, see Characters"),
            ("file", "Image", "A picture file"),
            ("camera", "Camera View", "The shot's first frame with materials, as the camera sees it"),
        ],
        default="character",
        description="Who speaks",
    )
    person_file: StringProperty(
        name="Image",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        description="A PNG or JPEG picture of who speaks",
    )
    from_person: BoolProperty(
        name="Start from Image",
        default=False,
        description="The first frame is the person's image itself; else the model begins as it likes",
    )
    follow_pose: BoolProperty(
        name="Follow Rig",
        default=False,
        description="The body moves as the character's rig does; else as the model likes",
    )
    add_sound: BoolProperty(
        name="Sound to Sequencer",
        default=True,
        description="Add the sound of finished takes to the Video Sequencer; it is muted while the strip or speaker "
        "that it came from plays",
    )
    loras: CollectionProperty(type=WANSTAGE_PG_lora)
    lora_index: IntProperty(name="LoRA", description="The selected LoRA")
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
    first_image: StringProperty(
        name="First Image",
        subtype="FILE_PATH",
        options={"ANIMATABLE"} | compat.RELATIVE,
        description="The picture that the clip begins with, such as the last frame of the shot before; empty: the "
        "first frame with materials, as the camera sees it",
    )
    make_room: BoolProperty(
        name="Make Room",
        default=False,
        description="Put viewports into Solid shading while a job runs on this machine, so that the model has their "
        "share of the graphics card; they come back after it",
    )
    free_card: BoolProperty(
        name="Free the Card after a Shot",
        default=False,
        description="The model's weights leave the graphics card and the memory when the job has ended; the next shot "
        "loads them again",
    )
    takes: CollectionProperty(type=WANSTAGE_PG_take)
    take_index: IntProperty(name="Take", description="The selected take")
    compare: PointerProperty(type=take_properties.WANSTAGE_PG_compare)
    cast: PointerProperty(
        name="Character",
        type=bpy.types.Object,
        poll=_is_armature,
        description="The character whose settings are shown",
    )
    cast_index: IntProperty(name="Character", get=cast.get_index, set=cast.set_index, options={"SKIP_SAVE"})
    redo: PointerProperty(type=redo_properties.WANSTAGE_PG_redo)


CLASSES = (
    *take_properties.CLASSES,
    *cast_properties.CLASSES,
    *redo_properties.CLASSES,
    WANSTAGE_PG_take,
    WANSTAGE_PG_lora,
    WANSTAGE_PG_shot,
)
_register, _unregister = bpy.utils.register_classes_factory(CLASSES)


def register() -> None:
    """Classes, then the pointers."""
    _register()
    bpy.types.Scene.wanstage = PointerProperty(type=WANSTAGE_PG_shot)
    cast_properties.register()


def unregister() -> None:
    """Pointers, then the classes."""
    cast_properties.unregister()
    del bpy.types.Scene.wanstage
    _unregister()
