"""Small files with the names and headers of the real ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path

from wan_models.rows import ModelRow
from wan_models.store.layouts import AUDIO, channels_in


def write_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], cut: int = 0) -> Path:
    """A float32 safetensors file of zeros, without its last ``cut`` bytes."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    data = struct.pack("<Q", len(text)) + text + bytes(offset)
    path.write_bytes(data[: len(data) - cut])
    return path


def transformer_shapes(row: ModelRow) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"patch_embedding.weight": (4, channels_in(row), 1, 2, 2), "head.bias": (4,)}
    if "image_encoder" in row.parts:
        shapes["img_emb.proj.0.weight"] = (4,)
    if row.family == "animate":
        shapes["motion_encoder.dec.direction.weight"] = (4, 2)
    if row.family == "s2v":
        shapes["casual_audio_encoder.weights"] = (1, 25, 1, 1)
    return shapes


def write_sharded(folder: Path, stem: str, shapes: Mapping[str, tuple[int, ...]], count: int) -> None:
    names = [f"{stem}-{n:05d}-of-{count:05d}.safetensors" for n in range(1, count + 1)]
    weight_map = {}
    for n, name in enumerate(names):
        own = {key: shape for index, (key, shape) in enumerate(shapes.items()) if index % count == n}
        write_safetensors(folder / name, own)
        weight_map.update(dict.fromkeys(own, name))
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))


def write_diffusers(folder: Path, row: ModelRow) -> Path:
    for part, told in row.parts.items():
        where = folder / part
        where.mkdir(parents=True)
        channels = {"in_channels": channels_in(row)} if part.startswith("transformer") else {}
        (where / "config.json").write_text(json.dumps({"_class_name": told.cls, **channels}))
        if part.startswith("transformer"):
            write_sharded(where, "diffusion_pytorch_model", transformer_shapes(row), 2)
        else:
            stem = "diffusion_pytorch_model" if part == "vae" else "model"
            write_safetensors(where / f"{stem}.safetensors", {f"{part}.weight": (2,)})
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "WanPipeline"}))
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text('{"flow_shift": 5.0}')
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    return folder


def write_original(folder: Path, row: ModelRow) -> Path:
    if "transformer_2" in row.parts:
        for name in ("high_noise_model", "low_noise_model"):
            (folder / name).mkdir(parents=True)
            write_sharded(folder / name, "diffusion_pytorch_model", transformer_shapes(row), 2)
    else:
        folder.mkdir(parents=True)
        write_sharded(folder, "diffusion_pytorch_model", transformer_shapes(row), 2)
    names = ["models_t5_umt5-xxl-enc-bf16.pth", "Wan2.2_VAE.pth" if row.family == "ti2v" else "Wan2.1_VAE.pth"]
    if "image_encoder" in row.parts:
        names.append("models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth")
    for name in names:
        (folder / name).write_bytes(name.encode())
    if "audio_encoder" in row.parts:
        write_safetensors(folder / AUDIO / "model.safetensors", {"wav2vec2.encoder.layer_norm.weight": (2,)})
        for name in ("config.json", "preprocessor_config.json"):
            (folder / AUDIO / name).write_text(f'{{"told": "{name}"}}')
    (folder / "google" / "umt5-xxl").mkdir(parents=True)
    (folder / "google" / "umt5-xxl" / "spiece.model").write_bytes(b"x")
    return folder


def write_released(folder: Path, row: ModelRow) -> Path:
    """In the layout of the repository that is pulled."""
    return write_diffusers(folder, row) if row.repo else write_original(folder, row)


def write_comfy(models: Path, names: Mapping[str, str], row: ModelRow) -> Path:
    """``names``: folder/file under models -> part; transformers get the row's tensors."""
    for name, part in names.items():
        shapes = transformer_shapes(row) if part.startswith("transformer") else {"x": (2,), "spiece_model": (3,)}
        write_safetensors(models / name, shapes)
    return models
