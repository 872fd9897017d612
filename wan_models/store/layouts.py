"""Folders that hold one whole model: diffusers' layout and that of the official code's repositories."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wan_models.rows import ModelRow, PartName

from .found import Found
from .headers import BadFile, shapes
from .shards import Incomplete, sound, weight_files

_TOKENIZER_FILES = ("tokenizer.json", "spiece.model")
_INDEXES = ("model_index.json", "modular_model_index.json")
EXPERTS = ("high_noise_model", "low_noise_model")
"""Folders of the two experts in the official layout."""
AUDIO = "wav2vec2-large-xlsr-53-english"
"""Folder of the audio encoder in the official layout, as transformers writes one."""
AUDIO_PICKLE = "pytorch_model.bin"
"""Its weights where they are no safetensors."""


def channels_in(row: ModelRow) -> int:
    """Input channels of the row's transformer: 16 for text, 36 with an image, 48 for the 5B."""
    config = row.parts["transformer"].config
    return int(config.get("in_channels", config.get("in_dim", 0)))


def is_diffusers(folder: Path) -> bool:
    """Does ``folder`` look like a model in diffusers' layout?"""
    return (folder / "transformer").is_dir() or any((folder / name).is_file() for name in _INDEXES)


def is_original(folder: Path) -> bool:
    """Does ``folder`` look like a repository of the official code?"""
    return any((folder / name).is_dir() for name in EXPERTS) or any(folder.glob("models_t5_*.pth"))


def tokenizer_in(folder: Path) -> Path | None:
    """``folder`` when transformers can read a tokenizer from it."""
    return folder if any((folder / name).is_file() for name in _TOKENIZER_FILES) else None


