"""Timing: what opens a mouth, exactly when."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.draft_s2v.people import RATE, vowels
from wan_models.draft.s2v.speech import listen

SECONDS = 8.0


def _lag(jaw: np.ndarray, times: np.ndarray, fps: float) -> float:
    """Frames by which the mouth is late: the peak of the cross-correlation with where the events are."""
    lags = np.linspace(-3, 3, 121)
    frames = np.arange(len(jaw)) / fps

    def fit(lag: float) -> float:
        truth = sum(np.exp(-0.5 * ((frames - at - lag / fps) * fps / 0.6) ** 2) for at in times)
        return float((truth * jaw).sum() / np.linalg.norm(truth))

    return float(lags[int(np.argmax([fit(lag) for lag in lags]))])


@pytest.mark.parametrize("fps", [16.0, 23.976, 24.0, 30.0])
@pytest.mark.parametrize("kind", ["click", "burst", "vowel"])
def test_a_mouth_opens_at_the_frame_of_its_sound(kind: str, fps: float) -> None:
    chance = np.random.default_rng(3)
    times = np.arange(0.5, SECONDS - 0.5, 0.4) + chance.uniform(0, 0.1, 18)[: len(np.arange(0.5, SECONDS - 0.5, 0.4))]
    wave = np.zeros(round(SECONDS * RATE), np.float32)
    if kind == "vowel":
        wave = vowels(times.tolist(), SECONDS)
    for at in times if kind != "vowel" else ():
        middle = round(at * RATE)
        if kind == "click":
            wave[middle - 4 : middle + 4] = 0.8
        else:
            wave[middle - 640 : middle + 640] = chance.normal(0, 0.2, 1280)
    speech = listen(wave, fps, round(SECONDS * fps))
    assert speech.jaw.max() > 0.1
    assert abs(_lag(speech.jaw, times, fps)) <= 0.5


@pytest.mark.parametrize("fps", [16.0, 24.0, 30.0])
def test_silence_closes_the_mouth_within_two_frames(fps: float) -> None:
    wave = np.zeros(3 * RATE, np.float32)
    wave[RATE // 2 : RATE] = np.random.default_rng(0).normal(0, 0.2, RATE // 2)
    jaw = listen(wave, fps, round(3 * fps)).jaw
    last = int(np.floor(1.0 * fps))
    assert jaw[last - 2] > 0.4
    assert (jaw[last + 3 :] == 0).all()
    assert jaw[last + 2] < 0.05


def test_vowels_are_round_or_wide_and_hisses_keep_the_jaw_up() -> None:
    t = np.arange(RATE // 2) / RATE
    window = np.hanning(len(t))
    low = (np.sin(2 * np.pi * 400 * t) + 0.8 * np.sin(2 * np.pi * 750 * t)) * 0.2 * window
    high = (np.sin(2 * np.pi * 350 * t) + 0.8 * np.sin(2 * np.pi * 2400 * t)) * 0.2 * window
    noise = np.random.default_rng(1).normal(0, 1, len(t))
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(len(t), 1 / RATE) < 4500] = 0
    hiss = np.fft.irfft(spectrum) * 0.1 * window
    speech = listen(np.concatenate([low, high, hiss]).astype(np.float32), 20.0, 30)
    assert speech.wide[5] < -0.3
    assert speech.wide[15] > 0.3
    assert speech.hiss[25] > 0.8
    assert speech.jaw[25] < 0.3 < min(speech.jaw[5], speech.jaw[15])


def test_behind_the_end_there_is_silence_and_lengths_are_frames() -> None:
    speech = listen(vowels([0.2], 0.4), 16.0, 81)
    assert all(len(getattr(speech, name)) == 81 for name in ("jaw", "wide", "hiss", "energy", "voice"))
    assert not speech.jaw[10:].any()
    assert np.isfinite(np.stack([speech.jaw, speech.wide, speech.hiss, speech.energy, speech.voice])).all()


def test_loudness_of_the_recording_does_not_matter() -> None:
    wave = vowels([0.3, 0.7, 1.1], 1.5)
    loud, quiet = listen(wave, 16.0, 24), listen(wave * 0.05, 16.0, 24)
    assert np.abs(loud.jaw - quiet.jaw).max() < 0.05
