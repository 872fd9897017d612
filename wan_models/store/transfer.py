"""Fetching one file: continued where it stopped, checked against its sum, in its place only when it is whole."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from .hubs import Hub, HubProblem, Listing, RemoteFile, here, problems
from .items import Item

_LOG = logging.getLogger(__name__)
_BLOCK = 8 * 1024 * 1024

Told = Callable[[int], None]
"""Called with the number of bytes of a file that are done."""


def part_of(place: Path) -> Path:
    """Where the bytes of a file wait until all have come."""
    return place.with_name(f"{place.name}.wanstage-part")


def fetch(hub: Hub, item: Item, listing: Listing, file: RemoteFile, told: Told) -> None:
    """Fetch a file that is not here yet; bytes of an earlier try are kept.

    Raises HubProblem: the network, the hub, the disk, or a wrong sum (then nothing of the file is kept).
    """
    place = hub.place(item, listing, file)
    part = part_of(place)
    if not here(hub, item, listing, file):
        with problems(hub, listing.repo):
            part.parent.mkdir(parents=True, exist_ok=True)
            _get(*hub.source(listing, file.path), part, file.size, told)
        wrong = wrong_sum(part, file.sha256, file.git_sha1)
        if wrong:
            part.unlink()
            problem = f"{file.path} of {listing.repo} came damaged from {hub.home} ({wrong}): pull again"
            raise HubProblem(problem)
        part.replace(place)
    hub.finish(item, listing, file)


def _get(url: str, headers: dict[str, str], part: Path, size: int, told: Told) -> None:
    from huggingface_hub.file_download import http_get

    begun = part.stat().st_size if part.exists() else 0
    if begun > size:  # of another revision that had the same name
        part.unlink()
        begun = 0
    if begun == size and part.exists():
        return
    if begun:
        _LOG.info("continuing %s at byte %d", part, begun)
    with part.open("ab") as file:
        http_get(
            url,
            cast(BinaryIO, _Watched(file, told)),
            resume_size=begun,
            headers={**headers, "Accept-Encoding": "identity"},
            expected_size=size,
            tqdm_class=cast(Any, _NoBar),
        )


class _Watched:
    """A file opened for appending, that tells how long it is."""

    def __init__(self, file: Any, told: Told) -> None:  # noqa: ANN401 - a binary file
        self._file = file
        self._told = told
        self.seek, self.tell, self.truncate = file.seek, file.tell, file.truncate

    def write(self, chunk: bytes) -> int:
        count: int = self._file.write(chunk)
        self._told(self._file.tell())
        return count


class _NoBar:
    """In place of tqdm's bar: ``_Watched`` tells how far it is."""

    def __init__(self, **_: object) -> None: ...

    def __enter__(self) -> _NoBar:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, count: float | None = 1) -> None:
        """Nothing to draw."""

    def close(self) -> None:
        """Nothing to close."""


def wrong_sum(path: Path, sha256: str, git_sha1: str, told: Told | None = None) -> str:
    """Empty when the file's bytes have the sum (or none is known), else both sums' first digits."""
    if not sha256 and not git_sha1:
        return ""
    # Git's names of files are SHA-1; they find damage, not forgery, and only small files have nothing better.
    digest = hashlib.sha256() if sha256 else hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    done = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            done += len(block)
            if told:
                told(done)
    wanted = sha256 or git_sha1
    return "" if digest.hexdigest() == wanted else f"its sum is {digest.hexdigest()[:12]}, not {wanted[:12]}"
