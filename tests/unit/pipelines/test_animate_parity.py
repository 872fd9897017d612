"""Animate's frames against stock diffusers, fed the same inputs, numbers and noise; and what differs on purpose.

Decoded video in [0, 1] must agree to 1e-5, for every pair of: animate or replace, overlap 1 or 5, one segment or two,
guided or not. What ours does otherwise:

| diffusers 0.42                                  | ours                                              | test         |
| ----------------------------------------------- | ------------------------------------------------- | ------------ |
| noise levels from 1 to 0.001                    | from 0.999 to 0, as officially                    | here         |
| CLIP sees the middle of the raw picture         | the letterboxed picture, squashed, as officially  | here         |
| the letterbox is anti-aliased                   | it is not, as officially                          | here         |
| no prompts of its own                           | the official ones                                 | here         |
| motion and face encoders run at each step       | once a segment, same bits                         | here         |
| fails where the clip is no longer than overlap  | pads it to a segment; officially none is made     | test_animate |
| what pads the clip is decoded, then cut         | is not decoded                                    | test_animate |
| masks and faces must be there in every frame    | the last valid one is used, and said              | test_animate |
| the whole picture is generated                  | pixels outside the mask are the plate's           | test_animate |
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler, WanAnimatePipeline
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPImageProcessor

from tests.unit.pipelines.animate_shot import (
    HEIGHT,
    ROW,
    WIDTH,
    Counted,
    TinyParts,
    face,
    mask,
    plate,
    request,
    sampling,
    settings,
    shot,
)  # fmt: skip
from wan_models.memory.plan import Plan
from wan_models.options import Options
from wan_models.pipelines import animate
from wan_models.pipelines.animate import clip_pixels, generate
from wan_models.pipelines.animate_forward import (
    Guide,
    SegmentInputs,
    embed_face,
    embed_no_face,
    embed_words,
    predict,
)
from wan_models.pipelines.animate_inputs import AnimateInputs, letterbox, on_black
from wan_models.pipelines.contracts import to_pixels
from wan_models.pipelines.parts import OpenParts
from wan_models.pipelines.settings import resolve
from wan_models.requests import PoseTrack, Reference, Request
from wan_models.store import find
from wan_models.weights import open_checkpoint
from wan_models.weights.tiny import make_tiny, tiny_network

SIDE = 64  # of the tiny motion encoder's pictures


@pytest.fixture(scope="module")
def parts() -> TinyParts:
    torch.set_num_threads(1)
    return TinyParts()


def _ours(
    parts: TinyParts, job: Request, monkeypatch: pytest.MonkeyPatch, guidance: float = 1.0, sigmas: Any = "diffusers"
) -> NDArray[np.float32]:
    """The video before it is rounded and put into the plate, in [0, 1]."""
    made: list[NDArray[np.float32]] = []

    def floats(pixels: Tensor) -> NDArray[np.uint8]:
        made.append(((pixels[0] + 1.0) * 0.5).permute(1, 2, 3, 0).numpy())
        return np.zeros((pixels.shape[2], HEIGHT, WIDTH, 3), np.uint8)

    monkeypatch.setattr(animate, "to_frames", floats)
    list(generate(parts, job, sampling(2, guidance, sigmas), lambda: False))
    return np.concatenate(made)


def _stock(parts: TinyParts, job: Request, guidance: float) -> NDArray[np.float32]:
    assert job.pack is not None
    inputs = AnimateInputs(job.pack, job.pack.characters[0], job.frames)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=ROW.shift)
    pipe = WanAnimatePipeline(
        tokenizer=None, text_encoder=None, image_encoder=None, image_processor=CLIPImageProcessor(),
        vae=parts.autoencoder, scheduler=scheduler, transformer=parts.network,
    )  # fmt: skip
    pipe.set_progress_bar_config(disable=True)
    reference = inputs.reference()
    picture = parts.clip(clip_pixels(to_pixels(reference)[:, :, 0]))
    pipe.encode_image = lambda image, device: picture
    texts = parts.text([parts.row.prompt, parts.row.negative_prompt])
    clips: dict[str, Any] = {}
    every = range(job.frames)
    if job.task == "replace":
        backgrounds, masks = inputs.holed(every)
        clips = {"background_video": _pictures(backgrounds), "mask_video": _pictures(masks * 255)}
    return pipe(
        image=Image.fromarray(reference), pose_video=_pictures(inputs.poses(every)),
        face_video=_pictures(inputs.faces(every, SIDE)), height=HEIGHT, width=WIDTH, mode=job.task,
        prompt_embeds=texts[0], negative_prompt_embeds=texts[1], guidance_scale=guidance,
        num_inference_steps=2, segment_frame_length=parts.row.segment,
        prev_segment_conditioning_frames=job.animate.overlap,
        generator=torch.Generator().manual_seed(job.seed), **clips,
    ).frames[0]  # fmt: skip


def _pictures(frames: NDArray[np.uint8]) -> list[Image.Image]:
    return [Image.fromarray(frame) for frame in frames]


CASES = [
    (task, segment, overlap, count, guidance)
    for task in ("animate", "replace")
    for segment, overlap in ((9, 1), (13, 5))
    for count in (1, 2)
    for guidance in (1.0, 3.0)
    if (task == "replace") ^ (overlap == 5) ^ (count == 2) ^ (guidance == 3.0)  # every pair of settings
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
def test_same_video_as_stock_diffusers(parts: TinyParts, case: tuple[Any, ...], monkeypatch: Any) -> None:
    task, segment, overlap, count, guidance = case
    frames = segment + (count - 1) * 3
    parts = parts.with_segment(segment)
    job = request(shot(frames), frames, task, animate=settings(overlap))
    ours = _ours(parts, job, monkeypatch, guidance)
    stock = _stock(parts, job, guidance)
    assert ours.shape == stock.shape == (frames, HEIGHT, WIDTH, 3)
    assert stock.std() > 0.01
    assert np.abs(ours - stock).max() <= 1e-5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_tiny(tmp_path_factory.mktemp("tiny"), [ROW.name])[ROW.name]


@pytest.fixture(scope="module")
def opened(folder: Path) -> OpenParts:
    checkpoint = open_checkpoint(find(ROW, Options(folders=(folder.parent,))))
    return OpenParts(ROW, checkpoint, Plan(), torch.device("cpu"), torch.float32)


def test_an_opened_checkpoint_gives_stock_frames_of_the_official_prompt(folder: Path, opened: OpenParts) -> None:
    """From files to frames: text encoder, CLIP, VAE and transformer as the engine opens them."""
    job = request(shot(9), 9)
    settings_ = replace(resolve(ROW, job), sigmas="diffusers", steps=2, guidance=2.0)
    ours = [event.frames for event in generate(opened, job, settings_, lambda: False) if hasattr(event, "frames")]
    pipe = WanAnimatePipeline.from_pretrained(str(folder), dtype=torch.float32)
    pipe.scheduler = UniPCMultistepScheduler.from_config(pipe.scheduler.config, flow_shift=ROW.shift)
    pipe.set_progress_bar_config(disable=True)
    inputs = AnimateInputs(job.pack, job.pack.characters[0], 9)
    square = clip_pixels(to_pixels(inputs.reference())[:, :, 0])
    pipe.encode_image = lambda image, device: pipe.image_encoder(square, output_hidden_states=True).hidden_states[-2]
    stock = pipe(
        image=Image.fromarray(inputs.reference()), pose_video=_pictures(inputs.poses(range(9))),
        face_video=_pictures(inputs.faces(range(9), SIDE)), height=HEIGHT, width=WIDTH, prompt=ROW.prompt,
        negative_prompt=ROW.negative_prompt, guidance_scale=2.0, num_inference_steps=2, segment_frame_length=9,
        generator=torch.Generator().manual_seed(job.seed),
    ).frames[0]  # fmt: skip
    assert np.abs(np.concatenate(ours) - stock * 255.0).max() <= 0.51


def test_the_relighting_lora_relights_and_leaves_no_trace(opened: OpenParts, tmp_path: Path) -> None:
    """In the layout of its safetensors file: PEFT names round the original network's."""
    job = request(shot(5), 5, "replace", animate=settings(relight=True))

    def made() -> NDArray[np.uint8]:
        events = generate(opened, job, sampling(1), lambda: False)
        return np.concatenate([event.frames for event in events if hasattr(event, "frames")])

    tensors = {}
    for name, wide in (("self_attn.q", 64), ("cross_attn.k_img", 64), ("ffn.0", 128)):
        tensors[f"base_model.model.blocks.0.{name}.lora_A.weight"] = _noise(4, 64)
        tensors[f"base_model.model.blocks.0.{name}.lora_B.weight"] = _noise(wide, 4)
    file = tmp_path / "relighting.safetensors"
    save_file(tensors, str(file))
    before = made()
    opened.set_loras([(file, 1.0, "both")])
    relit = made()
    opened.set_loras([])
    assert np.array_equal(made(), before)
    assert not np.array_equal(relit, before)


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_own_forward_has_the_bits_of_the_modules_own(parts: TinyParts, dtype: torch.dtype) -> None:
    network = parts.network if dtype == torch.float32 else tiny_network(ROW, "transformer")
    latents, around, pose = _noise(1, 16, 4, 6, 8), _noise(1, 20, 4, 6, 8), _noise(1, 16, 3, 6, 8).to(dtype)
    text, picture = _noise(1, 512, 32).to(dtype), _noise(1, 257, 32).to(dtype)
    faces = _noise(1, 3, 9, SIDE, SIDE).clamp(-1, 1).to(dtype)
    time = torch.tensor([731.0])
    with torch.no_grad():
        stock = network(
            hidden_states=torch.cat([latents, around], 1).to(dtype), timestep=time, encoder_hidden_states=text,
            encoder_hidden_states_image=picture, pose_hidden_states=pose, face_pixel_values=faces, return_dict=False,
        )[0]  # fmt: skip
        guide = Guide(embed_words(network, text, picture), embed_face(network, faces[0].transpose(0, 1).split(8)))
        own = predict(network, latents, time, SegmentInputs(around, pose, network.rope(around)), guide)
    assert torch.equal(own, stock)


