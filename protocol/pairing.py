"""A client asks to be let in by a pairing code: no threads, nothing that blocks unless asked.

    attempt = Pairing(pairing_code.read(text), name="anna-laptop", client_name="mytool 1.0")
    while (paired := attempt.poll()) is None: ...

It makes a key pair of its own, connects to every host of the code at once, and tells the secret to the first that
proves to have the key in the code, encrypted to that key. Nobody else can read it or take the backend's place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zmq

from . import VERSION, codec
from . import messages as m
from .connection import Connection
from .errors import ConnectionProblem, PairingRefused, ProtocolError, WanstageError, from_code
from .link import CLOSE_LINGER_MS, Link, LinkEvent
from .pairing_code import PairingCode

ANSWER_WITHIN_S = 20.0


@dataclass(frozen=True)
class PairedWith:
    """``connection`` has the new key pair; ``name`` is what the backend calls us, ``host`` its machine's name."""

    connection: Connection
    name: str
    host: str


class Pairing:
    """One attempt. Close it when it is over, however it ended; ``poll`` does so by itself when it returns or raises."""

    def __init__(
        self,
        code: PairingCode,
        name: str,
        client_name: str,
        *,
        endpoints: Sequence[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], float] = time.time,
    ) -> None:
        """Begins to connect. ``endpoints`` are those of the code that may be used, all by default.

        Raises ConnectionProblem when none of them makes sense.
        """
        self._code, self._name, self._client_name = code, name, client_name
        self._clock, self._today = clock, today
        self._end = clock() + ANSWER_WITHIN_S
        self._problem = ""
        self._asked: Link | None = None
        public, secret = (key.decode() for key in zmq.curve_keypair())
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._links: dict[Link, Connection] = {}
        try:
            for each in code.endpoints() if endpoints is None else endpoints:
                told = Connection(each, code.server_key, public, secret)
                self._links[Link(self._context, told)] = told
        except ConnectionProblem:
            self.close()
            raise

    def close(self) -> None:
        """Give up what is still open."""
        for link in self._links:
            link.close(CLOSE_LINGER_MS)
        self._links.clear()
        self._asked = None
        self._context.destroy(linger=CLOSE_LINGER_MS)

    def poll(self) -> PairedWith | None:
        """Go on without blocking; None while there is no answer. Raises PairingRefused, ConnectionProblem,
        VersionMismatch.
        """
        try:
            found = self._turn()
            if found is None and self._clock() > self._end:
                raise ConnectionProblem(self._problem or f"{self._where()} does not answer: {_HOW}")
        except WanstageError:
            self.close()
            raise
        if found is not None:
            self.close()
        return found

    def wait(self) -> PairedWith:
        """As ``poll``, until there is an answer."""
        while (found := self.poll()) is None:
            for link in list(self._links)[:1]:
                link.wait(0.05, writable=False)
        return found

    # ---- one turn -----------------------------------------------------------------------------------

    def _turn(self) -> PairedWith | None:
        for link in list(self._links):
            for event in list(link.events()):  # all, before one of them closes the link
                self._hear(link, event)
        if self._asked is not None and (parts := self._asked.receive()) is not None:
            return self._answered(self._asked, parts)
        if not self._links:
            raise ConnectionProblem(self._problem)
        return None

    def _hear(self, link: Link, event: LinkEvent) -> None:
        if link not in self._links:
            return
        if event.kind == "up":
            self._ask(link)
        elif event.kind == "refused":
            raise PairingRefused(self._not_taken())
        else:
            where = self._links.pop(link).endpoint
            link.close(0)
            self._asked = None if self._asked is link else self._asked
            strange = f"another program answers at {where}, or the backend has new keys: ask for a new pairing code"
            self._problem = f"nobody answers at {where}: {_HOW}" if event.encrypted else strange

    def _ask(self, link: Link) -> None:
        if self._asked is not None:
            return
        self._asked = link
        pair = m.Pair(self._code.secret, self._name, self._client_name, VERSION[1], request=1)
        link.send(codec.encode(pair))

    def _answered(self, link: Link, parts: Sequence[codec.Buffer]) -> PairedWith | None:
        answer, _ = codec.decode_server(parts)
        if isinstance(answer, m.ErrorReply):
            raise from_code(answer.code, answer.message)
        if not isinstance(answer, m.Paired):
            problem = f"the backend at {self._where()} broke the protocol: {type(answer).__name__} came for pair"
            raise ProtocolError(problem)
        return PairedWith(self._links[link], answer.name, answer.host)

    def _not_taken(self) -> str:
        """Why the backend does not even listen: it takes no codes now."""
        how = "ask for a new one, by 'wanstage pair' at the backend"
        if self._today() > self._code.ends:
            at = time.strftime("%H:%M", time.localtime(self._code.ends))
            return f"this pairing code was valid until {at} and is too old: {how}"
        return f"this pairing code was used already, or taken back: {how}"

    def _where(self) -> str:
        return " or ".join(each.endpoint for each in self._links.values()) or "the backend"


_HOW = "is the backend running, does it listen to this network, and does its firewall let the port in?"
