"""What the network hears: the hidden states of a wav2vec2 encoder."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@torch.no_grad()
def hidden_states(encoder: nn.Module, wave: NDArray[np.float32], device: torch.device) -> Tensor:
    """(n,) mono at 16 kHz -> (layers + 1, T50, width) float32 on the CPU, 50 a second, T50 = (n - 400) // 320 + 1.

    ``encoder``: a transformers ``Wav2Vec2Model``. The wave is brought to mean 0 and variance 1 first, as
    ``Wav2Vec2FeatureExtractor`` does for the released encoder (``do_normalize``, 1e-7 beside the variance).
    """
    whole = wave.astype(np.float32)
    normal = (whole - whole.mean()) / np.sqrt(whole.var() + 1e-7)
    model: Any = encoder
    states = model(torch.from_numpy(normal)[None].to(device), output_hidden_states=True).hidden_states
    return torch.cat([state.float().cpu() for state in states])
