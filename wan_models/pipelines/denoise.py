"""The one sampling loop, and classifier-free guidance that can be cancelled between its two halves."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias

import torch
from torch import Tensor

from wan_models.events import Event, StepDone

from .contracts import Cancelled, Parts, Velocity
from .preview import Previews
from .schedule import Grid, expert_of, make_schedule

Forward: TypeAlias = Callable[[], Tensor]
Denoising: TypeAlias = Generator[Event, None, Tensor | None]


class JobCancelled(Exception):
    """Raised inside a step when the job is to stop; ``denoise`` ends quietly."""


def noise(shape: tuple[int, ...], seed: int, device: torch.device) -> Tensor:
    """The seed rule: float32 normal numbers from torch's CPU generator, moved to ``device``.

    So a seed means the same noise on every device and with every memory plan. (The official code draws on the card: its
    videos of the same seed differ.)
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(device)


def guided(with_prompt: Forward, without: Forward, guidance: float, cancelled: Cancelled) -> Tensor:
    """Classifier-free guidance, float32: without + guidance * (with - without).

    At 1 and below the second forward is left out, so below 1 counts as 1. (The official code does both at any value;
    diffusers asks the high-noise expert's value only.) Raises JobCancelled between the two.
    """
    positive = with_prompt().float()
    if guidance <= 1.0:
        return positive
    if cancelled():
        raise JobCancelled
    negative = without().float()
    return negative + guidance * (positive - negative)


@torch.no_grad()
def denoise(
    parts: Parts,
    velocity: Velocity,
    latents: Tensor,
    *,
    steps: int,
    shift: float,
    guidance: float,
    cancelled: Cancelled,
    guidance_low: float | None = None,
    boundary: float | None = None,
    previews: Previews | None = None,
    sigmas: Grid = "official",
    after_step: Callable[[Tensor], Tensor] | None = None,
) -> Denoising:
    """Noise to latents (1, z, t, h, w) float32: StepDone each step, at times a Preview; None when cancelled.

    ``velocity`` gets the network of the step's expert, the latents, the timestep (1,) float32 on the device, and that
    expert's guidance (``guidance_low`` None = the same). ``after_step`` changes the latents after each step (what is
    held is put back). ``cancelled`` is asked before each step; ``velocity`` may raise JobCancelled within one.
    """
    schedule = make_schedule(steps, shift, parts.device, sigmas)
    strengths = {"high": guidance, "low": guidance if guidance_low is None else guidance_low}
    for index, timestep in enumerate(schedule.scheduler.timesteps):
        if cancelled():
            return None
        expert = expert_of(float(timestep), boundary)
        try:
            with parts.transformer(expert) as network:
                flow = velocity(network, latents, schedule.timesteps[index : index + 1], strengths[expert])
        except JobCancelled:
            return None
        latents = schedule.scheduler.step(flow, timestep, latents, return_dict=False)[0]
        if after_step is not None:
            latents = after_step(latents)
        yield StepDone(index + 1, steps)
        # The solver's last entry is its estimate of the clean latents: latents - sigma * flow.
        preview = previews.take(schedule.scheduler.model_outputs[-1]) if previews else None
        if preview:
            yield preview
    return latents
