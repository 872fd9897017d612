"""The video models, one row each. Every number's source: Wan2.2's ``wan/configs`` and the diffusers repositories'
config files, unless a comment says otherwise. Standard library only.
"""

from __future__ import annotations

from typing import Any

from .rows import FastRow, ModelRow, PartName, PartRow

NEGATIVE = (
    "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，"
    "多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，"
    "背景人很多，倒着走"
)
"""The official negative prompt, shared by all models (``sample_neg_prompt`` in ``wan/configs/shared_config.py``)."""
ANIMATE_PROMPT = "视频中的人在做动作"
"""Animate's fixed prompt (``wan/configs/wan_animate_14B.py``)."""
ANIMATE2_PROMPT = "人物动作的参考视频"
"""Animate-2's text for the driving video (``infer/wan_animate_2_demo.py``, and built into diffusers' blocks)."""
ANIMATE2_CAPTION = "static background."
"""Animate-2's prompt where the user gives none (``input_prompts`` in ``infer/wan_animate_2.yaml``)."""
ANIMATE2_NEGATIVE = (
    "过曝，静态，细节模糊不清，字幕，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，三条腿"
)
"""Animate-2's own negative prompt (``pipelines/wan_animate_2_pipeline.py``)."""

S2V_NEGATIVE = (
    "画面模糊，最差质量，画面模糊，细节模糊不清，情绪激动剧烈，手快速抖动，字幕，丑陋的，残缺的，多余的手指，画得不好的手部，"
    "画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"
)
"""S2V's own negative prompt (``wan/configs/wan_s2v_14B.py``)."""

_720P = 1280 * 720
_480 = ((832, 480), (480, 832))
_720 = ((1280, 720), (720, 1280))

