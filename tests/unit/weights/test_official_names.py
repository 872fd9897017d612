"""The official text and image encoders, written down from the official code's formulas, on tensors of official names:
they say what ours say, so the names mean what we take them for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from wan_models.registry import model_row
from wan_models.weights.tiny import tiny_config, tiny_network
from wan_models.weights.tiny_original import official

ROW = model_row("wan2.2-animate-14b")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def rms(x: Tensor, weight: Tensor) -> Tensor:
    return weight * x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


def bucket(distance: int) -> int:
    """Of 32: half for what lies ahead; of each half 8 exact ones, 8 by the logarithm up to 128."""
    first = 16 if distance > 0 else 0
    distance = abs(distance)
    if distance < 8:
        return first + distance
    return first + min(15, 8 + int(math.log(distance / 8) / math.log(128 / 8) * 8))


def official_t5(w: Mapping[str, Tensor], tokens: Tensor, heads: int, layers: int) -> Tensor:
    """(n) -> (n, width)."""
    x = w["token_embedding.weight"][tokens]
    n = len(tokens)
    buckets = torch.tensor([[bucket(key - query) for key in range(n)] for query in range(n)])
    for layer in range(layers):
        b = {k.removeprefix(f"blocks.{layer}."): v for k, v in w.items() if k.startswith(f"blocks.{layer}.")}
        h = rms(x, b["norm1.weight"])
        q, k, v = ((h @ b[f"attn.{name}.weight"].T).view(n, heads, -1).transpose(0, 1) for name in "qkv")
        scores = q @ k.transpose(1, 2) + b["pos_embedding.embedding.weight"][buckets].permute(2, 0, 1)
        out = (scores.softmax(-1) @ v).transpose(0, 1).reshape(n, -1)
        x = x + out @ b["attn.o.weight"].T
        h = rms(x, b["norm2.weight"])
        gate = functional.gelu(h @ b["ffn.gate.0.weight"].T, approximate="tanh")
        x = x + ((h @ b["ffn.fc1.weight"].T) * gate) @ b["ffn.fc2.weight"].T
    return rms(x, w["norm.weight"])


def test_the_text_encoder_means_the_same() -> None:
    network = tiny_network(ROW, "text_encoder").float()
    config = tiny_config(ROW, "text_encoder")
    tokens = torch.arange(5, 45)
    with torch.no_grad():
        ours = network(tokens[None]).last_hidden_state[0]
    weights = official("UMT5EncoderModel", network.state_dict())
    theirs = official_t5(weights, tokens, config["num_heads"], config["num_layers"])
    assert torch.allclose(ours, theirs, atol=2e-5)
    assert len(weights) == 2 + 10 * config["num_layers"]  # 242 in the released one


def official_clip(w: Mapping[str, Tensor], pixels: Tensor, heads: int, blocks: int) -> Tensor:
    """(1, 3, h, w) -> (tokens, width) after ``blocks`` blocks."""
    w = {name.removeprefix("visual."): tensor for name, tensor in w.items()}
    dim = w["cls_embedding"].shape[-1]

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, (dim,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-5)

    patch = w["patch_embedding.weight"]
    x = functional.conv2d(pixels, patch, stride=patch.shape[-1])[0].flatten(1).T
    x = torch.cat([w["cls_embedding"][0], x]) + w["pos_embedding"][0]
    x = norm(x, "pre_norm")
    for block in range(blocks):
        b = f"transformer.{block}"
        h = functional.linear(norm(x, f"{b}.norm1"), w[f"{b}.attn.to_qkv.weight"], w[f"{b}.attn.to_qkv.bias"])
        q, k, v = h.view(len(x), 3, heads, -1).permute(1, 2, 0, 3)
        out = functional.scaled_dot_product_attention(q, k, v).transpose(0, 1).reshape(len(x), dim)
        x = x + functional.linear(out, w[f"{b}.attn.proj.weight"], w[f"{b}.attn.proj.bias"])
        h = functional.gelu(functional.linear(norm(x, f"{b}.norm2"), w[f"{b}.mlp.0.weight"], w[f"{b}.mlp.0.bias"]))
        x = x + functional.linear(h, w[f"{b}.mlp.2.weight"], w[f"{b}.mlp.2.bias"])
    return x


def test_the_image_encoder_means_the_same() -> None:
    network = tiny_network(ROW, "image_encoder").float()
    config = tiny_config(ROW, "image_encoder")
    pixels = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ours = network(pixels, output_hidden_states=True).hidden_states[-2][0]
    weights = official("CLIPVisionModel", network.state_dict())
    theirs = official_clip(weights, pixels, config["num_attention_heads"], config["num_hidden_layers"] - 1)
    assert ours.shape == (257, 32)
    assert torch.allclose(ours, theirs, atol=2e-5)
