"""Tiny checkpoints in the layout of the official code's repositories: its folders, file names and tensor names.

The maps here go from diffusers' and transformers' names to the official ones: the other way than ``naming``, and they
are written down apart from it, so that each proves the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file
from torch import Tensor

from wan_models.rows import ModelRow, PartName
from wan_models.store.layouts import AUDIO

Patterns = tuple[tuple[str, str], ...]
Tensors = dict[str, Tensor]

_WAN: Patterns = (
    (r"^scale_shift_table", "head.modulation"), (r"^proj_out\.", "head.head."), (r"\.scale_shift_table", ".modulation"),
    (r"^condition_embedder\.time_embedder\.linear_1", "time_embedding.0"),
    (r"^condition_embedder\.time_embedder\.linear_2", "time_embedding.2"),
    (r"^condition_embedder\.text_embedder\.linear_1", "text_embedding.0"),
    (r"^condition_embedder\.text_embedder\.linear_2", "text_embedding.2"),
    (r"^condition_embedder\.time_proj", "time_projection.1"),
    (r"^condition_embedder\.image_embedder\.norm1", "img_emb.proj.0"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.0\.proj", "img_emb.proj.1"),
    (r"^condition_embedder\.image_embedder\.ff\.net\.2", "img_emb.proj.3"),
    (r"^condition_embedder\.image_embedder\.norm2", "img_emb.proj.4"),
    (r"\.attn1\.", ".self_attn."), (r"\.attn2\.", ".cross_attn."), (r"\.to_([qkv])\.", r".\1."),
    (r"\.to_out\.0\.", ".o."), (r"\.add_([kv])_proj\.", r".\1_img."), (r"\.norm_added_k\.", ".norm_k_img."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."), (r"\.ffn\.net\.2\.", ".ffn.2."), (r"\.norm2\.", ".norm3."),
)  # fmt: skip
_FACE: Patterns = (
    (r"^face_adapter\.(\d+)\.to_q\.", r"face_adapter.fuser_blocks.\1.linear1_q."),
    (r"^face_adapter\.(\d+)\.to_out\.", r"face_adapter.fuser_blocks.\1.linear2."),
    (r"^face_adapter\.(\d+)\.norm_([qk])\.", r"face_adapter.fuser_blocks.\1.\2_norm."),
    (r"^face_encoder\.(conv\w+)\.", r"face_encoder.\1.conv."),
)
_MOTION: Patterns = (
    (r"motion_synthesis_weight", "dec.direction.weight"), (r"motion_network", "enc.fc"),
    (r"conv_in\.weight", "enc.net_app.convs.0.0.weight"), (r"conv_in\.act_fn\.bias", "enc.net_app.convs.0.1.bias"),
    (r"conv_out\.weight", "enc.net_app.convs.8.weight"), (r"conv1\.weight", "conv1.0.weight"),
    (r"conv1\.act_fn\.bias", "conv1.1.bias"), (r"conv2\.weight", "conv2.1.weight"),
    (r"conv2\.act_fn\.bias", "conv2.2.bias"), (r"conv_skip\.weight", "skip.1.weight"),
)  # fmt: skip
_RESNET: Patterns = (
    (r"\.norm1\.", ".residual.0."), (r"\.conv1\.", ".residual.2."), (r"\.norm2\.", ".residual.3."),
    (r"\.conv2\.", ".residual.6."), (r"\.conv_shortcut\.", ".shortcut."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."), (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    (r"\.norm_out\.", ".head.0."), (r"\.conv_out\.", ".head.2."), (r"\.conv_in\.", ".conv1."),
    (r"^quant_conv\.", "conv1."), (r"^post_quant_conv\.", "conv2."),
)  # fmt: skip
_VAE22: Patterns = (
    *_RESNET,
    (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.downsamples.\1.downsamples."),
    (r"^encoder\.down_blocks\.(\d+)\.downsampler\.", r"encoder.downsamples.\1.downsamples.2."),
    (r"^decoder\.up_blocks\.(\d+)\.resnets\.", r"decoder.upsamples.\1.upsamples."),
    (r"^decoder\.up_blocks\.(\d+)\.upsampler\.", r"decoder.upsamples.\1.upsamples.3."),
)
_VAE21: Patterns = (*_RESNET, (r"^encoder\.down_blocks\.", "encoder.downsamples."))
_T5: Patterns = (
    (r"^shared\.", "token_embedding."), (r"^encoder\.final_layer_norm\.", "norm."), (r"^encoder\.block\.", "blocks."),
    (r"relative_attention_bias", "pos"), (r"layer\.0\.SelfAttention\.pos\.", "pos_embedding.embedding."),
    (r"layer\.0\.SelfAttention\.", "attn."), (r"layer\.0\.layer_norm\.", "norm1."),
    (r"layer\.1\.layer_norm\.", "norm2."), (r"layer\.1\.DenseReluDense\.wi_0\.", "ffn.gate.0."),
    (r"layer\.1\.DenseReluDense\.wi_1\.", "ffn.fc1."), (r"layer\.1\.DenseReluDense\.wo\.", "ffn.fc2."),
)  # fmt: skip
_CLIP: Patterns = (
    (r"^embeddings\.patch_embedding\.", "patch_embedding."), (r"^pre_layrnorm\.", "pre_norm."),
    (r"^post_layernorm\.", "post_norm."), (r"^encoder\.layers\.", "transformer."), (r"\.layer_norm1\.", ".norm1."),
    (r"\.layer_norm2\.", ".norm2."), (r"\.self_attn\.out_proj\.", ".attn.proj."), (r"\.mlp\.fc1\.", ".mlp.0."),
    (r"\.mlp\.fc2\.", ".mlp.2."),
)  # fmt: skip


def _renamed(name: str, patterns: Patterns) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def official(cls: str, tensors: Mapping[str, Tensor]) -> Tensors:
    """A network's tensors under the official names. ``cls``: its class in diffusers or transformers."""
    if cls == "UMT5EncoderModel":
        own = {name: tensor for name, tensor in tensors.items() if name != "encoder.embed_tokens.weight"}
        return {_renamed(name, _T5): tensor for name, tensor in own.items()}
    if cls == "CLIPVisionModel":
        return _clip(tensors)
    if cls == "Wav2Vec2Model":
        return _wav2vec2(tensors)
    if cls == "WanS2VTransformer3DModel":
        return dict(tensors)
    if cls == "AutoencoderKLWan":
        deep = any(".downsampler." in name for name in tensors)
        return {_renamed(name, _VAE22) if deep else _vae21(name): tensor for name, tensor in tensors.items()}
    return _transformer(tensors)


