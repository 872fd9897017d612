"""Pairing at the backend: codes that were given out, and who is let in by one.

``keys/pairing.json`` of the data folder holds a digest of each secret, never the secret. 'wanstage pair' writes it, the
server reads it when it changes. Codes that are over stay for a day, so that a late client hears what became of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from protocol.errors import PairingRefused
from protocol.known import plain
from protocol.pairing_code import SECRET_BYTES

from .lifetime import Keys
from .private import alone, replace_private, stamp

log = logging.getLogger(__name__)

MAX_OPEN = 32
WRONG_ALLOWED = 5
"""So many wrong secrets in all, and every code that is open is taken back."""
PAUSE_S = 1.0
"""After a wrong secret no other is looked at for so long."""
_KEPT_S = 86400.0
_NEW = "ask for a new one, by 'wanstage pair' at the backend"


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One code: the digest of its secret, the name that its user gets (empty = their wish), when it ends (seconds since
    1970), and what became of it.
    """

    digest: str
    name: str
    ends: float
    state: Literal["open", "used", "locked"] = "open"


class Offers:
    """The codes of one data folder."""

    def __init__(self, folder: Path, today: Callable[[], float] = time.time) -> None:
        """``folder`` is the one of the keys."""
        self._path, self._guard, self._today = folder / "pairing.json", folder / "pairing.guard", today

    def stamp(self) -> tuple[int, int]:
        """Another value when the codes may be others."""
        return stamp(self._path)

    def listed(self) -> tuple[Offer, ...]:
        """All that are kept."""
        if not self._path.exists():
            return ()
        return msgspec.json.decode(self._path.read_bytes(), type=tuple[Offer, ...])

    def make(self, name: str, seconds: float) -> tuple[str, float]:
        """Open a code; its secret (hex), and when it ends. Raises PairingRefused when too many are open."""
        secret, ends = secrets.token_hex(SECRET_BYTES), self._today() + seconds
        with alone(self._guard):
            kept = [each for each in self.listed() if each.ends > self._today() - _KEPT_S]
            if sum(self.is_open(each) for each in kept) >= MAX_OPEN:
                problem = f"{MAX_OPEN} pairing codes are open: wait until one was used or is over"
                raise PairingRefused(problem)
            self._write([*kept, Offer(digest(secret), name, round(ends, 3))])
        return secret, ends

    def is_open(self, offer: Offer) -> bool:
        """Whether it may still be used."""
        return offer.state == "open" and offer.ends > self._today()

    def close(self, digests: set[str], state: Literal["used", "locked"]) -> None:
        """These are over."""
        with alone(self._guard):
            changed = [
                msgspec.structs.replace(each, state=state) if each.digest in digests and each.state == "open" else each
                for each in self.listed()
            ]
            self._write(changed)

    def _write(self, offers: list[Offer]) -> None:
        replace_private(self._path, msgspec.json.format(msgspec.json.encode(offers)))


class Door:
    """The running server's view: which keys are allowed, and whether others may knock."""

    def __init__(
        self,
        keys: Keys,
        folder: Path,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], float] = time.time,
    ) -> None:
        """``folder`` is the one of the keys."""
        self._keys, self._clock = keys, clock
        self._offers = Offers(folder, today)
        self._stamps: tuple[object, object] = (None, None)
        self._open: tuple[Offer, ...] = ()
        self._wrong = 0
        self._next_try = 0.0
        self.allowed: frozenset[bytes] = frozenset()
        self.refresh()

    @property
    def knocking(self) -> bool:
        """Whether keys that are not allowed may say ``pair``: only while a code is open."""
        return any(map(self._offers.is_open, self._open))

    def refresh(self) -> bool:
        """Look whether a command changed the files; True when the allowed keys are others."""
        stamps = (self._keys.clients.stamp(), self._offers.stamp())
        if stamps == self._stamps:
            return False
        self._stamps, before = stamps, self.allowed
        self.allowed, self._open = self._keys.allowed(), self._offers.listed()
        return self.allowed != before

    def is_allowed(self, user: str) -> bool:
        """Whether a key (Z85) is on the list."""
        return user.encode() in self.allowed

    def pair(self, user: str, secret: str, wish: str) -> str:
        """Let a key in for a secret; returns the name it gets. Raises PairingRefused, one sentence for each reason."""
        self.refresh()
        if self.is_allowed(user):  # the answer was lost, and the client asks again
            return self._keys.name_of(user)
        if self._clock() < self._next_try:
            problem = "a wrong pairing code was just given: wait a second and try again"
            raise PairingRefused(problem)
        offer = self._found(secret)
        name = self._keys.clients.add_new(offer.name or plain(wish, "client"), user)
        self._offers.close({offer.digest}, "used")
        self.refresh()
        log.info("%s was paired (key %s)", name, user[:8])
        return name

    def _found(self, secret: str) -> Offer:
        given = digest(secret)
        offer = next((each for each in self._open if hmac.compare_digest(each.digest, given)), None)
        if offer is None:
            raise PairingRefused(self._count_wrong())
        if offer.state == "used":
            problem = f"this pairing code was used already: {_NEW}"
            raise PairingRefused(problem)
        if offer.state == "locked":
            problem = f"this pairing code was taken back, since wrong codes were tried too often: {_NEW}"
            raise PairingRefused(problem)
        if not self._offers.is_open(offer):
            at = time.strftime("%H:%M", time.localtime(offer.ends))
            problem = f"this pairing code was valid until {at} and is too old: {_NEW}"
            raise PairingRefused(problem)
        self._wrong = 0
        return offer

    def _count_wrong(self) -> str:
        self._wrong += 1
        self._next_try = self._clock() + PAUSE_S
        log.warning("a wrong pairing code was given, %d of %d", self._wrong, WRONG_ALLOWED)
        if self._wrong < WRONG_ALLOWED:
            return f"this pairing code is not one of this backend's: {_NEW}"
        self._wrong = 0
        self._offers.close({each.digest for each in self._open}, "locked")
        self.refresh()
        return f"wrong pairing codes were given {WRONG_ALLOWED} times, so all were taken back: {_NEW}"


def digest(secret: str) -> str:
    """What is kept of a secret (hex)."""
    return hashlib.blake2b(bytes.fromhex(secret), digest_size=32, person=b"wanstage pairing").hexdigest()
