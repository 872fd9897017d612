"""Sound files of every kind, made for the tests: clicks at known moments on a faint hiss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

Wave = NDArray[np.float32]


def clicks(moments: Sequence[float], seconds: float, rate: int) -> Wave:
    """(n,) a hiss at -60 dB with 2 ms of a 2 kHz tone at each moment; its first sample is its loudest."""
    wave = np.random.default_rng(0).normal(0, 1e-3, round(rate * seconds)).astype(np.float32)
    tone = 0.8 * np.cos(np.arange(round(rate * 0.002)) * (2 * np.pi * 2000 / rate))
    for moment in moments:
        first = round(moment * rate)
        wave[first : first + len(tone)] = tone[: max(0, len(wave) - first)]
    return wave


def onsets(wave: Wave, rate: int = 16000) -> list[float]:
    """Seconds at which something loud begins after 0.1 s without."""
    loud = np.flatnonzero(np.abs(wave) > 0.25)
    return [float(at / rate) for k, at in enumerate(loud) if k == 0 or at - loud[k - 1] > rate * 0.1]


def write_sound(path: Path, planes: Wave, rate: int, codec: str, layout: str = "mono") -> Path:
    """``planes`` (channels, n) or (n,) float32 -> a file of ``codec``; the container follows from the suffix."""
    layers = np.atleast_2d(planes)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(layers), format="fltp", layout=layout)
        frame.sample_rate, frame.pts = rate, 0
        for piece in av.AudioResampler(format=stream.format, layout=layout, rate=rate).resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return path
