"""Small networks of the released classes and a checkpoint that hands out their tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from wan_models.memory.load import build
from wan_models.registry import model_row
from wan_models.rows import ModelRow, PartName

WAN = {
    "patch_size": (1, 2, 2), "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16,
    "text_dim": 32, "freq_dim": 256, "ffn_dim": 32, "num_layers": 4, "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads", "rope_max_seq_len": 32,
}  # fmt: skip
ANIMATE = {
    **WAN, "in_channels": 36, "latent_channels": 16, "image_dim": 16, "added_kv_proj_dim": 24,
    "motion_encoder_size": 16, "motion_style_dim": 16, "motion_dim": 4, "motion_encoder_dim": 16,
    "face_encoder_hidden_dim": 16,
    "face_encoder_num_heads": 2, "inject_face_latents_blocks": 2,
    "motion_encoder_channel_sizes": {"4": 16, "8": 16, "16": 16},
}  # fmt: skip
T5 = {
    "vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 32, "dropout_rate": 0.1,
    "feed_forward_proj": "gated-gelu", "is_encoder_decoder": False, "use_cache": False,
}  # fmt: skip
CLIP = {
    "hidden_size": 16, "intermediate_size": 32, "projection_dim": 16, "num_hidden_layers": 3, "num_attention_heads": 2,
    "image_size": 28, "patch_size": 14, "hidden_act": "gelu",
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "WanTransformer3DModel": WAN,
    "WanAnimateTransformer3DModel": ANIMATE,
    "UMT5EncoderModel": T5,
    "CLIPVisionModel": CLIP,
}


def numbers(module: nn.Module, seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Random values for every tensor of a network that has none yet, small enough to stay finite."""
    make = torch.Generator().manual_seed(seed)
    named = module.state_dict(keep_vars=True)
    return {name: (torch.randn(t.shape, generator=make) * 0.2).to(dtype) for name, t in named.items()}


class TinyCheckpoint:
    """contracts.Checkpoint on random numbers; ``reads`` counts how often a part's tensors were asked for."""

    def __init__(self, model: str = "wan2.2-animate-14b", dtype: torch.dtype = torch.float32) -> None:
        row = model_row(model)
        parts = {n: replace(p, config=CONFIGS[p.cls]) for n, p in row.parts.items() if p.cls in CONFIGS}
        self.row: ModelRow = replace(row, parts=parts)
        self.identity = f"tiny {model}"
        self.reads: list[PartName] = []
        self._dtype = dtype

    def config(self, part: PartName) -> Mapping[str, Any]:
        return self.row.parts[part].config

    def tensors(self, part: PartName) -> Iterator[tuple[str, Tensor]]:
        self.reads.append(part)
        values = numbers(build(self.row.parts[part].cls, self.config(part)), len(part), self._dtype)
        values.pop("encoder.embed_tokens.weight", None)
        while values:  # nothing is held here after it was handed out
            yield values.popitem()

    def nbytes(self, part: PartName) -> int:
        return 0

    def tokenizer(self) -> Any:
        return word_tokens


def word_tokens(texts: list[str], max_length: int, **_: Any) -> Any:
    """A token a character, the end mark, zeros after it."""
    ids = torch.zeros(len(texts), max_length, dtype=torch.long)
    for row, text in zip(ids, texts, strict=True):
        known = [*[2 + ord(letter) % 60 for letter in text][: max_length - 1], 1]
        row[: len(known)] = torch.tensor(known)
    return SimpleNamespace(input_ids=ids, attention_mask=(ids > 0).long())
