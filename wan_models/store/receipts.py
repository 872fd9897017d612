"""What the store itself has downloaded, so that it removes nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .found import ModelMissing
from .places import own_folder


@dataclass
class Receipt:
    """One pulled item. ``files``: path in the repository -> size, sums, ``place`` (its bytes), ``seen`` (its path in
    the model) and ``ours`` (it was not there before).
    """

    item: str
    hub: str
    repo: str
    revision: str
    folder: str
    files: dict[str, dict[str, str | int | bool]] = field(default_factory=dict)

    def save(self) -> None:
        """Write it, all at once."""
        path = _path(self.item)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_suffix(".new")
        new.write_text(json.dumps(asdict(self), indent=1))
        new.replace(path)


def _path(item: str) -> Path:
    return own_folder() / "receipts" / f"{item}.json"


def receipt(item: str) -> Receipt | None:
    """What was pulled under that name; None = nothing, or the note of it is damaged."""
    try:
        return Receipt(**json.loads(_path(item).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


@contextmanager
def alone(item: str) -> Iterator[None]:
    """Only one process at a time pulls or removes an item. Raises ModelMissing when another one does."""
    from filelock import FileLock, Timeout

    path = _path(item).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=0):
            yield
    except Timeout as error:
        problem = f"{item} is being pulled or removed by another process: wait for it, or end it"
        raise ModelMissing(problem) from error


def forget(item: str) -> None:
    """Drop the note."""
    _path(item).unlink(missing_ok=True)


def everything() -> list[Receipt]:
    """All receipts."""
    there = [receipt(path.stem) for path in sorted((own_folder() / "receipts").glob("*.json"))]
    return [each for each in there if each is not None]


def others(item: str) -> list[Receipt]:
    """The receipts of everything else."""
    return [each for each in everything() if each.item != item]
