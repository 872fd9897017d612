"""What is here and what could be: one entry for everything that can be pulled."""

from __future__ import annotations

from dataclasses import dataclass

from wan_models.options import Options
from wan_models.rows import ModelRow

from .found import ModelMissing
from .items import Item
from .pull import where
from .search import find


@dataclass(frozen=True)
class Entry:
    """``folder`` is empty and ``problem`` says why when it is not here. ``expected``: bytes to download, about."""

    name: str
    title: str
    kind: str
    repo: str
    licence: str
    layout: str
    folder: str
    nbytes: int
    expected: int
    problem: str


def entry(item: Item, options: Options) -> Entry:
    """How it stands with an item; reads no weights."""
    layout, folder, nbytes, problem = "", "", 0, ""
    try:
        if item.row:
            found = find(item.row, options)
            layout, folder, nbytes = found.layout, str(found.root), found.nbytes
        else:
            path = where(item, options)
            folder, nbytes = str(path), path.stat().st_size if path.is_file() else 0
    except ModelMissing as missing:
        problem = str(missing)
    expected = expected_bytes(item.row) if item.row else item.nbytes
    return Entry(item.name, item.title, item.kind, item.repo, item.licence, layout, folder, nbytes, expected, problem)


def expected_bytes(row: ModelRow) -> int:
    """About what the repository's files weigh: float32, but for the text encoder's bfloat16 and the transformer's where
    there is the official code's layout alone. The true number comes from the hub before anything is fetched.
    """
    halves = ("text_encoder",) if row.repo else ("text_encoder", "transformer")
    return sum(part.params * (2 if name in halves else 4) for name, part in row.parts.items())
