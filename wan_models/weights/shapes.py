"""Configurations from tensors' shapes, for files that have none beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wan_models.rows import ModelRow, PartName

Shapes = Mapping[str, tuple[int, ...]]
"""Of tensors under their names in diffusers and transformers."""


def inferred(row: ModelRow, part: PartName, shapes: Shapes, original: Mapping[str, Any]) -> dict[str, Any]:
    """The released configuration of the part with the sizes that the tensors tell.

    ``original``: the official ``config.json`` beside the tensors, if there is one: the number of heads is from there,
    and what else no tensor tells; without it heads are of the released width. A tensor that tells nothing because it is
    missing leaves the released size.
    """
    config = dict(row.parts[part].config)
    tell = {
        "UMT5EncoderModel": _t5, "CLIPVisionModel": _clip, "AutoencoderKLWan": _vae,
        "WanTransformer3DModel": _wan, "WanAnimateTransformer3DModel": _animate,
        "WanAnimate2Transformer3DModel": _animate2, "WanS2VTransformer3DModel": _s2v, "Wav2Vec2Model": _wav2vec2,
    }[row.parts[part].cls]  # fmt: skip
    return config | tell(config, shapes, original)


def _size(shapes: Shapes, name: str, axis: int, released: int) -> int:
    shape = shapes.get(name, ())
    return shape[axis] if axis < len(shape) else released


def _count(shapes: Shapes, start: str) -> int:
    """How many numbered modules there are below ``start``."""
    numbers = {name[len(start) :].split(".", 1)[0] for name in shapes if name.startswith(start)}
    return len({number for number in numbers if number.isdigit()})


def _t5(config: Mapping[str, Any], shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    first = "encoder.block.0.layer"
    heads = _size(shapes, f"{first}.0.SelfAttention.relative_attention_bias.weight", 1, config["num_heads"])
    inner = _size(shapes, f"{first}.0.SelfAttention.q.weight", 0, config["num_heads"] * config["d_kv"])
    return {
        "vocab_size": _size(shapes, "shared.weight", 0, config["vocab_size"]),
        "d_model": _size(shapes, "shared.weight", 1, config["d_model"]),
        "d_ff": _size(shapes, f"{first}.1.DenseReluDense.wi_0.weight", 0, config["d_ff"]),
        "num_layers": _count(shapes, "encoder.block.") or config["num_layers"],
        "num_heads": heads,
        "d_kv": inner // heads,
    }


def _clip(config: Mapping[str, Any], shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    patch = _size(shapes, "embeddings.patch_embedding.weight", 2, config["patch_size"])
    released = (config["image_size"] // config["patch_size"]) ** 2 + 1
    tokens = _size(shapes, "embeddings.position_embedding.weight", 0, released)
    return {
        "hidden_size": _size(shapes, "embeddings.class_embedding", 0, config["hidden_size"]),
        "intermediate_size": _size(shapes, "encoder.layers.0.mlp.fc1.weight", 0, config["intermediate_size"]),
        "num_hidden_layers": _count(shapes, "encoder.layers.") or config["num_hidden_layers"],
        "patch_size": patch,
        "image_size": round((tokens - 1) ** 0.5) * patch,
    }


def _vae(config: Mapping[str, Any], shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "base_dim": _size(shapes, "encoder.conv_in.weight", 0, config["base_dim"]),
        "z_dim": _size(shapes, "post_quant_conv.weight", 0, config["z_dim"]),
    }
    if "decoder_base_dim" in config:
        told["decoder_base_dim"] = _size(shapes, "decoder.norm_out.gamma", 0, config["decoder_base_dim"])
    return told


def _transformer(config: Mapping[str, Any], shapes: Shapes, original: Mapping[str, Any]) -> dict[str, Any]:
    width = config["attention_head_dim"]
    dim = _size(shapes, "patch_embedding.weight", 0, config["num_attention_heads"] * width)
    heads = int(original.get("num_heads", max(1, dim // width)))
    time, text = "condition_embedder.time_embedder.linear_1.weight", "condition_embedder.text_embedder.linear_1.weight"
    return {
        "num_attention_heads": heads,
        "attention_head_dim": dim // heads,
        "in_channels": _size(shapes, "patch_embedding.weight", 1, config["in_channels"]),
        "freq_dim": _size(shapes, time, 1, config["freq_dim"]),
        "text_dim": _size(shapes, text, 1, config["text_dim"]),
        "ffn_dim": _size(shapes, "blocks.0.ffn.net.0.proj.weight", 0, config["ffn_dim"]),
        "num_layers": _count(shapes, "blocks.") or config["num_layers"],
        "eps": original.get("eps", config["eps"]),
    }


def _wan(config: Mapping[str, Any], shapes: Shapes, original: Mapping[str, Any]) -> dict[str, Any]:
    told = _transformer(config, shapes, original)
    patch = config["patch_size"][0] * config["patch_size"][1] * config["patch_size"][2]
    return told | {"out_channels": _size(shapes, "proj_out.weight", 0, config["out_channels"] * patch) // patch}


def _animate(config: Mapping[str, Any], shapes: Shapes, original: Mapping[str, Any]) -> dict[str, Any]:
    told = _wan(config, shapes, original)
    dim = told["num_attention_heads"] * told["attention_head_dim"]
    told |= {
        "latent_channels": _size(shapes, "pose_patch_embedding.weight", 1, config["latent_channels"]),
        "image_dim": _size(shapes, "condition_embedder.image_embedder.norm1.weight", 0, config["image_dim"]),
        "added_kv_proj_dim": dim,
        "motion_style_dim": _size(shapes, "motion_encoder.conv_out.weight", 0, 512),
        "motion_dim": _size(shapes, "motion_encoder.motion_synthesis_weight", 1, 20),
        "motion_encoder_dim": _size(shapes, "motion_encoder.motion_synthesis_weight", 0, 512),
        "face_encoder_hidden_dim": _size(shapes, "face_encoder.conv2.weight", 0, 1024),
    }
    return told | _motion(shapes)


def _motion(shapes: Shapes) -> dict[str, Any]:
    """The motion encoder's picture size and channels: a block halves the picture down to 4 pixels."""
    blocks = _count(shapes, "motion_encoder.res_blocks.") or 7
    size = 4 * 2**blocks
    told: dict[str, Any] = {"motion_encoder_size": size}
    if "motion_encoder.conv_in.weight" in shapes:
        channels = {str(size): shapes["motion_encoder.conv_in.weight"][0]}
        for block in range(blocks):
            skip = shapes.get(f"motion_encoder.res_blocks.{block}.conv_skip.weight", (512,))
            channels[str(size >> (block + 1))] = skip[0]
        told["motion_encoder_channel_sizes"] = channels
    return told


