"""Loose files, as ComfyUI's trees and people's download folders have them: found by their names, then by what is in
them. Parts of one model may lie in several trees.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from wan_models.models import MODELS
from wan_models.rows import ModelRow, PartName

from .catalogue import TOKENIZER
from .found import Found
from .headers import BadFile, read_header, shapes
from .layouts import fits, tokenizer_in
from .places import own_folder, snapshots
from .shards import Incomplete, sound

_LOG = logging.getLogger(__name__)

_FOLDERS: dict[PartName, tuple[str, ...]] = {
    "transformer": ("diffusion_models", "unet"),
    "transformer_2": ("diffusion_models", "unet"),
    "text_encoder": ("text_encoders", "clip"),
    "vae": ("vae",),
    "image_encoder": ("clip_vision",),
    "audio_encoder": ("audio_encoders",),
}
"""ComfyUI's folder names under ``models``."""
_SUFFIXES = (".safetensors", ".gguf", ".pth")
_OTHERS = r"lora|relight|vace|fun|camera|inpaint|animate[-_. ]?2(?![.\d])"
"""Words in the names of files that are other models, or no models."""
_NAMES: dict[str, str] = {
    "t2v": r"wan[-_. ]?2[-_.]?2.*t2v",
    "i2v": r"wan[-_. ]?2[-_.]?2.*(?<!t)i2v",
    "ti2v": r"wan[-_. ]?2[-_.]?2.*ti2v",
    "animate": r"wan.*animate",
    "s2v": r"wan.*s2v",
}
_PARTS: dict[PartName, str] = {
    "text_encoder": r"umt5[-_.]?xxl",
    "image_encoder": r"clip[-_. ]?(vision[-_. ]?h|vit[-_. ]?h)|.*open[-_. ]?clip.*vit[-_. ]?huge",
    "audio_encoder": r"wav2vec2[-_. ]?large.*english",
}
_HINTS: dict[PartName, str] = {
    "text_encoder": "umt5_xxl_fp16.safetensors",
    "image_encoder": "clip_vision_h.safetensors",
    "audio_encoder": "wav2vec2_large_english_fp16.safetensors",
}


def _part_pattern(row: ModelRow, part: PartName) -> re.Pattern[str]:
    if part in ("transformer", "transformer_2"):
        name = _NAMES[row.family]
        if "transformer_2" in row.parts:
            name = rf"(?=.*{'high' if part == 'transformer' else 'low'}){name}"
        return re.compile(rf".*{name}", re.I)
    if part == "vae":
        version = "2[-_.]?2" if row.parts["vae"].config["z_dim"] == 48 else "2[-_.]?1"
        return re.compile(rf".*wan[-_. ]?{version}[-_. ]?vae", re.I)
    return re.compile(f".*{_PARTS[part]}", re.I)


def _others(row: ModelRow) -> re.Pattern[str]:
    return re.compile(_OTHERS if row.family == "s2v" else f"{_OTHERS}|s2v", re.I)


def _trees(bases: Iterable[Path], part: PartName) -> Iterable[tuple[Path, bool]]:
    """Folders where such a part may lie, and whether their subfolders count too."""
    for base in bases:
        for parent in (base, base / "models"):
            for name in _FOLDERS[part]:
                if (parent / name).is_dir():
                    yield parent / name, True
        if base.is_dir():
            yield base, False


def candidates(row: ModelRow, part: PartName, bases: Sequence[Path]) -> list[Path]:
    """Files that are this part by their names: files the user named first, then by folder, largest first."""
    pattern, others = _part_pattern(row, part), _others(row)
    told = [base for base in bases if base.is_file() and _is(base, pattern, others)]
    for tree, deep in _trees(bases, part):
        there = _walk(tree) if deep else tree.iterdir()
        inside = [path for path in there if path.is_file() and _is(path, pattern, others)]
        told += sorted(inside, key=lambda path: (-path.stat().st_size, path.name))
    return list(dict.fromkeys(told))


def _walk(tree: Path) -> Iterable[Path]:
    for folder, _, names in os.walk(tree, followlinks=True):
        yield from (Path(folder) / name for name in names)