def _transformer(tensors: Mapping[str, Tensor]) -> Tensors:
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        if name.startswith("motion_encoder."):
            renamed |= _motion(name, tensor)
        elif ".to_v." in name and name.startswith("face_adapter."):
            continue
        elif ".to_k." in name and name.startswith("face_adapter."):
            both = torch.cat([tensor, tensors[name.replace(".to_k.", ".to_v.")]])
            start = name.replace("face_adapter.", "face_adapter.fuser_blocks.")
            renamed[start.replace(".to_k.", ".linear1_kv.")] = both
        else:
            face = name.startswith("face_")
            renamed[_renamed(name, _FACE if face else _WAN)] = tensor
    return renamed


def _motion(name: str, tensor: Tensor) -> Tensors:
    """The released file has the blur kernels too, which diffusers makes itself."""
    blocks = re.sub(r"res_blocks\.(\d+)", lambda found: f"enc.net_app.convs.{int(found[1]) + 1}", name)
    new = _renamed(blocks, _MOTION)
    if "act_fn" in name:
        return {new: tensor[None, :, None, None]}
    told = {new: tensor}
    if new.endswith(("conv2.1.weight", "skip.1.weight")):
        told[new.replace(".1.weight", ".0.kernel")] = torch.ones(4, 4, dtype=tensor.dtype) / 16
    return told