def _json(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except OSError as error:
        problem = f"{path} is missing"
        raise Incomplete(problem) from error
    except ValueError as error:
        problem = f"{path} is no JSON"
        raise Incomplete(problem) from error
    return told if isinstance(told, dict) else {}


def diffusers_is(row: ModelRow, folder: Path) -> bool:
    """Is the diffusers folder this model, by its transformer's class and channels and by its second expert?

    Where that says nothing (a config that is missing), only the folder's name does. The distilled Animate 2 differs
    from its sibling by name alone.
    """
    config = folder / "transformer" / "config.json"
    if not config.is_file():
        return False
    told = _json(config)
    channels = told.get("in_channels", told.get("in_dim"))
    two = "transformer_2" in row.parts
    distilled = any("distill" in part.lower() for part in (folder.name, folder.parent.name, folder.parent.parent.name))
    return (
        told.get("_class_name") == row.parts["transformer"].cls
        and channels in (channels_in(row), None)
        and (folder / "transformer_2").exists() == two
        and (row.family != "animate2" or distilled == bool(row.extras.get("distilled")))
    )


def diffusers(row: ModelRow, folder: Path) -> Found:
    """The model in a folder of diffusers' layout. Raises Incomplete, naming what is missing or another model's."""
    told = _json(folder / "transformer" / "config.json")
    if told.get("_class_name", row.parts["transformer"].cls) != row.parts["transformer"].cls:
        problem = f"{folder} is another model: its transformer is a {told['_class_name']}"
        raise Incomplete(problem)
    files: dict[PartName, tuple[Path, ...]] = {}
    for part in row.parts:
        if not (folder / part / "config.json").is_file():
            problem = f"{folder / part / 'config.json'} is missing"
            raise Incomplete(problem)
        files[part] = weight_files(folder / part)
    tokenizer = tokenizer_in(folder / "tokenizer")
    if tokenizer is None:
        problem = f"{folder / 'tokenizer' / _TOKENIZER_FILES[0]} is missing"
        raise Incomplete(problem)
    return Found(row, "diffusers", folder, files, tokenizer)


def fits(row: ModelRow, told: Mapping[str, tuple[int, ...]]) -> bool:
    """Are these the tensors of the row's transformer (original or diffusers names)? Judged by the input's channels,
    Animate's motion encoder, S2V's audio encoder and the CLIP layers that Wan2.1's image model had and Wan2.2's has
    not.
    """
    names = [name.removeprefix("model.").removeprefix("diffusion_model.") for name in told]
    patch = next((told[name] for name in told if name.endswith("patch_embedding.weight")), None)
    animate = any(name.startswith("motion_encoder.") for name in names)
    hears = any(name.startswith("casual_audio_encoder.") for name in names)
    clip = any(name.startswith(("img_emb.", "condition_embedder.image_embedder.")) for name in names)
    return (
        patch is not None
        and len(patch) == 5
        and patch[1] == channels_in(row)
        and animate == (row.family == "animate")
        and hears == (row.family == "s2v")
        and clip == ("image_encoder" in row.parts)
    )


def original_is(row: ModelRow, folder: Path) -> bool:
    """Is the folder of the official layout this model? By tensors' shapes, which the configs of forks often lack."""
    if not row.original_repo or (folder / EXPERTS[0]).is_dir() != ("transformer_2" in row.parts):
        return False
    try:
        files = weight_files(folder / EXPERTS[0] if "transformer_2" in row.parts else folder)
        merged = {name: shape for path in files for name, shape in shapes(path).items()}
    except (Incomplete, BadFile):
        return False
    return fits(row, merged)


def original(row: ModelRow, folder: Path) -> Found:
    """The model in a folder of the official layout. Raises Incomplete, naming what is missing or another model's."""
    files: dict[PartName, tuple[Path, ...]] = {}
    for part in row.parts:
        if part in ("transformer", "transformer_2"):
            files[part] = _original_transformer(row, folder, part)
        elif part == "audio_encoder":
            files[part] = _audio(folder / AUDIO)
        else:
            files[part] = (_loose(folder, original_name(row, part)),)
    tokenizer = tokenizer_in(folder / "google" / "umt5-xxl")
    if tokenizer is None:
        problem = f"{folder / 'google' / 'umt5-xxl' / _TOKENIZER_FILES[0]} is missing"
        raise Incomplete(problem)
    return Found(row, "original", folder, files, tokenizer)


def _original_transformer(row: ModelRow, folder: Path, part: PartName) -> tuple[Path, ...]:
    where = folder
    if "transformer_2" in row.parts:
        where = folder / EXPERTS[0 if part == "transformer" else 1]
    files = weight_files(where)
    merged = {name: shape for path in files for name, shape in shapes(path).items()}
    if not fits(row, merged):
        problem = f"{where} holds another model"
        raise Incomplete(problem)
    return files


def _audio(folder: Path) -> tuple[Path, ...]:
    """The audio encoder's weights, beside whose config they lie. Raises Incomplete."""
    if folder.is_dir() and not (folder / "config.json").is_file():
        problem = f"{folder / 'config.json'} is missing"
        raise Incomplete(problem)
    try:
        return weight_files(folder)
    except Incomplete:
        if not (folder / AUDIO_PICKLE).is_file():
            raise
    return (sound(folder / AUDIO_PICKLE),)


def original_name(row: ModelRow, part: PartName) -> str:
    """The file of a part (of those that are one file) in the official layout."""
    if part == "vae":
        return "Wan2.2_VAE.pth" if row.parts["vae"].config["z_dim"] == 48 else "Wan2.1_VAE.pth"
    return {
        "text_encoder": "models_t5_umt5-xxl-enc-bf16.pth",
        "image_encoder": "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth",
    }[part]


def _loose(folder: Path, name: str) -> Path:
    """The file, or the same one as safetensors. Raises Incomplete."""
    for path in (folder / name, (folder / name).with_suffix(".safetensors")):
        if path.exists():
            return sound(path)
    problem = f"{folder / name} is missing"
    raise Incomplete(problem)
