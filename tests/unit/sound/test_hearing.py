"""What the network hears is what Wan2.2's own AudioEncoder makes of the sound; long sounds stay within their memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import Wav2Vec2Config, Wav2Vec2Model

from wan_models.requests import Sound
from wan_models.s2v import hearing
from wan_models.s2v.hearing import FIRST_CLIP_LEAD, features, hidden_states
from wan_models.sound import read_wave

HERE = Path(__file__).parent
SENTENCE = HERE.parents[1] / "fixtures" / "speech" / "sentence.flac"
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def official() -> dict[str, NDArray[Any]]:
    with np.load(HERE / "hearing.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def encoder(official: dict[str, NDArray[Any]]) -> Wav2Vec2Model:
    config = Wav2Vec2Config(**json.loads(str(official["config"])))
    model = Wav2Vec2Model(config)
    weights = {name[7:]: torch.from_numpy(array) for name, array in official.items() if name.startswith("weight:")}
    model.load_state_dict(weights, strict=True)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def wave() -> NDArray[np.float32]:
    return read_wave(Sound(SENTENCE))


def off(got: torch.Tensor, wanted: NDArray[Any] | torch.Tensor) -> float:
    """Relative L2 error."""
    right = torch.as_tensor(wanted)
    return float((got - right).norm() / right.norm())


def test_states_are_the_official_ones(encoder: Any, official: dict[str, NDArray[Any]], wave: Any) -> None:
    states = hidden_states(encoder, wave, CPU)
    assert (states.dtype, tuple(states.shape)) == (torch.float32, (4, (len(wave) - 400) // 320 + 1, 16))
    for got, wanted in zip(states, official["states"], strict=True):
        assert off(got, wanted) < 1e-5
    assert not encoder.encoder.layers[0]._forward_pre_hooks


def test_features_are_the_official_buckets(encoder: Any, official: dict[str, NDArray[Any]], wave: Any) -> None:
    assert int(official["clips"]) == 2
    given = features(torch.from_numpy(official["states"]), 160)
    assert given.dtype == torch.float32
    assert np.abs(given.numpy() - official["bucket"]).max() < 1e-6
    assert not given[..., 85:].any()  # 5.3 s are 84.8 frames; the second clip's rest is zeros, as officially
    assert off(features(hidden_states(encoder, wave, CPU), 160), official["bucket"]) < 1e-5


def by_the_facts(states: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """The same rule once more, from its description: 50 -> 30 Hz with the ends aligned, nearest of 30 to i / 16 s."""
    encoded = states.shape[1]
    count = int(encoded / 50 * 30)
    at = np.linspace(0, encoded - 1, count)
    thirty = np.stack(
        [[np.interp(at, np.arange(encoded), channel) for channel in layer.T] for layer in states.astype(np.float64)]
    )
    buckets = np.zeros((*thirty.shape[:2], frames))
    for frame in range(frames):
        index = round(frame / 16 * 30)  # Python rounds halves to the even number
        if index < count:
            buckets[..., frame] = thirty[..., index]
    return buckets[None]


@pytest.mark.parametrize(("encoded", "frames"), [(249, 80), (254, 160), (499, 77), (1, 1), (4, 7), (2, 1)])
def test_features_follow_the_rule(encoded: int, frames: int) -> None:
    states = np.random.default_rng(encoded).normal(size=(3, encoded, 5)).astype(np.float32)
    given = features(torch.from_numpy(states), frames).numpy()
    assert given.shape == (1, 3, 5, frames)
    if encoded > 1:
        assert np.abs(given - by_the_facts(states, frames)).max() < 1e-4
    else:
        assert (given[..., 0] == states[:, 0]).all()  # too short for one feature at 30 Hz: it is its only state


def test_a_lead_puts_the_sound_off(official: dict[str, NDArray[Any]]) -> None:
    states = torch.from_numpy(official["states"])
    plain, late = features(states, 160), features(states, 163, lead=FIRST_CLIP_LEAD)
    assert torch.equal(late[..., 3:], plain)  # output frame k, which is clip frame k + 3, hears k / 16 s
    assert torch.equal(late[..., :3], plain[..., :1].expand(-1, -1, -1, 3))  # before the beginning: its first feature


@pytest.mark.parametrize("moment", [0.5, 1.9, 3.3])
@pytest.mark.parametrize("fps", [16.0, 24.0])
def test_a_click_is_heard_by_its_frame(moment: float, fps: float) -> None:
    states = torch.zeros(1, 250, 1)
    states[0, round(moment * 50) - 2 : round(moment * 50) + 3] = 1  # 0.1 s round it
    heard = features(states, 90, fps=fps)[0, 0, 0].numpy()
    assert float((heard * np.arange(90)).sum() / heard.sum()) == pytest.approx(moment * fps, abs=0.75)
    put_off = features(states, 93, fps=fps, lead=3 / fps)[0, 0, 0].numpy()
    assert np.array_equal(put_off[3:], heard)


@pytest.mark.parametrize("frame", [5, 20, 61])
def test_a_changed_moment_is_heard_by_its_frame(encoder: Any, frame: int) -> None:
    """From the wave on: the shot's frame k is the first clip's frame k + 3, and is given what sounds at k / 16 s."""
    rng = np.random.default_rng(frame)
    plain = rng.normal(0, 0.1, 80000).astype(np.float32)
    other, at = plain.copy(), frame * 1000
    other[at : at + 480] = rng.normal(0, 0.1, 480)  # 30 ms that sound otherwise, and as loud
    given = [
        features(hidden_states(encoder, each, CPU)[:1], 80, lead=FIRST_CLIP_LEAD)[0, 0, :, 3:]
        for each in (plain, other)
    ]
    changed = (given[1] - given[0]).norm(dim=0)
    assert int(changed.argmax()) == frame
    far = torch.cat(
        [changed[: frame - 3], changed[frame + 4 :]]
    )  # beyond what the encoder's convolution over time sees
    assert far.max() < 0.05 * changed[frame]


def test_pieces_change_nothing(encoder: Any, wave: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = hidden_states(encoder, wave, CPU)
    monkeypatch.setattr(hearing, "_PIECE", 37)
    assert off(hidden_states(encoder, wave, CPU), whole) < 1e-6


@pytest.mark.parametrize("samples", [400, 719, 720, 16000, 50 * 320 + 79, 50 * 320 + 80, 70001])
def test_windows_give_every_frame_once(encoder: Any, wave: Any, monkeypatch: pytest.MonkeyPatch, samples: int) -> None:
    whole = hidden_states(encoder, wave[:samples], CPU)
    assert whole.shape[1] == (samples - 400) // 320 + 1
    monkeypatch.setattr(hearing, "ONE_PASS", 120)
    monkeypatch.setattr(hearing, "CONTEXT", 40)
    windows = hidden_states(encoder, wave[:samples], CPU)
    assert windows.shape == whole.shape
    assert torch.isfinite(windows).all()
    if whole.shape[1] <= 120:
        assert torch.equal(windows, whole)
    else:
        assert off(windows[0], whole[0]) < 1e-6  # before the first attention a frame hears 16 neighbours only
        assert 1e-6 < off(windows[3], whole[3]) < 0.2  # behind it, the rest of the sound


def test_long_sounds_stay_within_their_memory(encoder: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "ONE_PASS", 400)
    monkeypatch.setattr(hearing, "CONTEXT", 50)
    monkeypatch.setattr(hearing, "_PIECE", 100)
    sizes: list[tuple[int, int]] = []
    hooks = [
        encoder.feature_extractor.register_forward_pre_hook(lambda _, given: sizes.append((given[0].shape[1], 0))),
        encoder.encoder.register_forward_pre_hook(lambda _, given: sizes.append((0, given[0].shape[1]))),
    ]
    states = hidden_states(encoder, np.random.default_rng(0).normal(0.3, 0.1, 16000 * 60).astype(np.float32), CPU)
    for hook in hooks:
        hook.remove()
    assert states.shape[1] == 2999
    assert max(size for size, _ in sizes) == 99 * 320 + 400
    assert max(size for _, size in sizes) == 400


def test_a_sound_too_short_to_hear_is_refused(encoder: Any) -> None:
    with pytest.raises(ValueError, match="needs 400 samples or more, not 399"):
        hidden_states(encoder, np.zeros(399, np.float32), CPU)
