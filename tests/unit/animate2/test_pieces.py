"""Segments and padding, letterboxes, masks, attention and the cache of driving features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers.modular_pipelines.wan_animate_2.encoders import clip_visual_encode, get_i2v_mask
from diffusers.modular_pipelines.wan_animate_2.video_processor import WanAnimate2VideoProcessor
from PIL import Image

from wan_models.engine import RequestRefused
from wan_models.memory.plan import Plan
from wan_models.models import ANIMATE2_NEGATIVE, ANIMATE2_PROMPT
from wan_models.pipelines import animate2_inputs as inputs
from wan_models.pipelines.animate2_attention import FrameAttention, Shape, Summed, _run, add, attend, framed, kernel_for
from wan_models.pipelines.animate2_cache import DrivingCache, HostLayers, check_host, layer_bytes, layers_on_card
from wan_models.pipelines.animate2_schedule import official_levels, schedule
from wan_models.registry import model_row

from .conftest import BASE, CPU, DISTILLED, TinyParts, events_of, frames_in, picture, render, request_of


def test_the_rows_are_the_released_models() -> None:
    base, distilled = model_row(BASE), model_row(DISTILLED)
    assert (base.steps, base.guidance, distilled.steps, distilled.guidance) == (40, 3.0, 10, 1.0)
    assert (base.extras["sampler"], distilled.extras["sampler"]) == ("dpm++", "euler")
    assert (base.extras["seed_frame_bias"], distilled.extras["seed_frame_bias"]) == (0.0, -1.3)
    for row in (base, distilled):
        assert (row.fps, row.segment, row.shift, row.default_frames) == (24, 81, 5.0, 81)
        assert row.extras["driving_prompt"] == ANIMATE2_PROMPT
        assert row.negative_prompt == ANIMATE2_NEGATIVE


@pytest.mark.parametrize("count", [1, 2, 3, 28, 29, 30, 33, 57, 80, 81, 82, 100, 110, 160, 161, 162, 500])
@pytest.mark.parametrize("official", [True, False])
def test_segments_hold_every_frame_once(count: int, official: bool) -> None:
    pieces = list(inputs.segments(count, 81, official))
    made = [piece.first + offset for piece in pieces for offset in range(piece.fresh)]
    assert made == list(range(count))
    for piece in pieces:
        assert len(piece.frames) % 4 == 1
        assert 29 <= len(piece.frames) <= 81
        assert official or len(piece.frames) == 81
        assert piece.frames[piece.overlap : piece.overlap + piece.fresh] == tuple(
            range(piece.first, piece.first + piece.fresh)
        )
        assert set(piece.frames) <= set(range(count))
    for before, after in pairwise(pieces):
        assert before.frames[-1] == after.frames[0]


@pytest.mark.parametrize(
    ("count", "last"), [(1, 29), (29, 33), (30, 33), (81, 81), (82, 29), (100, 29), (110, 33), (157, 81)]
)
def test_the_last_segment_is_as_short_as_officially(count: int, last: int) -> None:
    """Lengths as ``get_padding_len`` gives them."""
    assert len(list(inputs.segments(count, 81))[-1].frames) == last


def test_padding_bounces() -> None:
    assert [inputs.shown(place, 4, True) for place in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [inputs.shown(place, 4, False) for place in range(9)] == [0, 1, 2, 3, 3, 2, 1, 0, 0]
    assert [inputs.shown(place, 1, True) for place in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("size", [(64, 48), (97, 31), (31, 97), (640, 361), (48, 48)])
@pytest.mark.parametrize("resample", ["bicubic", "bilinear"])
def test_letterboxes_are_those_of_diffusers(size: tuple[int, int], resample: str) -> None:
    image = picture(*size, 1)
    processor = WanAnimate2VideoProcessor(resample=resample)
    theirs = processor.preprocess(Image.fromarray(image), height=48, width=64, resize_mode="fill")
    ours = inputs.letterbox(image, (64, 48), Image.Resampling[resample.upper()])
    assert ours.shape == (48, 64, 3)
    assert torch.allclose(inputs.to_pixels(ours)[:, :, 0], theirs, atol=1e-6)


def test_a_cut_out_lies_on_black() -> None:
    image = np.full((4, 4, 4), 200, np.uint8)
    image[..., 3] = [[0], [255], [128], [0]]
    assert inputs.on_black(image)[:, 0, 0].tolist() == [0, 200, 100, 0]


@pytest.mark.parametrize("known", [0, 1, 9])
def test_masks_are_those_of_diffusers(known: int) -> None:
    theirs = get_i2v_mask(3, 2, 5, known, device="cpu")
    assert torch.equal(inputs.with_mask(torch.zeros(1, 16, 3, 2, 5), known)[0, :4], theirs)


def test_clip_sees_what_it_sees_in_diffusers(parts: Callable[[], TinyParts]) -> None:
    pixels = torch.rand(1, 3, 5, 48, 64) * 2 - 1
    tiny = parts()
    with torch.no_grad():
        theirs = clip_visual_encode(tiny.networks.image_encoder, pixels[0, :, 0], CPU, torch.float32)
    assert torch.equal(tiny.clip(inputs.clip_pixels(pixels)), theirs)


def _dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, driving: tuple[torch.Tensor, torch.Tensor], shape: Shape
           ) -> torch.Tensor:  # fmt: skip
    """The whole score matrix, in float64."""
    made = q.shape[1] // shape.tokens
    keys = torch.cat([k, driving[0], torch.zeros(1, shape.empty, *k.shape[2:])], 1).double()
    values = torch.cat([v, driving[1], torch.zeros(1, shape.empty, *k.shape[2:])], 1).double()
    scores = torch.einsum("bqhd,bkhd->bhqk", q.double(), keys) / q.shape[-1] ** 0.5
    frame = torch.arange(made).repeat_interleave(shape.tokens)
    scores[..., shape.tokens : 2 * shape.tokens] += shape.bias
    own = frame[:, None] == frame[None, shape.tokens :]
    scores[..., q.shape[1] : q.shape[1] + own.shape[1]].masked_fill_(~own, -torch.inf)
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), values).float()


@pytest.mark.parametrize("shape", [Shape(6), Shape(6, -1.3), Shape(6, 0.0, 11), Shape(6, -1.3, 40)])
def test_frames_attend_to_all_and_to_their_driving_frame(shape: Shape) -> None:
    torch.manual_seed(1)
    q, k, v = torch.randn(3, 1, 24, 2, 16).unbind()
    driving = torch.randn(2, 1, 18, 2, 16).unbind()
    ours = framed((q * 3, k, v), (driving[0], driving[1]), shape)
    assert torch.allclose(ours, _dense(q * 3, k, v, (driving[0], driving[1]), shape), atol=2e-6)


def test_attention_written_out_is_the_same() -> None:
    torch.manual_seed(2)
    q, k, v = torch.randn(3, 1, 2, 10, 16).unbind()
    out, lse = attend(q, k, v)
    other = _run("plain", q, k, v)
    assert kernel_for(CPU, torch.float32, 16) == "cpu"
    assert torch.allclose(out, other[0], atol=1e-6)
    assert torch.allclose(lse, other[1], atol=1e-5)


def test_parts_of_attention_merge() -> None:
    torch.manual_seed(3)
    q, k, v = torch.randn(3, 1, 2, 10, 16).unbind()
    total = Summed(*(part.clone() for part in attend(q, k[:, :, :3], v[:, :, :3])))
    add(total, attend(q, k[:, :, 3:], v[:, :, 3:]))
    assert torch.allclose(total.out, attend(q, k, v).out, atol=1e-6)
    assert torch.allclose(total.lse, attend(q, k, v).lse, atol=1e-5)


def test_features_of_the_host_are_those_of_the_card() -> None:
    stored = {index: torch.randn(2, 1, 4, 2, 3) for index in range(5)}
    host = HostLayers()
    with DrivingCache(5, 2, host, CPU) as cache:
        for index, both in stored.items():
            cache.get(index).store(*both)
        for skipped in (frozenset[int](), frozenset({3})):
            cache.skipped = skipped
            for index in range(5):
                if index not in skipped:
                    assert torch.equal(torch.stack(cache.get(index).get()), stored[index])
        with pytest.raises(KeyError):
            cache.take(7)
    with pytest.raises(KeyError):
        cache.get(0).get()
    assert host.nbytes == 3 * stored[0].nbytes
    smaller = torch.randn(2, 1, 2, 2, 3)
    with DrivingCache(5, 2, host, CPU) as cache:  # the next segment is shorter
        cache.get(4).store(*smaller)
        assert torch.equal(torch.stack(cache.get(4).get()), smaller)
    assert host.nbytes == 3 * stored[0].nbytes


def test_sizes_of_the_features() -> None:
    """The figures in animate2_cache's first lines."""
    for width, height, gigabytes in ((832, 480, 26.8), (800, 640, 34.4), (1280, 720, 61.9)):
        tokens = 21 * width * height // 256
        assert 40 * layer_bytes(tokens, 5120, torch.bfloat16) / 1e9 == pytest.approx(gigabytes, abs=0.05)
    assert layers_on_card(40, 10**12, 10**6, CPU) == 40
    check_host(model_row(BASE), -1)
    with pytest.raises(RequestRefused, match="must keep 40000"):
        check_host(model_row(BASE), 40 * 10**12)


