"""LoRAs by name: in the ``loras`` folders of the user's trees, the store and the Hugging Face cache."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wan_models.models import MODELS
from wan_models.options import Options

from .catalogue import LORAS
from .found import ModelMissing
from .items import KnownLora
from .places import bases, own_folder, snapshots

SUFFIXES = (".safetensors", ".ckpt", ".pt")


def lora_folders(options: Options) -> list[Path]:
    """Folders whose files are LoRAs, in the order of search."""
    told = [folder for base in bases(options) for folder in (base / "loras", base / "models" / "loras")]
    return [folder for folder in dict.fromkeys(told) if folder.is_dir()]


def lora_files(options: Options) -> Iterator[tuple[str, Path]]:
    """(name, file) of every LoRA in those folders; the name is the path below the folder, without the suffix."""
    for folder in lora_folders(options):
        for where, _, names in os.walk(folder, followlinks=True):
            for name in sorted(names):
                path = Path(where) / name
                if path.suffix in SUFFIXES:
                    yield path.relative_to(folder).with_suffix("").as_posix(), path


def find_lora(name: str, options: Options) -> Path:
    """The file of a LoRA: one that presets know by that name, or any file in the ``loras`` folders by its stem (or
    its path below the folder, without the suffix).

    A name is only compared with what lies in those folders, never opened as a path. Raises ModelMissing with what to
    do.
    """
    known = next((lora for lora in LORAS if lora.name == name), None)
    names = {name, *(known.also if known else ())}
    for called, path in lora_files(options):
        if called in names or path.stem in names or path.name == name:
            return path
    if known is not None:
        for path in _of_repository(known, options):
            if path.is_file():
                return path
        problem = f"the LoRA {name} is not here: run 'wanstage models pull {name}'"
        raise ModelMissing(problem)
    searched = ", ".join(map(str, lora_folders(options)))
    where = f" in {searched}" if searched else ", nor a folder of LoRAs"
    problem = f"there is no LoRA {name}{where}: put its .safetensors file into {own_folder() / 'loras'}"
    raise ModelMissing(problem)


def _of_repository(known: KnownLora, options: Options) -> Iterator[Path]:
    """Where a known LoRA lies when its repository, or the original model's with it, was downloaded whole."""
    short = known.repo.rpartition("/")[2]
    for base in bases(options):
        for folder in (base / known.name, base / known.repo, base / short, base):
            yield from (folder / path for path in known.paths)
        # An original repository under another name still has the file's own name.
        if base.is_dir() and any(known.repo in row.repos for row in MODELS):
            others = sorted(path for path in base.iterdir() if path.is_dir())
            yield from (folder / path for folder in others for path in known.paths)
    for snapshot in snapshots(known.repo):
        yield from (snapshot / path for path in known.paths)
