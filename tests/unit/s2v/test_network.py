"""The S2V network against the official one's answers, and the ways in which it is used."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from wan_models.s2v import WanS2VTransformer3DModel

FIXTURE = Path(__file__).with_name("network.safetensors")
"""Made by make_s2v_fixture.py, which says how."""
CASES = ("first", "first_posed", "later", "later_posed", "later_silent", "square")


@cache
def fixture() -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """Config, cases and tensors."""
    with safe_open(FIXTURE, framework="pt") as file:
        told = file.metadata()
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return json.loads(told["config"]), json.loads(told["cases"]), tensors


def network() -> WanS2VTransformer3DModel:
    config, _, tensors = fixture()
    net = WanS2VTransformer3DModel(config)
    values = {name.removeprefix("net."): tensor for name, tensor in tensors.items() if name.startswith("net.")}
    net.load_state_dict(values, strict=True)
    return net.eval().requires_grad_(False)


def inputs(case: str) -> tuple[Tensor, ...]:
    """What the network is called with, in its order."""
    size, timestep, motion, pose, sound = fixture()[1][case]
    names = ("latents", "text", "reference", "pose", "audio", "motion")
    latents, text, still, posed, audio, before = (fixture()[2][f"{size}.{name}"] for name in names)
    return (latents, torch.tensor([timestep]), text, still, posed * pose, audio * sound, before if motion else None)


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative L2 error."""
    return float((ours.float() - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("case", CASES)
def test_gives_what_the_official_network_gives(case: str) -> None:
    with torch.no_grad():
        ours = network()(*inputs(case))
    print(case, error(ours, fixture()[2][f"out.{case}"]))
    assert error(ours, fixture()[2][f"out.{case}"]) < 1e-5
