"""What there is to pull, one ``Item`` each, and which files of its repository it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from wan_models.rows import ModelRow

from .found import ModelMissing
from .layouts import AUDIO, AUDIO_PICKLE, EXPERTS, original_name
from .shards import rank, variant_of


@dataclass(frozen=True)
class KnownLora:
    """A LoRA with a name in the store. ``paths``: its file in the repository, best layout first; ``also``: stems of
    the same weights as ComfyUI users have them.
    """

    name: str
    repo: str
    paths: tuple[str, ...]
    models: tuple[str, ...]
    nbytes: int
    also: tuple[str, ...] = ()
    licence: str = "Apache-2.0"


@dataclass(frozen=True)
class Previewer:
    """A tiny autoencoder that previews can be seen through. ``channels`` of the latents; ``stem`` of its file."""

    name: str
    title: str
    channels: int
    stem: str
    repo: str = "lightx2v/Autoencoders"
    nbytes: int = 22_700_000
    licence: str = "MIT"


@dataclass(frozen=True)
class Landmarker:
    """One model file. ``path`` on Google's storage, as MediaPipe's own pages link it."""

    name: str
    title: str
    file: str
    path: str
    nbytes: int
    sha256: str
    licence: str = "Apache-2.0"


@dataclass(frozen=True)
class Item:
    """Something to pull: a name, a repository, and which of its files. ``original``: the official code's layout."""

    name: str
    title: str
    repo: str
    licence: str
    row: ModelRow | None = None
    lora: KnownLora | None = None
    previewer: Previewer | None = None
    landmarker: Landmarker | None = None
    original: bool = False

    @property
    def key(self) -> str:
        """The name of its folder and receipt in the store."""
        return f"{self.name}-original" if self.original else self.name

    @property
    def kind(self) -> str:
        """``model``, ``lora``, ``previewer``, ``landmarker`` or ``tokenizer``."""
        if self.landmarker:
            return "landmarker"
        return "model" if self.row else "lora" if self.lora else "previewer" if self.previewer else "tokenizer"

    @property
    def nbytes(self) -> int:
        """About how much it is to download; 0 for a model, see ``inventory.expected_bytes``."""
        file = self.lora or self.previewer or self.landmarker
        return 0 if self.row else file.nbytes if file else 20_000_000

    def wanted(self, paths: Sequence[str]) -> list[str]:
        """The files to fetch of a repository's: no duplicate formats or precisions, no pictures.

        Raises ModelMissing when the repository lacks one.
        """
        if self.row:
            return _original_files(self.row, paths) if self.original else _model_files(self.row, paths)
        first = "tokenizer/"
        if self.previewer:
            first = f"{self.previewer.stem}.safetensors"
            wanted = [path for path in paths if path == first]
        elif self.lora:
            first = self.lora.paths[0]
            there = [path for path in self.lora.paths if path in paths]
            config = there[0].rpartition("/")[0] + "/adapter_config.json" if there else ""
            wanted = [*there[:1], *([config] if config in paths else [])]
        else:
            wanted = _in_folder(paths, "tokenizer")
        if not wanted:
            raise _moved(self.repo, first)
        return wanted


def _moved(repo: str, path: str) -> ModelMissing:
    return ModelMissing(f"{repo} has no {path} any more: a newer Wanstage may know where it went")


def _in_folder(paths: Sequence[str], folder: str) -> list[str]:
    return [path for path in paths if path.rpartition("/")[0] == folder]


def _model_files(row: ModelRow, paths: Sequence[str]) -> list[str]:
    wanted = [path for path in paths if path in ("model_index.json", "modular_model_index.json")]
    for folder in ("scheduler", "tokenizer", "image_processor"):
        wanted += _in_folder(paths, folder)
    for part in row.parts:
        inside = _in_folder(paths, part)
        weights = _weights(inside)
        if not weights or f"{part}/config.json" not in inside:
            raise _moved(row.repo, f"{part}/{'config.json' if weights else '*.safetensors'}")
        wanted += [f"{part}/config.json", *weights]
    return wanted


def _original_files(row: ModelRow, paths: Sequence[str]) -> list[str]:
    """Without the formats and tools that only the official preprocessing uses."""
    wanted = _in_folder(paths, "google/umt5-xxl")
    for folder in EXPERTS if "transformer_2" in row.parts else ("",):
        inside = _in_folder(paths, folder)
        weights = _weights([path for path in inside if path.rpartition("/")[2].startswith("diffusion_pytorch_model")])
        if not weights:
            raise _moved(row.original_repo, f"{folder}/diffusion_pytorch_model*.safetensors".lstrip("/"))
        wanted += [path for path in inside if path.endswith("config.json")] + weights
    for part in row.parts:
        if part == "audio_encoder":
            wanted += _audio_files(row, _in_folder(paths, AUDIO))
        elif not part.startswith("transformer"):
            name = original_name(row, part)
            if name not in paths:
                raise _moved(row.original_repo, name)
            wanted.append(name)
    return wanted


def _audio_files(row: ModelRow, inside: Sequence[str]) -> list[str]:
    """The audio encoder with what says how a wave is made ready for it, without its copies for other programs."""
    names = {path.rpartition("/")[2]: path for path in inside}
    weights = _weights(inside) or [path for name, path in names.items() if name == AUDIO_PICKLE]
    if not weights or "config.json" not in names:
        raise _moved(row.original_repo, f"{AUDIO}/{'config.json' if weights else '*.safetensors'}")
    return [names[name] for name in ("config.json", "preprocessor_config.json") if name in names] + weights


def _weights(inside: Sequence[str]) -> list[str]:
    """One set of safetensors of a folder, with its index: no variant, or else the best one."""
    names = [path for path in inside if path.endswith(".safetensors") or ".safetensors.index" in path]
    if not names:
        return []
    best = variant_of(min((path.rpartition("/")[2] for path in names), key=rank))
    return [path for path in names if variant_of(path.rpartition("/")[2]) == best]


class Watcher(Protocol):
    """Is told how a download or a check goes. Bytes."""

    def begin(self, item: Item, files: int, size: int, done: int) -> None:
        """``size`` bytes in all, ``done`` of them here already."""

    def progress(self, path: str, done: int) -> None:
        """``done`` bytes in all, now at ``path``."""
