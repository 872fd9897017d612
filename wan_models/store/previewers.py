"""Tiny autoencoders that previews can be seen through, where people have them. None is needed."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from wan_models.options import Options

from .catalogue import PREVIEWERS
from .places import bases, snapshots

_LOG = logging.getLogger(__name__)

_SUFFIXES = r"\.(safetensors|pth)$"
_FOLDERS = ("", "vae_approx", "models/vae_approx", "vae", "models/vae")
"""Below a base: the base itself, and ComfyUI's folders for such files and for VAEs."""
_REPOSITORIES = ("lightx2v/Autoencoders", "madebyollin/taehv", "Kijai/WanVideo_comfy")
"""Where they are published; a copy of the author's, by its folder's names, has ``safetensors`` below."""


def find_previewer(channels: int, options: Options) -> Path | None:
    """The file of the tiny autoencoder for latents of so many channels; None when there is none here.

    In the order of folders as for models; in one folder the author's own before LightX2V's, safetensors before .pth.
    """
    known = next((each for each in PREVIEWERS if each.channels == channels), None)
    if known is None:
        return None
    pattern = re.compile(rf"(light)?{re.escape(known.stem)}{_SUFFIXES}", re.I)
    try:
        for folder in _folders(options):
            there = [path for path in folder.iterdir() if pattern.match(path.name) and path.is_file()]
            if there:
                return min(there, key=_rank)
        told = [base for base in bases(options) if pattern.match(base.name) and base.is_file()]
    except OSError as error:
        _LOG.warning("tiny autoencoders cannot be looked for: %s: %s", error.filename, error.strerror)
        return None
    return min(told, key=_rank, default=None)


def _rank(path: Path) -> tuple[bool, bool, str]:
    name = path.name.lower()
    return name.startswith("light"), name.endswith(".pth"), name


def _folders(options: Options) -> Iterator[Path]:
    for base in bases(options):
        inside = [*_FOLDERS, *(each.name for each in PREVIEWERS)]
        inside += [name for repo in _REPOSITORIES for name in _names(repo)]
        yield from _there(base / name for name in inside)
    for repo in _REPOSITORIES:
        yield from _there(snapshots(repo))


def _there(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (each for each in (folder, folder / "safetensors") if each.is_dir())


def _names(repo: str) -> tuple[str, str]:
    return repo, repo.rpartition("/")[2]
