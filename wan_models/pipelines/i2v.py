"""I2V-A14B: a clip that begins with a picture, and may end with another. Source: ``wan/image2video.py``.

The network sees 36 channels: the noisy latents (16), where pixels are given (4: one a frame of each latent frame), and
the latents of the given frames with grey ones between (16). They are made once a job. No CLIP: Wan2.2 dropped it.

The last frame (task flf2v) has no official Wan2.2 code. It is put where diffusers' ``WanImageToVideoPipeline`` puts it.
Unlike that pipeline: the official noise levels, shift 5 whatever the checkpoint says, guidance 3.5 twice, 40 steps and
the official negative prompt by default; and a picture of another aspect is cut rather than squeezed, with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_models.events import Event, StageStarted, Warned
from wan_models.requests import Request
from wan_models.rows import ModelRow

from .checks import check_clip, first_image
from .clip import clip_noise, clip_of, sampled, texts, velocity_of
from .contracts import Cancelled, Parts
from .decode import STRIDE, latent_frames
from .denoise import Denoising, JobCancelled
from .pictures import STRETCH, covering, cut_sentence, stretch_of, stretched
from .settings import Settings

FAMILY = "i2v"


def check(row: ModelRow, request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do."""
    check_clip(row, request)


def generate(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Iterator[Event]:
    """Every frame once, in order. ``request`` has passed ``check``. Raises JobCancelled while encoding."""
    return clip_of(parts, sample(parts, request, settings, cancelled), cancelled)


def sample(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Denoising:
    """The clip's latents (1, z, t, h, w), or None when cancelled."""
    yield StageStarted("encode")
    words = texts(parts, settings)
    pictures = []
    for name, image in (("first image", first_image(request)), ("last image", request.last_image)):
        if image is not None:
            pixels, sentence = fitted(image, request.width, request.height, name)
            pictures.append(pixels)
            if sentence:
                yield Warned(sentence)
    given = condition(parts, pictures, request.frames, cancelled)
    velocity = velocity_of(parts, words, cancelled, lambda latents: torch.cat([latents, given], 1))
    latents = clip_noise(parts, request)
    return (yield from sampled(parts, settings, velocity, latents, previews=request.previews, cancelled=cancelled))


def fitted(image: NDArray[np.uint8], width: int, height: int, name: str) -> tuple[Tensor, str]:
    """Pixels (1, 3, 1, height, width), and what the user should know about them, or nothing."""
    if stretch_of(image, width, height) <= STRETCH:
        return stretched(image, width, height), ""
    return covering(image, width, height), cut_sentence(image, width, height, name)


@torch.no_grad()
def condition(parts: Parts, pictures: list[Tensor], frames: int, cancelled: Cancelled) -> Tensor:
    """The 4 + z channels (1, 4 + z, t, h, w) of a clip that begins with the first picture and ends with the last."""
    latents = parts.vae.encode_chunks(_chunks(pictures, frames, cancelled))
    mask = torch.zeros_like(latents[:, :STRIDE])
    mask[:, :, 0] = 1.0
    if len(pictures) > 1:
        mask[:, -1, -1] = 1.0
    return torch.cat([mask, latents], 1)


def _chunks(pictures: list[Tensor], frames: int, cancelled: Cancelled) -> Iterator[Tensor]:
    """The given frames with grey ones between, in the VAE's chunks. Raises JobCancelled between them."""
    yield pictures[0]
    count = latent_frames(frames)
    for index in range(1, count):
        if cancelled():
            raise JobCancelled
        chunk = pictures[0].new_zeros((1, 3, STRIDE, *pictures[0].shape[3:]))
        if index == count - 1 and len(pictures) > 1:
            chunk[:, :, -1:] = pictures[1]
        yield chunk
