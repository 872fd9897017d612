"""The numbers and words of a job, with defaults and presets filled in. No torch; importing it asks for no numpy.

Defaults are the official code's, from the model's row. A value that the request gives wins over the preset, the preset
over the default. As the official command line has one guidance for both experts, a request that gives ``guidance`` and
no ``guidance_low`` means both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from wan_models.engine import RequestRefused
from wan_models.rows import FastRow, ModelRow

from .checks import Asked

if TYPE_CHECKING:
    from wan_models.requests import Lora, Request


@dataclass(frozen=True)
class Settings:
    """``guidance_low`` and ``boundary`` are None for a model of one transformer. ``sigmas``: see schedule.py."""

    prompt: str
    negative_prompt: str
    steps: int
    guidance: float
    shift: float
    guidance_low: float | None = None
    boundary: float | None = None
    sigmas: Literal["official", "diffusers"] = "official"

    @property
    def guides(self) -> bool:
        """Whether any step has a second forward, without the prompt."""
        return max(self.guidance, self.guidance_low or 0.0) > 1.0


def resolve(row: ModelRow, request: Request) -> Settings:
    """The settings of a job. Raises RequestRefused for the preset fast of a model that has none.

    The negative prompt: None is the official one; an empty text is none at all (the official code takes it as None).
    """
    wish, fast = request.sampler, _preset(row, request)
    guidance = fast.guidance if fast else row.guidance
    low = guidance if fast and row.boundary is not None else row.guidance_low
    if wish.guidance is not None:
        guidance, low = wish.guidance, None if row.boundary is None else wish.guidance
    if wish.guidance_low is not None and row.boundary is not None:
        low = wish.guidance_low
    return Settings(
        prompt=request.prompt or row.prompt,
        negative_prompt=row.negative_prompt if request.negative_prompt is None else request.negative_prompt,
        steps=wish.steps or (fast.steps if fast else row.steps),
        guidance=guidance,
        shift=wish.shift if wish.shift is not None else (fast.shift if fast else row.shift),
        guidance_low=low,
        boundary=row.boundary,
    )


def preset_names(row: ModelRow, asked: Asked) -> tuple[str, ...]:
    """The store's names of the LoRAs that the preset needs; asks for no numpy. Raises as ``resolve`` does."""
    fast = _preset(row, asked)
    return tuple(name for name, _ in fast.loras) if fast else ()


def preset_loras(row: ModelRow, request: Request) -> tuple[Lora, ...]:
    """What the preset needs, each at its full weight. Raises RequestRefused as ``resolve`` does."""
    from wan_models.requests import Lora

    fast = _preset(row, request)
    return tuple(Lora(name, 1.0, expert) for name, expert in fast.loras) if fast else ()


def _preset(row: ModelRow, request: Asked) -> FastRow | None:
    if request.sampler.preset != "fast":
        return None
    if row.fast is None:
        problem = f"{row.name} has no fast preset: choose the preset default, or fewer steps"
        raise RequestRefused(problem)
    return row.fast
