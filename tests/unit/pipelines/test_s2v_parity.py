"""A sound-driven shot against a plain loop written from what is known of ``wan/speech2video.py``: every clip's frames
decoded at once, nothing streamed, nothing kept. Only what is heard and followed is put right by three frames there too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.unit.pipelines.s2v_shot import ROW, SIDE, TinyParts, energy, hum, picture, request, sampling, write_wave
from wan_models.control.skeleton import draw_pose
from wan_models.pipelines import s2v
from wan_models.pipelines.s2v import generate
from wan_models.pipelines.schedule import make_schedule
from wan_models.requests import Request
from wan_models.sound import read_wave

LENGTH, STEPS, GUIDANCE = 12, 2, 4.5
MOTION, CPU = 73, torch.device("cpu")


@pytest.fixture(scope="module")
def parts() -> TinyParts:
    torch.set_num_threads(1)
    return TinyParts(LENGTH, real_vae=True)


@pytest.mark.parametrize("way", [{"frames": 30, "pose": True}, {"frames": 20, "start": True}])
@torch.no_grad()
def test_the_plain_loop_gives_the_same_pixels(
    parts: TinyParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: dict[str, Any]
) -> None:
    job = request(write_wave(tmp_path / "hum.wav", hum(2.5)), **way)
    pixels: list[Tensor] = []
    whole = s2v.to_frames
    monkeypatch.setattr(s2v, "to_frames", lambda new: (pixels.append(new.clone()), whole(new))[1])
    list(generate(parts, job, sampling(STEPS, GUIDANCE), lambda: False))
    made, plain = torch.cat(pixels, 2), _Plain(parts, job).shot()[:, :, : job.frames]
    assert made.shape == plain.shape == (1, 3, job.frames, SIDE, SIDE)
    assert float((made - plain).norm() / plain.norm()) <= 1e-5
    assert float((made - plain).abs().max()) <= 1e-4
    assert float(plain.std()) > 0.01


class _Plain:
    """The loop. Pixels and latents as elsewhere, all of a clip at once."""

    def __init__(self, parts: TinyParts, job: Request) -> None:
        self.net, self.job = parts.network, job
        self.words, self.no_words = parts.text(["a person speaks", "blurred"])
        self.vae: Any = parts.vae._vae
        numbers = self.vae.config
        self.mean, self.std = (
            torch.tensor(each).view(1, -1, 1, 1, 1) for each in (numbers.latents_mean, numbers.latents_std)
        )

    def shot(self) -> Tensor:
        job, drop = self.job, not self.job.talk.start_from_reference
        late = 3 if drop else 0
        count = -(-(job.frames + late) // LENGTH)
        shown = _pixels(picture())
        reference = self.encode(shown)
        before = torch.zeros(1, 3, MOTION, SIDE, SIDE)
        if not drop:
            before[:, :, -6:] = shown
        motion = self.encode(before)
        heard, poses = _heard(job, LENGTH * count, late), self.poses(LENGTH * count, late)
        out = []
        for r in range(count):
            part = slice(r * LENGTH, (r + 1) * LENGTH)
            cond = torch.zeros(1, 16, LENGTH // 4, SIDE // 8, SIDE // 8)
            if job.talk.follow_pose:
                chunk = poses[:, :, part]
                cond = self.encode(torch.cat([chunk[:, :, :1], chunk], 2))[:, :, 1:]
            alone = drop and r == 0
            latents = self.sampled(job.seed + r, reference, cond, heard[..., part], None if alone else motion)
            image = self.decode(torch.cat([reference if alone else motion, latents], 2))[:, :, -LENGTH:]
            image = image[:, :, 3:] if alone else image
            fresh = min(MOTION, image.shape[2])
            before = torch.cat([before[:, :, fresh:], image[:, :, -fresh:]], 2)
            motion = self.encode(before)
            out.append(image)
        return torch.cat(out, 2)

    def sampled(self, seed: int, reference: Tensor, cond: Tensor, heard: Tensor, motion: Tensor | None) -> Tensor:
        latents = torch.randn(cond.shape, generator=torch.Generator().manual_seed(seed))
        schedule = make_schedule(STEPS, ROW.shift, CPU)
        for t in schedule.scheduler.timesteps:
            time = t.float().reshape(1)
            yes = self.net(latents, time, self.words, reference, cond, heard, motion)
            no = self.net(latents, time, self.no_words, reference, cond, heard * 0, motion)
            latents = schedule.scheduler.step(no + GUIDANCE * (yes - no), t, latents, return_dict=False)[0]
        return latents

    def encode(self, pixels: Tensor) -> Tensor:
        mu: Tensor = self.vae.encode(pixels).latent_dist.mode()
        return (mu - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self.vae.decode(latents * self.std + self.mean).sample
        return pixels.clamp(-1, 1)

    def poses(self, count: int, late: int) -> Tensor:
        """Drawn as Animate's, red and blue exchanged; black behind the end."""
        pixels = -torch.ones(1, 3, count, SIDE, SIDE)
        if self.job.pack is not None:
            body = self.job.pack.characters[0].pose.body
            for place in range(min(count, self.job.frames + late)):
                drawn = draw_pose(body[max(place - late, 0)], height=SIDE, width=SIDE)[..., ::-1]
                pixels[:, :, place] = _pixels(drawn.copy())[:, :, 0]
        return pixels


def _pixels(image: Any) -> Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None, :, None] / 127.5 - 1.0


def _heard(job: Request, count: int, late: int) -> Tensor:
    """(1, 25, 4, count): 50 states a second made 30, of which frame i takes the one at (i - late) / 16 seconds."""
    assert job.sound is not None
    states = energy(read_wave(job.sound, seconds=job.frames / 16)).numpy()
    have = int(states.shape[1] / 50 * 30)
    places = np.linspace(0, states.shape[1] - 1, have)
    result = np.zeros((1, *states.shape[::2], count), np.float32)
    for i in range(count):
        j = max(round((i - late) / 16 * 30), 0)
        if j < have:
            low = int(places[j])
            share = places[j] - low
            result[0, :, :, i] = states[:, low] * (1 - share) + states[:, min(low + 1, states.shape[1] - 1)] * share
    return torch.from_numpy(result)
