"""What a mouth does while a sound is heard: how far it opens, how wide it is drawn, where the syllables begin.

Frame k hears what sounds round about k / fps. The vowels' energy (250 to 3500 Hz) opens the jaw, so that hisses and the
hum of closed lips (m, n) keep it nearly shut; where their energy lies, low or high, tells a round mouth (o, u) from a
wide one (i, e): the second formant rises with the front of the tongue (Peterson and Barney, 1952).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

Floats = NDArray[np.float32]

RATE = 16000
HOP = 80  # 5 ms
_WINDOW, _FFT = 400, 512  # 25 ms, as speech recognisers take it
_STEP_S = HOP / RATE
_VOICE, _ROUND, _WIDE, _HISS = (250, 3500), (300, 1000), (1500, 3300), (4200, 7900)
_ATTACK_S, _RELEASE_S = 0.010, 0.020
_RANGE_DB = 30.0  # from a closed mouth to a wide open one
_QUIET_DB = -60.0  # of full scale: below it nobody speaks
_OVER_NOISE_DB = 8.0
_CHUNK = 2000  # windows transformed at a time: memory stays bounded for a long sound


@dataclass(frozen=True)
class Speech:
    """One value a frame, float32 (frames,): ``jaw`` 0..1, ``wide`` -1 (round)..1, ``hiss`` 0..1, ``energy`` 0..1 (the
    loudness of the phrase, slow), ``voice`` 0..1 (somebody speaks). ``beats``: seconds and strength (n,2) of syllables.
    """

    jaw: Floats
    wide: Floats
    hiss: Floats
    energy: Floats
    voice: Floats
    beats: Floats


def listen(wave: Floats, fps: float, frames: int) -> Speech:
    """Speech of ``wave`` (n,) at ``RATE``, whose first sample belongs to frame 0. Behind its end there is silence."""
    steps = int(np.ceil((frames + 1) / fps / _STEP_S)) + 1
    bands = _bands(wave, steps)
    level = _decibels(bands[0])
    jaw = _opening(level)
    voiced = jaw > 0.1
    hiss = _hiss(bands, voiced)
    wide = gaussian_filter1d(_wideness(bands, voiced) * np.minimum(jaw * 3, 1), 0.020 / _STEP_S)
    shaped = _follow(jaw * (1 - 0.55 * hiss), min(_RELEASE_S, 0.5 / fps))
    voice = np.minimum(gaussian_filter1d(maximum_filter1d(jaw, round(0.3 / _STEP_S)), 0.06 / _STEP_S) * 2, 1)
    energy = gaussian_filter1d(jaw, 0.15 / _STEP_S)
    return Speech(
        _gate(_at_frames(shaped, fps, frames)),
        _at_frames(wide, fps, frames),
        _at_frames(hiss, fps, frames),
        _at_frames(energy, fps, frames),
        _at_frames(voice, fps, frames),
        _beats(level, jaw),
    )


def _bands(wave: Floats, steps: int) -> Floats:
    """(4, steps): energy of the four bands in windows whose centres are 5 ms apart, the first at time 0."""
    half = _WINDOW // 2
    need = (steps - 1) * HOP + _WINDOW
    padded = np.zeros(need, np.float32)
    part = wave[: need - half]
    padded[half : half + len(part)] = part
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::HOP]
    hann = np.hanning(_WINDOW).astype(np.float32)
    bins = np.fft.rfftfreq(_FFT, 1 / RATE)
    masks = [(bins >= low) & (bins < high) for low, high in (_VOICE, _ROUND, _WIDE, _HISS)]
    found = np.empty((4, steps), np.float32)
    for start in range(0, steps, _CHUNK):
        power = np.abs(np.fft.rfft(windows[start : start + _CHUNK] * hann, _FFT)) ** 2
        for row, mask in enumerate(masks):
            found[row, start : start + _CHUNK] = power[:, mask].sum(axis=1)
    return found


def _decibels(energy: Floats) -> Floats:
    full = float(np.square(np.hanning(_WINDOW)).sum()) * _FFT / 4  # a sine of full scale
    return np.asarray(10 * np.log10(energy / full + 1e-12), np.float32)


def _opening(level: Floats) -> Floats:
    """0..1: from the noise of the room to the loud vowels of this very sound."""
    heard = level[level > _QUIET_DB]
    if not heard.size:
        return np.zeros_like(level)
    top = float(np.percentile(heard, 92))
    noise = float(np.percentile(level, 8))
    floor = max(top - _RANGE_DB, _QUIET_DB)
    if noise + _OVER_NOISE_DB < top - 10:  # else it never falls silent: a held note, no room noise
        floor = max(floor, noise + _OVER_NOISE_DB)
    floor = min(floor, top - 6)
    return np.asarray(np.clip((level - floor) / (top - floor), 0, 1) ** 1.5, np.float32)


def _hiss(bands: Floats, voiced: NDArray[np.bool_]) -> Floats:
    """0..1: s, sh, f, t: more above 4 kHz than in the vowels' band, and loud enough to be speech."""
    share = bands[3] / (bands[0] + bands[3] + 1e-9)
    loud = bands[3] > 0.02 * np.percentile(bands[0][voiced], 50) if voiced.any() else np.zeros(len(share), bool)
    return gaussian_filter1d(np.where(loud, np.clip((share - 0.4) / 0.4, 0, 1), 0), 0.010 / _STEP_S).astype(np.float32)


