"""What an engine is asked to do: plain arrays, no wire types. Pixel conventions as in protocol/specs.py:
top-left origin, first pixel's centre (0.5, 0.5), rows from the top, metres, seconds, sRGB uint8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Task = Literal["animate", "replace", "i2v", "flf2v", "t2v", "ti2v", "s2v", "pose"]

# Column meanings of a pose track, and the values of its state column.
X, Y, SCORE, DEPTH, STATE = range(5)
VISIBLE, OCCLUDED, OFF_SCREEN, BEHIND, MISSING = range(5)

BODY_POINTS: tuple[str, ...] = (
    "nose", "neck", "shoulder.R", "elbow.R", "wrist.R", "shoulder.L", "elbow.L", "wrist.L",
    "hip.R", "knee.R", "ankle.R", "hip.L", "knee.L", "ankle.L",
    "eye.R", "eye.L", "ear.R", "ear.L", "toe.L", "toe.R",
)  # fmt: skip
"""Wan2.2-Animate's 20 body points, in its order (wan2.2 ``human_visualization.py``)."""

HAND_POINTS: tuple[str, ...] = (
    "wrist",
    *(f"{finger}.{joint}" for finger in ("thumb", "index", "middle", "ring", "pinky") for joint in (1, 2, 3, 4)),
)
"""MediaPipe's 21 hand points: the wrist, then root to tip of each finger."""

Maps = Sequence[NDArray[Any]]
"""One array a sample time; may decode lazily, so hold no more of them than you need."""


@dataclass(frozen=True)
class CameraTrack:
    """``world_from_camera`` float64 (T,4,4), looking along -Z, +Y up; ``intrinsics`` float64 (T,4): fx, fy, cx, cy."""

    world_from_camera: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    orthographic: bool = False


@dataclass(frozen=True)
class PoseTrack:
    """float32: body (T,20,5), hands (T,21,5); columns X, Y, SCORE, DEPTH, STATE."""

    body: NDArray[np.float32]
    left_hand: NDArray[np.float32] | None = None
    right_hand: NDArray[np.float32] | None = None
    face_box: NDArray[np.float32] | None = None  # (T,4) left, top, right, bottom; NaN where none


@dataclass(frozen=True)
class Reference:
    """A person: uint8 (h,w,4) sRGB with straight alpha (255 everywhere = no cut-out given).

    ``body`` float32 (20,3), hands (21,3): x, y, score in its pixels; None = to be estimated.
    """

    image: NDArray[np.uint8]
    body: NDArray[np.float32] | None = None
    left_hand: NDArray[np.float32] | None = None
    right_hand: NDArray[np.float32] | None = None
    source: Literal["rig", "hand", "none"] = "none"


@dataclass(frozen=True)
class Character:
    """``index`` is its value in the mask maps. ``face`` uint8 (512,512,3): the face clip that drives expression,
    one a sample; empty = the rig has no face (a neutral one is used).
    """

    index: int
    name: str
    pose: PoseTrack
    reference: Reference | None = None
    face: Maps = ()


@dataclass(frozen=True)
class DrivePack:
    """What the scene knows. Maps: clay, plate uint8 (h,w,3), and for replace the plate is the picture to keep; mask
    uint8 (h,w); depth float32 (h,w), +inf = nothing; origin uint16 (h,w,2), see ``origin_pixels``.
    ``look``, ``look_plate`` uint8 (h,w,3): sample 0 with materials.
    Empty or None = not captured.
    """

    width: int
    height: int
    frames: int
    fps: float
    camera: CameraTrack | None = None
    characters: tuple[Character, ...] = ()
    clay: Maps = ()
    plate: Maps = ()
    mask: Maps = ()
    depth: Maps = ()
    origin: Maps = ()
    look: NDArray[np.uint8] | None = None
    look_plate: NDArray[np.uint8] | None = None


@dataclass(frozen=True)
class SamplerSettings:
    """None = the model's official default, or the preset's: ``fast`` is few steps without guidance, by its LoRAs."""

    steps: int | None = None
    guidance: float | None = None
    guidance_low: float | None = None
    shift: float | None = None
    preset: Literal["default", "fast"] = "default"


