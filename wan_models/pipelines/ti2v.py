"""TI2V-5B: a clip from text, or from text and its first picture. Source: ``wan/textimage2video.py``.

With a picture, the first latent frame is the picture's from the first step to the last: its tokens are told timestep 0,
the others the step's (``wan_forward.py``), and it is put back after each step. With text alone all tokens have the same
timestep, which is given once.

Unlike diffusers' pipelines: the picture is scaled to cover the clip and cut at the centre rather than squeezed; the
official noise levels and negative prompt by default; a last picture is refused rather than ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from wan_models.events import Event, StageStarted, Warned
from wan_models.requests import Request
from wan_models.rows import ModelRow

from . import t2v
from .checks import check_clip, first_image
from .clip import clip_noise, clip_of, sampled, texts, velocity_of
from .contracts import Cancelled, Parts
from .denoise import Denoising
from .pictures import STRETCH, covering, cut_sentence, stretch_of
from .settings import Settings

FAMILY = "ti2v"
PATCH = 2  # latent points a token, each way


def check(row: ModelRow, request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do."""
    check_clip(row, request)


def generate(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Iterator[Event]:
    """Every frame once, in order. ``request`` has passed ``check``."""
    return clip_of(parts, sample(parts, request, settings, cancelled), cancelled)


def sample(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Denoising:
    """The clip's latents (1, z, t, h, w), or None when cancelled."""
    image = None if request.task == "t2v" else first_image(request)
    if image is None:
        return (yield from t2v.sample(parts, request, settings, cancelled))
    yield StageStarted("encode")
    words, latents = texts(parts, settings), clip_noise(parts, request)
    if stretch_of(image, request.width, request.height) > STRETCH:
        yield Warned(cut_sentence(image, request.width, request.height, "first image"))
    first = parts.vae.encode(covering(image, request.width, request.height))

    def hold(latents: Tensor) -> Tensor:
        return torch.cat([first, latents[:, :, 1:]], 2)

    velocity = velocity_of(parts, words, cancelled, held=held_tokens(latents))
    return (
        yield from sampled(
            parts,
            settings,
            velocity,
            hold(latents),
            previews=request.previews,
            cancelled=cancelled,
            after_step=hold,
        )
    )


def held_tokens(latents: Tensor) -> int:
    """How many tokens the first latent frame has."""
    height, width = latents.shape[3:]
    return (height // PATCH) * (width // PATCH)
