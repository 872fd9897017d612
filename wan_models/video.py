"""Writes takes as MP4 files that every player opens."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import chain
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from .sound import stream_sound

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from .requests import Sound

BT709 = 1  # H.273's number for primaries, transfer and matrix alike
SOUND_RATE, SOUND_BITS = 48000, 192_000  # what every player takes; the official code writes AAC at 192 kbit/s


class NoFrames(ValueError):
    """There was nothing to write."""


def write_mp4(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float, sound: Sound | None = None) -> int:
    """Write uint8 sRGB frames (h,w,3), all of one size, and return their number.

    H.264 at crf 18 where the FFmpeg build has libx264, else MPEG-4 part 2; yuv420p, BT.709, index at the front.
    Odd sizes lose their last row or column (yuv420p has none). The file appears only when it is whole.
    ``sound``: from its start on, with frame 0; AAC at 48 kHz, mono or stereo as the file is, exactly as long as the
    pictures: cut where they end, silent where it ends sooner.
    Raises NoFrames for no frames, ValueError for fps that is not positive or frames of another shape, RequestRefused
    for a sound that cannot be read (see ``wan_models.sound``).
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
        count = _encode(part, chain([first], stream_of), first.shape, fps, sound)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _encode(
    path: Path, frames: Iterable[NDArray[np.uint8]], shape: tuple[int, ...], fps: float, sound: Sound | None
) -> int:
    if len(shape) != 3 or shape[2] != 3 or min(shape[:2]) < 2:
        msg = f"A frame must be (height, width, 3) of at least 2 x 2 pixels, not {shape}."
        raise ValueError(msg)
    count = 0
    with ExitStack() as stack:
        container = stack.enter_context(av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}))
        stream = _stream(container, shape[1] // 2 * 2, shape[0] // 2 * 2, fps)
        track = stack.enter_context(closing(_Track(container, sound))) if sound is not None else None
        for count, frame in enumerate(frames, 1):
            if frame.shape != shape or frame.dtype != np.uint8:
                msg = f"Frame {count - 1} is {frame.dtype} {frame.shape}, but the first one is uint8 {shape}."
                raise ValueError(msg)
            container.mux(stream.encode(_picture(frame[: stream.height, : stream.width])))
            if track:
                track.write_until(round(count * SOUND_RATE / stream.codec_context.framerate))
        container.mux(stream.encode(None))
        if track:
            track.finish()
    return count


def _picture(pixels: NDArray[np.uint8]) -> av.VideoFrame:
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
    picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709")
    picture.colorspace = picture.color_primaries = picture.color_trc = BT709
    return picture


class _Track:
    """A film's sound, read and encoded as far as its pictures are; its first sample is heard with frame 0."""

    def __init__(self, container: Any, sound: Sound) -> None:  # noqa: ANN401 - as for _stream
        self._container = container
        self._pieces = stream_sound(sound, SOUND_RATE)
        self._ready = next(self._pieces)  # (channels, n): read, but not written yet
        self._layout = ("mono", "stereo")[len(self._ready) - 1]
        self._stream = container.add_stream("aac", rate=SOUND_RATE, layout=self._layout)
        self._stream.bit_rate = SOUND_BITS
        self._written = 0

    def write_until(self, sample: int) -> None:
        """Write as far as this sample; silence behind the sound's end."""
        while self._written < sample:
            wanted = sample - self._written
            if not self._ready.shape[1]:
                self._ready = next(self._pieces, np.zeros((len(self._ready), wanted), np.float32))
                continue
            taken, self._ready = self._ready[:, :wanted], self._ready[:, wanted:]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(taken), format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._written, Fraction(1, SOUND_RATE)
            self._container.mux(self._stream.encode(frame))
            self._written += taken.shape[1]

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._container.mux(self._stream.encode(None))

    def close(self) -> None:
        """Close the sound's file."""
        self._pieces.close()


def _stream(container: Any, width: int, height: int, fps: float) -> Any:  # noqa: ANN401 - PyAV's classes differ by codec
    modern = "libx264" in av.codecs_available
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream("libx264" if modern else "mpeg4", rate=rate)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.options = {"crf": "18", "preset": "medium"} if modern else {"qscale": "3"}
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = BT709
    return stream
