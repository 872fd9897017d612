"""The backends that a client remembers: one connection file each, in a folder of its user's, readable by them alone."""

from __future__ import annotations

import re
from pathlib import Path

from . import connection
from .connection import Connection
from .errors import ConnectionProblem

NAME_CHARS = 64
_ENDING = ".json"


def plain(text: str, otherwise: str = "backend") -> str:
    """A name that can be a file's: letters, digits, ``-`` and ``_``; anything else becomes ``-``."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:NAME_CHARS] or otherwise


def names(folder: Path) -> tuple[str, ...]:
    """Those that are remembered, in order; none when there is no such folder."""
    found = folder.glob(f"*{_ENDING}") if folder.is_dir() else ()
    return tuple(sorted(path.name.removesuffix(_ENDING) for path in found if plain(path.stem) == path.stem))


def path(folder: Path, name: str) -> Path:
    """Where a backend's connection file is. Raises ConnectionProblem for a name that is none."""
    if plain(name) != name:
        problem = f"{name!r} is no backend's name: use letters, digits, - and _"
        raise ConnectionProblem(problem)
    return folder / f"{name}{_ENDING}"


def save(folder: Path, wanted: str, content: Connection) -> str:
    """Remember a backend; returns its name: ``wanted``, with a number behind it where another backend has that. One
    whose key is known already is replaced, under the name that it has.
    """
    known = {name: _key(path(folder, name)) for name in names(folder)}
    name = next((name for name, key in known.items() if key == content.server_key), plain(wanted))
    number = 2
    while known.get(name, content.server_key) != content.server_key:
        name = f"{plain(wanted)[: NAME_CHARS - 4]}-{number}"
        number += 1
    connection.write(path(folder, name), content)
    return name


def forget(folder: Path, name: str) -> None:
    """Delete the keys of a backend. Raises ConnectionProblem when there is none of this name."""
    try:
        path(folder, name).unlink()
    except FileNotFoundError:
        there = ", ".join(names(folder)) or "none"
        problem = f"no backend of the name {name} is remembered, there are: {there}"
        raise ConnectionProblem(problem) from None


def _key(file: Path) -> str:
    """The backend's public key; empty for a file that cannot be read."""
    try:
        return connection.read(file).server_key
    except ConnectionProblem:
        return ""
