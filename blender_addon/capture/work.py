"""What every stage of a capture works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .maps import AssetSink
from .params import ShotParams

if TYPE_CHECKING:
    import bpy


@dataclass(frozen=True)
class Work:
    """A shot in its scene; assets go to ``sink``, pictures on their way to them through files in ``folder``."""

    params: ShotParams
    scene: bpy.types.Scene
    camera: bpy.types.Object
    sink: AssetSink
    folder: Path

    @property
    def scene_fps(self) -> float:
        """Scene frames a second."""
        return float(self.scene.render.fps / self.scene.render.fps_base)