_T5 = PartRow(
    "UMT5EncoderModel",
    {
        "vocab_size": 256384, "d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64,
        "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128, "dropout_rate": 0.1,
        "layer_norm_epsilon": 1e-6, "feed_forward_proj": "gated-gelu", "is_encoder_decoder": False, "use_cache": False,
    },
    5_680_910_336,
)  # fmt: skip
_CLIP = PartRow(
    "CLIPVisionModel",
    {
        "hidden_size": 1280, "intermediate_size": 5120, "projection_dim": 1024, "num_hidden_layers": 32,
        "num_attention_heads": 16, "image_size": 224, "patch_size": 14, "hidden_act": "gelu",
    },
    630_766_080,
)  # fmt: skip
_WAV2VEC2 = PartRow(
    "Wav2Vec2Model",
    {
        "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096,
        "conv_dim": [512, 512, 512, 512, 512, 512, 512], "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2], "conv_bias": True, "feat_extract_norm": "layer",
        "do_stable_layer_norm": True, "num_conv_pos_embeddings": 128, "num_conv_pos_embedding_groups": 16,
        "vocab_size": 33, "layerdrop": 0.0, "mask_time_prob": 0.0,
    },
    315_437_696,
)  # fmt: skip
"""``wav2vec2-large-xlsr-53-english/config.json``; what it drops and masks in training is left out, and with it the
embedding of what is masked.
"""
_MEAN22 = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557, -0.1382, 0.0542, 0.2813, 0.0891, 0.157,
    -0.0098, 0.0375, -0.1825, -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502, -0.2055, -0.0322,
    0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.123, -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.052,
    0.3748, 0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
]  # fmt: skip
_STD22 = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.499, 0.4818, 0.5013, 0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165,
    0.8454, 0.4978, 0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659, 0.7069, 0.5338, 0.4889, 0.4917,
    0.4069, 0.4999, 0.6866, 0.4093, 0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887, 0.3971, 1.06,
    0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
]  # fmt: skip
"""Of the 48 latent channels of the 5B's VAE (``wan/modules/vae2_2.py``); the other's are its class's defaults."""
_VAE21 = PartRow("AutoencoderKLWan", {"base_dim": 96, "z_dim": 16}, 126_892_531)
_VAE22 = PartRow(
    "AutoencoderKLWan",
    {
        "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "dim_mult": [1, 2, 4, 4], "num_res_blocks": 2,
        "temperal_downsample": [False, True, True], "is_residual": True, "in_channels": 12, "out_channels": 12,
        "patch_size": 2, "scale_factor_spatial": 16, "scale_factor_temporal": 4,
        "latents_mean": _MEAN22, "latents_std": _STD22,
    },
    704_688_668,
)  # fmt: skip
_WAN: dict[str, Any] = {
    "patch_size": [1, 2, 2], "num_attention_heads": 40, "attention_head_dim": 128, "in_channels": 16,
    "out_channels": 16, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 13824, "num_layers": 40,
    "cross_attn_norm": True, "qk_norm": "rms_norm_across_heads", "eps": 1e-6, "rope_max_seq_len": 1024,
}  # fmt: skip
_T2V = PartRow("WanTransformer3DModel", _WAN, 14_288_491_584)
_I2V = PartRow("WanTransformer3DModel", {**_WAN, "in_channels": 36}, 14_288_901_184)
_TI2V = PartRow(
    "WanTransformer3DModel",
    {**_WAN, "num_attention_heads": 24, "in_channels": 48, "out_channels": 48, "ffn_dim": 14336, "num_layers": 30},
    4_999_787_712,
)
_ANIMATE = PartRow(
    "WanAnimateTransformer3DModel",
    {**_WAN, "in_channels": 36, "latent_channels": 16, "image_dim": 1280, "added_kv_proj_dim": 5120},
    17_274_816_884,
)
_ANIMATE2 = PartRow(
    "WanAnimate2Transformer3DModel",
    {
        "patch_size": [1, 2, 2], "text_len": 512, "in_dim": 36, "dim": 5120, "ffn_dim": 13824, "freq_dim": 256,
        "text_dim": 4096, "out_dim": 16, "num_heads": 40, "num_layers": 40, "cross_attn_norm": True, "eps": 1e-6,
        "use_img_emb": True, "refer_offset_t": 1, "refer_offset_h": 0, "refer_offset_w": -1, "refer_stride": 1,
    },
    16_394_878_784,
)  # fmt: skip
_S2V = PartRow(
    "WanS2VTransformer3DModel",
    {
        "model_type": "s2v", "dim": 5120, "ffn_dim": 13824, "freq_dim": 256, "text_dim": 4096, "text_len": 512,
        "num_heads": 40, "num_layers": 40, "in_dim": 16, "out_dim": 16, "eps": 1e-6, "audio_dim": 1024,
        "num_audio_token": 4, "cond_dim": 16, "audio_inject_layers": [0, 4, 8, 12, 16, 20, 24, 27, 30, 33, 36, 39],
        "enable_adain": True, "adain_mode": "attn_norm", "zero_init": True, "zero_timestep": True,
        "add_last_motion": True, "enable_framepack": True, "framepack_drop_mode": "padd", "enable_motioner": False,
        "enable_tsm": False, "trainable_token_pos_emb": False,
    },
    16_295_755_609,
)  # fmt: skip
"""The released ``config.json``, and ``text_dim``, which is not in it."""


def _pair(part: PartRow) -> dict[PartName, PartRow]:
    return {"text_encoder": _T5, "vae": _VAE21, "transformer": part, "transformer_2": part}


def _lightx2v(kind: str) -> FastRow:
    name = f"wan2.2-{kind}-lightx2v-4step"
    return FastRow(4, 1.0, 5.0, ((f"{name}-high", "high"), (f"{name}-low", "low")))


