"""T2V-A14B: a clip from text alone, by two experts. Source: ``wan/text2video.py``.

Unlike diffusers' ``WanPipeline`` of 0.42: the official noise levels, shift 12 whatever the checkpoint says, guidance 4
(high) and 3 (low), 40 steps and the official negative prompt are the defaults (``settings.py``, ``schedule.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from wan_models.events import Event, StageStarted
from wan_models.requests import Request
from wan_models.rows import ModelRow

from .checks import check_clip
from .clip import clip_noise, clip_of, sampled, texts, velocity_of
from .contracts import Cancelled, Parts
from .denoise import Denoising
from .settings import Settings

FAMILY = "t2v"


def check(row: ModelRow, request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do."""
    check_clip(row, request)


def generate(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Iterator[Event]:
    """Every frame once, in order. ``request`` has passed ``check``."""
    return clip_of(parts, sample(parts, request, settings, cancelled), cancelled)


def sample(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Denoising:
    """The clip's latents (1, z, t, h, w), or None when cancelled."""
    yield StageStarted("encode")
    words = texts(parts, settings)
    velocity = velocity_of(parts, words, cancelled)
    latents = clip_noise(parts, request)
    return (yield from sampled(parts, settings, velocity, latents, previews=request.previews, cancelled=cancelled))