def _animate2(config: Mapping[str, Any], shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    dim = _size(shapes, "patch_embedding.weight", 0, config.get("dim", 5120))
    width = config.get("dim", 5120) // config.get("num_heads", 40)
    return {
        "in_dim": _size(shapes, "patch_embedding.weight", 1, config["in_dim"]),
        "dim": dim,
        "num_heads": max(1, dim // width),
        "ffn_dim": _size(shapes, "blocks.0.ffn.0.weight", 0, 13824),
        "freq_dim": _size(shapes, "time_embedding.0.weight", 1, 256),
        "text_dim": _size(shapes, "text_embedding.0.weight", 1, 4096),
        "num_layers": _count(shapes, "blocks.") or 40,
    }


_S2V_WAYS = (
    "audio_inject_layers", "eps", "text_len", "enable_adain", "adain_mode", "zero_timestep", "add_last_motion",
    "enable_framepack", "framepack_drop_mode", "enable_motioner", "enable_tsm", "trainable_token_pos_emb",
)  # fmt: skip
"""Of S2V's configuration: what no tensor tells."""


def _s2v(config: Mapping[str, Any], shapes: Shapes, original: Mapping[str, Any]) -> dict[str, Any]:
    dim = _size(shapes, "patch_embedding.weight", 0, config["dim"])
    heads = int(original.get("num_heads", max(1, dim // (config["dim"] // config["num_heads"]))))
    audio = "casual_audio_encoder.encoder"
    local = _size(shapes, f"{audio}.conv1_local.conv.weight", 0, 0)
    whole = _size(shapes, f"{audio}.conv1_global.conv.weight", 0, 0)
    return {
        **{name: original[name] for name in _S2V_WAYS if name in original},
        "dim": dim,
        "num_heads": heads,
        "ffn_dim": _size(shapes, "blocks.0.ffn.0.weight", 0, config["ffn_dim"]),
        "freq_dim": _size(shapes, "time_embedding.0.weight", 1, config["freq_dim"]),
        "text_dim": _size(shapes, "text_embedding.0.weight", 1, config["text_dim"]),
        "num_layers": _count(shapes, "blocks.") or config["num_layers"],
        "in_dim": _size(shapes, "patch_embedding.weight", 1, config["in_dim"]),
        "out_dim": _size(shapes, "head.head.weight", 0, config["out_dim"] * 4) // 4,
        "cond_dim": _size(shapes, "cond_encoder.weight", 1, config["cond_dim"]),
        "audio_dim": _size(shapes, f"{audio}.conv1_local.conv.weight", 1, config["audio_dim"]),
        "num_audio_token": local // whole if whole else config["num_audio_token"],
    }


_WAV2VEC2_WAYS = (
    "conv_stride", "num_attention_heads", "feat_extract_norm", "do_stable_layer_norm", "layer_norm_eps", "hidden_act",
    "feat_extract_activation",
)  # fmt: skip
"""Of an audio encoder's configuration: what no tensor tells and what is not about training."""


def _wav2vec2(config: Mapping[str, Any], shapes: Shapes, original: Mapping[str, Any]) -> dict[str, Any]:
    start, places = "feature_extractor.conv_layers", "encoder.pos_conv_embed.conv.parametrizations.weight.original1"
    hidden = _size(shapes, "encoder.layer_norm.weight", 0, config["hidden_size"])
    layers = range(_count(shapes, f"{start}.") or len(config["conv_dim"]))
    released = config["conv_dim"], config["conv_kernel"]
    dims, kernels = (
        [_size(shapes, f"{start}.{layer}.conv.weight", axis, sizes[layer % len(sizes)]) for layer in layers]
        for axis, sizes in zip((0, 2), released, strict=True)
    )
    groups = hidden // config["num_conv_pos_embedding_groups"]
    return {
        "num_attention_heads": max(1, hidden // (config["hidden_size"] // config["num_attention_heads"])),
        **{name: original[name] for name in _WAV2VEC2_WAYS if name in original},
        "hidden_size": hidden,
        "num_hidden_layers": _count(shapes, "encoder.layers.") or config["num_hidden_layers"],
        "intermediate_size": _size(
            shapes, "encoder.layers.0.feed_forward.intermediate_dense.weight", 0, config["intermediate_size"]
        ),
        "conv_dim": dims,
        "conv_kernel": kernels,
        "num_conv_pos_embeddings": _size(shapes, places, 2, config["num_conv_pos_embeddings"]),
        "num_conv_pos_embedding_groups": hidden // _size(shapes, places, 1, groups),
    }
