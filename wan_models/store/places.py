"""The folders that are searched for models, in order."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from wan_models.options import Options

VARIABLE = "WANSTAGE_MODELS"


def own_folder() -> Path:
    """Where the store puts what does not go into a hub's cache."""
    import platformdirs  # the server looks at places too, and starts without it

    return Path(platformdirs.user_data_dir("wanstage", appauthor=False)) / "models"


def told_folders(options: Options) -> tuple[Path, ...]:
    """The folders (or files) that the user named: the options', then those of ``$WANSTAGE_MODELS``."""
    listed = [Path(entry) for entry in os.environ.get(VARIABLE, "").split(os.pathsep) if entry]
    return tuple(dict.fromkeys(path.expanduser() for path in (*options.folders, *listed)))


def hub_cache() -> Path:
    """The shared Hugging Face cache, by the rules of huggingface_hub."""
    told = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if told:
        return Path(os.path.expandvars(told)).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    return Path(os.path.expandvars(home)).expanduser() / "hub"


def modelscope_cache() -> Path:
    """Where ModelScope's own program keeps models."""
    told = os.environ.get("MODELSCOPE_CACHE")
    return (Path(told) if told else Path("~/.cache/modelscope/hub").expanduser()) / "models"


def snapshots(repo: str) -> Iterator[Path]:
    """Folders of a repository's revisions in the Hugging Face cache: the one that ``main`` names, then newest first."""
    folder = hub_cache() / f"models--{repo.replace('/', '--')}"
    main = folder / "refs" / "main"
    named = folder / "snapshots" / main.read_text().strip() if main.is_file() else None
    if named is not None and named.is_dir():
        yield named
    if (folder / "snapshots").is_dir():
        others = [path for path in (folder / "snapshots").iterdir() if path.is_dir() and path != named]
        yield from sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)


def bases(options: Options) -> tuple[Path, ...]:
    """Every folder below which models may lie, without the Hugging Face cache (see ``snapshots``)."""
    return (*told_folders(options), own_folder(), modelscope_cache())


def offline(options: Options) -> bool:
    """True when no hub may be asked, by the options or by Hugging Face's own variables."""
    told = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return options.offline or told.upper() in {"1", "ON", "YES", "TRUE"}


def looked(options: Options) -> str:
    """The places that were searched, for a sentence."""
    return ", ".join(str(path) for path in (*told_folders(options), own_folder(), hub_cache()))
