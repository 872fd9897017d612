"""What the network hears: the hidden states of a wav2vec2 encoder, and which of them each frame is given.

Source: ``wan/modules/s2v/audio_encoder.py`` of Wan2.2. docs/s2v-sync.md says which moment of the sound a frame hears.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import interpolate

FIRST_CLIP_LEAD = 3 / 16
"""Seconds that ``features`` must be put off by where the first clip's first three frames are dropped."""

ONE_PASS = 10_000
"""Frames of the encoder (50 a second, so 200 s) that attend to each other: any shot of 3000 frames is one pass."""
CONTEXT = 500
"""Frames that a window of a longer sound hears on each side of those it gives."""
_PIECE = 500  # frames whose convolutions run at once: 10 s, 65 MB for the widest of them
_ENCODED, _FEATURES = 50.0, 30  # states and features a second

Wave = NDArray[np.float32]


@torch.no_grad()
def hidden_states(encoder: nn.Module, wave: Wave, device: torch.device) -> Tensor:
    """(n,) mono at 16 kHz -> (layers + 1, T50, width) float32 on the CPU, 50 a second, T50 = (n - 400) // 320 + 1.

    ``encoder``: a transformers ``Wav2Vec2Model``. The states are those that transformers 4.51, which Wan2.2 asks for,
    gives: what each layer receives, and last the encoder's output (version 5 gives that before the closing norm). The
    wave is brought to mean 0 and variance 1 first, as ``Wav2Vec2FeatureExtractor`` does for the released encoder
    (``do_normalize``, 1e-7 beside the variance).

    Up to 200 s all frames attend to each other, as officially. Longer sounds go through in windows of 200 s, each frame
    with 10 s or more round it, so that memory besides the result does not grow. Raises ValueError below 400 samples.
    """
    model: Any = encoder
    hop, field = _strides(model.config)
    if len(wave) < field:
        problem = f"The audio encoder needs {field} samples or more, not {len(wave)}."
        raise ValueError(problem)
    frames = (len(wave) - field) // hop + 1
    states = torch.empty(len(model.encoder.layers) + 1, frames, model.config.hidden_size)
    mean, deviation = _level(wave)
    # A norm over time (older encoders) must see everything at once, one over channels sees a frame at a time.
    piece = _PIECE if model.config.feat_extract_norm == "layer" else ONE_PASS

    def extracted(begin: int, end: int) -> Tensor:
        samples = (wave[begin * hop : (end - 1) * hop + field] - mean) / deviation
        known: Tensor = model.feature_extractor(torch.from_numpy(samples.astype(np.float32))[None].to(device))
        return known.transpose(1, 2)

    for begin, end, first, last in _windows(frames):
        parts = [extracted(at, min(at + piece, end)) for at in range(begin, end, piece)]
        hidden = model.feature_projection(torch.cat(parts, dim=1))[0]

        def keep(index: int, state: Tensor, first: int = first, last: int = last, begin: int = begin) -> None:
            states[index, first:last] = state[0, first - begin : last - begin]

        _through_layers(model.encoder, hidden, keep)
    return states


def features(states: Tensor, frames: int, *, fps: float = 16.0, lead: float = 0.0) -> Tensor:
    """Hidden states (25, T50, W) -> what each frame is given, float32 (1, 25, W, frames).

    Frame i is given the sound at i / ``fps`` - ``lead`` seconds: states are brought to 30 a second (linear, ends
    aligned) and the nearest is taken, halves to the even one. Behind the sound's end: zeros, as officially. Before its
    beginning: its first feature, which is also what the official network puts before a clip.
    """
    layers, encoded, width = states.shape
    have = max(1, int(encoded / _ENCODED * _FEATURES))
    wanted = np.round((np.arange(frames) / fps - lead) * _FEATURES).astype(np.int64).clip(0)
    heard = torch.from_numpy(wanted[wanted < have])
    given = torch.zeros(1, layers, width, frames)
    for layer in range(layers):
        even = interpolate(states[layer].float().T[None], size=have, mode="linear", align_corners=True)
        given[0, layer, :, : len(heard)] = even[0].index_select(1, heard)
    return given


def _strides(config: Any) -> tuple[int, int]:  # noqa: ANN401 - transformers has no types
    """Samples from frame to frame, and samples that one frame sees: 320 and 400 for every released encoder."""
    field, hop = 1, 1
    for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * hop
        hop *= stride
    return hop, field


def _level(wave: Wave) -> tuple[float, float]:
    """Mean, and the square root of variance + 1e-7, of the whole wave, in double precision and in pieces."""
    pieces = range(0, len(wave), 1 << 20)
    mean = sum(float(wave[at : at + (1 << 20)].sum(dtype=np.float64)) for at in pieces) / len(wave)
    power = sum(float(np.square(wave[at : at + (1 << 20)] - mean, dtype=np.float64).sum()) for at in pieces) / len(wave)
    return mean, float(np.sqrt(power + 1e-7))


def _windows(frames: int) -> Iterator[tuple[int, int, int, int]]:
    """Begin and end of what is heard together, and first and last (exclusive) of what is kept of it."""
    if frames <= ONE_PASS:
        yield 0, frames, 0, frames
        return
    step = ONE_PASS - 2 * CONTEXT
    for first in range(0, frames, step):
        last = min(first + step, frames)
        yield max(first - CONTEXT, 0), min(last + CONTEXT, frames), first, last


def _through_layers(encoder: Any, hidden: Tensor, keep: Callable[[int, Tensor], None]) -> None:  # noqa: ANN401
    """Run the encoder, handing out what each layer receives and, as the last, what comes out of it all."""

    def note(index: int, _: nn.Module, given: tuple[Tensor, ...]) -> None:
        keep(index, given[0])

    hooks = [layer.register_forward_pre_hook(partial(note, index)) for index, layer in enumerate(encoder.layers)]
    try:
        keep(len(hooks), encoder(hidden).last_hidden_state)
    finally:
        for hook in hooks:
            hook.remove()
