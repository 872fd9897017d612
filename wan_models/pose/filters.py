"""Smoothing: One-Euro while frames come, zero-phase Butterworth when all are there, and bridging of gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solveh_banded
from scipy.ndimage import median_filter
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


_ROUNDS = 4
_BEYOND = 4.685  # of the usual deviation: Tukey's biweight, which keeps 95 % of a normal distribution's certainty
_AROUND_S = 0.5  # what is usual is told from so many seconds before and after


def weighted(values: F64, weights: F64, fps: float, cutoff: float) -> F64:
    """Values (T,N,C) as ``zero_phase`` of order 2 smooths them, where all ``weights`` (T,N) are 1. Those that weigh
    less count less, and the curve goes on through them from what is before and after.

    The least squares of weight * (values - curve)^2 and the curve's second difference (Whittaker 1923; Eilers,
    "A perfect smoother", 2003), whose response is 1 / (1 + penalty * (2 sin(pi f / fps))^4).
    """
    count = len(values)
    if not 0 < cutoff < 0.5 * fps or count < 4:
        return values
    penalty = (np.sqrt(2.0) - 1.0) / (2.0 * np.sin(np.pi * cutoff / fps)) ** 4
    bands = np.zeros((3, count))
    for offset, part in enumerate((1.0, -2.0, 1.0)):
        bands[2, offset : count - 2 + offset] += part * part
    bands[1, 1:-1] -= 2.0
    bands[1, 2:] -= 2.0
    bands[0, 2:] = 1.0
    found = np.empty_like(values)
    for each in range(values.shape[1]):
        matrix = penalty * bands
        weight = np.maximum(weights[:, each], 1e-4)
        matrix[2] += weight
        found[:, each] = solveh_banded(matrix, weight[:, None] * values[:, each])
    return found


def plausible(values: F64, weights: F64, fps: float, least: float) -> F64:
    """The weights (T,N) times what a point's place says against it: 0 for one that jumps away from where it was before
    and is again after, 1 for one on its path. ``least``: deviations as small as this are never odd.
    """
    cutoff = min(4.0, 0.2 * fps)
    window = (2 * max(1, round(_AROUND_S * fps)) + 1, 1)
    trust = np.ones(weights.shape)
    # What jumps may be seen more surely than what is hidden around it: it shall not outweigh that.
    even = np.minimum(weights, median_filter(weights, window, mode="nearest"))
    for _ in range(_ROUNDS):
        away = np.linalg.norm(values - weighted(values, even * trust, fps, cutoff), axis=-1)
        usual = np.maximum(1.4826 * median_filter(away, window, mode="nearest"), least)
        trust = np.clip(1.0 - (away / (_BEYOND * usual)) ** 2, 0.0, 1.0) ** 2
    return np.asarray(weights * trust)


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
