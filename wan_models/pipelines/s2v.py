"""Wan2.2-S2V-14B: a person of one picture speaks, sings or plays what a sound says. Follows ``wan/speech2video.py``.

A shot is made in clips of 80 frames. Each one hears its part of the sound and, but for the first, is shown the last 73
frames before it, encoded again; the VAE decodes them once more in front of its own, which gives the seam its calm.

Unlike the official code: what is heard belongs to the frame that is shown (there pictures are three frames early, see
``s2v_inputs.heard``); the picture is cut to the shot rather than given black bars; a shot has any number of frames; the
noise of clip r is drawn on the CPU in float32 with the seed + r (``denoise.noise``), there on the card in bfloat16; the
VAE gets pixels of float32, there some are bfloat16. No more than one clip's tensors are on the device.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor

from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import Request

from .clip import texts
from .contracts import Cancelled, Parts, to_frames, to_pixels
from .decode import STRIDE
from .denoise import Denoising, JobCancelled, denoise, guided, noise
from .preview import Previews
from .s2v_checks import check, remarks
from .s2v_clips import Carry, Clip, clips, dropped
from .s2v_inputs import Drawings, heard, no_pose, reference
from .settings import Settings

__all__ = ["FAMILY", "check", "generate"]

FAMILY = "s2v"
Network: TypeAlias = Any
"""A ``WanS2VTransformer3DModel``, compiled or not."""
Conditions: TypeAlias = Any
"""What its ``prepare`` gives."""


@dataclass(frozen=True)
class _Job:
    """What is the same in all clips: ``picture`` (1, z, 1, h, w), the reference's latents; ``sound`` (1, 25, width, n),
    on the CPU.
    """

    parts: Parts
    request: Request
    settings: Settings
    cancelled: Cancelled
    every: tuple[Clip, ...]
    words: list[Tensor]
    picture: Tensor
    sound: Tensor
    poses: Drawings | None
    carry: Carry

    @property
    def length(self) -> int:
        """Frames of a clip."""
        return self.parts.row.segment

    def name(self, clip: Clip) -> str:
        """What its stages are called by."""
        return f" {clip.number + 1} of {len(self.every)}" if len(self.every) > 1 else ""


@dataclass(frozen=True)
class _Told:
    """What the network is told at every step of a clip, latents as the VAE gives them; ``motion`` None = it has no
    frames before it.
    """

    picture: Tensor
    pose: Tensor
    sound: Tensor
    motion: Tensor | None


def generate(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Iterator[Event]:
    """Every frame once, in order; those of a clip are out before the next one is begun.

    ``request`` has passed ``check``.
    """
    for sentence in remarks(request):
        yield Warned(sentence)
    yield StageStarted("encode")
    with suppress(JobCancelled):
        job = yield from _opened(parts, request, settings, cancelled)
        for clip in job.every:
            told = yield from _encoded(job, clip)
            parts.room()
            latents = yield from _denoised(job, clip, told)
            if latents is None:
                return
            parts.room()
            before = told.picture if told.motion is None else told.motion
            yield from _decoded(job, clip, torch.cat([before, latents], dim=2))
            del told, before, latents
            parts.room()


def _opened(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Generator[Event, None, _Job]:
    """Raises JobCancelled between two of its encodings."""
    start, length = request.talk.start_from_reference and not len(request.before), parts.row.segment
    drop = dropped(start or len(request.before) > 0)
    every = clips(request.frames, length, drop)
    if request.sound is None:
        problem = "s2v needs a sound that drives the shot: choose a sound strip, a speaker or a file"
        raise RequestRefused(problem)
    words = texts(parts, settings)
    _go_on(cancelled)
    sound = heard(parts, request.sound, request.frames, len(every) * length, drop)
    _go_on(cancelled)
    pixels, sentence = reference(request)
    if sentence:
        yield Warned(sentence)
    with torch.no_grad():
        picture = parts.vae.encode(pixels)
    poses = Drawings(request.pack, request.frames, drop) if request.talk.follow_pose and request.pack else None
    carry = Carry(pixels if start else None, request.height, request.width)
    if len(request.before):
        carry.begin(to_pixels(np.stack(list(request.before))))
    return _Job(parts, request, settings, cancelled, every, words, picture, sound, poses, carry)


def _go_on(cancelled: Cancelled) -> None:
    if cancelled():
        raise JobCancelled


def _wanted(chunks: Iterator[Tensor], cancelled: Cancelled) -> Iterator[Tensor]:
    """The chunks; raises JobCancelled before any of them."""
    for chunk in chunks:
        _go_on(cancelled)
        yield chunk


def _encoded(job: _Job, clip: Clip) -> Generator[Event, None, _Told]:
    """Raises JobCancelled between two chunks."""
    vae = job.parts.vae
    if job.name(clip):
        yield StageStarted(f"encode{job.name(clip)}")
    with torch.no_grad():
        motion = None
        if clip.number or job.request.talk.start_from_reference or len(job.request.before):
            motion = vae.encode_chunks(_wanted(job.carry.chunks(), job.cancelled))
        if job.poses is None:
            pose = no_pose(job.picture, job.length // STRIDE)
        else:
            pose = vae.encode_chunks(_wanted(job.poses.clip(clip.heard, job.length), job.cancelled))[:, :, 1:]
    sound = job.sound[..., clip.heard : clip.heard + job.length].to(job.parts.device)
    return _Told(job.picture, pose, sound, motion)


def _denoised(job: _Job, clip: Clip, told: _Told) -> Denoising:
    """The clip's latents (1, z, length / 4, h, w); None when cancelled."""
    made: list[Conditions] = []

    def velocity(network: Network, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
        if not made:
            made.extend(_conditions(job, told, network))
        return guided(
            lambda: network(latents, timestep, conditions=made[0]),
            lambda: network(latents, timestep, conditions=made[1]),
            guidance,
            job.cancelled,
        )

    start = noise(tuple(told.pose.shape), job.request.seed + clip.number, job.parts.device)
    before = told.picture if told.motion is None else told.motion
    frames = before.shape[2] + start.shape[2]
    job.parts.vae.load((*start.shape[:2], frames, *start.shape[3:]))  # else the first frame would wait for it
    yield StageStarted(f"denoise{job.name(clip)}", job.settings.steps)
    # Previews count a first latent frame of one frame; here all have four.
    last, count = clip.first + clip.fresh - 1, -(-(clip.skip + clip.fresh) // STRIDE)
    previews = Previews(first=clip.first - clip.skip + STRIDE, last=last, count=count, eye=job.parts.eye)
    return (
        yield from denoise(
            job.parts,
            velocity,
            start,
            steps=job.settings.steps,
            shift=job.settings.shift,
            guidance=job.settings.guidance,
            cancelled=job.cancelled,
            previews=previews if job.request.previews else None,
            sigmas=job.settings.sigmas,
        )
    )


def _conditions(job: _Job, told: _Told, network: Network) -> list[Conditions]:
    """What the network makes once of what it is told: with the prompt, then, where guided, without prompt and sound."""
    given = network.prepare(job.words[0], told.picture, told.pose, told.sound, told.motion)
    if not job.settings.guides:
        return [given]
    return [given, replace(given, guide=network.guide(job.words[1], torch.zeros_like(told.sound)))]


def _decoded(job: _Job, clip: Clip, latents: Tensor) -> Iterator[Event]:
    """Give away the clip's new frames, a chunk at a time, and keep what the next clip carries on from.

    ``latents`` begin with those before the clip's own: the VAE must see them, but their frames are not wanted. Nothing
    behind the shot's end is decoded. Raises JobCancelled between two chunks.
    """
    skip = latents.shape[2] - job.length // STRIDE
    first, end = 0, clip.skip + clip.fresh
    yield StageStarted(f"decode{job.name(clip)}", clip.fresh)
    for chunk in job.parts.vae.decode(latents, skip):
        _go_on(job.cancelled)
        new = chunk[:, :, max(clip.skip - first, 0) : end - first]
        first += chunk.shape[2]
        if not new.shape[2]:
            continue
        if clip is not job.every[-1]:
            job.carry.add(new)
        done = min(first, end) - clip.skip
        yield FramesDecoded(clip.first + done - new.shape[2], to_frames(new))
        yield StepDone(done, clip.fresh)
        if first >= end:
            return
