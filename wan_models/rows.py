"""What a row of the model registry says. Standard library only, so that a server can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Family = Literal["t2v", "i2v", "ti2v", "animate", "animate2", "s2v"]
PartName = Literal["text_encoder", "image_encoder", "audio_encoder", "vae", "transformer", "transformer_2"]
"""Components, by their folder in the diffusers layout. For A14B ``transformer`` is the high-noise expert."""
PART_NAMES: tuple[PartName, ...] = (
    "text_encoder", "image_encoder", "audio_encoder", "vae", "transformer", "transformer_2",
)  # fmt: skip


@dataclass(frozen=True)
class PartRow:
    """One network: the class that holds it, what it is built from, its size.

    ``cls``: class name in diffusers or transformers; ``config``: its constructor's arguments in the released model;
    ``params``: how many numbers it holds.
    """

    cls: str
    config: Mapping[str, Any]
    params: int


@dataclass(frozen=True)
class FastRow:
    """A few-step preset: its LoRAs by their names in the store (high or only expert, low expert)."""

    steps: int
    guidance: float
    shift: float
    loras: tuple[tuple[str, Literal["both", "high", "low"]], ...]


@dataclass(frozen=True)
class ModelRow:
    """One model. Sizes are (width, height) in pixels; ``area`` is the largest width x height.

    A clip has ``frame_step`` * n + 1 frames unless ``any_frames`` (then it is padded inside); ``segment``: frames of
    one pass of a model that works in segments (0 = the whole clip at once). ``repo`` holds the model in diffusers'
    layout, ``original_repo`` in the official code's; either may be empty. ``boundary``: from this share of the noise
    upwards the high-noise expert works. ``guidance`` is the high-noise (or only) expert's, ``guidance_low`` the
    other's.
    """

    name: str
    title: str
    family: Family
    tasks: tuple[str, ...]
    repo: str
    parts: Mapping[PartName, PartRow]
    fps: float
    sizes: tuple[tuple[int, int], ...]
    area: int
    size_step: int
    default_frames: int
    max_frames: int
    steps: int
    guidance: float
    shift: float
    original_repo: str = ""
    guidance_low: float | None = None
    boundary: float | None = None
    frame_step: int = 4
    any_frames: bool = False
    segment: int = 0
    prompt: str = ""
    negative_prompt: str = ""
    fast: FastRow | None = None
    licence: str = "Apache-2.0"
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def repos(self) -> tuple[str, ...]:
        """The repositories that hold it, in diffusers' layout first."""
        return tuple(repo for repo in (self.repo, self.original_repo) if repo)

    @property
    def params(self) -> int:
        """Numbers of all networks together."""
        return sum(part.params for part in self.parts.values())

    def passes(self, frames: int, start_from_reference: bool = False) -> int:
        """How often the model goes through its stages: once, or once for each segment. The first clip of S2V loses the
        three frames that its motion would have come from, unless it starts from the reference.
        """
        lost = 3 if self.family == "s2v" and not start_from_reference else 0
        return -(-(frames + lost) // self.segment) if self.segment else 1

    def nearest_frames(self, frames: int) -> tuple[int, ...]:
        """The clip lengths that are allowed round about ``frames``: itself, or the one below and the one above."""
        if self.any_frames or (frames - 1) % self.frame_step == 0:
            return (frames,)
        below = (frames - 1) // self.frame_step * self.frame_step + 1
        return (below, below + self.frame_step)