MODELS: tuple[ModelRow, ...] = (
    ModelRow(
        name="wan2.2-t2v-a14b", title="Wan2.2 T2V A14B", family="t2v", tasks=("t2v",),
        repo="Wan-AI/Wan2.2-T2V-A14B-Diffusers", original_repo="Wan-AI/Wan2.2-T2V-A14B", parts=_pair(_T2V),
        fps=16, sizes=_480 + _720, area=_720P, size_step=16, default_frames=81, max_frames=161,
        steps=40, guidance=4.0, guidance_low=3.0, shift=12.0, boundary=0.875, negative_prompt=NEGATIVE,
        fast=_lightx2v("t2v"),
    ),
    ModelRow(
        name="wan2.2-i2v-a14b", title="Wan2.2 I2V A14B", family="i2v", tasks=("i2v", "flf2v"),
        repo="Wan-AI/Wan2.2-I2V-A14B-Diffusers", original_repo="Wan-AI/Wan2.2-I2V-A14B", parts=_pair(_I2V),
        fps=16, sizes=_480 + _720, area=_720P, size_step=16, default_frames=81, max_frames=161,
        steps=40, guidance=3.5, guidance_low=3.5, shift=5.0, boundary=0.9, negative_prompt=NEGATIVE,
        fast=_lightx2v("i2v"),
    ),
    ModelRow(
        name="wan2.2-ti2v-5b", title="Wan2.2 TI2V 5B", family="ti2v", tasks=("ti2v", "i2v", "t2v"),
        repo="Wan-AI/Wan2.2-TI2V-5B-Diffusers", original_repo="Wan-AI/Wan2.2-TI2V-5B",
        parts={"text_encoder": _T5, "vae": _VAE22, "transformer": _TI2V},
        fps=24, sizes=((1280, 704), (704, 1280)), area=1280 * 704, size_step=32, default_frames=121, max_frames=241,
        steps=50, guidance=5.0, shift=5.0, negative_prompt=NEGATIVE,
    ),
    ModelRow(
        name="wan2.2-animate-14b", title="Wan2.2 Animate 14B", family="animate", tasks=("animate", "replace"),
        repo="Wan-AI/Wan2.2-Animate-14B-Diffusers", original_repo="Wan-AI/Wan2.2-Animate-14B",
        parts={"text_encoder": _T5, "image_encoder": _CLIP, "vae": _VAE21, "transformer": _ANIMATE},
        fps=30, sizes=_480 + _720, area=_720P, size_step=16, default_frames=77, max_frames=3000, any_frames=True,
        segment=77, steps=20, guidance=1.0, shift=5.0, prompt=ANIMATE_PROMPT, negative_prompt=NEGATIVE,
        extras={"relighting_lora": "wan2.2-animate-relighting"},
    ),
    ModelRow(
        name="wan2.2-animate-2-14b", title="Wan2.2 Animate 2 14B", family="animate2", tasks=("animate",),
        repo="Wan-AI/Wan2.2-Animate-2-14B-Diffusers",
        parts={"text_encoder": _T5, "image_encoder": _CLIP, "vae": _VAE21, "transformer": _ANIMATE2},
        fps=24, sizes=(*_480, (800, 640), (640, 800), *_720), area=_720P, size_step=16, default_frames=81,
        max_frames=3000, any_frames=True, segment=81, steps=40, guidance=3.0, shift=5.0, prompt=ANIMATE2_CAPTION,
        negative_prompt=ANIMATE2_NEGATIVE,
        extras={"sampler": "dpm++", "seed_frame_bias": 0.0, "driving_prompt": ANIMATE2_PROMPT},
    ),
    ModelRow(
        name="wan2.2-animate-2-14b-distilled", title="Wan2.2 Animate 2 14B, distilled", family="animate2",
        tasks=("animate",), repo="Wan-AI/Wan2.2-Animate-2-14B-Distilled-Diffusers",
        parts={"text_encoder": _T5, "image_encoder": _CLIP, "vae": _VAE21, "transformer": _ANIMATE2},
        fps=24, sizes=(*_480, (800, 640), (640, 800), *_720), area=_720P, size_step=16, default_frames=81,
        max_frames=3000, any_frames=True, segment=81, steps=10, guidance=1.0, shift=5.0, prompt=ANIMATE2_CAPTION,
        negative_prompt=ANIMATE2_NEGATIVE,
        extras={
            "distilled": True, "sampler": "euler", "seed_frame_bias": -1.3, "driving_prompt": ANIMATE2_PROMPT,
        },
    ),
    ModelRow(
        name="wan2.2-s2v-14b", title="Wan2.2 S2V 14B", family="s2v", tasks=("s2v",),
        repo="", original_repo="Wan-AI/Wan2.2-S2V-14B",
        parts={"text_encoder": _T5, "audio_encoder": _WAV2VEC2, "vae": _VAE21, "transformer": _S2V},
        fps=16, sizes=((832, 448), (448, 832), (1024, 704), (704, 1024), (1280, 704), (704, 1280)), area=_720P,
        size_step=64, default_frames=77, max_frames=3000, any_frames=True, segment=80, steps=40, guidance=4.5,
        shift=3.0, negative_prompt=S2V_NEGATIVE,
    ),
)  # fmt: skip
