"""Who may connect: a ZAP handler (ZeroMQ RFC 27) inside the server's own poll loop.

Without a handler a CURVE server lets every key in, and pyzmq's ``domain="*"`` is no wildcard: hence this one,
which matches the domain itself. Bind it before any socket that sets ``zap_domain``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import zmq
from zmq.utils import z85

log = logging.getLogger(__name__)

ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"


class ZapHandler:
    """Answers CURVE requests: 200 with the client's public key (Z85) as User-Id, or 400."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        """Bind the handler; one a context."""
        self.socket = context.socket(zmq.REP)
        self.socket.linger = 0
        self.socket.bind(ENDPOINT)
        self._allowed: dict[bytes, frozenset[bytes]] = {}
        self._knocking: Callable[[bytes], bool] = _nobody

    def allow(self, domain: bytes, keys: frozenset[bytes]) -> None:
        """Let these public keys (Z85) in at sockets of ``domain``; replaces what was allowed before."""
        self._allowed[domain] = keys

    def let_knock(self, may: Callable[[bytes], bool]) -> None:
        """Where ``may(domain)`` says so, keys that are not allowed get in too: whoever reads the socket must tell them
        apart by their User-Id."""
        self._knocking = may

    def answer(self) -> None:
        """Answer every waiting request without blocking."""
        while True:
            try:
                request = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            self.socket.send_multipart(self._reply(request))

    def _reply(self, request: list[bytes]) -> list[bytes]:
        if len(request) < 7 or request[0] != _VERSION:
            return [_VERSION, request[1] if len(request) > 1 else b"", b"500", b"malformed request", b"", b""]
        number, domain, address, mechanism, credentials = request[1], request[2], request[3], request[5], request[6]
        key = z85.encode(credentials) if mechanism == b"CURVE" and len(credentials) == 32 else b""
        if key and key in self._allowed.get(domain, frozenset()):
            return [_VERSION, number, b"200", b"OK", key, b""]
        if key and self._knocking(domain):
            return [_VERSION, number, b"200", b"may pair", key, b""]
        log.warning("refused a connection from %s: its key is not on the list", address.decode(errors="replace"))
        return [_VERSION, number, b"400", b"key not allowed", b"", b""]


def _nobody(_domain: bytes) -> bool:
    return False
