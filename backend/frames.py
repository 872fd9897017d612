"""Finished frames on disk: one folder a job, one file a frame, each written beside its place and moved there.

A file that has its name is whole. ``000012.note`` holds the sentence of a doubtful frame and is written first.
"""

from __future__ import annotations

import errno
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from protocol.errors import QuotaExceeded
from protocol.limits import MIB
from protocol.specs import POSE_COLUMNS, JobSpec

log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
_PNG_END = b"IEND\xaeB`\x82"
_ZIP_END = b"PK\x05\x06"  # the record that ends every zip without a comment, 22 bytes long
_PERSON_BYTES = 4 * POSE_COLUMNS


def stored_as(spec: JobSpec) -> str:
    """The suffix of the job's numbered results."""
    return "pose" if spec.task == "pose" else spec.output.encoding


class DiskFull(QuotaExceeded):
    """Nothing more can be written; the message says how much there is and what to do."""


def free_bytes(path: Path) -> int:
    """Bytes free for us on the disk of ``path``."""
    return shutil.disk_usage(path).free


class FrameStore:
    """Frames of all jobs under ``root``.

    ``min_free`` bytes of the disk stay free; all frames together take at most ``quota`` bytes (0 = no bound).
    """

    def __init__(self, root: Path, min_free: int, quota: int = 0, free: Callable[[Path], int] = free_bytes) -> None:
        """Open the folder, remove what an earlier server left half-written, add up what is there."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._min_free = min_free
        self._quota = quota
        self._free = free
        for scratch in root.glob("*/*.tmp"):
            scratch.unlink(missing_ok=True)
        self._used = {folder.name: _size(folder) for folder in root.iterdir() if folder.is_dir()}

    def path(self, job_id: str, index: int, encoding: str) -> Path:
        """Where frame ``index`` is or will be."""
        return self._root / job_id / f"{index:06d}.{encoding}"

    def room_for(self, spec: JobSpec) -> None:
        """Raise DiskFull when the job's frames may not fit (counted as raw RGB8, which bounds PNG in practice)."""
        nbytes = spec.made * spec.width * spec.height * 3
        if spec.task == "pose":  # what is sent of each frame, and about three times as much in the file
            nbytes = spec.frames * 4 * _PERSON_BYTES * (spec.pose.people if spec.pose else 1)
        self.room(nbytes)
        self._room_in_quota(nbytes)

    def room(self, nbytes: int, what: str = "frames") -> None:
        """Raise DiskFull when ``nbytes`` more of anything would leave too little free."""
        free = self._free(self._root) - self._min_free
        if free < nbytes:
            self._refuse(nbytes, free, what, "free the disk, or remove old jobs")

    def _room_in_quota(self, nbytes: int) -> None:
        if self._quota and self._quota - sum(self._used.values()) < nbytes:
            left = self._quota - sum(self._used.values())
            self._refuse(nbytes, left, "frames", "remove old jobs, or raise --max-disk")

    def _refuse(self, nbytes: int, left: int, what: str, advice: str) -> None:
        problem = (
            f"disk full: {nbytes / MIB:.1f} MiB of {what} are to be written and {max(0, left) / MIB:.1f} MiB may be: "
            f"{advice}"
        )
        raise DiskFull(problem)

    def write(self, job_id: str, index: int, encoding: str, data: memoryview, note: str = "") -> None:
        """Store one frame, all of it or nothing. Raises DiskFull; any other OSError comes out as it is."""
        self.room(data.nbytes)
        self._room_in_quota(data.nbytes)
        target = self.path(job_id, index, encoding)
        try:
            target.parent.mkdir(exist_ok=True, mode=0o700)
            if note:
                _write_whole(target.with_suffix(".note"), note.encode())
            _write_whole(target, data)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            problem = f"disk full: frame {index} could not be written ({error.strerror}): free the disk and try again"
            raise DiskFull(problem) from error
        self._used[job_id] = self._used.get(job_id, 0) + data.nbytes

    def pictures(self, job_id: str) -> Path:
        """The folder of a job's numbered results."""
        return self._root / job_id

    def read(self, job_id: str, index: int, encoding: str) -> bytes:
        """One stored frame. Raises OSError when it is not there."""
        return self.path(job_id, index, encoding).read_bytes()

    def survey(self, job_id: str, spec: JobSpec, check: bool) -> tuple[int, dict[int, str]]:
        """How many frames from 0 on are stored without a gap, and the notes.

        ``check`` looks into each file too (after a crash): a frame that is not whole, and all after it, is removed.
        """
        encoding, count = stored_as(spec), 0
        while count < spec.made and (path := self.path(job_id, count, encoding)).exists():
            if check and not _whole(path, spec, count):
                log.warning("job %s: frame %d is not whole and will be made again", job_id, count)
                break
            count += 1
        if check:
            self._drop_from(job_id, count, encoding)
        notes = {int(path.stem): path.read_text() for path in (self._root / job_id).glob("*.note")}
        return count, notes

    def _drop_from(self, job_id: str, first: int, encoding: str) -> None:
        for path in (self._root / job_id).glob(f"*.{encoding}"):
            if int(path.stem) >= first:
                path.unlink()

    def remove(self, job_id: str) -> None:
        """Delete a job's frames; no error when there are none."""
        shutil.rmtree(self._root / job_id, ignore_errors=True)
        self._used.pop(job_id, None)


def _write_whole(path: Path, data: bytes | memoryview) -> None:
    scratch = path.with_name(path.name + ".tmp")
    try:
        scratch.write_bytes(data)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def _whole(path: Path, spec: JobSpec, index: int) -> bool:
    if spec.task == "pose":
        if index < spec.frames:
            return path.stat().st_size % _PERSON_BYTES == 0
        return path.read_bytes()[-22:].startswith(_ZIP_END)
    if spec.output.encoding == "raw":
        return path.stat().st_size == spec.width * spec.height * 3
    return path.read_bytes().endswith(_PNG_END)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())
