"""Tiny checkpoints with random numbers, in exactly the layout of the released ones, for tests and demonstrations.

The networks are the real classes with few and narrow layers; the strides, patches and latent channels are the released
ones. Everything is seeded: the same files every time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from wan_models.models import MODELS
from wan_models.registry import model_row
from wan_models.rows import ModelRow, PartName

from .networks import build
from .numbers import number
from .tiny_original import write_part
from .tokens import VOCABULARY, write_tokenizer

ALL = tuple(row.name for row in MODELS)
_SHARDS: Mapping[PartName, str] = {"transformer": "200KB", "transformer_2": "200KB", "text_encoder": "40KB"}
"""Largest file of these parts, so that they are sharded as the released ones."""
_T5 = {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
_CLIP = {"hidden_size": 32, "intermediate_size": 64, "projection_dim": 16, "num_hidden_layers": 3,
         "num_attention_heads": 16}  # fmt: skip
_CLIP_ANIMATE2 = {**_CLIP, "hidden_size": 1280, "num_hidden_layers": 2}
"""Animate-2's class takes 1280 numbers a token, whatever its own size."""
_WAN = {"num_attention_heads": 2, "attention_head_dim": 32, "text_dim": 32, "freq_dim": 64, "ffn_dim": 128,
        "num_layers": 2}  # fmt: skip
_ANIMATE = {
    **_WAN, "num_layers": 10, "image_dim": 32, "added_kv_proj_dim": 64, "motion_encoder_size": 64,
    "motion_encoder_channel_sizes": {"4": 16, "8": 16, "16": 16, "32": 8, "64": 8}, "motion_style_dim": 32,
    "motion_dim": 8, "motion_encoder_dim": 32, "face_encoder_hidden_dim": 32,
}  # fmt: skip
_ANIMATE2 = {"in_dim": 36, "dim": 64, "ffn_dim": 128, "freq_dim": 64, "text_dim": 32, "num_heads": 2, "num_layers": 2}
_S2V = {
    "dim": 64, "ffn_dim": 128, "freq_dim": 64, "text_dim": 32, "num_heads": 2, "num_layers": 4, "audio_dim": 32,
    "audio_inject_layers": [0, 1, 3],
}  # fmt: skip
_AUDIO = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "conv_dim": [16] * 7}
"""As many layers as the released one, whose states S2V's transformer counts, at the released rate."""
_TRANSFORMERS: Mapping[str, Mapping[str, Any]] = {"animate": _ANIMATE, "animate2": _ANIMATE2, "s2v": _S2V}


def tiny_config(row: ModelRow, part: PartName) -> dict[str, Any]:
    """The released configuration of a part with few, narrow layers."""
    released = dict(row.parts[part].config)
    if part == "text_encoder":
        return {**released, **_T5}
    if part == "image_encoder":
        return {**released, **(_CLIP_ANIMATE2 if row.family == "animate2" else _CLIP)}
    if part == "audio_encoder":
        return {**released, **_AUDIO}
    if part == "vae":
        return {**released, "base_dim": 8, **({"decoder_base_dim": 8} if row.family == "ti2v" else {})}
    return {**released, **_TRANSFORMERS.get(row.family, _WAN)}


def fill(network: nn.Module, config: Mapping[str, Any], seed: int) -> None:
    """Give every parameter its random numbers, in place; buffers are left as the class makes them."""
    for name, parameter in network.named_parameters():
        parameter.copy_(number(name, tuple(parameter.shape), config, seed=seed))


