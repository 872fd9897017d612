"""Job specs and drive packs: what a client asks for. Frozen, bounded, serialisable.

Numbers and pictures never ride inside a spec: they are assets (``AssetRef``), uploaded once by content.
Pixel coordinates: origin at the top left corner of the picture, x to the right, y down; the centre of the
first pixel is (0.5, 0.5). Rows of every map run from the top. Metres and seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from . import limits

SCHEMA: Literal[1] = 1

AssetId = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, Meta(min_length=1, max_length=limits.MAX_NAME_CHARS)]
Side = Annotated[int, Meta(ge=limits.MIN_SIDE, le=limits.MAX_SIDE)]
Frames = Annotated[int, Meta(ge=1, le=limits.MAX_FRAMES)]
Fps = Annotated[float, Meta(gt=0.0, le=limits.MAX_FPS)]
Seed = Annotated[int, Meta(ge=0, le=limits.MAX_SEED)]
Prompt = Annotated[str, Meta(max_length=limits.MAX_PROMPT_CHARS)]
Dim = Annotated[int, Meta(ge=1, le=1 << 20)]

DType = Literal["u1", "u2", "f2", "f4", "f8", "i4"]
Codec = Literal["raw", "zlib", "delta"]
PlanName = Literal["auto", "resident", "resident-fp8", "swap", "swap-fp8", "stream", "stream-fp8"]
Task = Literal["animate", "replace", "i2v", "flf2v", "t2v", "ti2v", "s2v", "pose"]


class AssetRef(Struct, frozen=True):
    """An asset by content: ``id`` is blake2b-256 of its bytes, in hex."""

    id: AssetId
    nbytes: Annotated[int, Meta(ge=0, le=limits.MAX_ASSET_BYTES)]


class ArrayRef(Struct, frozen=True):
    """A C-contiguous little-endian array in one asset: as it is, one zlib stream, or differences in a zlib stream."""

    asset: AssetRef
    dtype: DType
    shape: Annotated[tuple[Dim, ...], Meta(min_length=1, max_length=5)]
    codec: Codec = "raw"


class ImageRef(Struct, frozen=True):
    """An encoded picture (sRGB, straight alpha)."""

    asset: AssetRef
    width: Side
    height: Side
    media_type: Literal["image/png", "image/jpeg"] = "image/png"


MapTrack = Annotated[tuple[ArrayRef, ...], Meta(max_length=limits.MAX_FRAMES)]
"""One array a sample time, in order."""


class Reference(Struct, frozen=True):
    """The person to put on a character. Joints in pixels of ``image``: (20,3) and (21,3) x, y, score.

    ``source`` says where the joints come from: the rig it was rendered from, a person's hand, or
    ``none`` (the backend estimates them).
    """

    image: ImageRef
    source: Literal["rig", "hand", "none"] = "none"
    body: ArrayRef | None = None
    left_hand: ArrayRef | None = None
    right_hand: ArrayRef | None = None


class CharacterTrack(Struct, frozen=True):
    """One character through the shot (T sample times).

    ``body`` f4 (T,20,5), hands f4 (T,21,5): x px, y px, score 0..1, depth in metres along the view axis,
    state (0 visible, 1 occluded, 2 off screen, 3 behind the camera, 4 the rig has no such joint).
    Point order: Wan2.2-Animate's 20 body points, MediaPipe's 21 hand points. Left and right are the character's own.
    ``face_box`` f4 (T,4): left, top, right, bottom px (NaN where there is none). ``index`` is the
    character's value in the mask track. ``face`` u1 (512,512,3) sRGB, one a sample: the face clip that drives
    expression, cut by Wan2.2-Animate's rule; empty = the rig has no face.
    """

    index: Annotated[int, Meta(ge=1, le=254)]
    name: Name
    body: ArrayRef
    left_hand: ArrayRef | None = None
    right_hand: ArrayRef | None = None
    face_box: ArrayRef | None = None
    derived: tuple[Name, ...] = ()
    reference: Reference | None = None
    face: MapTrack = ()


class Camera(Struct, frozen=True):
    """``world_from_camera`` f8 (T,4,4), camera looks along its -Z, +Y up (Blender's and OpenGL's axes);
    ``intrinsics`` f8 (T,4): fx, fy, cx, cy in pixels; orthographic cameras give pixels a metre in fx, fy."""

    world_from_camera: ArrayRef
    intrinsics: ArrayRef
    kind: Literal["perspective", "orthographic"] = "perspective"


class SoundRef(Struct, frozen=True):
    """A sound file of any format that the backend reads (wav, flac, mp3, ogg, m4a, the sound of a film), as its bytes.

    ``start``: seconds into the file that belong to the job's first frame; what lies behind the last frame is not used,
    and where the file ends sooner the rest is silent.
    """

    asset: AssetRef
    name: Annotated[str, Meta(max_length=limits.MAX_NAME_CHARS)] = ""
    start: Annotated[float, Meta(ge=0.0, le=86400.0)] = 0.0


class VideoRef(Struct, frozen=True):
    """A film of any format that the backend reads, as its bytes."""

    asset: AssetRef
    name: Annotated[str, Meta(max_length=limits.MAX_NAME_CHARS)] = ""


class Pose(Struct, frozen=True):
    """Whose motion to find, and how (the task pose). Exactly one of ``video`` and ``of_job`` is given: a film, or the
    frames that a job of the same key has made already.

    ``person``: all, largest, longest, a number, or X,Y or X,Y@FRAME in pixels. ``height`` metres, None = by the feet.
    ``camera``: of the frames, when it is known. ``smooth``: Hz, 0 = as it was seen. ``gap_s``: gaps that are bridged.
    """

    video: VideoRef | None = None
    of_job: Annotated[str, Meta(pattern="^([0-9a-f]{32})?$")] = ""
    person: Name = "all"
    people: Annotated[int, Meta(ge=1, le=10)] = 2
    height: Annotated[float, Meta(ge=0.3, le=3.0)] | None = None
    camera: Camera | None = None
    field_of_view: Annotated[float, Meta(ge=1.0, le=170.0)] = 50.0  # degrees, where no camera is known
    hands: bool = True
    face: bool = True
    smooth: Annotated[float, Meta(ge=0.0, le=60.0)] = 6.0
    gap_s: Annotated[float, Meta(ge=0.0, le=10.0)] = 0.5
    hold_feet: bool = True
    joint_limits: bool = True


class DrivePack(Struct, frozen=True):
    """Everything the scene knows about a shot, captured once. Every part but the size is optional.

    clay   u1 (h,w,3) sRGB   untextured render with characters, a flat colour a material
    plate  u1 (h,w,3) sRGB   the same without characters
    mask   u1 (h,w)          0 = no character, else the character's index
    depth  f4 (h,w)          metres along the view axis, +inf where nothing is
    origin u2 (h,w,2)        where this surface point is seen in sample 0: x = (v / 65535 * 1.5 - 0.25) * width,
                             y likewise with height; (0,0) where sample 0 does not see it
    look, look_plate         sample 0 with materials and light, with and without characters
    """

    width: Side
    height: Side
    frames: Frames
    fps: Fps
    camera: Camera | None = None
    characters: Annotated[tuple[CharacterTrack, ...], Meta(max_length=limits.MAX_CHARACTERS)] = ()
    clay: MapTrack = ()
    plate: MapTrack = ()
    mask: MapTrack = ()
    depth: MapTrack = ()
    origin: MapTrack = ()
    look: ImageRef | None = None
    look_plate: ImageRef | None = None


class Sampler(Struct, frozen=True):
    """None means the model's official default, or the preset's (``fast``: few steps, no guidance, by its LoRAs)."""

    steps: Annotated[int, Meta(ge=1, le=1000)] | None = None
    guidance: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    guidance_low: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    shift: Annotated[float, Meta(gt=0.0, le=100.0)] | None = None
    preset: Literal["default", "fast"] = "default"


class Animate(Struct, frozen=True):
    """How a long clip is put together from segments: frames taken over from the one before, colours matched to the
    first one's, and the relighting LoRA (replace only)."""

    overlap: Literal[1, 5] = 1
    match_color: bool = False
    relight: bool = False


