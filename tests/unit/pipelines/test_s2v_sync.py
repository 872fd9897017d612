"""Sound and pictures belong together: what sounds at a moment is heard at the frame that is shown at that moment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.unit.pipelines.s2v_shot import FIELD, HOP, RATE, PaintingParts, request, sampling, tiny_network, write_wave
from wan_models.events import FramesDecoded
from wan_models.pipelines import s2v, s2v_inputs
from wan_models.pipelines.s2v import generate
from wan_models.requests import Request, Sound

FRAMES = 200
"""Of 77, 80 and 43 in three clips; of 80, 80 and 40 where the first one is not cut."""
CLICKS = (0, 8, 19, 44, 70, 76, 83, 117, 153, 157, 160, 189, 198)
"""Frames in which something sounds, some of them next to the seams."""


@pytest.fixture(scope="module")
def parts() -> PaintingParts:
    torch.set_num_threads(1)
    return PaintingParts()


def _clicks(path: Path, before: float = 0.0) -> Sound:
    """Silence, but noise while each of the frames is shown; ``before``: seconds in front that the shot leaves out."""
    random = np.random.default_rng(1)
    samples = np.zeros(round((before + FRAMES / 16) * RATE))
    for frame in CLICKS:
        first, last = (round((before + edge / 16) * RATE) for edge in (frame, frame + 1))
        samples[first:last] = random.uniform(-0.9, 0.9, last - first)
    return Sound(write_wave(path, samples).file, before)


def _brightness(parts: PaintingParts, job: Request) -> NDArray[np.float64]:
    """One number a frame of the finished shot, 0 to 255."""
    events = generate(parts, job, sampling(1), lambda: False)
    frames = [event.frames for event in events if isinstance(event, FramesDecoded)]
    return np.concatenate(frames).mean(axis=(1, 2, 3))


def _flashes(brightness: NDArray[np.float64]) -> list[int]:
    """The frames that are brighter than both their neighbours, and not dark."""
    padded = np.pad(brightness, 1)
    bright = (padded[1:-1] > padded[:-2]) & (padded[1:-1] > padded[2:]) & (brightness > 0.5 * brightness.max())
    found: list[int] = np.flatnonzero(bright).tolist()
    return found


@pytest.mark.parametrize("start", [False, True])
@pytest.mark.parametrize("before", [0.0, 1.37])
def test_every_click_flashes_in_the_frame_that_it_belongs_to(
    parts: PaintingParts, tmp_path: Path, start: bool, before: float
) -> None:
    sound = _clicks(tmp_path / "clicks.wav", before)
    assert _flashes(_brightness(parts, request(sound, FRAMES, start=start))) == list(CLICKS)


def test_as_the_official_code_counts_every_flash_is_three_frames_early(
    parts: PaintingParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first three frames are dropped, what is heard is not moved: this is what ``lead`` puts right."""
    whole = s2v_inputs.features

    def official(states: Tensor, frames: int, **numbers: Any) -> Tensor:
        return whole(states, frames, **{**numbers, "lead": 0.0})

    monkeypatch.setattr(s2v_inputs, "features", official)
    found = _flashes(_brightness(parts, request(_clicks(tmp_path / "clicks.wav"), FRAMES)))
    assert found == [frame - 3 for frame in CLICKS if frame >= 3]


@pytest.mark.parametrize("start", [False, True])
def test_every_frame_hears_what_sounds_while_it_is_shown(
    parts: PaintingParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bool
) -> None:
    """States that tell their own time: the middle of the samples that they see, as a share of the shot."""
    length = FRAMES / 16

    def telling(samples: NDArray[np.float32]) -> Tensor:
        count = (len(samples) - FIELD) // HOP + 1
        return ((torch.arange(count) * HOP + FIELD / 2) / RATE / length)[None, :, None].expand(25, -1, 4)

    shown: list[Tensor] = []
    whole = s2v.to_frames
    monkeypatch.setattr(parts, "hear", telling)
    monkeypatch.setattr(s2v, "to_frames", lambda pixels: (shown.append(pixels), whole(pixels))[1])
    sound = write_wave(tmp_path / "noise.wav", np.full(round(length * RATE), 0.5))
    list(generate(parts, request(sound, FRAMES, start=start), sampling(1), lambda: False))
    heard = (torch.cat(shown, 2)[0].mean(dim=(0, 2, 3)) + 1.0) / 2.0 * length
    middle = (torch.arange(FRAMES) + 0.5) / 16
    late = heard - middle
    # Half a frame, and 4 ms: the network is given the nearest of 30 states a second, which are 33 ms apart.
    assert float(late.abs().max()) <= 0.5 / 16 + 0.004
    assert abs(float(late.mean())) <= 0.01


def test_behind_the_sounds_end_nothing_is_heard(parts: PaintingParts, tmp_path: Path) -> None:
    sound = write_wave(tmp_path / "short.wav", np.random.default_rng(2).uniform(-0.9, 0.9, 2 * RATE))
    brightness = _brightness(parts, request(sound, 90))
    assert brightness[:31].min() > 100
    assert brightness[33:].max() == 0.0


def test_the_network_hears_a_latent_frames_four_steps_and_those_before() -> None:
    """Step i first counts in latent frame i // 4, whose frames are 4 * (i // 4) to 4 * (i // 4) + 3."""
    network = tiny_network()
    words = torch.zeros(1, 8, 16)
    sound = torch.randn(1, 25, 4, 40, generator=torch.Generator().manual_seed(4))
    before = network.guide(words, sound).sound
    for step in range(4, 40):
        louder = sound.clone()
        louder[..., step] += 1.0
        after = network.guide(words, louder).sound
        for one, other in ((before.local, after.local), (before.overall, after.overall)):
            changed = (one != other).flatten(2).any(2)[0].nonzero()
            assert int(changed.min()) == step // 4
