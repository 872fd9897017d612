"""Every request that the draft's i2v cannot do is refused in one sentence that says what to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from wan_models.draft import DraftEngine
from wan_models.engine import RequestRefused
from wan_models.requests import DrivePack, Request

IMAGE = np.zeros((120, 208, 3), np.uint8)


def request(**changes: Any) -> Request:
    base = {"task": "i2v", "model": "draft", "width": 208, "height": 120, "frames": 3, "fps": 16.0}
    return Request(**base | changes)


@pytest.fixture(scope="module")
def pack(scenes: Any) -> DrivePack:
    result: DrivePack = scenes.Scene(208, 120, 3).pack()
    return result


def refused(asked: Request, sentence: str) -> None:
    with pytest.raises(RequestRefused, match=sentence):
        DraftEngine().check(asked)
    with pytest.raises(RequestRefused, match=sentence):
        list(DraftEngine().generate(asked, lambda: False))


def test_a_good_request_passes(pack: DrivePack) -> None:
    DraftEngine().check(request(pack=pack))
    DraftEngine().check(request(image=IMAGE))


def test_other_tasks_and_models_are_named() -> None:
    refused(request(task="t2v", image=IMAGE), "cannot do 't2v'; it does animate, i2v and s2v")
    refused(request(model="wan", image=IMAGE), "no model 'wan'; its only model is 'draft'")


def test_no_picture(pack: DrivePack) -> None:
    refused(request(), "no picture to start from: give an image")
    refused(request(pack=replace(pack, look=None)), "no picture to start from")


def test_bad_picture() -> None:
    refused(request(image=IMAGE[..., 0]), r"picture must be uint8 \(height, width, 3 or 4\), not uint8 \(120, 208\)")
    refused(request(image=IMAGE.astype(np.float32)), "not float32")


def test_proportions(pack: DrivePack) -> None:
    refused(request(image=np.zeros((120, 120, 3), np.uint8)), "picture is 120 x 120 and the shot 208 x 120.*2 %")
    refused(
        request(image=np.zeros((208, 208, 3), np.uint8), width=208, height=208, pack=pack), "drive pack is 208 x 120"
    )
    DraftEngine().check(request(image=np.zeros((121, 208, 3), np.uint8), pack=pack))


def test_empty_pack(pack: DrivePack) -> None:
    refused(
        request(pack=DrivePack(208, 120, 3, 16.0), image=IMAGE), "drive pack is empty for i2v: it needs origin maps"
    )
    refused(request(pack=replace(pack, origin=(), camera=None)), "needs origin maps, or depth and a camera track")
    refused(request(pack=replace(pack, clay=(), plate=())), "neither clay renders nor plates")


def test_too_few_samples(pack: DrivePack) -> None:
    refused(request(pack=pack, frames=5), "has 3 samples and the shot asks for 5 frames")
    refused(request(pack=replace(pack, clay=pack.clay[:2])), "clay track has 2 maps, but the pack has 3 samples")


@pytest.mark.parametrize("name", ["clay", "plate", "mask", "depth", "origin"])
def test_wrong_shapes_and_types(pack: DrivePack, name: str) -> None:
    maps = list(getattr(pack, name))
    cut = [maps[0][:-1], *maps[1:]]
    refused(
        request(pack=replace(pack, **{name: cut})), rf"The {name} map of sample 0 is .*\(119, 208.*capture the shot"
    )
    other = [m.astype(np.float64) for m in maps]
    refused(request(pack=replace(pack, **{name: other})), f"The {name} map of sample 0 is float64")


def test_a_broken_later_map_is_named_when_it_comes(pack: DrivePack) -> None:
    broken = [*pack.origin[:2], pack.origin[2][:, :-1]]
    with pytest.raises(RequestRefused, match="origin map of sample 2"):
        list(DraftEngine().generate(request(pack=replace(pack, origin=broken)), lambda: False))
