"""Reads sound of any format that FFmpeg knows, from a moment on, as one channel at one rate. No torch.

Time 0 is the file's own beginning: what an encoder puts before it (MP3 and AAC priming) is not counted where the file
says how much that is (a bare .aac stream cannot), and where a film's sound begins after its picture there is silence.
Frames are decoded one by one: memory is bounded by the result.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from .engine import RequestRefused
from .requests import Sound

Wave = NDArray[np.float32]

SHORTEST_S = 0.1
SILENCE = 10 ** (-66 / 20)
"""Peak of full scale below which nothing is heard: two steps of a 12-bit recording, far under any room."""
_PREROLL_S = 0.5  # decoders need what came before: MP3's bit reservoir, AAC's and Opus's overlap (80 ms, RFC 7845)
_GAP_S = 0.1  # timestamps this far off the count of samples mean that something is missing; less is rounding
_LONGEST_GAP_S = 3600.0  # a timestamp further off than this is a damaged one
_RATES = (1000, 768000)
_PIECE = 1 << 16
_GAPLESS = {"wav", "flac", "mp3", "ogg", "aac"}  # formats of sound alone; a film's sound may well pause
_ALONE = {"protocol_whitelist": "none"}  # a playlist posing as a sound opens nothing else
_LEFT, _RIGHT = {"FL", "FLC", "SL", "BL", "WL", "DL"}, {"FR", "FRC", "SR", "BR", "WR", "DR"}
_WEIGHTS = {"FC": 1.0, "FL": 0.7071, "FR": 0.7071, "FLC": 0.7071, "FRC": 0.7071, "LFE": 0.0, "LFE2": 0.0}
_SURROUND = 0.5  # ITU-R BS.775 gives surrounds 3 dB less than the front; of more than two channels dialogue is in FC


def read_wave(sound: Sound, *, seconds: float | None = None, rate: int = 16000) -> Wave:
    """(n,) float32 mono at ``rate`` Hz, -1..1, from ``sound.start`` on; n = seconds * rate, less where the file ends.

    ``seconds`` None: to the end. Raises RequestRefused for a file that cannot be read, that has no audio track or is
    damaged inside what is asked for, and for a start behind its end.
    """
    parts = list(_first(sound, seconds, rate))
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def check_sound(sound: Sound, seconds: float) -> None:
    """Raise RequestRefused, one sentence, where ``seconds`` of the sound from its start on cannot drive a shot.

    That is: unreadable, no audio track, damaged inside the span, starting behind its end, less than 0.1 s, or nothing
    but silence. Decodes the span once and keeps none of it.
    """
    peak, count, rate = 0.0, 0, 16000
    for part in _first(sound, max(seconds, SHORTEST_S), rate):
        peak = max(peak, float(np.abs(part).max(initial=0.0)))
        count += len(part)
    heard = count / rate
    if heard < SHORTEST_S:
        problem = (
            f"{sound.name} has only {heard:.3f} s of sound from {sound.start:g} s on; it takes {SHORTEST_S} s or more"
        )
        raise RequestRefused(problem)
    if peak < SILENCE:
        problem = (
            f"{sound.name} is silent from {sound.start:g} s to {sound.start + heard:g} s; choose a sound, or a part "
            "of it, in which something is heard"
        )
        raise RequestRefused(problem)


def stream_sound(sound: Sound, rate: int, channels: int | None = None) -> Generator[Wave, None, None]:
    """The sound from its start to the file's end in pieces float32 (channels, n) at ``rate`` Hz, one or more of them.

    ``channels``: 1 or 2; None = 1 where the file has one, else 2. Raises as ``read_wave`` does, and opens the file with
    the first piece; close the generator when you need no more.
    """
    anything = False
    with _opened(sound) as (container, stream):
        for piece in _at_rate(_from_start(container, stream, sound, channels), stream.rate, rate):
            anything = True
            yield piece
        if not anything:
            long = _length(container, stream)
            problem = f"{sound.name} has nothing from {sound.start:g} s on, so it is damaged; use another copy"
            if long <= sound.start:
                said = f"is {long:.2f} s long" if long else "has no sound there"
                problem = f"{sound.name} {said}, so it cannot start at {sound.start:g} s; choose an earlier start"
            raise RequestRefused(problem)


def envelope(wave: Wave, rate: int, fps: float, frames: int) -> NDArray[np.float32]:
    """(frames,) float32 0..1: how loud the sound is while each frame is shown, by the span's own loudest moments.

    Frame k is shown from k / fps to (k + 1) / fps. RMS to the power 0.6, which is Stevens' law for loudness (10 dB more
    sound twice as loud); 1 is the 95th percentile of the frames that are heard at all. Behind the wave's end, and where
    everything is below ``SILENCE``, it is 0.
    """
    edges = np.round(np.arange(frames + 1) * (rate / fps)).astype(np.int64)
    edges = np.minimum(edges, len(wave))
    power = np.concatenate([[0.0], np.cumsum(np.square(wave[: edges[-1]], dtype=np.float64))])
    sizes = np.maximum(np.diff(edges), 1)
    level = np.sqrt(np.maximum(np.diff(power[edges]), 0.0) / sizes)
    heard = level[level > SILENCE / 2]
    if not heard.size:
        return np.zeros(frames, np.float32)
    loud: Wave = np.clip((level / np.percentile(heard, 95)) ** 0.6, 0.0, 1.0).astype(np.float32)
    return loud


def _first(sound: Sound, seconds: float | None, rate: int) -> Iterator[Wave]:
    """Mono pieces (n,), no more of them than ``seconds``."""
    left = None if seconds is None else round(seconds * rate)
    with closing(stream_sound(sound, rate, 1)) as pieces:
        for piece in pieces:
            yield piece[0, :left]
            if left is not None:
                left -= piece[0, :left].size
                if left <= 0:
                    return


@contextmanager
def _opened(sound: Sound) -> Iterator[tuple[Any, Any]]:
    """The container and its audio stream; every error of FFmpeg inside is a refusal."""
    try:
        with sound.file.open("rb") as file, av.open(file, options=_ALONE, metadata_errors="replace") as container:
            stream = next(iter(container.streams.audio), None)
            if stream is None or stream.codec_context is None or not stream.rate:  # none, or of an unknown codec
                problem = f"{sound.name} has no audio track that can be read; choose a sound file, or a film with sound"
                raise RequestRefused(problem)
            if not _RATES[0] <= stream.rate <= _RATES[1]:
                problem = (
                    f"{sound.name} says that it has {stream.rate} samples a second, so it is damaged; use another copy"
                )
                raise RequestRefused(problem)
            yield container, stream
    except (av.error.FFmpegError, OSError) as error:
        reason = error.strerror or "unknown format"
        problem = f"{sound.name} cannot be read as sound ({reason}); use a wav, flac, mp3, ogg or m4a file"
        raise RequestRefused(problem) from error


def _length(container: Any, stream: Any) -> float:  # noqa: ANN401 - PyAV has no types
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration or 0) / av.time_base


def _from_start(container: Any, stream: Any, sound: Sound, channels: int | None) -> Iterator[Wave]:  # noqa: ANN401
    """Pieces (channels, n) at the file's own rate, without gaps, the first sample being the one at ``sound.start``."""
    rate = stream.rate
    begin = Fraction(container.start_time or 0, av.time_base) + Fraction(sound.start)
    place: int | None = None  # of the next sample, counted from the start; below 0: before it
    for frame in _frames(container, stream, sound, begin):
        channels = channels or min(len(frame.layout.channels), 2)
        wave = _mixed(frame, channels)
        if frame.sample_rate != rate:  # a stream may change its rate on the way
            wave = np.concatenate([*_at_rate(iter([wave]), frame.sample_rate, rate), wave[:, :0]], axis=1)
        if frame.pts is not None:
            told = round((frame.pts * frame.time_base - begin) * rate)
        else:
            told = round(-begin * rate) if place is None else place
        first, place = place is None, min(told, 0) if place is None else place
        missing = told - place
        if missing > (0 if first else _GAP_S * rate):
            damage = not first and container.format.name in _GAPLESS
            if damage or missing > _LONGEST_GAP_S * rate:
                raise _damaged(sound, sound.start + place / rate)
            yield from _silence(told - max(place, 0), channels)
            place = told
        elif missing < -_GAP_S * rate:
            wave = wave[:, -missing:]
        if place + wave.shape[1] > 0:
            yield wave[:, max(-place, 0) :]
        place += wave.shape[1]


