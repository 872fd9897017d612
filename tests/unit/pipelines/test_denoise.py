"""The noise levels, the experts' shares, the sampling loop and its previews."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler
from torch import Tensor, nn

from wan_models.events import Event, Preview, StepDone
from wan_models.pipelines.denoise import JobCancelled, denoise, guided, noise
from wan_models.pipelines.preview import Previews, look
from wan_models.pipelines.schedule import make_schedule, sigma_grid, split

CPU = torch.device("cpu")


class Parts:
    """Two networks that say how often they worked; the row, the VAE and the encoders are not needed here."""

    device, eye = CPU, None

    def __init__(self) -> None:
        self.experts: list[str] = []

    @contextmanager
    def transformer(self, expert: str = "high") -> Iterator[nn.Module]:
        self.experts.append(expert)
        yield nn.Identity()


def _run(parts: Parts, velocity, **options) -> tuple[list[Event], Tensor | None]:  # noqa: ANN001, ANN003
    events = []
    loop = denoise(parts, velocity, torch.ones(1, 16, 2, 4, 4), shift=5.0, **options)
    while True:
        try:
            events.append(next(loop))
        except StopIteration as end:
            return events, end.value


def _still(network: nn.Module, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
    return network(latents) * 0.1


@pytest.mark.parametrize(
    ("shift", "boundary", "steps", "shares"),
    [
        (12.0, 0.875, 20, (13, 7)), (12.0, 0.875, 30, (19, 11)), (12.0, 0.875, 40, (26, 14)),
        (12.0, 0.875, 50, (32, 18)), (5.0, 0.9, 20, (8, 12)), (5.0, 0.9, 30, (11, 19)), (5.0, 0.9, 40, (15, 25)),
        (5.0, 0.9, 50, (18, 32)), (5.0, None, 20, (20, 0)),
    ],
)  # fmt: skip
def test_the_experts_shares(shift: float, boundary: float | None, steps: int, shares: tuple[int, int]) -> None:
    assert split(make_schedule(steps, shift, CPU).scheduler.timesteps.tolist(), boundary) == shares


@pytest.mark.parametrize(("boundary", "shares"), [(0.875, (13, 27)), (0.9, (11, 29))])
def test_the_shares_that_the_repositories_scheduler_would_give(boundary: float, shares: tuple[int, int]) -> None:
    assert split(make_schedule(40, 3.0, CPU, "diffusers").scheduler.timesteps.tolist(), boundary) == shares


def test_the_official_grid_is_not_diffusers_grid() -> None:
    official, other = (make_schedule(40, 5.0, CPU, grid).scheduler for grid in ("official", "diffusers"))
    off = (official.sigmas - other.sigmas).abs().max()
    assert 0.002 < off < 0.008
    assert official.timesteps.dtype == torch.int64
    assert float(sigma_grid(40)[0]) == pytest.approx(0.999, abs=1e-7)
    assert official.sigmas[-1] == 0


def test_diffusers_grid_is_what_its_scheduler_makes_itself() -> None:
    stock = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    stock.set_timesteps(7)
    ours = make_schedule(7, 3.0, CPU, "diffusers")
    assert torch.equal(ours.scheduler.sigmas, stock.sigmas)
    assert torch.equal(ours.scheduler.timesteps, stock.timesteps)
    assert ours.timesteps.dtype == torch.float32


def test_each_step_is_told_and_each_expert_has_its_guidance() -> None:
    parts, seen = Parts(), []

    def velocity(network: nn.Module, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
        seen.append((float(timestep), guidance))
        return network(latents)

    events, latents = _run(
        parts, velocity, steps=6, guidance=4.0, guidance_low=3.0, boundary=0.9, cancelled=lambda: False
    )
    assert events == [StepDone(step, 6) for step in range(1, 7)]
    assert parts.experts == sorted(parts.experts)
    assert {expert: guidance for expert, (_, guidance) in zip(parts.experts, seen, strict=True)} == {
        "high": 4.0,
        "low": 3.0,
    }
    assert latents is not None
    assert latents.dtype == torch.float32


def test_cancelled_before_a_step_or_within_it() -> None:
    asked = iter([False, False, True])
    parts = Parts()
    events, latents = _run(parts, _still, steps=5, guidance=1.0, cancelled=lambda: next(asked))
    assert (events, latents) == ([StepDone(1, 5), StepDone(2, 5)], None)

    def within(network: nn.Module, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
        return guided(lambda: latents, lambda: latents, guidance, lambda: True)

    assert _run(parts, within, steps=5, guidance=2.0, cancelled=lambda: False) == ([], None)


def test_guidance_of_one_or_less_costs_no_second_forward() -> None:
    def never() -> Tensor:
        raise AssertionError

    plus, minus = torch.full((2,), 3.0), torch.ones(2)
    assert torch.equal(guided(lambda: plus, never, 1.0, lambda: True), plus)
    assert torch.equal(guided(lambda: plus, lambda: minus, 2.0, lambda: False), torch.full((2,), 5.0))
    with pytest.raises(JobCancelled):
        guided(lambda: plus, never, 2.0, lambda: True)


def test_what_is_held_is_put_back_after_each_step() -> None:
    def hold(latents: Tensor) -> Tensor:
        return torch.cat([torch.full_like(latents[:, :, :1], 7.0), latents[:, :, 1:]], 2)

    _, latents = _run(Parts(), _still, steps=3, guidance=1.0, cancelled=lambda: False, after_step=hold)
    assert latents is not None
    assert (latents[:, :, 0] == 7.0).all()


def test_previews_come_at_their_interval() -> None:
    times = iter([0.0, 0.1, 1.0, 1.2])
    previews = Previews(interval_s=0.5, clock=lambda: next(times))
    events, _ = _run(Parts(), _still, steps=4, guidance=1.0, cancelled=lambda: False, previews=previews)
    kinds = [type(event) for event in events]
    assert kinds == [StepDone, Preview, StepDone, StepDone, Preview, StepDone]
    picture = next(event.image for event in events if isinstance(event, Preview))
    assert (picture.shape, picture.dtype) == ((4, 4, 3), np.uint8)


@pytest.mark.parametrize(("frames", "skip", "index"), [(1, 0, 0), (3, 0, 1), (21, 0, 37), (21, 1, 37)])
def test_a_preview_is_of_the_middle_frame(frames: int, skip: int, index: int) -> None:
    preview = Previews(skip=skip).take(torch.zeros(1, 48, frames, 2, 3))
    assert preview is not None
    assert preview.index == index


def test_previews_of_unknown_latents_are_left_out() -> None:
    assert Previews().take(torch.zeros(1, 5, 1, 2, 2)) is None


@pytest.mark.parametrize("channels", [16, 48])
def test_empty_latents_look_like_the_bias(channels: int) -> None:
    picture = look(torch.zeros(channels, 2, 3))
    assert picture.shape == (2, 3, 3)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


def test_a_seed_is_a_noise() -> None:
    assert torch.equal(noise((1, 2, 3), 5, CPU), noise((1, 2, 3), 5, CPU))
    assert not torch.equal(noise((1, 2, 3), 5, CPU), noise((1, 2, 3), 6, CPU))