class Talk(Struct, frozen=True):
    """How sound drives a shot. ``start_from_reference``: the first frame follows the reference image, else the model
    chooses it itself (the draft shows the image itself). ``follow_pose``: body movement comes from the drive pack's
    pose tracks.
    """

    start_from_reference: bool = False
    follow_pose: bool = False


class KeptFrame(Struct, frozen=True):
    """One frame of the clip of which a part is made again, as it was. ``frame`` counts from 0."""

    frame: Annotated[int, Meta(ge=0, lt=limits.MAX_FRAMES)]
    image: ImageRef


class Redo(Struct, frozen=True):
    """A part of a clip made again: the job's other fields are about the whole clip, its frames ``first`` to ``last``
    (from 0, both included) are made and come back, numbered from 0.

    ``kept``: frames of the clip as they are, rising; those that ``protocol.redo.needed`` names must be there, more
    may be. ``overlap``: over so many frames at each end of the part the new ones are blended with the kept ones.
    ``character``: only what shows this character of the pack's masks changes (0 = whole frames); ``mask`` says where
    the kept frames show it, one u1 (h,w) a frame of the part, where they do not follow the pack's masks.
    ``match_color``: the part's colours are matched to the clip's at its first frame.
    """

    first: Annotated[int, Meta(ge=0, lt=limits.MAX_FRAMES)]
    last: Annotated[int, Meta(ge=0, lt=limits.MAX_FRAMES)]
    kept: Annotated[tuple[KeptFrame, ...], Meta(max_length=limits.MAX_FRAMES)] = ()
    overlap: Annotated[int, Meta(ge=0, le=limits.MAX_OVERLAP)] = 4
    character: Annotated[int, Meta(ge=0, le=254)] = 0
    mask: MapTrack = ()
    match_color: bool = False


