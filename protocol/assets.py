"""Assets: bytes named by their content, kept in a folder and uploaded in chunks.

A folder holds ``ab/abcd...`` (whole assets, named by their id) and ``partial/abcd...`` (uploads not yet whole).
Only validated ids ever become file names. One folder object belongs to one thread; several processes may
share a folder, because whole assets appear by rename and never change.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import BinaryIO, Protocol, TypeAlias

from . import limits
from .errors import AssetError, QuotaExceeded
from .specs import AssetRef

Bytes: TypeAlias = bytes | bytearray | memoryview

_ID = re.compile(r"[0-9a-f]{64}")
_COPY_BYTES = 1024 * 1024
_OPEN_HASHES = 64  # uploads whose hash is kept in memory between chunks; others are read again


class AssetSource(Protocol):
    """Where an upload reads its bytes; ``AssetFolder`` is one."""

    def read(self, asset_id: str, offset: int = 0, nbytes: int = -1) -> bytes:
        """``nbytes`` of the asset from ``offset`` (-1 = to its end). Raises AssetError when it is not there."""


def asset_id(data: Bytes) -> str:
    """The id of these bytes: blake2b-256, 64 hex digits."""
    return _hasher(data).hexdigest()


class AssetFolder:
    """A content-addressed folder on disk, made when first written to."""

    def __init__(self, path: Path | str) -> None:
        self.root = Path(path)
        self._partials = self.root / "partial"
        self._hashes: dict[str, tuple[int, hashlib.blake2b]] = {}

    # ---- whole assets -------------------------------------------------------------------------------

    def path(self, asset_id: str) -> Path:
        """Where the asset is (or would be). Raises AssetError for anything that is not an id."""
        if not _ID.fullmatch(asset_id):
            problem = f"{asset_id[:80]!r} is not an asset id: 64 hex digits are expected"
            raise AssetError(problem)
        return self.root / asset_id[:2] / asset_id

    def add(self, data: Bytes) -> AssetRef:
        """Store the bytes, unless they are there; atomic. Raises AssetError above MAX_ASSET_BYTES."""
        view = memoryview(data).cast("B")
        ref = AssetRef(asset_id(view), _checked_size(view.nbytes))
        if self.has(ref):
            self.touch(ref.id)
        else:
            scratch = self._scratch()
            with _disk_errors(scratch):
                scratch.write_bytes(view)
            self._publish(scratch, ref)
        return ref

    def add_file(self, path: Path | str) -> AssetRef:
        """Store a file's bytes, read in pieces. Raises AssetError when it is too large, OSError when unreadable."""
        with open(path, "rb") as source:
            _checked_size(os.fstat(source.fileno()).st_size)
            scratch = self._scratch()
            hasher, nbytes = _hasher(), 0
            with _disk_errors(scratch), scratch.open("wb") as target:
                while piece := source.read(_COPY_BYTES):
                    nbytes = _checked_size(nbytes + len(piece))
                    hasher.update(piece)
                    target.write(piece)
        ref = AssetRef(hasher.hexdigest(), nbytes)
        self._publish(scratch, ref)
        return ref

    def has(self, ref: AssetRef) -> bool:
        """Whether the asset is whole and as long as the reference says."""
        try:
            return self.path(ref.id).stat().st_size == ref.nbytes
        except FileNotFoundError:
            return False

    def nbytes(self, asset_id: str) -> int:
        """The length of a whole asset. Raises AssetError when it is not there."""
        try:
            return self.path(asset_id).stat().st_size
        except FileNotFoundError as error:
            raise _missing(asset_id) from error

    def open(self, asset_id: str) -> BinaryIO:
        """The asset as a binary file; the caller closes it. Raises AssetError when it is not there."""
        try:
            return self.path(asset_id).open("rb")
        except FileNotFoundError as error:
            raise _missing(asset_id) from error

    def read(self, asset_id: str, offset: int = 0, nbytes: int = -1) -> bytes:
        """``nbytes`` from ``offset`` (-1 = to the end), less where the asset ends. Raises AssetError when not there."""
        with self.open(asset_id) as file:
            file.seek(offset)
            return file.read(nbytes)

    def touch(self, asset_id: str) -> None:
        """Note that the asset is in use now: ``prune`` looks at the time."""
        os.utime(self.path(asset_id))

    def remove(self, asset_id: str) -> None:
        """Delete the asset and what was uploaded of it; nothing happens when neither is there."""
        self.path(asset_id).unlink(missing_ok=True)
        self._drop_partial(asset_id)

    # ---- uploads ------------------------------------------------------------------------------------

    def partial(self, asset_id: str) -> int:
        """How many bytes of an unfinished upload are here: where to resume."""
        try:
            return self._partial_path(asset_id).stat().st_size
        except FileNotFoundError:
            return 0

    def append_chunk(self, ref: AssetRef, offset: int, data: Bytes) -> bool:
        """Add a chunk; True when the asset is whole and its hash was right.

        What is here already is skipped, so a chunk sent twice does no harm. Raises AssetError for a gap, for bytes
        past the end, and for a wrong hash (which also deletes the upload); QuotaExceeded when the disk is full.
        """
        view = memoryview(data).cast("B")
        _checked_size(ref.nbytes)
        if self.has(ref):
            return True
        have = self.partial(ref.id)
        if offset + view.nbytes > ref.nbytes or have > ref.nbytes:
            self._drop_partial(ref.id)
            problem = (
                f"asset {ref.id[:12]} has {ref.nbytes} bytes, {max(have, offset + view.nbytes)} were sent: start again"
            )
            raise AssetError(problem)
        if offset > have:
            problem = (
                f"asset {ref.id[:12]}: a chunk starts at byte {offset}, but {have} bytes are here: send from {have}"
            )
            raise AssetError(problem)
        have = self._append(ref.id, have, view[have - offset :])
        if have < ref.nbytes:
            return False
        self._finish(ref)
        return True

    def _append(self, asset_id: str, have: int, fresh: memoryview) -> int:
        path = self._partial_path(asset_id)
        path.parent.mkdir(parents=True, exist_ok=True)
        hasher = self._hash_so_far(asset_id, have)
        try:
            with path.open("ab") as file:
                file.write(fresh)
        except OSError as error:
            if path.exists():
                os.truncate(path, have)
            raise _disk_full(error) from error
        hasher.update(fresh)
        self._hashes[asset_id] = (have + fresh.nbytes, hasher)
        while len(self._hashes) > _OPEN_HASHES:
            del self._hashes[next(iter(self._hashes))]
        return have + fresh.nbytes

    def _hash_so_far(self, asset_id: str, have: int) -> hashlib.blake2b:
        known, hasher = self._hashes.pop(asset_id, (0, _hasher()))
        if known == have:
            return hasher
        hasher = _hasher()
        with self._partial_path(asset_id).open("rb") as file:
            while piece := file.read(_COPY_BYTES):
                hasher.update(piece)
        return hasher

    def _finish(self, ref: AssetRef) -> None:
        _, hasher = self._hashes.pop(ref.id)
        if hasher.hexdigest() != ref.id:
            self._drop_partial(ref.id)
            problem = (
                f"asset {ref.id[:12]}: the bytes sent do not have this hash; the upload was thrown away, start again"
            )
            raise AssetError(problem)
        self._publish(self._partial_path(ref.id), ref)

    # ---- housekeeping -------------------------------------------------------------------------------

    def ids(self) -> Iterator[str]:
        """The ids of all whole assets, in no order."""
        for path in self.root.glob("??/*"):
            if _ID.fullmatch(path.name):
                yield path.name

    def total_bytes(self) -> int:
        """What the folder takes, unfinished uploads included. Looks at every file."""
        return sum(_size(path) for path in self.root.glob("*/*"))

    def unlisted(self, keep: Set[str]) -> set[str]:
        """The ids of whole assets that are not in ``keep``."""
        return {each for each in self.ids() if each not in keep}

    def prune(self, keep: Set[str], min_age_s: float = 0.0) -> int:
        """Delete what is not in ``keep`` and at least so old, unfinished uploads too; returns the bytes freed."""
        before = time.time() - min_age_s
        return sum(self._prune_file(path, before) for path in self._prunable(keep))

    def _prunable(self, keep: Iterable[str]) -> list[Path]:
        kept = frozenset(keep)
        return [path for path in self.root.glob("*/*") if path.name not in kept or path.parent == self._partials]

    def _prune_file(self, path: Path, before: float) -> int:
        try:
            found = path.stat()
            if found.st_mtime > before:
                return 0
            path.unlink()
        except OSError:  # taken away or still open in another process: the next round will see
            return 0
        self._hashes.pop(path.name, None)
        return found.st_size

    def _partial_path(self, asset_id: str) -> Path:
        return self._partials / self.path(asset_id).name

    def _drop_partial(self, asset_id: str) -> None:
        self._hashes.pop(asset_id, None)
        self._partial_path(asset_id).unlink(missing_ok=True)

    def _scratch(self) -> Path:
        self._partials.mkdir(parents=True, exist_ok=True)
        return self._partials / f"{secrets.token_hex(16)}.tmp"

    def _publish(self, scratch: Path, ref: AssetRef) -> None:
        final = self.path(ref.id)
        final.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.replace(final)
        except PermissionError:
            # Windows: another process has the same asset open. It is the same bytes, so theirs will do.
            if not self.has(ref):
                raise
            scratch.unlink(missing_ok=True)


class _disk_errors:  # noqa: N801 - reads as a verb at the with statement
    """Deletes a half-written file and says "disk full" as a QuotaExceeded."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._scratch.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _disk_full(error) from error


def _hasher(data: Bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(data, digest_size=32)


def _checked_size(nbytes: int) -> int:
    if nbytes > limits.MAX_ASSET_BYTES:
        problem = f"an asset has at most {limits.MAX_ASSET_BYTES} bytes, this one {nbytes}"
        raise AssetError(problem)
    return nbytes


def _missing(asset_id: str) -> AssetError:
    return AssetError(f"asset {asset_id[:12]} is not here: upload it again")


def _disk_full(error: OSError) -> Exception:
    if error.errno in {errno.ENOSPC, errno.EDQUOT if hasattr(errno, "EDQUOT") else errno.ENOSPC}:
        return QuotaExceeded("the disk that holds the assets is full: free some space and send again")
    return AssetError(f"the asset cannot be written: {error.strerror or error}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
