"""Tensors under the names that diffusers and transformers have for them, whatever names a file has.

Names that are there: diffusers' and transformers', those of the official code, and llama.cpp's of a text encoder. S2V's
transformer, which diffusers has not, keeps the official ones. The
maps of Wan's transformers and of the 2.1 VAE are diffusers' own (``loaders/single_file_utils.py``), called tensor by
tensor; the others follow from the module names of the official code (``wan/modules/{t5,clip,vae2_2}.py``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from diffusers.loaders import single_file_utils
from torch import Tensor

from .scaled import PlainSource
from .sources import Source

Renaming = Callable[[str, Tensor], Mapping[str, Tensor]]
"""(name in the file, tensor) -> tensors by their names here: one, or parts of it, or none."""
_DIFFUSERS: Any = single_file_utils
"""Untyped there."""
_SENTINEL = "face_adapter.sentinel"
"""Its presence tells diffusers' function that it sees a part of Animate's transformer."""


class Naming:
    """The tensors of a source under their names here; ``shapes`` likewise, without reading anything."""

    def __init__(self, source: Source, rename: Renaming) -> None:
        self._source = source
        self._rename = rename
        self.shapes: dict[str, tuple[int, ...]] = {}
        for name, shape in source.shapes.items():
            renamed = rename(name, torch.empty(shape, device="meta"))
            self.shapes |= {new: tuple(tensor.shape) for new, tensor in renamed.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors, one of the file's at a time."""
        for name in self._source.shapes:
            yield from self._rename(name, self._source.tensor(name)).items()


def open_naming(cls: str, source: Source) -> Naming:
    """The source of a network of class ``cls`` (of diffusers or transformers) under the class's names."""
    plain = PlainSource(source)
    return Naming(plain, _RENAMINGS[cls](plain.shapes))