def make_tiny(
    folder: Path,
    models: Sequence[str] = ALL,
    layout: Literal["diffusers", "original"] = "diffusers",
) -> dict[str, Path]:
    """Write tiny checkpoints of ``models`` into ``folder``/<model name>; the folders by the models' names.

    As released: A14B's and the 5B's transformers, the VAEs and the audio encoder are float32, CLIP float16, the rest
    bfloat16. The original layout is written of models that were released in it, and the others are not among the
    answer; of a model that was released in no other it is written whatever is asked for.
    Raises RequestRefused for an unknown model and OSError as the file system does.
    """
    written = {}
    for row in map(model_row, models):
        if layout == "original" and not row.original_repo:
            continue
        root = written[row.name] = folder / row.name
        root.mkdir(parents=True, exist_ok=True)
        with _quiet():
            (_write_diffusers if layout == "diffusers" and row.repo else _write_original)(row, root)
    return written


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the bars that transformers draws for files of some kilobytes."""
    bars: Any = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _write_diffusers(row: ModelRow, root: Path) -> None:
    for part in row.parts:
        network = tiny_network(row, part)
        network.save_pretrained(str(root / part), max_shard_size=_SHARDS.get(part, "1GB"))
    if "image_encoder" in row.parts:
        _older_names(root / "image_encoder" / "model.safetensors")
    write_tokenizer(root / "tokenizer")
    _scheduler(row).save_pretrained(str(root / "scheduler"))
    if "image_encoder" in row.parts:
        (root / "image_processor").mkdir(exist_ok=True)
        _write_json(root / "image_processor" / "preprocessor_config.json", _CLIP_PICTURES)
    _write_json(root / "model_index.json", model_index(row))
    if row.family == "animate2":
        _write_json(root / "modular_model_index.json", modular_index(row))


_CLIP_PICTURES = {
    "crop_size": {"height": 224, "width": 224}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
    "do_rescale": True, "do_resize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_processor_type": "CLIPImageProcessor", "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3,
    "rescale_factor": 1 / 255, "size": {"shortest_edge": 224},
}  # fmt: skip


def _write_json(path: Path, told: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


def _write_original(row: ModelRow, root: Path) -> None:
    for part in row.parts:
        config, shard = tiny_config(row, part), _SHARDS.get(part, "1GB")
        write_part(row, part, tiny_network(row, part), root, config=config, shard=shard)
    write_tokenizer(root / "google" / "umt5-xxl")
    (root / "configuration.json").write_text('{"framework": "pytorch", "task": "other"}\n', encoding="utf-8")


def _older_names(file: Path) -> None:
    """The released CLIP files were written by transformers 4, whose vision model had a name before each tensor's."""
    tensors = {f"vision_model.{name}": tensor.clone() for name, tensor in load_file(str(file)).items()}
    save_file(tensors, str(file), metadata={"format": "pt"})


_DTYPES: dict[PartName, torch.dtype] = {
    "image_encoder": torch.float16,
    "audio_encoder": torch.float32,
    "vae": torch.float32,
}


def tiny_network(row: ModelRow, part: PartName) -> Any:  # noqa: ANN401 - a class with save_pretrained of two libraries
    """The part's network with its numbers, in the type that it is written in."""
    config = tiny_config(row, part)
    network = build(row.parts[part].cls, config)
    seed = 1 + sum(map(ord, f"{row.name} {part}"))
    fill(network, config, seed)
    dtype = _DTYPES.get(part, torch.bfloat16)
    if part.startswith("transformer") and row.family in ("t2v", "i2v", "ti2v"):
        dtype = torch.float32
    return nn.Module.to(network, dtype)  # Not the class's own method: it warns about what a file may well hold.


def _scheduler(row: ModelRow) -> Any:  # noqa: ANN401 - untyped in diffusers
    """As the repositories ship it: those of the A14B models carry a flow shift of 3, not the official one."""
    shift = 3.0 if row.boundary is not None else row.shift
    scheduler: Any = diffusers.UniPCMultistepScheduler
    return scheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )


_PIPELINES = {
    "t2v": "WanPipeline",
    "i2v": "WanImageToVideoPipeline",
    "ti2v": "WanPipeline",
    "animate": "WanAnimatePipeline",
    "animate2": "WanAnimate2ModularPipeline",
}


def model_index(row: ModelRow) -> dict[str, Any]:
    """The content of ``model_index.json``."""
    index: dict[str, Any] = {
        "_class_name": _PIPELINES[row.family],
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "UniPCMultistepScheduler"],
        "tokenizer": ["transformers", "T5TokenizerFast"],
    }
    for part, network in row.parts.items():
        index[part] = ["diffusers" if hasattr(diffusers, network.cls) else "transformers", network.cls]
    if "image_encoder" in row.parts:
        index["image_processor"] = ["transformers", "CLIPImageProcessor"]
    if row.family == "i2v":
        index.update(image_encoder=[None, None], image_processor=[None, None])
    if row.family == "ti2v":
        index.update(transformer_2=[None, None], expand_timesteps=True)
    if row.boundary is not None:
        index.update(boundary_ratio=row.boundary)
    return index


def modular_index(row: ModelRow) -> dict[str, Any]:
    """The content of ``modular_model_index.json``, by which diffusers opens Animate-2; parts name the repository."""
    kind = "Distilled" if row.extras.get("distilled") else ""
    index: dict[str, Any] = {
        "_blocks_class_name": f"WanAnimate2{kind}Blocks",
        "_class_name": f"WanAnimate2{kind}ModularPipeline",
        "_diffusers_version": diffusers.__version__,
    }
    parts = {name: told for name, told in model_index(row).items() if isinstance(told, list) and name in _MODULAR}
    for name, told in parts.items():
        where = {"pretrained_model_name_or_path": row.repo, "subfolder": name, "variant": None, "revision": None}
        index[name] = [*told, {**where, "type_hint": told}]
    return index


_MODULAR = ("scheduler", "tokenizer", "text_encoder", "image_encoder", "vae", "transformer")
"""Components of Animate-2's blocks that have a folder; what they need else they make themselves."""
