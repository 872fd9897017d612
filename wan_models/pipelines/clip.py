"""What the models that make a clip at once share: texts, the network's call, and the way from latents to frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor, nn

from wan_models.events import Event, FramesDecoded, StageStarted, StepDone
from wan_models.requests import Request

from .contracts import Cancelled, Parts, Velocity, to_frames
from .decode import STRIDE, latent_frames
from .denoise import Denoising, denoise, guided, noise
from .preview import Previews
from .settings import Settings
from .wan_forward import Constants, predict


def clip_noise(parts: Parts, request: Request) -> Tensor:
    """The clip's noise (1, z, t, h, w) by the seed rule (``denoise.noise``)."""
    side = parts.vae.spatial
    shape = (parts.vae.channels, latent_frames(request.frames), request.height // side, request.width // side)
    return noise((1, *shape), request.seed, parts.device)


def texts(parts: Parts, settings: Settings) -> list[Tensor]:
    """The prompt's encoding, and the negative prompt's where a step is guided."""
    return parts.text([settings.prompt, settings.negative_prompt] if settings.guides else [settings.prompt])


def velocity_of(
    parts: Parts,
    words: list[Tensor],
    cancelled: Cancelled,
    inputs: Callable[[Tensor], Tensor] = lambda latents: latents,
    held: int = 0,
) -> Velocity:
    """``inputs``: latents to what the network sees; ``held``: how many tokens in front have timestep 0."""
    constants = Constants(words)

    def velocity(network: nn.Module, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
        seen = inputs(latents).to(parts.dtype)
        texts, positions = constants.words(network), constants.positions(network, seen)
        return guided(
            lambda: predict(network, seen, timestep, texts[0], positions=positions, held=held),
            lambda: predict(network, seen, timestep, texts[1], positions=positions, held=held),
            guidance,
            cancelled,
        )

    return velocity


def sampled(
    parts: Parts,
    settings: Settings,
    velocity: Velocity,
    latents: Tensor,
    *,
    previews: bool,
    cancelled: Cancelled,
    after_step: Callable[[Tensor], Tensor] | None = None,
) -> Denoising:
    """The denoise stage of a clip: see ``denoise``."""
    parts.vae.load(latents.shape)  # else the first frame would wait for it
    parts.room()
    yield StageStarted("denoise", settings.steps)
    return (
        yield from denoise(
            parts,
            velocity,
            latents,
            steps=settings.steps,
            shift=settings.shift,
            guidance=settings.guidance,
            guidance_low=settings.guidance_low,
            boundary=settings.boundary,
            cancelled=cancelled,
            previews=Previews(eye=parts.eye) if previews else None,
            sigmas=settings.sigmas,
            after_step=after_step,
        )
    )


def clip_of(parts: Parts, sampling: Denoising, cancelled: Cancelled) -> Iterator[Event]:
    """The whole job: the stages of ``sampling``, then, unless it was cancelled, every frame once, in order."""
    latents = yield from sampling
    if latents is not None:
        yield from frames_of(parts, latents, cancelled)


def frames_of(parts: Parts, latents: Tensor, cancelled: Cancelled) -> Iterator[Event]:
    """The decode stage: each chunk's frames as soon as they are there, and how many are done."""
    parts.room()
    total = 1 + (latents.shape[2] - 1) * STRIDE
    yield StageStarted("decode", total)
    first = 0
    for pixels in parts.vae.decode(latents):
        frames = to_frames(pixels)
        yield FramesDecoded(first, frames)
        first += len(frames)
        yield StepDone(first, total)
        if cancelled():
            return
