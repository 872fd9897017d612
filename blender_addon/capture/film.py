"""A user's own film, or numbered pictures, one picture at any time: read by Blender itself, through a sequencer strip.

The strip is moved so that the wanted picture lies at the scene's frame; the sequencer then gives its very pixels.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..words import tr
from .evaluate import Scratch
from .look import raw_output, read_raw
from .params import CaptureProblem

Array = NDArray[Any]

PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".exr", ".webp", ".bmp", ".tga"}
_NUMBERED = re.compile(r"(.*?)(\d+)(\.[^.]+)")


class Film:
    """Opened for reading; what it needs lives in ``made``. ``frames``, ``size`` (w,h) and ``fps``."""

    def __init__(
        self, made: Scratch, path: Path, scratch_folder: Path, picture_fps: float, *, still: bool = False
    ) -> None:
        """``picture_fps`` is the rate of numbered pictures; ``still`` takes ``path`` alone.

        Raises CaptureProblem when there is no such film or Blender cannot read it.
        """
        if not path.is_file():
            msg = tr("There is no film or picture at {path}: choose the file again.", path=path)
            raise CaptureProblem(msg)
        self._made, self.path = made, path
        self._files = _pictures(path, still)
        self._target = scratch_folder / "film.tga"
        self._scene = made.add("scenes", bpy.data.scenes.new(".wanstage_film"))
        self._strip = self._open()
        first = self._strip.elements[0]
        self.size = (first.orig_width, first.orig_height)
        self.fps = picture_fps if self._files else float(self._strip.fps)
        self.frames = len(self._files) or int(_newest(self._strip, "content_duration", "frame_duration"))
        if min(self.size) < 2 or self.frames < 1 or self.fps <= 0:
            msg = tr(
                "Blender can read no picture of {name}: convert it to MP4 or to numbered PNG files.", name=path.name
            )
            raise CaptureProblem(msg)
        self._output()

    def _open(self) -> Any:
        editor = self._scene.sequence_editor_create()
        strips = editor.strips if hasattr(editor, "strips") else editor.sequences
        name, path = "film", str(self.path)
        try:
            if not self._files:
                return strips.new_movie(name, path, 1, 1)
            strip = strips.new_image(name, path, 1, 1)
        except RuntimeError as error:
            msg = tr(
                "Blender cannot read {name} as a film: convert it to MP4 or to numbered PNG files.", name=self.path.name
            )
            raise CaptureProblem(msg) from error
        for file in self._files[1:]:
            strip.elements.append(file.name)
        return strip

    def _output(self) -> None:
        render = self._scene.render
        render.resolution_x, render.resolution_y = self.size
        render.resolution_percentage = 100
        render.use_sequencer, render.use_compositing = True, False
        render.dither_intensity = 0.0
        self._scene.view_settings.view_transform = "Standard"
        raw_output(self._scene, self._target, alpha=False)

    def at(self, seconds: float) -> int:
        """The picture shown so long after the film's beginning; the last one stays."""
        return min(max(round(seconds * self.fps), 0), self.frames - 1)

    def picture(self, index: int) -> Array:
        """uint8 (h,w,3) sRGB of picture ``index``."""
        strip = self._strip
        if hasattr(strip, "content_start"):
            strip.content_start = self._scene.frame_current - index
        else:
            strip.frame_start = self._scene.frame_current - index
        self._made.render(self._scene)
        return np.asarray(read_raw(self._target))


def _newest(strip: Any, name: str, before: str) -> Any:
    """A property that was renamed in Blender 5.2, where the old name warns."""
    return getattr(strip, name if hasattr(strip, name) else before)


def _pictures(path: Path, still: bool) -> list[Path]:
    """The pictures that ``path`` stands for; none when it is a film."""
    if path.suffix.lower() not in PICTURES:
        return []
    return [path] if still else numbered(path)


def numbered(path: Path) -> list[Path]:
    """The picture and those that are counted on from it, in order; alone when its name has no number."""
    match = _NUMBERED.fullmatch(path.name)
    if match is None:
        return [path]
    head, digits, tail = match.groups()
    found, number = [], int(digits)
    while True:
        file = path.with_name(f"{head}{number:0{len(digits)}d}{tail}")
        if not file.is_file():
            return found
        found.append(file)
        number += 1
