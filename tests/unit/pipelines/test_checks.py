"""What is refused, in one sentence, before anything is loaded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wan_models.engine import RequestRefused
from wan_models.models import MODELS
from wan_models.pipelines.checks import check_clip, check_request, nearest_size
from wan_models.pipelines.settings import preset_loras, resolve
from wan_models.registry import model_row
from wan_models.requests import DrivePack, Lora, Request, SamplerSettings

T2V, I2V, TI2V, ANIMATE = (
    model_row(name) for name in ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-animate-14b")
)
PICTURE = np.zeros((480, 832, 3), np.uint8)


def _t2v(**more: object) -> Request:
    given = {
        "task": "t2v",
        "model": T2V.name,
        "width": 832,
        "height": 480,
        "frames": 81,
        "fps": 16.0,
        "prompt": "a dog",
    }
    return Request(**{**given, **more})  # type: ignore[arg-type]


def _i2v(**more: object) -> Request:
    return _t2v(**{"task": "i2v", "model": I2V.name, "image": PICTURE, **more})


def _ti2v(**more: object) -> Request:
    return _t2v(
        **{"task": "ti2v", "model": TI2V.name, "width": 1280, "height": 704, "frames": 121, "fps": 24.0, **more}
    )


def test_the_models_own_settings_pass() -> None:
    for row in MODELS:
        for width, height in row.sizes:
            check_request(
                row, _t2v(task=row.tasks[0], width=width, height=height, frames=row.default_frames, fps=row.fps)
            )
    check_request(T2V, _t2v(width=64, height=48, frames=1))
    for row, request in ((T2V, _t2v()), (I2V, _i2v()), (TI2V, _ti2v()), (TI2V, _ti2v(image=PICTURE, prompt=""))):
        check_clip(row, request)
    check_clip(I2V, _i2v(image=None, pack=DrivePack(832, 480, 81, 16.0, look=PICTURE)))


def test_an_unknown_model_is_named() -> None:
    with pytest.raises(RequestRefused, match=r"no model wan3: there are wan2\.2-t2v-a14b"):
        model_row("wan3")


REFUSED = [
    (T2V, _t2v(task="animate"), "wan2.2-t2v-a14b does t2v, not animate: choose another model or task"),
    (TI2V, _ti2v(task="replace"), "does ti2v and i2v and t2v, not replace"),
    (T2V, _t2v(frames=80), "makes 4n + 1 frames, not 80: ask for 77 or 81"),
    (T2V, _t2v(frames=2), "not 2: ask for 1 or 5"),
    (T2V, _t2v(frames=0), "a clip of 0 frames is no clip: ask for 81"),
    (T2V, _t2v(frames=165), "at most 161 frames, not 165"),
    (ANIMATE, _t2v(task="animate", frames=0), "a clip of 0 frames is no clip: ask for 77"),
    (T2V, _t2v(width=850), "multiples of 16 pixels, at most 921600 in all, not 850 x 480: ask for 848 x 480"),
    (T2V, _t2v(width=1920, height=1080), "not 1920 x 1080: ask for 1280 x 720 (made for 832 x 480, 480 x 832"),
    (TI2V, _ti2v(height=720), "multiples of 32 pixels, at most 901120 in all, not 1280 x 720: ask for "),
    (T2V, _t2v(width=0), "not 0 x 480: ask for 16 x 480"),
    (T2V, _t2v(width=57600, height=16), "not 57600 x 16: ask for 16384 x 16"),
    (T2V, _t2v(fps=24.0), "makes 16 frames a second, not 24: set the job to 16"),
    (T2V, _t2v(fps=float("nan")), "not nan: set the job to 16"),
    (T2V, _t2v(sampler=SamplerSettings(steps=0)), "1 to 1000 steps, not 0"),
    (T2V, _t2v(sampler=SamplerSettings(shift=0.0)), "the shift must be above 0 and at most 100, not 0.0"),
    (T2V, _t2v(sampler=SamplerSettings(shift=float("inf"))), "at most 100, not inf"),
    (T2V, _t2v(sampler=SamplerSettings(guidance=float("nan"))), "the guidance must be 0 to 100, not nan"),
    (T2V, _t2v(sampler=SamplerSettings(guidance_low=-1.0)), "the low-noise guidance must be 0 to 100, not -1.0"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "request_", "sentence"), REFUSED)
def test_what_a_model_cannot_do(row: object, request_: Request, sentence: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        check_request(row, request_)  # type: ignore[arg-type]
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("row", "request_", "sentence"),
    [
        (I2V, _i2v(image=None), "i2v needs a first image: choose one"),
        (I2V, _i2v(task="flf2v"), "flf2v needs a last image: choose one, or choose i2v"),
        (I2V, _i2v(task="flf2v", last_image=PICTURE, frames=1), "needs at least 5 frames between its images, not 1"),
        (I2V, _i2v(last_image=PICTURE), "does not look at a last image for i2v: leave it out, or choose flf2v"),
        (TI2V, _ti2v(image=PICTURE, last_image=PICTURE), "does not look at a last image for ti2v"),
        (TI2V, _ti2v(task="t2v", image=PICTURE), "t2v makes a clip from text alone"),
        (T2V, _t2v(prompt=" "), "t2v needs a prompt where there is no image"),
        (TI2V, _ti2v(prompt=""), "ti2v needs a prompt where there is no image"),
        (I2V, _i2v(image=PICTURE.astype(np.float32)), "the first image must be uint8 (height, width, 3), not float32"),
        (I2V, _i2v(image=np.zeros((4, 4), np.uint8)), "not uint8 (4, 4)"),
        (I2V, _i2v(image=np.zeros((0, 4, 3), np.uint8)), "not uint8 (0, 4, 3)"),
        (I2V, _i2v(task="flf2v", last_image=PICTURE[..., :1]), "the last image must be uint8 (height, width, 3)"),
    ],
)
def test_pictures_and_texts_that_are_missing_or_of_no_use(row: object, request_: Request, sentence: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        check_clip(row, request_)  # type: ignore[arg-type]
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
@pytest.mark.parametrize("size", [(1920, 1080), (1, 1), (100, 3000), (850, 470), (4096, 4096), (1279, 721)])
def test_the_size_that_is_suggested_is_allowed(row: object, size: tuple[int, int]) -> None:
    width, height = nearest_size(row, *size)  # type: ignore[arg-type]
    check_request(row, _t2v(task=row.tasks[0], width=width, height=height, frames=81, fps=row.fps))  # type: ignore


def test_defaults_are_the_official_ones() -> None:
    t2v, i2v, ti2v = (resolve(row, request) for row, request in ((T2V, _t2v()), (I2V, _i2v()), (TI2V, _ti2v())))
    assert (t2v.steps, t2v.guidance, t2v.guidance_low, t2v.shift, t2v.boundary) == (40, 4.0, 3.0, 12.0, 0.875)
    assert (i2v.steps, i2v.guidance, i2v.guidance_low, i2v.shift, i2v.boundary) == (40, 3.5, 3.5, 5.0, 0.9)
    assert (ti2v.steps, ti2v.guidance, ti2v.guidance_low, ti2v.shift, ti2v.boundary) == (50, 5.0, None, 5.0, None)
    assert {each.sigmas for each in (t2v, i2v, ti2v)} == {"official"}
    assert t2v.negative_prompt.startswith("色调艳丽")
    assert t2v.negative_prompt == ti2v.negative_prompt
    assert t2v.guides


def test_an_empty_negative_prompt_is_none_at_all() -> None:
    assert resolve(T2V, _t2v(negative_prompt="")).negative_prompt == ""


def test_one_guidance_is_both_experts() -> None:
    both = resolve(T2V, _t2v(sampler=SamplerSettings(guidance=6.0)))
    assert (both.guidance, both.guidance_low) == (6.0, 6.0)
    each = resolve(T2V, _t2v(sampler=SamplerSettings(guidance=6.0, guidance_low=2.0)))
    assert (each.guidance, each.guidance_low) == (6.0, 2.0)
    low = resolve(T2V, _t2v(sampler=SamplerSettings(guidance_low=2.0)))
    assert (low.guidance, low.guidance_low) == (4.0, 2.0)
    assert resolve(TI2V, _ti2v(sampler=SamplerSettings(guidance=6.0))).guidance_low is None


def test_the_fast_preset_and_what_wins_over_it() -> None:
    request = _t2v(sampler=SamplerSettings(preset="fast"))
    fast = resolve(T2V, request)
    assert (fast.steps, fast.guidance, fast.guidance_low, fast.shift) == (4, 1.0, 1.0, 5.0)
    assert not fast.guides
    assert preset_loras(T2V, request) == (
        Lora("wan2.2-t2v-lightx2v-4step-high", 1.0, "high"),
        Lora("wan2.2-t2v-lightx2v-4step-low", 1.0, "low"),
    )
    assert preset_loras(T2V, _t2v()) == ()
    mixed = resolve(T2V, replace(request, sampler=SamplerSettings(preset="fast", steps=6, shift=8.0)))
    assert (mixed.steps, mixed.guidance, mixed.shift) == (6, 1.0, 8.0)


def test_a_model_without_fast_preset_says_so() -> None:
    with pytest.raises(RequestRefused, match=r"wan2\.2-ti2v-5b has no fast preset: choose the preset default"):
        resolve(TI2V, _ti2v(sampler=SamplerSettings(preset="fast")))