def _frames(container: Any, stream: Any, sound: Sound, begin: Fraction) -> Iterator[Any]:  # noqa: ANN401
    """Decoded frames from a little before ``begin`` (seconds by the file's clock) on. Refuses damage behind it."""
    near = begin - Fraction(_PREROLL_S)
    if sound.start > _PREROLL_S and _seek(container, stream, near):
        first = next((packet for packet in container.demux(stream) if packet.pts is not None), None)
        landed = first is not None and first.pts * first.time_base <= begin
        _seek(container, stream, near if landed else Fraction(container.start_time or 0, av.time_base))
    until: Fraction | None = None  # where the last good frame ended
    try:
        for packet in container.demux(stream):
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                if until is None or until <= begin:
                    continue  # half a frame after a seek, or of a recording that begins in the middle
                raise
            for frame in frames:
                if frame.pts is not None:
                    until = frame.pts * frame.time_base + Fraction(frame.samples, frame.sample_rate)
                yield frame
    except av.error.FFmpegError as error:
        heard = sound.start if until is None else float(until - begin) + sound.start
        raise _damaged(sound, heard) from error


def _seek(container: Any, stream: Any, moment: Fraction) -> bool:  # noqa: ANN401
    try:
        container.seek(int(moment / stream.time_base), stream=stream)
    except av.error.FFmpegError:
        return False  # not a format that one can seek in: read from its beginning
    return True