def _same(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
    return {name: tensor}


def _wan(shapes: Mapping[str, object]) -> Renaming:
    if any(name.startswith("condition_embedder.") for name in shapes):
        return _same
    sentinel = {_SENTINEL: torch.empty(0)} if any(name.startswith("face_adapter.") for name in shapes) else {}

    def rename(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
        if name.endswith(".kernel"):  # the motion encoder's blur, which its class makes itself
            return {}
        renamed: dict[str, Tensor] = _DIFFUSERS.convert_wan_transformer_to_diffusers({name: tensor, **sentinel})
        renamed.pop(_SENTINEL, None)
        return renamed

    return rename


def _animate2(shapes: Mapping[str, object]) -> Renaming:
    if any(".to_q." in name for name in shapes):
        return _same
    return lambda name, tensor: dict(_DIFFUSERS.convert_wan_animate_2_transformer_to_diffusers({name: tensor}))


def _vae(shapes: Mapping[str, object]) -> Renaming:
    if "encoder.conv_in.weight" in shapes:
        return _same
    if any(".downsamples.0.downsamples." in name for name in shapes):
        return lambda name, tensor: {_replaced(name, _VAE22): tensor}
    return lambda name, tensor: dict(_DIFFUSERS.convert_wan_vae_to_diffusers({name: tensor}))


_RESNET = (
    (r"\.residual\.0\.", ".norm1."), (r"\.residual\.2\.", ".conv1."), (r"\.residual\.3\.", ".norm2."),
    (r"\.residual\.6\.", ".conv2."), (r"\.shortcut\.", ".conv_shortcut."),
)  # fmt: skip
_VAE22 = (
    *_RESNET,
    (r"^conv1\.", "quant_conv."), (r"^conv2\.", "post_quant_conv."), (r"^(..coder)\.conv1\.", r"\1.conv_in."),
    (r"\.head\.0\.", ".norm_out."), (r"\.head\.2\.", ".conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."), (r"\.middle\.1\.", ".mid_block.attentions.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.downsamples\.(\d+)\.downsamples\.\d+\.(resample|time_conv)", r"encoder.down_blocks.\1.downsampler.\2"),
    (r"^encoder\.downsamples\.(\d+)\.downsamples\.", r"encoder.down_blocks.\1.resnets."),
    (r"^decoder\.upsamples\.(\d+)\.upsamples\.\d+\.(resample|time_conv)", r"decoder.up_blocks.\1.upsampler.\2"),
    (r"^decoder\.upsamples\.(\d+)\.upsamples\.", r"decoder.up_blocks.\1.resnets."),
)  # fmt: skip
_T5_OFFICIAL = (
    (r"^token_embedding\.", "shared."), (r"^norm\.", "encoder.final_layer_norm."),
    (r"^blocks\.(\d+)\.", r"encoder.block.\1."), (r"\.norm1\.", ".layer.0.layer_norm."),
    (r"\.norm2\.", ".layer.1.layer_norm."), (r"\.attn\.", ".layer.0.SelfAttention."),
    (r"\.pos_embedding\.embedding\.", ".layer.0.SelfAttention.relative_attention_bias."),
    (r"\.ffn\.gate\.0\.", ".layer.1.DenseReluDense.wi_0."), (r"\.ffn\.fc1\.", ".layer.1.DenseReluDense.wi_1."),
    (r"\.ffn\.fc2\.", ".layer.1.DenseReluDense.wo."),
)  # fmt: skip
_T5_LLAMA = (
    (r"^token_embd\.", "shared."), (r"^enc\.output_norm\.", "encoder.final_layer_norm."),
    (r"^enc\.blk\.(\d+)\.", r"encoder.block.\1."), (r"\.attn_([qkvo])\.", r".layer.0.SelfAttention.\1."),
    (r"\.attn_rel_b\.", ".layer.0.SelfAttention.relative_attention_bias."),
    (r"\.attn_norm\.", ".layer.0.layer_norm."), (r"\.ffn_norm\.", ".layer.1.layer_norm."),
    (r"\.ffn_gate\.", ".layer.1.DenseReluDense.wi_0."), (r"\.ffn_up\.", ".layer.1.DenseReluDense.wi_1."),
    (r"\.ffn_down\.", ".layer.1.DenseReluDense.wo."),
)  # fmt: skip
_T5_OWN = ((r"^encoder\.embed_tokens\.", "shared."),)


def _replaced(name: str, patterns: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def _t5(shapes: Mapping[str, object]) -> Renaming:
    patterns: tuple[tuple[str, str], ...] = _T5_OWN
    if "token_embedding.weight" in shapes:
        patterns = _T5_OFFICIAL
    elif "token_embd.weight" in shapes:
        patterns = _T5_LLAMA
    return lambda name, tensor: {_replaced(name, patterns): tensor}


_CLIP_OFFICIAL = (
    (r"^patch_embedding\.", "embeddings.patch_embedding."), (r"^cls_embedding$", "embeddings.class_embedding"),
    (r"^pos_embedding$", "embeddings.position_embedding.weight"), (r"^pre_norm\.", "pre_layrnorm."),
    (r"^post_norm\.", "post_layernorm."), (r"^transformer\.(\d+)\.", r"encoder.layers.\1."),
    (r"\.norm1\.", ".layer_norm1."), (r"\.norm2\.", ".layer_norm2."), (r"\.attn\.proj\.", ".self_attn.out_proj."),
    (r"\.mlp\.0\.", ".mlp.fc1."), (r"\.mlp\.2\.", ".mlp.fc2."),
)  # fmt: skip


def _clip(shapes: Mapping[str, object]) -> Renaming:
    if "visual.cls_embedding" in shapes:
        return _clip_official
    if "cls_embedding" in shapes:  # the visual tower in a file of its own
        return lambda name, tensor: _clip_official(f"visual.{name}", tensor)
    return lambda name, tensor: {name.removeprefix("vision_model."): tensor}


def _clip_official(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
    """The visual tower of the official CLIP file, whose other half and whose head no engine asks for."""
    if not name.startswith("visual."):
        return {}
    new = _replaced(name.removeprefix("visual."), _CLIP_OFFICIAL)
    if ".attn.to_qkv." in new:
        thirds = tensor.chunk(3)
        return {new.replace("attn.to_qkv", f"self_attn.{k}_proj"): part for k, part in zip("qkv", thirds, strict=True)}
    if new == "embeddings.class_embedding":
        return {new: tensor.flatten()}
    if new == "embeddings.position_embedding.weight":
        return {new: tensor[0]}
    return {new: tensor}


_WAV2VEC2 = (
    (r"^wav2vec2\.", ""), (r"\.conv\.weight_g$", ".conv.parametrizations.weight.original0"),
    (r"\.conv\.weight_v$", ".conv.parametrizations.weight.original1"),
)  # fmt: skip
"""Of a model with a head for letters, and of torch before 2.0, whose weight normalisation had names of its own."""


def _wav2vec2(_: Mapping[str, object]) -> Renaming:
    return lambda name, tensor: {_replaced(name, _WAV2VEC2): tensor}


def _as_it_is(_: Mapping[str, object]) -> Renaming:
    return _same


_RENAMINGS: Mapping[str, Callable[[Mapping[str, object]], Renaming]] = {
    "WanTransformer3DModel": _wan,
    "WanAnimateTransformer3DModel": _wan,
    "WanAnimate2Transformer3DModel": _animate2,
    "WanS2VTransformer3DModel": _as_it_is,
    "Wav2Vec2Model": _wav2vec2,
    "AutoencoderKLWan": _vae,
    "UMT5EncoderModel": _t5,
    "CLIPVisionModel": _clip,
}
