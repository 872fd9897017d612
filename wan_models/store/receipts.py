"""What the store itself has downloaded, so that it removes nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

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


def forget(item: str) -> None:
    """Drop the note."""
    _path(item).unlink(missing_ok=True)


def others(item: str) -> list[Receipt]:
    """The receipts of everything else."""
    there = [receipt(path.stem) for path in _path(item).parent.glob("*.json") if path.stem != item]
    return [each for each in there if each is not None]
