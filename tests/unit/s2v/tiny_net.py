"""The small network of the fixture and its inputs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from wan_models.s2v import WanS2VTransformer3DModel

CASES = ("first", "first_posed", "later", "later_posed", "later_silent", "square")
_FILE = Path(__file__).with_name("network.safetensors")


@cache
def fixture() -> tuple[dict[str, Any], dict[str, Any], dict[str, Tensor]]:
    """Config, cases and tensors of what make_s2v_fixture.py made; it says how."""
    with safe_open(_FILE, framework="pt") as file:
        told = file.metadata()
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    return json.loads(told["config"]), json.loads(told["cases"]), tensors


def values() -> dict[str, Tensor]:
    """The network's numbers, under the official names."""
    return {name.removeprefix("net."): tensor for name, tensor in fixture()[2].items() if name.startswith("net.")}


def network() -> WanS2VTransformer3DModel:
    """Filled with them."""
    torch.set_num_threads(1)
    net = WanS2VTransformer3DModel(fixture()[0])
    net.load_state_dict(values(), strict=True)
    return net.eval().requires_grad_(False)


def inputs(case: str) -> tuple[Tensor | None, ...]:
    """What the network is called with, in its order."""
    size, timestep, motion, pose, sound = fixture()[1][case]
    names = ("latents", "text", "reference", "pose", "audio", "motion")
    latents, text, still, posed, audio, before = (fixture()[2][f"{size}.{name}"] for name in names)
    return (latents, torch.tensor([timestep]), text, still, posed * pose, audio * sound, before if motion else None)


def answer(case: str) -> Tensor:
    """The official network's."""
    return fixture()[2][f"out.{case}"]


def run(net: Any, case: str = "later_posed") -> Tensor:
    """Without gradients."""
    with torch.no_grad():
        out: Tensor = net(*inputs(case))
    return out


def error(ours: Tensor, theirs: Tensor) -> float:
    """Relative L2 error."""
    return float((ours.float() - theirs.float()).norm() / theirs.float().norm())
