"""Our Animate-2 against stock diffusers' on the same tiny networks, inputs and noise: 1e-5 of decoded video in [0, 1].

Under ``DIFFUSERS`` rules. What ours does otherwise by default, and where it is tested (all in this folder):

| diffusers 0.42.1                                    | ours, as official                   | test         |
| --------------------------------------------------- | ----------------------------------- | ------------ |
| padded to whole segments, the last frame twice      | shorter last segment, 0 1 2 1 0     | test_inputs  |
| clips below half a segment fail                     | any length                          | test_inputs  |
| CLIP sees the clip's first frame in each segment    | the segment's first frame           | test_rules   |
| the distilled model's attention is the base's       | -1.3 on the segment's first frame   | test_rules   |
| DPM++ from 0.9998 downwards                         | from 1                              | test_rules   |
| no negative prompt                                  | the official script's               | test_rules   |
| the reference's shape; its bars are cut off the video | the size asked for                | test_rules   |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.transformers import transformer_wan_animate_2
from PIL import Image

from wan_models.pipelines import animate2
from wan_models.pipelines.animate2 import DIFFUSERS
from wan_models.requests import Request

from .conftest import BASE, DISTILLED, SEGMENT, Networks, TinyParts, events_of, frames_in, render, request_of

pytestmark = [  # stock code: flex attention as it is, and a tensor given to numpy 2 as numpy 1 took it
    pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


@pytest.fixture
def stock(networks: Networks, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Request], np.ndarray]:
    """Stock frames (T, h, w, 3) in [0, 1] of a model and a job. Its block mask is made without a compiler."""
    make = transformer_wan_animate_2.create_block_mask
    monkeypatch.setattr(
        transformer_wan_animate_2, "create_block_mask", lambda *args, **more: make(*args, **{**more, "_compile": False})
    )
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)

    def run(model: str, request: Request) -> np.ndarray:
        kind = diffusers.WanAnimate2Blocks if model == BASE else diffusers.WanAnimate2DistilledBlocks
        pipe: Any = kind().init_pipeline()
        if model == BASE:
            scheduler = diffusers.DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
            )
        else:
            scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0)
        pipe.update_components(**networks.components(), scheduler=scheduler)
        pipe.set_progress_bar_config(disable=True)
        clay = request.pack.clay if request.pack else ()
        videos = pipe(
            prompt=request.prompt, negative_prompt=request.negative_prompt, image=Image.fromarray(request.image),
            driving_video=[Image.fromarray(frame) for frame in clay], width=request.width, height=request.height,
            segment_frame_length=SEGMENT, num_inference_steps=request.sampler.steps, output_type="np",
            generator=torch.Generator("cpu").manual_seed(request.seed), output="videos",
        )  # fmt: skip
        return np.asarray(videos[0])

    return run


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our frames come as floats in [0, 1]."""
    monkeypatch.setattr(animate2, "to_frames", lambda pixels: (pixels[0].permute(1, 2, 3, 0) / 2 + 0.5).numpy())


@pytest.mark.parametrize(
    ("model", "count", "size"),
    [
        (BASE, 17, (64, 48)),
        (BASE, 7, (40, 32)),
        (DISTILLED, 17, (64, 48)),
    ],
)
@pytest.mark.usefixtures("exact")
def test_frames_are_those_of_diffusers(
    parts: Callable[[str], TinyParts], stock: Callable[[str, Request], np.ndarray], model: str, count: int,
    size: tuple[int, int],
) -> None:  # fmt: skip
    """One segment and two, with padding and a render of another shape; guided and not."""
    request = request_of(model, render(count, size))
    ours = frames_in(events_of(parts(model), request, DIFFUSERS))
    theirs = stock(model, request)
    assert ours.shape == theirs.shape == (count, 48, 64, 3)
    assert np.ptp(theirs) > 0.05
    assert np.abs(ours - theirs).max() <= 1e-5
