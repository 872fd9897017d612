"""What to capture, as plain frozen values. Needs no bpy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARTS: frozenset[str] = frozenset({"clay", "plate", "mask", "depth", "origin", "look", "look_plate"})
"""The pictures a drive pack can hold; the camera track and the poses are always captured."""

PLANE = "wanstage_plane"
"""Custom property of the planes that takes are shown on: they are no part of the scene that is captured."""

MAP_PARTS: frozenset[str] = PARTS - {"look", "look_plate"}


class CaptureProblem(Exception):
    """The scene cannot be captured as asked; the message is one sentence for the artist."""


@dataclass(frozen=True)
class CharacterParams:
    """One character: the name of its armature object, its own name and its value in the masks (1..254).

    ``bone_map`` gives canonical joint -> bone name and wins over what is found by itself.
    """

    armature: str
    name: str
    index: int
    bone_map: Mapping[str, str] | None = None


@dataclass(frozen=True)
class ShotParams:
    """One shot. ``scene`` and ``camera`` are datablock names; sizes in pixels.

    Sample i is taken at scene frame ``frame_start + i * scene_fps / fps`` (with subframe), so that the clip
    lasts as long as the scene does. ``occlusion`` asks which joints are hidden by something in front.
    ``samples`` are Cycles samples a pixel for the clay render, ``look_samples`` those of the real render.
    """

    scene: str
    camera: str
    frame_start: float
    frames: int
    fps: float
    width: int
    height: int
    characters: tuple[CharacterParams, ...] = ()
    parts: frozenset[str] = PARTS
    occlusion: bool = True
    samples: int = 1
    look_samples: int = 16


@dataclass(frozen=True)
class CaptureProgress:
    """``step`` of ``steps`` within ``stage`` ("prepare", "frames", "look", "pack"); ``warnings`` seen so far."""

    stage: str
    step: int
    steps: int
    warnings: tuple[str, ...] = ()