def test_the_face_that_shows_nothing_is_the_one_of_pixels_of_minus_one(parts: TinyParts) -> None:
    with torch.no_grad():
        stock = embed_face(parts.network, torch.full((9, 3, SIDE, SIDE), -1.0).split(8))
        ours = embed_no_face(parts.network, 9, torch.float32, torch.device("cpu"))
    assert torch.allclose(ours, stock, atol=1e-6)


def test_blocks_and_adapters_are_called_as_modules_once_a_step(parts: TinyParts) -> None:
    """Plans stream their weights by hooks; the encoders of what is constant run once a segment."""
    calls: list[str] = []
    net = parts.network
    watched = {"motion": net.motion_encoder, "face": net.face_encoder, "text": net.condition_embedder.text_embedder}
    watched |= {f"block {i}": block for i, block in enumerate(net.blocks)}
    watched |= {f"adapter {i}": block for i, block in enumerate(net.face_adapter)}
    hooks = [
        module.register_forward_pre_hook(lambda *_, name=name: calls.append(name)) for name, module in watched.items()
    ]
    list(generate(parts, request(shot(9), 9), sampling(3), lambda: False))
    for hook in hooks:
        hook.remove()
    assert (calls.count("motion"), calls.count("face"), calls.count("text")) == (2, 1, 1)  # 9 faces, 8 at once
    step = ["block 0", "adapter 0", *(f"block {i}" for i in range(1, 6)), "adapter 1"]
    step += [f"block {i}" for i in range(6, 10)]
    assert [name for name in calls if name.startswith(("block", "adapter"))] == step * 3


