"""Wan2.2-Animate-2: a character's picture moves as the camera render does. No skeleton; the raw frames drive it.

Each segment of 81 frames passes through the transformer once as it is (its keys and values are kept, see
``animate2_cache``), then the video is denoised against them and decoded; the next segment begins with the last frame.
Only one segment's tensors exist at a time, and every decoded chunk leaves at once, so a clip may be of any length.

Sources: Wan-Video/Wan-Animate-2 ("official") and diffusers 0.42.1. Where they differ, ours is official:

* a clip is padded by 0 1 2 1 0 and its last segment may be shorter (29 frames at least); diffusers pads by 0 1 2 2 1 to
  whole segments, and fails for clips shorter than half of one;
* CLIP sees the first frame of each segment's own render; diffusers: the clip's first frame always;
* the distilled model's attention to the frame that a segment begins with is damped (``animate2_attention``, ``bias``);
* the base model's noise levels begin at 1 (``animate2_schedule``); the negative prompt is the official script's.

``DIFFUSERS`` are the rules of the others; tests prove ours equal to diffusers under them. Differences from both: the
frame has the size that was asked for, and reference and render are letterboxed into it (diffusers gives the reference's
aspect and crops the bars off; the official code keeps a grid of its own for the render); a segment whose frames are
all padding is left out.

Seed: one CPU generator a job, from which each segment's noise is drawn in order, so that plans and cards see the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import Request
from wan_models.rows import ModelRow

from . import animate2_inputs as inputs
from .animate2_attention import FrameAttention
from .animate2_cache import DrivingCache, HostLayers, check_host, layer_bytes, layers_on_card
from .animate2_schedule import schedule
from .contracts import Cancelled, Parts, to_frames, to_pixels
from .denoise import Denoising, JobCancelled, guided
from .preview import Previews
from .settings import Settings

logger = logging.getLogger(__name__)

FAMILY = "animate2"
Transformer: TypeAlias = Any
"""diffusers' ``WanAnimate2Transformer3DModel``, which has no types."""
SKIPPED = frozenset({9})
"""The layer that the unconditional pass leaves out (official and diffusers)."""
WIDE_BARS = 0.05  # of the frame's width or height, on either side: above it a reference gets a warning


@dataclass(frozen=True)
class Rules:
    """Where official code and diffusers differ. ``bias`` None: the model row's."""

    official: bool = True
    bias: float | None = None


OFFICIAL = Rules()
DIFFUSERS = Rules(official=False, bias=0.0)


def check(row: ModelRow, request: Request) -> None:
    """Raise RequestRefused, one sentence, for what ``generate`` could not do; ``checks.check_request`` says the rest.

    Decodes one frame of the render.
    """
    pack = request.pack
    if pack is None or not len(pack.clay):
        msg = f"{row.name} is driven by the camera render, and there is none: capture the shot with clay maps"
        raise RequestRefused(msg)
    if len(pack.clay) < request.frames:
        msg = f"{request.frames} frames are asked for and {len(pack.clay)} were captured: capture the shot again"
        raise RequestRefused(msg)
    frame = pack.clay[0]
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        msg = f"the clay map of frame 0 is {frame.dtype} {frame.shape}, not uint8 (h, w, 3): capture the shot again"
        raise RequestRefused(msg)
    image = _reference(row, request)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        msg = f"the reference must be uint8 (height, width, 3 or 4), not {image.dtype} {image.shape}: choose a picture"
        raise RequestRefused(msg)


def _reference(row: ModelRow, request: Request) -> inputs.Picture:
    image = inputs.reference_of(request)
    if image is None:
        msg = f"{row.name} needs a picture of the character to animate: choose a reference"
        raise RequestRefused(msg)
    return image


@torch.no_grad()
def generate(
    parts: Parts, request: Request, settings: Settings, cancelled: Cancelled, rules: Rules = OFFICIAL
) -> Iterator[Event]:
    """Every frame once, in order. ``request`` has passed ``check``."""
    for sentence in doubts(parts.row, request):
        yield Warned(sentence)
    job = _Job(parts, request, settings, rules, cancelled)
    yield StageStarted("encode")
    job.encode()
    pieces = list(inputs.segments(request.frames, parts.row.segment, rules.official, len(request.before)))
    for segment in pieces:
        if cancelled():
            return
        if segment.number:
            yield StageStarted(_named("encode", segment, pieces))
        condition = job.condition(segment)
        yield StageStarted(_named("denoise", segment, pieces), settings.steps)
        latents = yield from job.denoise(segment, condition)
        if latents is None:
            return
        parts.room()
        yield StageStarted(_named("decode", segment, pieces), segment.fresh)
        yield from job.decode(latents, segment)


