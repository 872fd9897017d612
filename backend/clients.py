"""The allow-list: the public keys of those who may connect, by name, in ``keys/clients.json`` of the data folder.

Commands and the running server both write it, one at a time. The local client's own pair is beside it, not in it.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from protocol.errors import WanstageError
from protocol.known import NAME_CHARS

from .private import alone, replace_private, stamp

LOCAL = "local"


class UnknownClient(WanstageError):
    """No client of this name; the sentence says which there are."""


class Allowed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One client: its public key (Z85), and when it was let in (seconds since 1970, 0 = not known)."""

    key: str
    since: float = 0.0


class Clients:
    """The list of one data folder."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is the one of the keys."""
        self._path, self._guard = folder / "clients.json", folder / "clients.guard"

    def stamp(self) -> tuple[int, int]:
        """Another value when the list may be another."""
        return stamp(self._path)

    def listed(self) -> dict[str, Allowed]:
        """All but the local client."""
        if not self._path.exists():
            return {}
        found = msgspec.json.decode(self._path.read_bytes(), type=dict[str, str | Allowed])
        return {name: Allowed(each) if isinstance(each, str) else each for name, each in found.items()}

    def add(self, name: str, key: str) -> None:
        """Allow a key, in the place of an older one of the name."""
        with alone(self._guard):
            self._write({**self.listed(), name: Allowed(key, round(time.time(), 3))})

    def add_new(self, wanted: str, key: str) -> str:
        """Allow a key under a name that nobody has: the wanted one, or that with a number. Returns the name."""
        with alone(self._guard):
            listed = self.listed()
            name, number = wanted, 2
            while name in listed or name == LOCAL:
                name, number = f"{wanted[: NAME_CHARS - 4]}-{number}", number + 1
            self._write({**listed, name: Allowed(key, round(time.time(), 3))})
        return name

    def remove(self, name: str) -> None:
        """Take a client off the list. Raises UnknownClient."""
        with alone(self._guard):
            listed = self.listed()
            if name not in listed:
                there = ", ".join(listed) or "none but the local one, which belongs to this machine"
                problem = f"no client of the name {name} is paired here, there are: {there}"
                raise UnknownClient(problem)
            self._write({other: each for other, each in listed.items() if other != name})

    def _write(self, listed: dict[str, Allowed]) -> None:
        replace_private(self._path, msgspec.json.format(msgspec.json.encode(listed)))