def test_the_official_noise_levels_differ_from_diffusers(parts: TinyParts, monkeypatch: pytest.MonkeyPatch) -> None:
    job = request(shot(9), 9)
    theirs = _ours(parts, job, monkeypatch)
    official = _ours(parts, job, monkeypatch, sigmas="official")
    assert 1e-4 < np.abs(official - theirs).max() < 0.05


def test_every_input_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would see a wrong one."""
    parts = TinyParts(quick=True)
    pack = shot(9)
    hero = pack.characters[0]
    still = replace(hero, pose=PoseTrack(np.repeat(hero.pose.body[:1], 9, axis=0)))
    other = Reference(np.ascontiguousarray(hero.reference.image[::-1]))
    changed = [
        replace(pack, characters=(replace(hero, face=Counted(9, lambda t: face(t + 5))),)),
        replace(pack, characters=(still,)),
        replace(pack, characters=(replace(hero, reference=other),)),
        replace(pack, plate=Counted(9, lambda t: plate(t + 1))),
        replace(pack, mask=Counted(9, lambda t: mask(t + 4))),
    ]
    first, *others = [_ours(parts, request(each, 9, "replace"), monkeypatch) for each in (pack, *changed)]
    assert min(float(np.abs(each - first).max()) for each in others) > 1e-3 * first.std()


def test_clip_sees_the_letterboxed_picture_squashed() -> None:
    """Officially the bars are part of CLIP's picture and its aspect is lost; diffusers crops the raw picture."""
    picture = np.zeros((90, 60, 3), np.uint8)
    picture[..., 0] = 255
    boxed = letterbox(picture, 128, 64)
    ours = clip_pixels(to_pixels(boxed)[:, :, 0])
    theirs = CLIPImageProcessor()(images=Image.fromarray(picture), return_tensors="pt").pixel_values
    assert ours.shape == theirs.shape == (1, 3, 224, 224)
    black, red = (0.0 - 0.48145466) / 0.26862954, (1.0 - 0.48145466) / 0.26862954
    assert float(ours[0, 0, 112, 4]) == pytest.approx(black, abs=1e-4)
    assert float(theirs[0, 0, 112, 4]) == pytest.approx(red, abs=1e-4)
    assert float(ours[0, 0, 112, 112]) == pytest.approx(red, abs=1e-4)


def test_the_letterbox_is_not_anti_aliased_as_diffusers_is() -> None:
    from diffusers.pipelines.wan.image_processor import WanAnimateImageProcessor

    picture = np.zeros((96, 64, 3), np.uint8)
    picture[:, ::2] = 255
    ours = letterbox(picture, WIDTH, HEIGHT)
    theirs = WanAnimateImageProcessor(resample="bilinear")._resize_and_fill(Image.fromarray(picture), WIDTH, HEIGHT)
    assert ours.shape == np.asarray(theirs).shape
    both = (ours.max(axis=(0, 2)) > 0) & (np.asarray(theirs).max(axis=(0, 2)) > 0)
    assert 30 <= both.sum() <= 33  # the same columns
    assert np.abs(ours.astype(int) - np.asarray(theirs)).max() > 20


def test_alpha_is_laid_on_black() -> None:
    picture = np.full((2, 2, 4), 200, np.uint8)
    picture[0, 0, 3], picture[0, 1, 3], picture[1, :, 3] = 0, 255, 51
    assert on_black(picture)[..., 0].tolist() == [[0, 200], [40, 40]]
