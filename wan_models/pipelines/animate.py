"""Wan2.2-Animate-14B: a person of one picture moved by a character's pose and face, alone or within a plate.

Follows ``wan/animate.py`` of Wan2.2, so differs from diffusers 0.42 in this: the reference is letterboxed without
anti-aliasing, CLIP sees that letterboxed picture squashed to its square, prompts have the official defaults, and the
noise levels are the official ones. Beyond both: a clip no longer than the overlap is padded to one segment, plates keep
their bytes outside the mask and things in front of the person, colours can be matched at the seams, and no more than
one segment's tensors are on the device. As officially, the frames that a segment takes over from the one before are as
the VAE gave them, before they are put into the plate.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wan_models.events import Event, FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import DEPTH, Request

from .animate_checks import check, driven, has_depth, job_loras, remarks, shot
from .animate_forward import Guide, Network, SegmentInputs, embed_face, embed_no_face, embed_words, predict
from .animate_inputs import AnimateInputs, Frames
from .animate_segments import STRIDE, Segment, condition, segments
from .clip import texts
from .color import match_seam
from .compose import compose, nearer, window
from .contracts import Cancelled, Parts, to_frames, to_pixels
from .denoise import JobCancelled, denoise, guided
from .pictures import clip_pixels
from .preview import Previews
from .settings import Settings

__all__ = ["FAMILY", "check", "generate", "job_loras"]

FAMILY = "animate"
FACE_BATCH = 8  # frames that go through the motion encoder at once, as officially


@dataclass
class _Job:
    """What is the same in all segments. The tokens are made when the network is first there."""

    parts: Parts
    request: Request
    settings: Settings
    cancelled: Cancelled
    inputs: AnimateInputs
    noise: torch.Generator
    texts: list[Tensor]
    picture: Tensor
    reference: Tensor
    words: list[Tensor] = field(default_factory=list)
    no_face: Tensor | None = None

    @property
    def length(self) -> int:
        """Frames of a segment."""
        return self.parts.row.segment


def generate(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Iterator[Event]:
    """Every frame once, in order; those of a segment are out before the next one is begun.

    ``request`` has passed ``check``. One generator on the CPU, seeded once, makes the noise of all segments in turn.
    Frames that are there already (``request.before``) are not given again.
    """
    for sentence in remarks(request):
        yield Warned(sentence)
    yield StageStarted("encode")
    with torch.no_grad():
        job = _open(parts, request, settings, cancelled)
    every = list(segments(request.frames, job.length, request.animate.overlap, len(request.before)))
    tail = to_pixels(np.stack(list(request.before))) if len(request.before) else None
    for segment in every:
        if cancelled():
            return
        name = f" {segment.number + 1} of {len(every)}" if len(every) > 1 else ""
        latents = yield from _denoised(job, segment, tail, name)
        if latents is None:
            return
        parts.room()
        tail = yield from _decoded(job, segment, latents, tail, name)
        if tail is None:
            return
        del latents
        parts.room()


def _open(parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> _Job:
    pack = shot(request)
    inputs = AnimateInputs(pack, driven(pack), request.frames)
    reference = to_pixels(inputs.reference())
    words = texts(parts, settings)
    picture = parts.clip(clip_pixels(reference[:, :, 0]))
    noise = torch.Generator("cpu").manual_seed(request.seed)
    return _Job(parts, request, settings, cancelled, inputs, noise, words, picture, parts.vae.encode(reference))


def _denoised(job: _Job, segment: Segment, tail: Tensor | None, name: str) -> Generator[Event, None, Tensor | None]:
    """The segment's latents (1, z, t, h, w), without the reference's; None when cancelled."""
    if name:
        yield StageStarted(f"encode{name}")
    try:
        with torch.no_grad():
            pose, around = _encoded(job, segment, tail)
            with job.parts.transformer() as network:
                inputs, guides = _constants(job, network, segment, pose, around)
    except JobCancelled:
        return None
    job.parts.room()
    for sentence in job.inputs.sentences():
        yield Warned(sentence)

    def velocity(net: Network, latents: Tensor, timestep: Tensor, guidance: float) -> Tensor:
        return guided(
            lambda: predict(net, latents, timestep, inputs, guides[0]),
            lambda: predict(net, latents, timestep, inputs, guides[1]),
            guidance,
            job.cancelled,
        )

    shape = (1, job.parts.vae.channels, *around.shape[2:])
    noise = torch.randn(shape, generator=job.noise, dtype=torch.float32).to(job.parts.device)
    job.parts.vae.load((*shape[:2], shape[2] - 1, *shape[3:]))
    yield StageStarted(f"denoise{name}", job.settings.steps)
    previews = Previews(
        first=segment.first - segment.overlap, skip=1, last=segment.first + segment.fresh - 1, eye=job.parts.eye
    )
    latents = yield from denoise(
        job.parts,
        velocity,
        noise,
        steps=job.settings.steps,
        shift=job.settings.shift,
        guidance=job.settings.guidance,
        cancelled=job.cancelled,
        previews=previews if job.request.previews else None,
        sigmas=job.settings.sigmas,
    )
    return None if latents is None else latents[:, :, 1:]


def _encoded(job: _Job, segment: Segment, tail: Tensor | None) -> tuple[Tensor, Tensor]:
    """Latents of the pose drawings (1, z, t, h, w), and the condition channels (1, 4 + z, t + 1, h, w)."""
    vae, around = job.parts.vae, _Surroundings(job, segment, tail)
    pose = vae.encode_chunks(to_pixels(job.inputs.poses(segment.frames[a:b])) for a, b in _chunks(job))
    video = vae.encode_chunks(around.chunk(a, b) for a, b in _chunks(job))
    return pose, condition(job.reference, video, around.mask())


def _chunks(job: _Job, sizes: tuple[int, int] = (1, STRIDE)) -> Iterator[tuple[int, int]]:
    """Places [first, last) of a segment, ``sizes`` at first and then each time. Raises JobCancelled between them."""
    first, last = 0, min(sizes[0], job.length)
    while first < job.length:
        if job.cancelled():
            raise JobCancelled
        yield first, last
        first, last = last, min(last + sizes[1], job.length)


class _Surroundings:
    """What a segment's video is told to keep: the frames before it, then the holed plate, or in animation nothing."""

    def __init__(self, job: _Job, segment: Segment, tail: Tensor | None) -> None:
        self._job, self._segment, self._tail = job, segment, tail
        self._holes: list[Frames] = []

    def chunk(self, first: int, last: int) -> Tensor:
        """Pixels (1, 3, n, H, W) of places [first, last); unknown ones are 0, which is grey."""
        request, segment, step = self._job.request, self._segment, self._job.parts.vae.spatial
        frames = segment.frames[first:last]
        if request.task == "replace":
            holed, holes = self._job.inputs.holed(frames)
            pixels = to_pixels(holed)
            self._holes.append(holes[:, ::step, ::step])  # nearest
        else:
            pixels = torch.zeros(1, 3, len(frames), request.height, request.width)
            self._holes.append(np.ones((len(frames), request.height // step, request.width // step), np.uint8))
        kept = min(segment.overlap, last) - first
        if self._tail is not None and kept > 0:
            pixels[:, :, :kept] = self._tail[:, :, first : first + kept]
        return pixels

    def mask(self) -> Tensor:
        """(T, h, w): 1 where the video is kept; complete once all chunks were asked for."""
        mask = 1.0 - torch.from_numpy(np.concatenate(self._holes)).to(torch.float32)
        mask[: self._segment.overlap] = 1.0
        return mask


def _constants(
    job: _Job, network: Network, segment: Segment, pose: Tensor, around: Tensor
) -> tuple[SegmentInputs, list[Guide]]:
    """What the network is told at each step of a segment: with the prompt, then, where guided, without."""
    dtype, device, side = job.parts.dtype, job.parts.device, network.motion_encoder.size
    if not job.words:
        job.words = [embed_words(network, text.to(dtype), job.picture.to(dtype)) for text in job.texts]
    batches = (
        to_pixels(job.inputs.faces(segment.frames[a:b], side))[0].transpose(0, 1).to(device, dtype)
        for a, b in _chunks(job, (FACE_BATCH, FACE_BATCH))
    )
    guides = [Guide(job.words[0], embed_face(network, batches))]
    if job.settings.guides:
        if job.no_face is None:
            job.no_face = embed_no_face(network, job.length, dtype, device)
        guides.append(Guide(job.words[1], job.no_face))
    return SegmentInputs(around, pose.to(dtype), network.rope(around)), guides


def _decoded(
    job: _Job, segment: Segment, latents: Tensor, tail: Tensor | None, name: str
) -> Generator[Event, None, Tensor | None]:
    """Give away the new frames, a chunk at a time; return the last frames for the next segment, None when cancelled.

    Stops after the clip's last frame: what pads the last segment is never decoded.
    """
    overlap, place, last = job.request.animate.overlap, 0, None
    end = segment.overlap + segment.fresh
    yield StageStarted(f"decode{name}", segment.fresh)
    chunks: Iterator[Tensor] = job.parts.vae.decode(latents)
    if job.request.animate.match_color and tail is not None:
        chunks = match_seam(chunks, tail, _inside(job, segment))
    for chunk in chunks:
        if job.cancelled():
            return None
        new = chunk[:, :, max(segment.overlap - place, 0) : end - place]
        place += chunk.shape[2]
        kept = chunk[:, :, -overlap:].cpu()
        last = kept if last is None else torch.cat([last, kept], dim=2)[:, :, -overlap:]
        if new.shape[2]:
            done = min(place, end) - segment.overlap
            first = segment.first + done - new.shape[2]
            yield FramesDecoded(first, _finished(job, to_frames(new), first))
            yield StepDone(done, segment.fresh)
        if place >= end:
            break
    return last


def _inside(job: _Job, segment: Segment) -> NDArray[np.bool_] | None:
    """Where the person is in the frames that a segment shares with the one before; None = everywhere counts."""
    if job.request.task != "replace":
        return None
    return np.stack([job.inputs.mask(t) != 0 for t in segment.frames[: segment.overlap]])


def _finished(job: _Job, frames: Frames, first: int) -> Frames:
    """Decoded frames as they are, or in the plate."""
    if job.request.task != "replace":
        return frames
    return np.stack([_placed(job, frame, first + number) for number, frame in enumerate(frames)])


def _placed(job: _Job, frame: Frames, t: int) -> Frames:
    pack, character = job.inputs.pack, job.inputs.character
    inside, result, before = job.inputs.mask(t) != 0, job.inputs.plate(t).copy(), None
    part = window(inside)
    if inside.any() and has_depth(pack, job.request.frames):
        before = nearer(pack.depth[t][part], pack.mask[t][part], character.index, character.pose.body[t, :, DEPTH])
    if inside.any():
        result[part] = compose(frame[part], result[part], inside[part], before)
    return result