@dataclass(frozen=True)
class Lora:
    """A LoRA of the model store, by name; ``expert`` chooses the network of a model that has two."""

    name: str
    weight: float = 1.0
    expert: Literal["both", "high", "low"] = "both"


@dataclass(frozen=True)
class AnimateSettings:
    """How Animate puts a long clip together. ``overlap``: frames that a segment takes over from the one before it.
    ``match_color``: each segment's colours are matched to the first one's. ``relight``: the relighting LoRA (replace).
    """

    overlap: Literal[1, 5] = 1
    match_color: bool = False
    relight: bool = False


@dataclass(frozen=True)
class Sound:
    """A sound file on this machine. ``start``: seconds into it that belong to frame 0. ``name``: for sentences."""

    file: Path
    start: float = 0.0
    name: str = "the sound"


@dataclass(frozen=True)
class TalkSettings:
    """``start_from_reference``: frame 0 follows the reference image (officially ``--start_from_ref``).
    ``follow_pose``: the drive pack's pose tracks move the body.
    """

    start_from_reference: bool = False
    follow_pose: bool = False


@dataclass(frozen=True)
class Redo:
    """A part of a clip made again: its frames ``first`` to ``last`` (from 0, both included), see ``wan_models.redo``.

    ``kept``: frames of the clip as they are, by number, uint8 (h,w,3); may decode lazily. ``overlap``: so many frames
    at each end of the part are blended. ``character``: the mask value of the only one who changes, 0 = whole frames;
    ``mask``: uint8 (h,w), one a frame of the part: where the kept frames show that character, if not as the pack says.
    """

    first: int
    last: int
    kept: Mapping[int, NDArray[np.uint8]]
    overlap: int = 4
    character: int = 0
    mask: Maps = ()
    match_color: bool = False

    @property
    def count(self) -> int:
        """Frames of the part."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class PoseRequest:
    """What the task pose looks at: ``footage`` is a film or a folder of pictures, ``name`` for sentences. The rest as
    in ``wan_models.pose.build.PoseOptions``; ``smooth`` Hz, 0 = none.
    """

    footage: Path
    name: str = "the film"
    person: str = "all"
    people: int = 2
    height: float | None = None
    camera: CameraTrack | None = None
    field_of_view: float = 50.0
    hands: bool = True
    face: bool = True
    smooth: float = 6.0
    gap_s: float = 0.5
    hold_feet: bool = True
    joint_limits: bool = True


@dataclass(frozen=True)
class Request:
    """One job for an engine. With ``redo`` all else is about the whole clip, of which only a part is made.

    ``before``: frames that come right before this clip, in order, none where it begins by itself: what a model that
    goes on from frames goes on from. For Animate these are the clip's own first ``len(before)`` frames, made already.
    """

    task: Task
    model: str
    width: int
    height: int
    frames: int
    fps: float
    seed: int = 0
    prompt: str = ""
    negative_prompt: str | None = None
    image: NDArray[np.uint8] | None = None
    last_image: NDArray[np.uint8] | None = None
    pack: DrivePack | None = None
    sound: Sound | None = None
    pose: PoseRequest | None = None
    sampler: SamplerSettings = field(default_factory=SamplerSettings)
    loras: tuple[Lora, ...] = ()
    animate: AnimateSettings = field(default_factory=AnimateSettings)
    talk: TalkSettings = field(default_factory=TalkSettings)
    plan: str = "auto"
    previews: bool = True
    redo: Redo | None = None
    before: Maps = ()


def origin_pixels(origin: NDArray[np.uint16]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """An origin map (h,w,2) as sample-0 pixel coordinates float32 (h,w,2) and where they are known (h,w).

    The code is x = (v / 65535 * 1.5 - 0.25) * width (SPEC.md, "Origin maps"), so points up to a quarter
    of the picture outside it are kept; (0, 0) means not seen in sample 0.
    """
    height, width = origin.shape[:2]
    known: NDArray[np.bool_] = np.asarray((origin != 0).any(axis=2))
    scale = np.array([width, height], np.float32)
    pixels: NDArray[np.float32] = (origin * np.float32(1.5 / 65535.0) - np.float32(0.25)) * scale
    return pixels, known