def _wideness(bands: Floats, voiced: NDArray[np.bool_]) -> Floats:
    """-1..1 against this speaker's own middle, so that microphones and voices do not matter."""
    tilt = np.log10((bands[2] + 1e-9) / (bands[1] + 1e-9))
    if not voiced.any():
        return np.zeros_like(tilt)
    low, middle, high = np.percentile(tilt[voiced], [15, 50, 85])
    spread = np.maximum(np.where(tilt > middle, high - middle, middle - low), 0.25)
    return np.where(voiced, np.tanh((tilt - middle) / spread), 0).astype(np.float32)


def _follow(value: Floats, release: float) -> Floats:
    """Rises within ``_ATTACK_S``, falls within ``release`` seconds, moved forward by what that delays."""
    up, down = (float(1 - np.exp(-_STEP_S / each)) for each in (_ATTACK_S, release))
    found, now = np.empty_like(value), 0.0
    for index, wanted in enumerate(value.tolist()):
        now += (wanted - now) * (up if wanted > now else down)
        found[index] = now
    ahead = round((_ATTACK_S + release) / 3 / _STEP_S)  # by the peaks of clicks, bursts and vowels
    return np.concatenate([found[ahead:], np.full(ahead, found[-1], found.dtype)])


def _gate(value: Floats) -> Floats:
    """What is left of a release is a closed mouth."""
    return np.asarray(np.maximum(value - 0.06, 0) / 0.94, np.float32)


def _at_frames(value: Floats, fps: float, frames: int) -> Floats:
    """(frames,): the mean over the frame's duration round about k / fps."""
    total = np.concatenate([[0.0], np.cumsum(value, dtype=np.float64)])
    edges = ((np.arange(frames + 1) - 0.5) / fps) / _STEP_S + 0.5  # a value covers half a step before and after it
    edges = np.clip(edges, 0, len(value))
    sums = np.diff(np.interp(edges, np.arange(len(total)), total))
    return np.asarray(sums / np.maximum(np.diff(edges), 1e-6), np.float32)


def _beats(level: Floats, jaw: Floats) -> Floats:
    """Where syllables begin: the steepest rises of loudness, at least 0.18 s apart; strength is how loud it gets."""
    smooth = gaussian_filter1d(np.maximum(level, _QUIET_DB), 0.020 / _STEP_S)
    rise = np.gradient(smooth) / _STEP_S  # decibels a second
    apart = round(0.18 / _STEP_S)
    after = maximum_filter1d(jaw, apart, origin=-(apart // 2))
    peak = (rise == maximum_filter1d(rise, 2 * apart + 1)) & (rise > 80) & (after > 0.25)
    at = np.flatnonzero(peak)
    return np.stack([at * _STEP_S, after[at]], axis=1).astype(np.float32)
