"""Frames of a film or of numbered pictures, one after the other, upright, at a steady rate, in bounded memory."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from wan_models.engine import RequestRefused

from .estimator import Image

_LOG = logging.getLogger(__name__)

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
STILL_FPS = 24.0
MAX_FPS = 240.0
_ALONE = {"protocol_whitelist": "file"}  # a playlist posing as a film opens nothing from the network


@dataclass(frozen=True)
class Footage:
    """What is known before anything is decoded. ``count`` is what the file says, 0 = nothing."""

    path: Path
    fps: float
    count: int
    pictures: tuple[Path, ...] = ()


def open_footage(path: Path, fps: float | None = None) -> Footage:
    """Look at a film, a picture, or a folder of pictures. ``fps``: the rate to read it at (None = its own).

    Raises RequestRefused: not there, not readable, no picture track, no such rate.
    """
    if fps is not None and not 0 < fps <= MAX_FPS:
        problem = f"{fps:g} frames a second were asked for: more than 0 and at most {MAX_FPS:g} are possible"
        raise RequestRefused(problem)
    if path.is_dir() or path.suffix.lower() in PICTURES:
        return _stills(path, fps)
    with closing(_opened(path)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or stream.base_rate or 0) or STILL_FPS
        seconds = float(stream.duration * stream.time_base) if stream.duration else (container.duration or 0) / 1e6
        count = round(seconds * (fps or rate)) if fps or not stream.frames else stream.frames
        return Footage(path, fps or min(rate, MAX_FPS), max(0, count))


def _stills(path: Path, fps: float | None) -> Footage:
    try:
        found = [path] if path.is_file() else [each for each in path.iterdir() if each.suffix.lower() in PICTURES]
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror or error}"
        raise RequestRefused(problem) from error
    if not found:
        problem = f"{path} has no pictures ({', '.join(PICTURES)}): give a film, a picture, or a folder of pictures"
        raise RequestRefused(problem)
    found.sort(key=lambda each: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", each.name)])
    return Footage(path, fps or STILL_FPS, len(found), tuple(found))


def _opened(path: Path) -> Any:  # noqa: ANN401 - av has no types
    try:
        container = av.open(str(path), options=_ALONE)
    except (av.FFmpegError, OSError) as error:
        reason = "there is no such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", error)
        problem = f"{path.name} cannot be read as a film ({reason}): give a film, a picture, or a folder of pictures"
        raise RequestRefused(problem) from error
    if not container.streams.video:
        container.close()
        problem = f"{path.name} has no picture track: give a film, a picture, or a folder of pictures"
        raise RequestRefused(problem)
    return container


def frames(footage: Footage) -> Iterator[Image]:
    """Upright sRGB frames uint8 (h,w,3), all of one size; frame i is the one shown at i / fps.

    Raises RequestRefused for pictures that are damaged or of several sizes. A film that breaks off ends there.
    """
    size: tuple[int, ...] | None = None
    for image in _pictures(footage.pictures) if footage.pictures else _film(footage):
        size = size or image.shape
        if image.shape != size:
            problem = (
                f"{footage.path.name} has pictures of {size[1]}x{size[0]} and {image.shape[1]}x{image.shape[0]}: "
                "one clip has one size"
            )
            raise RequestRefused(problem)
        yield image


def _pictures(paths: tuple[Path, ...]) -> Iterator[Image]:
    for path in paths:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
        if found is None:
            problem = f"{path.name} is no picture that can be read: save it again as PNG or JPEG"
            raise RequestRefused(problem)
        yield np.asarray(cv2.cvtColor(found, cv2.COLOR_BGR2RGB), np.uint8)


def _film(footage: Footage) -> Iterator[Image]:
    """The frame that is shown at each time of the grid i / fps, counted from the first frame."""
    early = 0.25 / footage.fps  # containers round their timestamps
    due, shown, first, time = 0, None, 0.0, 0.0
    with closing(_opened(footage.path)) as container:
        try:
            for frame in container.decode(video=0):
                time = due / footage.fps if frame.time is None else frame.time - first
                if shown is None:
                    first, time = first + time, 0.0
                while shown is not None and due / footage.fps < time - early:
                    yield _upright(shown)
                    due += 1
                shown = frame
        except av.FFmpegError as error:
            _LOG.warning("%s breaks off after %d frames: %s", footage.path.name, due, error)
    if shown is None:
        problem = f"{footage.path.name} is damaged: no frame of it can be decoded"
        raise RequestRefused(problem)
    if due / footage.fps <= time + early:
        yield _upright(shown)


def _upright(frame: Any) -> Image:  # noqa: ANN401
    image = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image
