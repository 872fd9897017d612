"""Smoothing: One-Euro while frames come, zero-phase Butterworth when all are there, and bridging of gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Smoothing:
    """``cutoff`` Hz of the body (0 = none), ``depth`` Hz of its distance from the camera, which is much noisier
    and sways with the steps (feet that stand correct it afterwards).

    6 Hz keeps walking and running (Winter, chapter 3: residual analysis of marker data gives 4 to 6 Hz).
    """

    cutoff: float = 6.0
    depth: float = 0.7
    order: int = 2


def zero_phase(values: F64, fps: float, cutoff: float, order: int = 2) -> F64:
    """Values (T,...) without what is faster than ``cutoff`` Hz and without delay: a Butterworth filter there and back.

    The filter's own cut-off is raised so that both passes together have -3 dB at ``cutoff`` (Winter, equation 3.8).
    Unchanged where the clip is shorter than 4 frames, and where the cut-off is 0 or beyond half the frame rate.
    """
    corrected = cutoff / (2.0 ** (1 / 2) - 1) ** (1 / (2 * order))
    if cutoff <= 0 or corrected >= 0.49 * fps or len(values) < 4:
        return values
    sections = butter(order, corrected, fs=fps, output="sos")
    padding = min(len(values) - 1, round(3 * fps / cutoff))
    return np.asarray(sosfiltfilt(sections, values, axis=0, padlen=padding))


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012) for arrays of any shape, one sample after the other.

    ``min_cutoff`` Hz at rest; ``beta`` is how many Hz more a speed of 1 unit a second gives.
    """

    def __init__(self, min_cutoff: float = 1.0, beta: float = 4.0, speed_cutoff: float = 1.0) -> None:
        self._least, self._beta, self._speed_cutoff = min_cutoff, beta, speed_cutoff
        self._value: F64 | None = None
        self._speed: F64 | None = None
        self._time = 0.0

    def __call__(self, value: F64, time_s: float) -> F64:
        """The smoothed sample. Where ``value`` is NaN the last one is repeated."""
        if self._value is None or self._speed is None:
            self._value, self._speed, self._time = np.array(value), np.zeros_like(value), time_s
            return self._value
        step = max(time_s - self._time, 1e-6)
        known = np.isfinite(value)
        before = np.where(np.isfinite(self._value), self._value, value)
        now = np.where(known, value, before)
        self._speed = _blend(self._speed, (now - before) / step, self._speed_cutoff, step)
        cutoff = self._least + self._beta * np.abs(self._speed)
        self._value, self._time = _blend(before, now, cutoff, step), time_s
        return self._value


def _blend(old: F64, new: F64, cutoff: F64 | float, step: float) -> F64:
    part = 1.0 / (1.0 + 1.0 / (2 * np.pi * cutoff * step))
    return np.asarray(old + part * (new - old))


def one_euro(values: F64, fps: float, min_cutoff: float = 1.0, beta: float = 4.0) -> F64:
    """The One-Euro filter over values (T,...) that are all there."""
    smooth = OneEuro(min_cutoff, beta)
    return np.array([smooth(each, index / fps) for index, each in enumerate(values)])


def bridge(values: F64, longest: int) -> tuple[F64, NDArray[np.bool_]]:
    """Values (T,...) without gaps (frames with a NaN), and (T,) where a gap of at most ``longest`` frames was bridged.

    Longer gaps are bridged too, so that what follows has numbers, but are not marked: nothing is known there. Before
    the first and behind the last known frame the nearest is repeated.
    """
    frames = np.arange(len(values))
    known = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if known.all() or not known.any():
        return values, np.zeros(len(values), bool)
    flat, places = values.reshape(len(values), -1), frames[known]
    filled = np.stack([np.interp(frames, places, column) for column in flat[known].T], axis=1)
    after = np.searchsorted(places, frames)
    inside = ~known & (after > 0) & (after < len(places))
    gap = places[np.clip(after, 0, len(places) - 1)] - places[np.clip(after - 1, 0, len(places) - 1)] - 1
    return filled.reshape(values.shape), inside & (gap <= longest)
