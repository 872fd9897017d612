"""Writes takes as MP4 files that every player opens."""

from __future__ import annotations

import os
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

import av
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

BT709 = 1  # H.273's number for primaries, transfer and matrix alike


class NoFrames(ValueError):
    """There was nothing to write."""


def write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float) -> int:
    """Write uint8 sRGB frames (h,w,3), all of one size, and return their number.

    H.264 at crf 18 where the FFmpeg build has libx264, else MPEG-4 part 2; yuv420p, BT.709, index at the front.
    Odd sizes lose their last row or column (yuv420p has none). The file appears only when it is whole.
    Raises NoFrames for no frames, ValueError for fps that is not positive or frames of another shape.
    """
    if not fps > 0:
        msg = f"The frame rate must be above 0, not {fps}."
        raise ValueError(msg)
    stream_of = iter(frames)
    first = next(stream_of, None)
    if first is None:
        msg = f"There are no frames to write to {path.name}."
        raise NoFrames(msg)
    part = path.with_name(path.name + ".part")
    try:
        count = _encode(part, chain([first], stream_of), first.shape, fps)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _encode(path: Path, frames: Iterable[NDArray[np.uint8]], shape: tuple[int, ...], fps: float) -> int:
    if len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < 2:
        msg = f"A frame must be (height, width, 3) of at least 2 x 2 pixels, not {shape}."
        raise ValueError(msg)
    count = 0
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = _stream(container, shape[1] // 2 * 2, shape[0] // 2 * 2, fps)
        for count, frame in enumerate(frames, 1):
            if frame.shape != shape or frame.dtype != np.uint8:
                msg = f"Frame {count - 1} is {frame.dtype} {frame.shape}, but the first one is uint8 {shape}."
                raise ValueError(msg)
            even = np.ascontiguousarray(frame[: stream.height, : stream.width])
            picture = av.VideoFrame.from_ndarray(even, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
            picture.colorspace = picture.color_primaries = picture.color_trc = BT709
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return count


def _stream(container: Any, width: int, height: int, fps: float) -> Any:  # noqa: ANN401 - PyAV's classes differ by codec
    modern = "libx264" in av.codecs_available
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream("libx264" if modern else "mpeg4", rate=rate)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.options = {"crf": "18", "preset": "medium"} if modern else {"qscale": "3"}
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = BT709
    return stream