def _vae21(name: str) -> str:
    """Four modules a block of the decoder: three residual ones, then the resampling one."""
    new = _renamed(name, _VAE21)
    found = re.match(r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.(.*)", new)
    if found is None:
        return new
    index = 4 * int(found[1]) + (int(found[3]) if found[2] == "resnets" else 3)
    return f"decoder.upsamples.{index}.{found[4]}"


def _clip(tensors: Mapping[str, Tensor]) -> Tensors:
    renamed: Tensors = {"log_scale": torch.zeros(()), "textual.token_embedding.weight": torch.zeros(4, 4)}
    for name, tensor in tensors.items():
        if ".self_attn.q_proj." in name:
            parts = [tensors[name.replace(".q_proj.", f".{kind}_proj.")] for kind in "qkv"]
            start = name.replace("encoder.layers.", "visual.transformer.")
            renamed[start.replace("self_attn.q_proj", "attn.to_qkv")] = torch.cat(parts)
        elif name == "embeddings.class_embedding":
            renamed["visual.cls_embedding"] = tensor[None, None]
        elif name == "embeddings.position_embedding.weight":
            renamed["visual.pos_embedding"] = tensor[None]
        elif not re.search(r"\.self_attn\.[kv]_proj\.", name):
            renamed[f"visual.{_renamed(name, _CLIP)}"] = tensor
    return renamed


def _wav2vec2(tensors: Mapping[str, Tensor]) -> Tensors:
    """As the model with a head for letters, and with what is masked in training, which S2V does not ask for."""
    renamed: Tensors = {}
    for name, tensor in tensors.items():
        old = re.sub(r"parametrizations\.weight\.original0$", "weight_g", name)
        renamed["wav2vec2." + re.sub(r"parametrizations\.weight\.original1$", "weight_v", old)] = tensor
    width = tensors["encoder.layer_norm.weight"].shape[0]
    head = {"lm_head.weight": torch.zeros(33, width), "lm_head.bias": torch.zeros(33)}
    return {**renamed, "wav2vec2.masked_spec_embed": torch.zeros(width), **head}


def official_config(row: ModelRow, config: Mapping[str, Any]) -> dict[str, Any]:
    """The official ``config.json`` of a transformer that is built here with ``config``."""
    if row.family == "s2v":
        told = {key: value for key, value in config.items() if key != "text_dim"}
        return {"_class_name": "WanModel_S2V", "_diffusers_version": "0.33.0", **told}
    return {
        "_class_name": "WanAnimateModel" if row.family == "animate" else "WanModel",
        "_diffusers_version": "0.33.0",
        "model_type": row.family,
        "text_len": 512,
        "dim": config["num_attention_heads"] * config["attention_head_dim"],
        "num_heads": config["num_attention_heads"],
        "in_dim": config["in_channels"],
        "out_dim": config["out_channels"],
        **{key: config[key] for key in ("eps", "ffn_dim", "freq_dim", "num_layers")},
    }


_WAVES = {
    "do_normalize": True, "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1,
    "padding_side": "right", "padding_value": 0.0, "return_attention_mask": True, "sampling_rate": 16000,
}  # fmt: skip


def _write_audio(tensors: Tensors, folder: Path, config: Mapping[str, Any]) -> None:
    """As transformers wrote it, training's settings and all."""
    folder.mkdir(exist_ok=True)
    trained = {"layerdrop": 0.05, "mask_time_prob": 0.05, "apply_spec_augment": True, "hidden_dropout": 0.05}
    told = {"architectures": ["Wav2Vec2ForCTC"], "model_type": "wav2vec2", **config, **trained}
    for name, content in (("config.json", told), ("preprocessor_config.json", _WAVES)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(whole, str(folder / "model.safetensors"), metadata={"format": "pt"})


_LOOSE: Mapping[PartName, str] = {
    "text_encoder": "models_t5_umt5-xxl-enc-bf16.pth",
    "image_encoder": "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
}
_EXPERTS: Mapping[PartName, str] = {"transformer": "high_noise_model", "transformer_2": "low_noise_model"}


def write_part(
    row: ModelRow,
    part: PartName,
    network: Any,  # noqa: ANN401 - a class of two libraries
    root: Path,
    *,
    config: Mapping[str, Any],
    shard: str,
) -> None:
    """Write one network where the official code looks for it."""
    tensors = official(row.parts[part].cls, network.state_dict())
    if part == "audio_encoder":
        _write_audio(tensors, root / AUDIO, config)
        return
    if not part.startswith("transformer"):
        vae = "Wan2.2_VAE.pth" if row.family == "ti2v" else "Wan2.1_VAE.pth"
        torch.save(tensors, root / _LOOSE.get(part, vae))
        return
    folder = root / _EXPERTS[part] if row.boundary is not None else root
    folder.mkdir(exist_ok=True)
    pattern = "diffusion_pytorch_model{suffix}.safetensors"
    whole = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_torch_state_dict(whole, folder, filename_pattern=pattern, max_shard_size=shard, safe_serialization=True)
    text = json.dumps(official_config(row, config), indent=2) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
