"""Capture: everything the scene knows about a shot, as a drive pack. The user's scene is left exactly as it was.

    capture_shot(params, folder)   generator of ``CaptureProgress``; its return value is the ``DrivePack``
    capture_stills(params, folder) the first sample, and the last if wanted, as pictures
    capture_pose(params)           camera and pose tracks only, no renders: a ``PoseCapture``
    capture_sound(params)          the shot's sound as the bytes of a WAV file
    render_reference(...)          a cut-out picture of one character with its joints beside it
    load_reference(path, folder)   such a picture (or any PNG/JPEG) as a protocol ``Reference``
    find_bone_map(armature)        which bone is which joint

``CaptureProblem`` is the one exception an artist has to see.
"""

from __future__ import annotations

from .bonemap import BoneMap, find_bone_map
from .maps import AssetSink
from .params import DRAFT_PARTS, MAP_PARTS, PARTS, CaptureProblem, CaptureProgress, CharacterParams, ShotParams
from .pose import CharacterPose, PoseCapture, capture_pose
from .reference import load_reference, render_reference
from .shot import capture_shot, capture_stills
from .sound import SoundParams, capture_sound

__all__ = [
    "DRAFT_PARTS",
    "MAP_PARTS",
    "PARTS",
    "AssetSink",
    "BoneMap",
    "CaptureProblem",
    "CaptureProgress",
    "CharacterParams",
    "CharacterPose",
    "PoseCapture",
    "ShotParams",
    "SoundParams",
    "capture_pose",
    "capture_shot",
    "capture_sound",
    "capture_stills",
    "find_bone_map",
    "load_reference",
    "render_reference",
]
