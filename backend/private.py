"""Small files that more than one process of a user reads and writes, readable by that user alone."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def alone(guard: Path) -> Iterator[None]:
    """One process at a time; the system lets go for one that dies. Waits for the others, raises OSError on Windows when
    that takes over 10 s."""
    handle = os.open(guard, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_private(path: Path, data: bytes, flag: int) -> None:
    """Write a file of mode 0600; ``flag`` is os.O_TRUNC, or os.O_EXCL for one that must not be there yet."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def replace_private(path: Path, data: bytes) -> None:
    """Put a file of mode 0600 in the place of an older one: a reader sees one or the other, whole."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}")
    write_private(scratch, data, os.O_TRUNC)
    scratch.replace(path)


def stamp(path: Path) -> tuple[int, int]:
    """Another value when the file was replaced or written; (0, 0) when there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_ino