def test_where_the_features_lie_changes_nothing(
    parts: Callable[[], TinyParts], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_of(BASE, render(9))
    here = frames_in(events_of(parts(), request))
    monkeypatch.setattr("wan_models.pipelines.animate2.layers_on_card", lambda *_: 3)
    assert np.array_equal(frames_in(events_of(parts(), request)), here)
    tiny = parts()
    tiny.plan = replace(Plan(), reference_on_host=True)
    assert np.array_equal(frames_in(events_of(tiny, request)), here)


def test_noise_levels() -> None:
    base = schedule("dpm++", 40, 5.0, CPU)
    assert base.scheduler.sigmas[0] == 1.0
    assert base.scheduler.sigmas[-1] == 0.0
    assert base.timesteps[0] == 1000
    assert torch.allclose(base.scheduler.sigmas[:-1], torch.tensor(official_levels(40, 5.0), dtype=torch.float32))
    other = schedule("dpm++", 40, 5.0, CPU, official=False)
    assert 0 < (base.scheduler.sigmas - other.scheduler.sigmas).abs().max() < 0.01
    euler = schedule("euler", 10, 5.0, CPU)
    assert len(euler.timesteps) == 10
    assert float(euler.scheduler.sigmas[0]) == 1.0


@pytest.mark.parametrize("sampler", ["dpm++", "euler"])
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 40])
def test_samplers_end_at_the_truth(sampler: str, steps: int) -> None:
    """With the exact flow towards one video, any number of steps ends at it; also from a level of exactly 1."""
    torch.manual_seed(0)
    truth, latents = torch.randn(2, 1, 4, 3, 2, 2).unbind()
    noise, plan = latents, schedule(sampler, steps, 5.0, CPU)
    for timestep in plan.timesteps:
        latents = plan.scheduler.step(noise - truth, timestep, latents, return_dict=False)[0]
    assert torch.allclose(latents, truth, atol=1e-5)


def test_our_attention_leaves_the_network_as_it_was(parts: Callable[[], TinyParts]) -> None:
    tiny = parts()
    before = [block.self_attn.processor for block in tiny.networks.transformer.blocks]
    masks = tiny.networks.transformer.block_masks
    events_of(tiny, request_of(BASE, render(3)))
    assert [block.self_attn.processor for block in tiny.networks.transformer.blocks] == before
    assert tiny.networks.transformer.block_masks is masks
    assert not any(isinstance(processor, FrameAttention) for processor in before)
