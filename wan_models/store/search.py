"""Finding a model: in the user's folders, the store's, ModelScope's and Hugging Face's caches, in that order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from wan_models.options import Options
from wan_models.rows import ModelRow

from . import layouts
from .comfy import single
from .found import Found, ModelMissing
from .places import VARIABLE, bases, looked, snapshots, told_folders
from .shards import Incomplete


def find(row: ModelRow, options: Options) -> Found:
    """The model's files on this machine; indexes and headers are read, no weights, and no hub is asked.

    A folder that is the model but lacks something does not hide a whole one further on. Raises ModelMissing: what is
    missing, where it was looked for, what to do.
    """
    try:
        found, problem = _find(row, options)
    except OSError as error:
        problem = f"{row.name} cannot be looked for: {error.filename}: {error.strerror}: see to its permissions"
        raise ModelMissing(problem) from error
    if found is None:
        raise ModelMissing(problem)
    return found


def _find(row: ModelRow, options: Options) -> tuple[Found | None, str]:
    """The model, or the sentence of why there is none."""
    problems: list[str] = []
    for folder in folders(row, options):
        try:
            return _open(row, folder), ""
        except Incomplete as incomplete:
            problems.append(str(incomplete))
    try:
        loose = single(row, bases(options))
    except Incomplete as incomplete:
        loose = None
        problems.append(str(incomplete))
    pull = f"run 'wanstage models pull {row.name}'"
    if problems:
        advice = "" if "run '" in problems[0] else f": {pull}, or put the file there"
        return loose, f"{row.name} is not whole: {problems[0]}{advice}"
    return (
        loose,
        f"there are no weights of {row.name} in {looked(options)}: {pull}, or name their folder in ${VARIABLE}",
    )


def installed(row: ModelRow, options: Options) -> str:
    """Empty when the model is whole, else the sentence of what is missing. Reads no weights, hashes nothing."""
    if options.random_weights:
        return ""
    try:
        find(row, options)
    except ModelMissing as missing:
        return str(missing)
    return ""


def folders(row: ModelRow, options: Options) -> Iterator[Path]:
    """Folders that are this model by name or by what is in them, best first. They may lack files."""
    yield from _named_by_user(row, told_folders(options))
    for base in bases(options)[len(told_folders(options)) :]:
        yield from (base / name for name in _names(row) if (base / name).is_dir())
    for repo in row.repos:
        yield from (folder for folder in snapshots(repo) if _begun(folder))


def _begun(folder: Path) -> bool:
    """Is there more than the few small files that other programs fetch (an index, a tokenizer)?"""
    return layouts.is_diffusers(folder) or layouts.is_original(folder)


def _named_by_user(row: ModelRow, told: Sequence[Path]) -> Iterator[Path]:
    for base in told:
        if not base.is_dir():
            continue
        if base.name in _names(row) or _is(row, base):
            yield base
            continue
        yield from (base / name for name in _names(row) if (base / name).is_dir())
        # Folders by other names are known by what is in them.
        others = sorted(path for path in base.iterdir() if path.is_dir() and path.name not in _names(row))
        yield from (path for path in others if _is(row, path))


def _names(row: ModelRow) -> tuple[str, ...]:
    short = [repo.rpartition("/")[2] for repo in row.repos]
    modelscope = [repo.replace(".", "___") for repo in row.repos]  # its cache cannot have dots in folder names
    return (row.name, f"{row.name}-original", *short, *row.repos, *modelscope)


def _is(row: ModelRow, folder: Path) -> bool:
    try:
        if row.repo and layouts.is_diffusers(folder):
            return layouts.diffusers_is(row, folder)
        return layouts.is_original(folder) and layouts.original_is(row, folder)
    except Incomplete:
        return False


def _open(row: ModelRow, folder: Path) -> Found:
    if not row.repo or (layouts.is_original(folder) and not layouts.is_diffusers(folder)):
        return layouts.original(row, folder)
    return layouts.diffusers(row, folder)