def _is(path: Path, pattern: re.Pattern[str], others: re.Pattern[str]) -> bool:
    named = pattern.match(path.name) is not None and others.search(path.name) is None
    return named and path.suffix.lower() in _SUFFIXES


def single(row: ModelRow, bases: Sequence[Path]) -> Found | None:
    """The model as loose files below ``bases``; None when no transformer of it is there.

    Raises Incomplete when there is one, but another part is missing, cut short or of another model.
    """
    if row.family not in _NAMES:
        return None
    files: dict[PartName, tuple[Path, ...]] = {}
    chosen = _transformers(row, bases)
    if not chosen:
        return None
    files.update({part: (sound(path),) for part, path in chosen.items()})
    for part in row.parts:
        if part in files:
            continue
        there = candidates(row, part, bases)
        if not there:
            vae = "wan2.2_vae.safetensors" if row.parts["vae"].config["z_dim"] == 48 else "wan_2.1_vae.safetensors"
            place = next(iter(chosen.values())).parent.parent / _FOLDERS[part][0]
            problem = f"{place} has no {_HINTS.get(part, vae)} (nor another file of that name's kind)"
            raise Incomplete(problem)
        files[part] = (sound(there[0]),)
    root = files["transformer"][0].parent
    return Found(row, "single", root, files, tokenizer(files["text_encoder"][0], bases))


def _transformers(row: ModelRow, bases: Sequence[Path]) -> dict[PartName, Path]:
    """The transformer's file, or both experts'; of several, a pair that differs by high and low only goes first."""
    first = [path for path in candidates(row, "transformer", bases) if _fits(row, path)]
    if not first:
        return {}
    if "transformer_2" not in row.parts:
        return {"transformer": first[0]}
    second = {_twin(path): path for path in candidates(row, "transformer_2", bases) if _fits(row, path)}
    if not second:
        place = first[0].with_name(_other(first[0].name))
        problem = f"{place} (the low-noise expert) is missing"
        raise Incomplete(problem)
    for path in first:
        if _twin(path) in second:
            return {"transformer": path, "transformer_2": second[_twin(path)]}
    return {"transformer": first[0], "transformer_2": next(iter(second.values()))}


def _twin(path: Path) -> str:
    return re.sub("high|low", "*", path.name, flags=re.I)


def _other(name: str) -> str:
    found = re.search("high", name, re.I)
    word = found[0] if found else "high"
    return name.replace(word, {"high": "low", "High": "Low", "HIGH": "LOW"}.get(word, "low"))


def _fits(row: ModelRow, path: Path) -> bool:
    """By its tensors; a file whose header says nothing is judged by its name alone."""
    try:
        told = shapes(path)
    except BadFile as bad:
        _LOG.warning("%s %s", path, bad)
        return True  # it is this model by its name: whoever takes it says what is wrong
    return not told or fits(row, told)


def tokenizer(text_encoder: Path, bases: Sequence[Path]) -> Path:
    """A tokenizer for loose files: a folder beside them, the store's, one in the Hugging Face cache, or the text
    encoder's own file when the SentencePiece model is in it. Raises Incomplete.
    """
    around = [*bases, *(base / name for base in bases for name in ("text_encoders", "models/text_encoders"))]
    names = ("tokenizer", "umt5-xxl", "google/umt5-xxl")
    folders = [text_encoder.parent, *(folder / name for folder in (text_encoder.parent, *around) for name in names)]
    folders.append(own_folder() / TOKENIZER / "tokenizer")
    folders += [folder / "tokenizer" for each in MODELS if each.repo for folder in snapshots(each.repo)]
    folders += list(snapshots("google/umt5-xxl"))
    there = next((folder for folder in folders if tokenizer_in(folder)), None)
    if there is not None:
        return there
    if text_encoder.suffix == ".safetensors" and "spiece_model" in read_header(text_encoder).shapes:
        return text_encoder
    problem = f"no tokenizer lies beside {text_encoder}: run 'wanstage models pull {TOKENIZER}'"
    raise Incomplete(problem)