def _damaged(sound: Sound, moment: float) -> RequestRefused:
    return RequestRefused(
        f"{sound.name} is damaged at {max(moment, 0.0):.2f} s; use another copy, or only the part before it"
    )


def _silence(samples: int, channels: int) -> Iterator[Wave]:
    for done in range(0, samples, _PIECE):
        yield np.zeros((channels, min(_PIECE, samples - done)), np.float32)


def _mixed(frame: Any, channels: int) -> Wave:  # noqa: ANN401
    """(channels, n) -1..1. Of more than two given channels the weighted mean that keeps dialogue in front."""
    raw = frame.to_ndarray()
    names = [channel.name for channel in frame.layout.channels]
    planes = raw if frame.format.is_planar else raw.reshape(-1, len(names)).T
    wave: Wave = planes.astype(np.float32)
    if raw.dtype.kind == "f":
        wave = np.nan_to_num(wave, posinf=0.0, neginf=0.0)
    if raw.dtype == np.uint8:
        wave = wave - 128
    if raw.dtype.kind in "iu":
        wave = wave / float(2 ** (8 * raw.dtype.itemsize - 1))
    if len(names) == channels:
        return wave
    if len(names) == 1:
        return np.repeat(wave, channels, axis=0)
    mixed: Wave = _matrix(names, channels) @ wave
    return mixed


def _matrix(names: list[str], channels: int) -> NDArray[np.float32]:
    """(channels, given): each row sums to 1, so nothing can clip."""
    weights = np.ones(len(names))
    if len(names) > 2:
        weights = np.array([_WEIGHTS.get(name, _SURROUND) for name in names])
    rows = [weights]
    if channels == 2:
        rows = [weights * [name not in other for name in names] for other in (_RIGHT, _LEFT)]
    return np.array([row / max(row.sum(), 1e-9) for row in rows], np.float32)


def _at_rate(pieces: Iterator[Wave], given: int, wanted: int) -> Iterator[Wave]:
    """The same sound at another rate, its first sample where it was (FFmpeg's resampler)."""
    if given == wanted:
        yield from pieces
        return
    resampler: Any = None
    for piece in pieces:
        layout = ("mono", "stereo")[len(piece) - 1]
        resampler = resampler or av.AudioResampler(format="fltp", layout=layout, rate=wanted)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(piece), format="fltp", layout=layout)
        frame.sample_rate = given
        for done in resampler.resample(frame):
            yield done.to_ndarray()
    for done in resampler.resample(None) if resampler else ():
        yield done.to_ndarray()