def doubts(row: ModelRow, request: Request) -> Iterator[str]:
    """What the user should know before the work begins, a sentence each."""
    name, width, height = row.name, request.width, request.height
    image = inputs.reference_of(request)
    if image is not None:
        rows, columns = image.shape[:2]
        left, top, *_ = inputs.content_box(columns, rows, (width, height))
        if max(left / width, top / height) > WIDE_BARS:
            yield (
                f"the reference is {columns} x {rows} and the video {width} x {height}: it gets black bars, which may "
                "appear in the video; a reference of the video's shape has none"
            )
    characters = request.pack.characters if request.pack is not None else ()
    if len(characters) > 1:
        chosen = inputs.driven_character(characters)
        yield f"{name} animates one character: the reference of {chosen.name if chosen else 'one'} is used"
    if not request.prompt.strip():
        yield f"{name} expects a description of the character and the background as prompt, and there is none"
    if request.animate.overlap != inputs.OVERLAP or request.animate.match_color:
        yield f"{name} joins its segments by {inputs.OVERLAP} frame and matches no colours: those settings do nothing"
    if abs(request.fps - row.fps) > 0.5:
        yield f"{name} was made for {row.fps:g} frames a second and the shot has {request.fps:g}: motion may look off"


def _named(stage: str, segment: inputs.Segment, pieces: list[inputs.Segment]) -> str:
    return stage if len(pieces) == 1 else f"{stage} {segment.number + 1} of {len(pieces)}"


@contextmanager
def prepared(network: nn.Module, attention: FrameAttention, frames: int, tokens: int) -> Iterator[Transformer]:
    """A ``WanAnimate2Transformer3DModel`` with our attention in its blocks and no block mask made; put back afterwards.

    ``frames``, ``tokens``: latent frames of the longest segment, tokens of one.
    """
    transformer: Transformer = network
    before = [block.self_attn.processor for block in transformer.blocks]
    masks = transformer.block_masks
    for block in transformer.blocks:
        block.self_attn.set_processor(attention)
    transformer.block_masks = {(frames, tokens): None}
    try:
        yield transformer
    finally:
        transformer.block_masks = masks
        for block, processor in zip(transformer.blocks, before, strict=True):
            block.self_attn.set_processor(processor)


@dataclass(frozen=True)
class Condition:
    """What a segment is made from, on the device: the driving latents (1, z, t, h, w), the channels beside the noise
    (1, 4 + z, t + 1, h, w), and CLIP's view of the driving frames.
    """

    driving: Tensor
    beside: Tensor
    seen: Tensor


