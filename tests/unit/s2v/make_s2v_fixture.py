"""Makes network.safetensors: a small S2V network's numbers, inputs and what the official code gives (Apache-2.0 code,
not kept here; commit 42bf4cf of Wan-Video/Wan2.2).

    git clone https://github.com/Wan-Video/Wan2.2 DIR && pip install einops
    python tests/unit/s2v/make_s2v_fixture.py DIR

The official modules run on the CPU in float32, with torch's attention in the place of FlashAttention (which exists in
half precision on cards only) and without the package's entry files, which import what is not needed here. Every
parameter is random: the official starting values would hide the sound, the pose and the kinds of tokens behind zeros.
Numbers and inputs are float16, so that they are small and the same everywhere; outputs are float32.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

CONFIG: dict[str, Any] = {
    "model_type": "s2v", "dim": 64, "ffn_dim": 96, "num_heads": 4, "num_layers": 4, "freq_dim": 32, "text_len": 16,
    "text_dim": 24, "in_dim": 16, "out_dim": 16, "eps": 1e-6, "audio_dim": 12, "num_audio_token": 4, "cond_dim": 16,
    "audio_inject_layers": [0, 2], "enable_adain": True, "adain_mode": "attn_norm", "zero_init": True,
    "zero_timestep": True, "add_last_motion": True, "enable_framepack": True, "framepack_drop_mode": "padd",
    "enable_motioner": False, "enable_tsm": False, "trainable_token_pos_emb": False,
}  # fmt: skip
SIZES = {"wide": (3, 8, 24), "tall": (2, 32, 16), "square": (1, 24, 24)}
"""Latent frames, height, width."""
CASES = {
    "first": ("wide", 999.0, False, False, True),
    "first_posed": ("tall", 731.0, False, True, True),
    "later": ("tall", 250.0, True, False, True),
    "later_posed": ("wide", 620.0, True, True, True),
    "later_silent": ("square", 40.0, True, False, False),
    "square": ("square", 500.0, True, True, True),
}
"""Size, timestep, whether there are motion, a pose, and sound."""


def scaled(name: str, tensor: Tensor) -> Tensor:
    """Random numbers of such sizes that everything matters and nothing drowns the rest."""
    noise = torch.randn(tensor.shape)
    if name.endswith("encoder.weights"):
        return 0.01 * (1 + 0.5 * noise)
    if "norm" in name and name.endswith("weight"):
        return 1 + 0.2 * noise
    if name.endswith(("bias", "modulation")):
        return 0.3 * noise
    if tensor.ndim < 2 or "padding_tokens" in name or "cond_mask" in name:
        return noise
    return noise / tensor[0].numel() ** 0.5


def attend(q: Tensor, k: Tensor, v: Tensor, k_lens: Tensor | None = None, **_: Any) -> Tensor:
    """FlashAttention's (b, l, heads, width); all lengths are full here."""
    if k_lens is not None and not bool((k_lens == k.shape[1]).all()):
        problem = "a length is shorter than its sequence"
        raise ValueError(problem)
    mixed = torch.nn.functional.scaled_dot_product_attention(*(each.transpose(1, 2) for each in (q, k, v)))
    return mixed.transpose(1, 2)


def official(folder: Path) -> Any:
    """The class WanModel_S2V."""
    for name in ("wan", "wan.modules", "wan.modules.s2v", "wan.distributed"):
        package = ModuleType(name)
        package.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = package
    network = importlib.import_module("wan.modules.s2v.model_s2v")
    for name in ("wan.modules.model", "wan.modules.s2v.model_s2v"):
        vars(importlib.import_module(name))["flash_attention"] = attend
    return network.WanModel_S2V


def inputs() -> dict[str, Tensor]:
    """What each size is given."""
    tensors: dict[str, Tensor] = {}
    for size, (frames, height, width) in SIZES.items():
        tensors[f"{size}.latents"] = torch.randn(1, 16, frames, height, width)
        tensors[f"{size}.pose"] = torch.randn(1, 16, frames, height, width)
        tensors[f"{size}.reference"] = torch.randn(1, 16, 1, height, width)
        tensors[f"{size}.motion"] = torch.randn(1, 16, 19, height, width)
        tensors[f"{size}.audio"] = torch.randn(1, 25, CONFIG["audio_dim"], 4 * frames)
        tensors[f"{size}.text"] = torch.randn(1, 4 + 4 * frames, CONFIG["text_dim"])
    return {name: tensor.half() for name, tensor in tensors.items()}


def predict(network: Any, given: dict[str, Tensor], case: tuple[str, float, bool, bool, bool]) -> Tensor:
    """The official network's answer, called as its pipeline calls it."""
    size, timestep, motion, pose, sound = case
    latents, still, before, posed, audio, text = (
        given[f"{size}.{name}"].float() for name in ("latents", "reference", "motion", "pose", "audio", "text")
    )
    (out,) = network(
        [latents[0]], torch.tensor([timestep]), context=[text[0]], seq_len=0, ref_latents=still,
        motion_latents=before, cond_states=posed * pose, audio_input=audio * sound, motion_frames=[73, 19],
        drop_motion_frames=not motion,
    )  # fmt: skip
    answer: Tensor = out[None]
    return answer


def main(folder: Path) -> None:
    """Write the file beside this one."""
    torch.manual_seed(7)
    torch.set_grad_enabled(False)
    network = official(folder)(**CONFIG).eval()
    tensors = {f"net.{name}": scaled(name, tensor).half() for name, tensor in network.state_dict().items()}
    network.load_state_dict({name.removeprefix("net."): tensor.float() for name, tensor in tensors.items()})
    given = inputs()
    answers = {f"out.{name}": predict(network, given, case) for name, case in CASES.items()}
    whole = {name: tensor.contiguous() for name, tensor in (tensors | given | answers).items()}
    metadata = {"config": json.dumps(CONFIG), "cases": json.dumps(CASES)}
    save_file(whole, Path(__file__).with_name("network.safetensors"), metadata)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
