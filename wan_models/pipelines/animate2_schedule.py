"""The samplers of the two Animate-2 models.

Base: DPM++ (multistep, order 2, midpoint), as in the official script and in the released repository. Its noise levels
begin at exactly 1, as officially (``get_sampling_sigmas``); diffusers begins at 0.9998 (shift 5). Distilled: Euler, as
in the released repository and the model card, on diffusers' levels (the official script uses DPM++ here too).
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import Schedule
from .schedule import TRAIN_STEPS

Sampler = Literal["dpm++", "euler"]


def official_levels(steps: int, shift: float) -> NDArray[np.float64]:
    """Noise levels from 1 downwards, ``steps`` of them; source: ``get_sampling_sigmas`` of Wan."""
    even = np.linspace(1.0, 0.0, steps + 1)[:steps]
    return np.asarray(shift * even / (1.0 + (shift - 1.0) * even))


def schedule(sampler: Sampler, steps: int, shift: float, device: torch.device, official: bool = True) -> Schedule:
    """A fresh solver and its timesteps; ``official`` False: the levels that diffusers would choose."""
    solvers: Any = diffusers  # untyped
    if sampler == "euler":
        euler = solvers.FlowMatchEulerDiscreteScheduler(num_train_timesteps=TRAIN_STEPS, shift=shift)
        euler.set_timesteps(steps, device=device)
        euler.set_begin_index(0)
        return Schedule(euler.timesteps, euler)
    solver = solvers.DPMSolverMultistepScheduler(
        num_train_timesteps=TRAIN_STEPS, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    with warnings.catch_warnings():  # diffusers hands numpy 2 a tensor as numpy 1 took it
        warnings.filterwarnings("ignore", "__array__ implementation doesn't accept a copy", DeprecationWarning)
        solver.set_timesteps(steps, device=device)
    if official:
        levels = official_levels(steps, shift)
        solver.sigmas = torch.tensor([*levels, 0.0], dtype=torch.float32)
        solver.timesteps = torch.tensor((levels * TRAIN_STEPS).astype(np.int64), device=device)
    solver.set_begin_index(0)
    return Schedule(solver.timesteps, solver)