class Lora(Struct, frozen=True):
    """A LoRA known to the backend by name (never a path)."""

    name: Name
    weight: Annotated[float, Meta(ge=-4.0, le=4.0)] = 1.0
    expert: Literal["both", "high", "low"] = "both"


class Output(Struct, frozen=True):
    """How frames come back: encoded files, or raw RGB8."""

    encoding: Literal["png", "raw"] = "png"
    previews: bool = True


class JobSpec(Struct, frozen=True):
    """One job: what to make, of what, with which numbers."""

    task: Task
    width: Side
    height: Side
    frames: Frames
    fps: Fps
    seed: Seed = 0
    engine: Name = "draft"
    model: Name = "draft"
    prompt: Prompt = ""
    negative_prompt: Prompt | None = None
    image: ImageRef | None = None  # the first frame (i2v, ti2v, flf2v), the person (s2v); when absent the pack's look
    last_image: ImageRef | None = None
    pack: DrivePack | None = None
    sound: SoundRef | None = None  # what drives s2v
    pose: Pose | None = None  # what the task pose looks at
    sampler: Sampler = field(default_factory=Sampler)
    loras: Annotated[tuple[Lora, ...], Meta(max_length=limits.MAX_LORAS)] = ()
    animate: Animate = field(default_factory=Animate)
    talk: Talk = field(default_factory=Talk)
    redo: Redo | None = None  # only a part of the clip is made
    plan: PlanName = "auto"
    output: Output = field(default_factory=Output)
    release: bool = False  # the engine gives its memory back when the job ends
    label: Annotated[str, Meta(max_length=limits.MAX_NAME_CHARS)] = ""
    schema: Literal[1] = SCHEMA

    @property
    def made(self) -> int:
        """How many numbered results come back: the frames of the part that is made again, else all; for the task pose
        the pose file behind them too."""
        frames = self.frames if self.redo is None else self.redo.last - self.redo.first + 1
        return frames + (self.task == "pose")


POSE_COLUMNS = 391
"""Numbers that a person has in one frame of a job of the task pose (SPEC.md, "pose_ready"): the id, 33 landmarks with
4 each, 33 points in metres with 4 each, and the left and the right hand's 21 points with 3 each."""
