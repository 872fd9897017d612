"""Names in LoRA files: what a tensor is, and which module of a transformer it belongs to. No torch.

Read: diffusers and PEFT (``lora_A``/``lora_B``), lightx2v and ComfyUI (``lora_down``/``lora_up``, ``alpha``, ``diff``,
``diff_b``, ``diff_m``), kohya and musubi (``lora_unet_`` and underscores), DiffSynth (``pipe.dit.``); module names of
diffusers or of the official code. Names of the official code are turned into diffusers' by the renames of diffusers'
converter (``scripts/convert_wan_to_diffusers.py``), read backwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["down", "up", "alpha", "weight", "bias", "modulation"]
"""``weight``, ``bias``, ``modulation``: differences that are added as they are."""

_PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "pipe.dit.",
    "lora_unet__",
    "lora_unet_",
    "lora_transformer_",
)
_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"lora_A(\.[^.]+)?\.weight", "down"),
    (r"lora_down(\.[^.]+)?\.weight", "down"),
    (r"lora\.down\.weight", "down"),
    (r"lora_B(\.[^.]+)?\.weight", "up"),
    (r"lora_up(\.[^.]+)?\.weight", "up"),
    (r"lora\.up\.weight", "up"),
    (r"lora_B(\.[^.]+)?\.bias", "bias"),
    (r"alpha", "alpha"),
    (r"(modulation|scale_shift_table)\.diff", "modulation"),
    (r"diff_m", "modulation"),
    (r"diff_b", "bias"),
    (r"diff", "weight"),
)
_KEY = tuple((re.compile(rf"(?:(?P<name>.+?)\.)?{pattern}"), kind) for pattern, kind in _KINDS)


@dataclass(frozen=True)
class Key:
    """``name``: the module as the file calls it, without prefixes; empty = the whole network."""

    name: str
    kind: Kind


def read_key(key: str) -> Key | None:
    """What a tensor of a LoRA file is; None for anything else (DoRA, LoHa, whole weights ...)."""
    rest, stripped = key, True
    while stripped:
        stripped = False
        for prefix in _PREFIXES:
            if rest.startswith(prefix):
                rest, stripped = rest.removeprefix(prefix), True
    for pattern, kind in _KEY:
        found = pattern.fullmatch(rest)
        if found:
            return Key(found["name"] or "", kind)
    return None


_TO_ORIGINAL: tuple[tuple[str, str], ...] = (
    (r"condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
    (r"condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
    (r"condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
    (r"condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
    (r"condition_embedder\.time_proj", "time_projection.1"),
    (r"condition_embedder\.image_embedder\.norm1", "img_emb.proj.0"),
    (r"condition_embedder\.image_embedder\.ff\.net\.0\.proj", "img_emb.proj.1"),
    (r"condition_embedder\.image_embedder\.ff\.net\.2", "img_emb.proj.3"),
    (r"condition_embedder\.image_embedder\.norm2", "img_emb.proj.4"),
    (r"proj_out", "head.head"),
    (r"(blocks\.\d+)\.attn1\.to_([qkv])", r"\1.self_attn.\2"),
    (r"(blocks\.\d+)\.attn2\.to_([qkv])", r"\1.cross_attn.\2"),
    (r"(blocks\.\d+)\.attn1\.to_out\.0", r"\1.self_attn.o"),
    (r"(blocks\.\d+)\.attn2\.to_out\.0", r"\1.cross_attn.o"),
    (r"(blocks\.\d+)\.attn1\.(norm_[qk])", r"\1.self_attn.\2"),
    (r"(blocks\.\d+)\.attn2\.(norm_[qk])", r"\1.cross_attn.\2"),
    (r"(blocks\.\d+)\.attn2\.add_([kv])_proj", r"\1.cross_attn.\2_img"),
    (r"(blocks\.\d+)\.attn2\.norm_added_k", r"\1.cross_attn.norm_k_img"),
    (r"(blocks\.\d+)\.ffn\.net\.0\.proj", r"\1.ffn.0"),
    (r"(blocks\.\d+)\.ffn\.net\.2", r"\1.ffn.2"),
    (r"(blocks\.\d+)\.norm2", r"\1.norm3"),
    (r"(blocks\.\d+)\.norm3", r"\1.norm2"),
    (r"face_adapter\.(\d+)\.to_q", r"face_adapter.fuser_blocks.\1.linear1_q"),
    (r"face_adapter\.(\d+)\.to_([kv])", r"face_adapter.fuser_blocks.\1.linear1_kv"),
    (r"face_adapter\.(\d+)\.to_out", r"face_adapter.fuser_blocks.\1.linear2"),
    (r"face_adapter\.(\d+)\.norm_([qk])", r"face_adapter.fuser_blocks.\1.\2_norm"),
    (r"face_encoder\.(conv\w+)", r"face_encoder.\1.conv"),
)
_RENAMES = tuple((re.compile(pattern), name) for pattern, name in _TO_ORIGINAL)


def original_name(name: str) -> str:
    """A module's name in diffusers -> in the official code; names without a rename stay."""
    for pattern, replacement in _RENAMES:
        if pattern.fullmatch(name):
            return pattern.sub(replacement, name)
    return name


def match(modules: Iterable[str], wanted: Iterable[str]) -> Mapping[str, tuple[str, ...]]:
    """Names in a file -> names of modules, of diffusers' naming or the official code's, whichever knows more of them.

    Both may be written with underscores for dots, except diffusers' names for a network that has the official ones
    itself (S2V, Animate 2). A name that stands for several modules (Animate's joint key and
    value projection) gives them in order; one that is unknown is not in the answer.
    """
    modules, wanted = list(modules), set(wanted)
    namings: list[dict[str, tuple[str, ...]]] = [{}, {}]
    for name in modules:
        for naming, alias in zip(namings, (name, original_name(name)), strict=True):
            for key in {alias, alias.replace(".", "_")}:
                naming[key] = (*naming.get(key, ()), name)
    namings[1].setdefault("head", ("",))
    for naming in namings:
        naming[""] = ("",)
    known = set(modules)
    namings.append({name: (original_name(name),) for name in wanted if original_name(name) in known})
    if "head" in known:
        namings[2][""] = ("head",)
    best = max(namings, key=lambda naming: len(wanted & naming.keys()))
    return {name: best[name] for name in wanted if name in best}
