"""Pulling, verifying and removing what the store can fetch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wan_models.options import Options

from . import receipts
from .catalogue import in_original_layout
from .found import Found, ModelMissing
from .headers import BadFile, read_header
from .hubs import Hub, Listing, RemoteFile, here, room
from .items import Item, Watcher
from .landmarkers import find_landmarker
from .lora_store import find_lora
from .places import hub_cache, offline
from .previewers import find_previewer
from .receipts import Receipt
from .search import find
from .transfer import fetch, part_of, wrong_sum

_LOG = logging.getLogger(__name__)
MARGIN = 1 << 30
"""Bytes that stay free on the disk after a download."""


def pull(item: Item, hub: Hub, options: Options, watcher: Watcher) -> Path:
    """Fetch an item's files that are not here yet; returns its folder (a LoRA's: its file).

    Raises HubProblem or ModelMissing: offline, no such files, no room, a wrong sum, the network.
    """
    if offline(options):
        problem = f"{item.name} cannot be pulled offline: pull it where there is a network, or unset HF_HUB_OFFLINE"
        raise ModelMissing(problem)
    with receipts.alone(item.key):
        _pull(item, hub, hub.listing(item.repo), watcher)
    return where(item, options)


def _pull(item: Item, hub: Hub, listing: Listing, watcher: Watcher) -> None:
    by_path = {file.path: file for file in listing.files}
    files = [by_path[path] for path in item.wanted(list(by_path))]
    lacking = [file for file in files if not here(hub, item, listing, file)]
    begun = sum(_begun(hub, item, listing, file) for file in lacking)
    missing = sum(file.size for file in lacking)
    _check_room(item, hub.folder(item), missing - begun)
    total = sum(file.size for file in files)
    watcher.begin(item, len(files), total, total - missing + begun)
    note = _note(item, hub, listing, files, lacking)
    done = total - missing
    for file in files:
        fetch(hub, item, listing, file, partial(_more, watcher, file.path, done))
        done += file.size if file in lacking else 0
        watcher.progress(file.path, done)
    note.save()


def _more(watcher: Watcher, path: str, before: int, count: int) -> None:
    watcher.progress(path, before + count)


def _begun(hub: Hub, item: Item, listing: Listing, file: RemoteFile) -> int:
    part = part_of(hub.place(item, listing, file))
    return min(part.stat().st_size, file.size) if part.exists() else 0


def _check_room(item: Item, folder: Path, needed: int) -> None:
    free = room(folder)
    if needed and needed + MARGIN > free:
        problem = (
            f"{item.name} needs {needed / 1e9:.1f} GB more on the disk of {folder}, where {free / 1e9:.1f} GB are free "
            f"({MARGIN / 1e9:.1f} GB stay so): free some, or name another disk in HF_HOME"
        )
        raise ModelMissing(problem)


def _note(item: Item, hub: Hub, listing: Listing, files: list[RemoteFile], lacking: list[RemoteFile]) -> Receipt:
    """The receipt, written before the first byte, so that a download that stops can be removed too."""
    old = receipts.receipt(item.key)
    note = Receipt(item.key, hub.name, listing.repo, listing.revision, str(hub.folder(item)))
    for file in files:
        place, seen = str(hub.place(item, listing, file)), str(hub.seen(item, listing, file))
        known = old.files.get(file.path, {}) if old and old.hub == hub.name else {}
        mine = file in lacking or (known.get("place") == place and bool(known.get("ours")))
        note.files[file.path] = {
            "size": file.size, "sha256": file.sha256, "git_sha1": file.git_sha1, "place": place, "seen": seen,
            "ours": mine,
        }  # fmt: skip
    for path, entry in (old.files if old else {}).items():
        if path not in note.files and entry.get("ours"):
            note.files[path] = entry  # of an older revision: it is ours to remove still
    note.save()
    return note


@dataclass(frozen=True)
class Check:
    """One file: ``problem`` is empty when it is sound; ``sure``: its sum was compared, not only its length."""

    path: Path
    problem: str
    sure: bool


def where(item: Item, options: Options) -> Path:
    """The folder (a LoRA's, a tiny autoencoder's: the file) that jobs would use. Raises ModelMissing."""
    if item.row:
        return find(item.row, options).root
    if item.lora:
        return find_lora(item.name, options)
    if item.previewer:
        tiny = find_previewer(item.previewer.channels, options)
        if tiny is None:
            raise ModelMissing(_not_here(item))
        return tiny
    if item.landmarker:
        found = find_landmarker(item.landmarker, options)
        if found is None:
            raise ModelMissing(_not_here(item))
        return found
    note = receipts.receipt(item.key)
    there = [Path(str(entry.get("seen", ""))) for entry in note.files.values()] if note else []
    if not there or not all(path.is_file() for path in there):
        raise ModelMissing(_not_here(item))
    return there[0].parent


def _not_here(item: Item) -> str:
    return f"{item.name} is not here: run 'wanstage models pull {item.name}'"


def verify(item: Item, options: Options, watcher: Watcher) -> Iterator[Check]:
    """Compare every file that jobs would use with its sum: the hub's as noted when it was pulled, or the name it has
    in the Hugging Face cache. Of files from elsewhere only the length is checked. Raises ModelMissing when it is not
    here at all.
    """
    found = find(item.row, options) if item.row else None
    paths = _all_files(found) if found else _small(where(item, options))
    sizes = [path.stat().st_size for path in paths]
    watcher.begin(item, len(paths), sum(sizes), 0)
    noted = {str(entry["seen"]): entry for note in receipts.everything() for entry in note.files.values()}
    if item.landmarker:  # its sum is known wherever it came from
        noted |= {str(path): {"sha256": item.landmarker.sha256, "git_sha1": ""} for path in paths}
    done = 0
    for path, size in zip(paths, sizes, strict=True):
        sha256, git_sha1 = _known_sum(path, noted.get(str(path)))
        problem = _length_problem(path) or wrong_sum(path, sha256, git_sha1, partial(_more, watcher, path.name, done))
        done += size
        watcher.progress(path.name, done)
        yield Check(path, problem, bool(sha256 or git_sha1))


def _all_files(found: Found) -> list[Path]:
    paths = [path for files in found.files.values() for path in files]
    if found.layout == "diffusers":
        paths += sorted([*found.root.glob("*.json"), *found.root.glob("*/*.json")])
    paths += [found.tokenizer] if found.tokenizer.is_file() else sorted(found.tokenizer.iterdir())
    return list(dict.fromkeys(path for path in paths if path.is_file()))


def _small(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]


def _known_sum(path: Path, noted: dict[str, str | int | bool] | None) -> tuple[str, str]:
    if noted:
        return str(noted["sha256"]), "" if noted["sha256"] else str(noted["git_sha1"])
    blob = path.resolve()
    if blob.parent.name == "blobs" and blob.is_relative_to(hub_cache().resolve()):
        name = blob.name
        return (name, "") if len(name) == 64 else ("", name) if len(name) == 40 else ("", "")
    return "", ""


def _length_problem(path: Path) -> str:
    if path.suffix != ".safetensors":
        return ""
    try:
        read_header(path)
    except BadFile as bad:
        return str(bad)
    return ""


def remove(item: Item) -> int:
    """Delete what the store downloaded for an item, in either layout, and nothing else; returns the bytes that are
    free again.

    Files that were in the cache before, and those that another pulled item or program uses too, stay. Raises
    ModelMissing when the store has downloaded nothing of it.
    """
    kinds = [item, in_original_layout(item)] if item.row and item.row.original_repo else [item]
    kinds = [kind for kind in {kind.key: kind for kind in kinds}.values() if receipts.receipt(kind.key)]
    if not kinds:
        problem = f"{item.name} was not downloaded by wanstage: what an artist put somewhere, only the artist deletes"
        raise ModelMissing(problem)
    freed = 0
    for kind in kinds:
        with receipts.alone(kind.key):
            freed += _remove(kind)
    return freed


def _remove(item: Item) -> int:
    note = receipts.receipt(item.key)
    if note is None:
        return 0
    freed = 0
    for entry in note.files.values():
        place, seen = Path(str(entry["place"])), Path(str(entry["seen"]))
        if not entry.get("ours") or _handed_over(item, str(place)):
            continue
        if seen != place:
            freed += 0 if seen.is_symlink() else _unlink(seen)
            seen.unlink(missing_ok=True)
        freed += _unlink(part_of(place)) + (0 if _still_seen(place, Path(note.folder)) else _unlink(place))
    _prune(Path(note.folder))
    receipts.forget(item.key)
    return freed


def _handed_over(item: Item, place: str) -> bool:
    """Does another pulled item use these bytes too? Then they are its own from now on."""
    for other in receipts.others(item.key):
        for entry in other.files.values():
            if entry["place"] == place:
                entry["ours"] = True
                other.save()
                return True
    return False


def _unlink(path: Path) -> int:
    size = path.stat().st_size if path.is_file() else 0
    path.unlink(missing_ok=True)
    return size


def _still_seen(place: Path, folder: Path) -> bool:
    """Do other revisions in the cache show the same bytes?"""
    if place.parent.name != "blobs":
        return False
    return any(path.is_symlink() and path.resolve() == place.resolve() for path in (folder / "snapshots").rglob("*"))


def _prune(folder: Path) -> None:
    """Remove empty folders, and of a cache entry without any bytes left what remains of it."""
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*"), key=lambda each: len(each.parts), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    if not (folder / "snapshots").exists() and not (folder / "blobs").exists() and folder.is_relative_to(hub_cache()):
        (folder / "refs" / "main").unlink(missing_ok=True)
        for path in (folder / "refs", folder):
            if path.is_dir() and not any(path.iterdir()):
                path.rmdir()
    elif folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
