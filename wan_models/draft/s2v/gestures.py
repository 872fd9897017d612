"""What a person does while talking, a number a frame: mouth, head, brows, lids, breath; the same for the same seed.

Heads and brows move with the stressed syllables and a little by themselves (Graf et al., "Visual Prosody: Facial
Movements Accompanying Speech", 2002); lids close every few seconds, most often where something is stressed.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from .speech import Floats, Speech

Doubles = NDArray[np.float64]

_SETTLE_S = 0.6  # how long a shot that begins with the reference takes to leave its pose
_BLINK_S = (0.06, 0.05, 0.12)  # closing, closed, opening
_BLINK_EVERY_S = (2.2, 5.2)
_BREATH_S = 3.7
_NOD_APART_S, _BROW_APART_S = 0.42, 1.3


@dataclass(frozen=True)
class Gestures:
    """Each float32 (frames,). ``jaw`` 0..1 of the widest; ``wide`` -1..1; ``aside``, ``lower``, ``sway``, ``breath`` in
    shares of the face's height; ``roll``, ``turn``, ``nod`` radians; ``brows``, ``blink``, ``voice`` 0..1."""

    jaw: Floats
    wide: Floats
    aside: Floats
    lower: Floats
    roll: Floats
    turn: Floats
    nod: Floats
    sway: Floats
    breath: Floats
    brows: Floats
    blink: Floats
    voice: Floats


def perform(speech: Speech, fps: float, seed: int, *, from_rest: bool) -> Gestures:
    """The gestures for ``speech``; ``from_rest``: frame 0 is all zeros, and the head leaves that pose gently."""
    count = len(speech.jaw)
    t = np.arange(count) / fps
    chance = np.random.default_rng(seed)
    alive = 0.55 + 0.45 * speech.voice
    nods = _pulses(t, _stressed(speech.beats, _NOD_APART_S), chance, 0.05, (0.09, 0.17))
    brows = _pulses(t, _stressed(speech.beats, _BROW_APART_S), chance, 0.0, (0.10, 0.20))
    lively = speech.energy - np.float32(speech.energy.mean())
    drift = {name: _drift(t, chance) for name in ("turn", "roll", "nod", "aside", "sway")}
    made = Gestures(
        jaw=np.maximum(speech.jaw, 0.10 * speech.hiss),
        wide=np.clip(0.9 * speech.wide + 0.5 * speech.hiss, -1, 1),
        aside=_f32(0.020 * drift["aside"] * alive),
        lower=_f32(0.030 * nods - 0.028 * lively),
        roll=_f32(np.radians(2.0 * drift["roll"] * alive + 1.6 * lively * np.sign(drift["roll"][0]))),
        turn=_f32(np.radians(5.2 * drift["turn"] * alive)),
        nod=_f32(np.radians(1.8 * drift["nod"] + 5.5 * nods - 2.6 * lively)),
        sway=_f32(0.018 * drift["sway"]),
        breath=_f32(0.011 * np.sin(2 * np.pi * (t / _BREATH_S + chance.random())) + 0.016 * lively - 0.007 * nods),
        brows=_f32(np.clip(brows, 0, 1)),
        blink=_blinks(t, speech.beats, chance),
        voice=speech.voice,
    )
    return _settled(made, t) if from_rest else made


def _settled(made: Gestures, t: Doubles) -> Gestures:
    still = np.exp(-t / _SETTLE_S)
    changed: dict[str, Floats] = {}
    for field in fields(made):
        track = getattr(made, field.name)
        if field.name in ("jaw", "wide", "blink", "voice"):
            track = track.copy()
            track[0] = 0
        else:
            track = _f32(track - track[0] * still)
        changed[field.name] = track
    return replace(made, **changed)


def _drift(t: Doubles, chance: np.random.Generator) -> Doubles:
    """About -1..1, slow and never quite the same: four sines of 0.07 to 0.6 Hz."""
    value = np.zeros(len(t))
    for slow, size in ((0.09, 0.45), (0.19, 0.35), (0.33, 0.25), (0.55, 0.12)):
        speed = slow * chance.uniform(0.8, 1.2)
        value += size * np.sin(2 * np.pi * (speed * t + chance.random()))
    return value


def _stressed(beats: Floats, apart: float) -> list[tuple[float, float]]:
    """The strongest syllables that are at least ``apart`` seconds from each other, in order."""
    chosen: list[tuple[float, float]] = []
    for at, strength in sorted(beats.tolist(), key=lambda beat: (-beat[1], beat[0])):
        if all(abs(at - other) >= apart for other, _ in chosen):
            chosen.append((at, strength))
    return sorted(chosen)


def _pulses(
    t: Doubles, beats: list[tuple[float, float]], chance: np.random.Generator, late: float, slopes: tuple[float, float]
) -> Doubles:
    """One soft bump a beat, ``late`` seconds behind it, rising and falling over ``slopes`` seconds."""
    value = np.zeros(len(t))
    for at, strength in beats:
        size = strength * chance.uniform(0.35, 1.0)
        away = t - at - late
        value += size * np.exp(-0.5 * np.square(away / np.where(away < 0, *slopes)))
    return value


def _blinks(t: Doubles, beats: Floats, chance: np.random.Generator) -> Floats:
    """0..1 = closed. A frame shows the lids at its own time; the closed moment lies on a frame's own."""
    value = np.zeros(len(t))
    if not len(t):
        return _f32(value)
    closing, closed, opening = _BLINK_S
    at = chance.uniform(0.9, _BLINK_EVERY_S[1] * 0.6)
    while at < t[-1]:
        near = beats[np.abs(beats[:, 0] - at) < 0.35, 0] if len(beats) else beats
        when = float(t[int(np.argmin(np.abs(t - (float(near[0]) if len(near) else at))))])
        away = t - when
        gap = np.maximum(np.abs(away) - closed / 2, 0)
        value = np.maximum(value, 1 - _ease(gap / np.where(away < 0, closing, opening)))
        at += chance.uniform(*_BLINK_EVERY_S)
    return _f32(value)


def _ease(x: Doubles) -> Doubles:
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def _f32(value: Doubles) -> Floats:
    return np.asarray(value, np.float32)
