"""What to capture, as plain frozen values. Needs no bpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

PARTS: frozenset[str] = frozenset({"clay", "plate", "mask", "depth", "origin", "look", "look_plate", "face"})
"""The pictures a drive pack can hold; the camera track and the poses are always captured."""

DRAFT_PARTS: frozenset[str] = PARTS - {"face"}
"""What all tasks of the draft engine share."""

PLANE = "wanstage_plane"
"""Custom property of the planes that takes are shown on: they are no part of the scene that is captured."""

MAP_PARTS: frozenset[str] = PARTS - {"look", "look_plate", "face"}
"""Made of the clay render of each sample, all but a plate that is no clay one."""


class CaptureProblem(Exception):
    """The scene cannot be captured as asked; the message is one sentence for the artist."""


@dataclass(frozen=True)
class CharacterParams:
    """One character: the name of its armature object, its own name and its value in the masks (1..254).

    ``bone_map`` gives canonical joint -> bone name and wins over what is found by itself. ``face`` is where the face
    clip comes from: renders of the rig's own head, the film or numbered pictures ``face_film``, or nowhere.
    ``in_plate``: one who stays in a plate with materials, because another is to be replaced.
    """

    armature: str
    name: str
    index: int
    bone_map: Mapping[str, str] | None = None
    face: Literal["rig", "film", "none"] = "rig"
    face_film: str = ""
    in_plate: bool = False


@dataclass(frozen=True)
class ShotParams:
    """One shot. ``scene`` and ``camera`` are datablock names; sizes in pixels.

    Sample i is taken at scene frame ``frame_start + i * scene_fps / fps`` (with subframe), so that the clip
    lasts as long as the scene does. ``occlusion`` asks which joints are hidden by something in front.
    ``samples`` are Cycles samples a pixel for the clay render, ``look_samples`` those of the real renders.
    ``plate``: of clay, as it looks with materials and light, or the camera's background film; the latter two are
    pictures to keep, which somebody in them is to be replaced in.
    ``left_out``: armatures that are not to be seen, with all that hangs on them.
    ``face_side`` px and ``face_samples`` are those of the renders that a rig's face clip is made of.
    """

    scene: str
    camera: str
    frame_start: float
    frames: int
    fps: float
    width: int
    height: int
    characters: tuple[CharacterParams, ...] = ()
    parts: frozenset[str] = DRAFT_PARTS
    occlusion: bool = True
    samples: int = 1
    look_samples: int = 16
    plate: Literal["clay", "look", "film"] = "clay"
    face_side: int = 256
    face_samples: int = 4
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptureProgress:
    """``step`` of ``steps`` within ``stage`` ("prepare", "frames", "plate", "face", "look", "pack"); ``warnings`` seen
    so far."""

    stage: str
    step: int
    steps: int
    warnings: tuple[str, ...] = ()