class _Job:
    """What one job carries from segment to segment; on the device only encodings, a few latents and one frame."""

    def __init__(self, parts: Parts, request: Request, settings: Settings, rules: Rules, cancelled: Cancelled) -> None:
        extras = parts.row.extras
        self.parts, self.request, self.settings, self.rules = parts, request, settings, rules
        self.cancelled = cancelled
        self.frame = (request.width, request.height)
        self.attention = FrameAttention(extras["seed_frame_bias"] if rules.bias is None else rules.bias)
        self.generator = torch.Generator("cpu").manual_seed(request.seed)
        self.host = HostLayers()
        self.tail: Tensor | None = None
        if len(request.before):
            self.tail = to_pixels(np.stack(list(request.before))).to(parts.device)
        self.seen: Tensor | None = None

    def encode(self) -> None:
        """Texts and the reference, once a job."""
        settings = self.settings
        words = [self.parts.row.extras["driving_prompt"], settings.prompt]
        self.driving_text, *self.texts = self.parts.text([*words, settings.negative_prompt][: 2 + settings.guides])
        pixels = inputs.reference_pixels(_reference(self.parts.row, self.request), self.frame).to(self.parts.device)
        self.face = self.parts.clip(inputs.clip_pixels(pixels))
        self.reference = inputs.with_mask(self.parts.vae.encode(pixels), 1)

    def condition(self, segment: inputs.Segment) -> Condition:
        """Reads the segment's frames of the render; nothing of other segments but the last frame made."""
        pack = self.request.pack
        pixels = inputs.driving_pixels(pack.clay if pack else (), segment.frames, self.frame).to(self.parts.device)
        if self.rules.official or self.seen is None:
            self.seen = self.parts.clip(inputs.clip_pixels(pixels))
        driving = self.parts.vae.encode(pixels)
        pixels.zero_()
        if self.tail is not None:
            pixels[:, :, : segment.overlap] = self.tail
        known = inputs.with_mask(self.parts.vae.encode(pixels), segment.overlap)
        return Condition(driving, torch.cat([self.reference, known], dim=2), self.seen)

    def denoise(self, segment: inputs.Segment, condition: Condition) -> Denoising:
        """StepDone each step, at times a Preview; the latents (1, z, t + 1, h, w) float32, or None when cancelled."""
        parts, settings = self.parts, self.settings
        _, _, frames, height, width = condition.beside.shape
        shape = (condition.driving.shape[1], frames, height, width)
        latents = torch.randn(shape, generator=self.generator)[None].to(parts.device)
        plan = schedule(parts.row.extras["sampler"], settings.steps, settings.shift, parts.device, self.rules.official)
        previews = Previews(first=segment.first - segment.overlap, skip=1, last=self.request.frames - 1, eye=parts.eye)
        longest = parts.row.segment // inputs.STRIDE + 1
        with (
            parts.transformer() as network,
            prepared(network, self.attention, longest, height * width // 4) as transformer,
            self._cache(transformer, _tokens(condition.driving), _tokens(latents)) as cache,
        ):
            self._extract(transformer, cache, condition)
            for step, timestep in enumerate(plan.timesteps):
                if self.cancelled():
                    return None
                try:
                    flow = self._velocity(transformer, cache, latents, condition.beside, timestep[None])
                except JobCancelled:
                    return None
                estimate = latents - plan.scheduler.sigmas[step].to(latents) * flow
                latents = plan.scheduler.step(flow, timestep, latents, return_dict=False)[0]
                yield StepDone(step + 1, settings.steps)
                preview = previews.take(estimate) if self.request.previews else None
                if preview:
                    yield preview
        return latents

    def _cache(self, transformer: Transformer, driving: int, made: int) -> DrivingCache:
        """An empty cache for ``driving`` tokens beside ``made`` tokens of the video. Raises RequestRefused."""
        layers, device = len(transformer.blocks), self.parts.device
        each = layer_bytes(driving, transformer.config.dim, self.parts.dtype)
        away = getattr(getattr(self.parts, "plan", None), "reference_on_host", False)
        on_card = 0 if away else layers_on_card(layers, each, made, device)
        check_host(self.parts.row, (layers - on_card) * each - self.host.nbytes)
        logger.info("features of the render: %d of %d layers on the card, %d bytes each", on_card, layers, each)
        return DrivingCache(layers, on_card, self.host, device)

    def _extract(self, transformer: Transformer, cache: DrivingCache, condition: Condition) -> None:
        """The driving pass: fills ``cache``. Its timestep is 1 whatever is given."""
        driving, dtype = condition.driving, self.parts.dtype
        transformer(
            [driving[0].to(dtype)],
            timestep=torch.ones(1, device=self.parts.device),
            encoder_hidden_states=[self.driving_text[0]],
            encoder_hidden_states_image=condition.seen,
            condition_latents=[inputs.with_mask(driving, self.parts.row.segment)[0].to(dtype)],
            kv_cache=cache,
            kv_cache_mode="extract",
            seq_len=_tokens(driving),
            offset_grid_sizes=_grid(driving),
            return_dict=False,
        )

    def _velocity(
        self, transformer: Transformer, cache: DrivingCache, latents: Tensor, beside: Tensor, time: Tensor
    ) -> Tensor:
        """(1, z, t + 1, h, w) float32: the guided prediction. Raises JobCancelled."""
        grid = _grid(latents[:, :, 1:])

        def forward(text: Tensor, plain: bool) -> Tensor:
            cache.skipped = SKIPPED if plain else frozenset()
            made: Tensor = transformer(
                [latents[0].to(self.parts.dtype)],
                timestep=time,
                encoder_hidden_states=[text[0]],
                encoder_hidden_states_image=self.face,
                condition_latents=[beside[0].to(self.parts.dtype)],
                kv_cache=cache,
                kv_cache_mode="cached",
                seq_len=_tokens(latents),
                reference_grid_sizes=grid,
                origin_len=self.parts.row.segment,
                origin_area=[self.request.height, self.request.width],
                is_uncondtion=plain,
                return_dict=False,
            )[0][0]
            return made[None]

        guidance = self.settings.guidance
        first, last = self.texts[0], self.texts[-1]
        return guided(lambda: forward(first, False), lambda: forward(last, True), guidance, self.cancelled)

    def decode(self, latents: Tensor, segment: inputs.Segment) -> Iterator[Event]:
        """The segment's new frames, a chunk at a time; its last frame is kept for the next one."""
        done, wanted = 0, segment.overlap + segment.fresh  # both with the overlap
        for pixels in self.parts.vae.decode(latents[:, :, 1:]):
            start, stop = max(segment.overlap - done, 0), min(pixels.shape[2], wanted - done)
            if stop > start:
                first = segment.first - segment.overlap + done + start
                yield FramesDecoded(first, to_frames(pixels[:, :, start:stop]))
            done = min(done + pixels.shape[2], wanted)
            self.tail = pixels[:, :, -inputs.OVERLAP :]
            if done > segment.overlap:
                yield StepDone(done - segment.overlap, segment.fresh)
            if self.cancelled() or done == wanted:
                return


def _grid(latents: Tensor) -> Tensor:
    """(1, 3): frames, rows and columns of tokens."""
    _, _, t, h, w = latents.shape
    return torch.tensor([[t, h // 2, w // 2]], dtype=torch.long)


def _tokens(latents: Tensor) -> int:
    return int(_grid(latents).prod())
