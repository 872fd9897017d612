"""When the noise is taken away: UniPC on the official grid of noise levels, and which expert works when.

The solver is diffusers' ``UniPCMultistepScheduler`` (order 2, bh2, flow prediction). Two things are never left to a
checkpoint's ``scheduler_config.json``: the shift (the A14B repositories ship 3 where the official code uses 12 and 5)
and the grid. Official (``wan/utils/fm_solvers_unipc.py``): N + 1 levels from 0.999 down to 0 without the last;
diffusers: from 1 down to 0.001. Both then shift them, s * x / (1 + (s - 1) * x), and cut 1000 * level down to a whole
timestep. ``diffusers`` is there for comparing with its pipelines.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import diffusers
import numpy as np
import torch
from numpy.typing import NDArray

from .contracts import Expert, Schedule

TRAIN_STEPS = 1000
Grid: TypeAlias = Literal["official", "diffusers"]


def sigma_grid(steps: int, grid: Grid = "official") -> NDArray[np.float64]:
    """``steps`` noise levels before the shift, highest first. The official ones begin at float32's nearest to 0.999."""
    highest, lowest = (float(np.float32(0.999)), 0.0) if grid == "official" else (1.0, 1 / TRAIN_STEPS)
    return np.linspace(highest, lowest, steps + 1)[:-1]


def make_schedule(steps: int, shift: float, device: torch.device, grid: Grid = "official") -> Schedule:
    """A solver at its first step. Its own ``timesteps`` and ``sigmas`` stay on the CPU: asking them costs no sync."""
    solver: Any = diffusers.UniPCMultistepScheduler
    scheduler = solver(
        num_train_timesteps=TRAIN_STEPS, prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=shift
    )
    scheduler.set_timesteps(sigmas=sigma_grid(steps, grid))
    scheduler.set_begin_index(0)
    return Schedule(scheduler.timesteps.to(device, torch.float32), scheduler)


def expert_of(timestep: float, boundary: float | None) -> Expert:
    """The high-noise expert works from ``boundary`` of all noise upwards; a model of one transformer has no other."""
    return "high" if boundary is None or timestep >= boundary * TRAIN_STEPS else "low"


def split(timesteps: Sequence[float], boundary: float | None) -> tuple[int, int]:
    """How many steps each expert works: (high, low)."""
    high = sum(expert_of(timestep, boundary) == "high" for timestep in timesteps)
    return high, len(timesteps) - high
