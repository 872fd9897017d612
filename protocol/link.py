"""One ZeroMQ connection of a client: a DEALER, its keys and its monitor. Used once, then closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import zmq
from zmq.utils.monitor import recv_monitor_message

from . import limits
from .codec import Buffer
from .connection import Connection
from .errors import ConnectionProblem, KeyRefused, WanstageError

CLOSE_LINGER_MS = 50
_RECEIVE_MESSAGES = 64  # frames are held back by credit; this holds back previews while the owner is busy
_ZAP_DENIED = 400
_WATCHED = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CLOSED
)


@dataclass(frozen=True)
class LinkEvent:
    """``up``: encrypted and ready; ``down``: over, ``error`` says why; ``refused``: our key is not allowed."""

    kind: Literal["up", "down", "refused"]
    error: WanstageError
    encrypted: bool = True  # False where somebody answered whose keys are not those we were told


class Link:
    """Connects at once. Raises ConnectionProblem when the endpoint or the keys make no sense."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], connection: Connection) -> None:
        self._endpoint = connection.endpoint
        self._socket = context.socket(zmq.DEALER)
        self._monitor = self._socket.get_monitor_socket(_WATCHED)
        try:
            _configure(self._socket, connection)
            self._socket.connect(connection.endpoint)
        except (zmq.ZMQError, ValueError) as error:
            self.close(0)
            problem = f"the connection file cannot be used ({connection.endpoint}): {error}"
            raise ConnectionProblem(problem) from error

    def close(self, linger_ms: int) -> None:
        """Close; what is unsent after ``linger_ms`` is lost."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=linger_ms)

    def send(self, parts: Sequence[Buffer]) -> bool:
        """Queue a message; False when the backend is slow to take it (try again later)."""
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return False
        return True

    def receive(self) -> list[memoryview] | None:
        """The parts of one message, without copying; None when there is none."""
        try:
            return [frame.buffer for frame in self._socket.recv_multipart(zmq.NOBLOCK, copy=False)]
        except zmq.Again:
            return None

    def events(self) -> Iterator[LinkEvent]:
        """What happened to the connection since the last call."""
        while self._monitor.poll(0):
            found = recv_monitor_message(self._monitor)
            event = self._translate(found["event"], found["value"])
            if event:
                yield event

    def wait(self, timeout_s: float, *, writable: bool) -> None:
        """Block until something came, can be sent (``writable``), or time is up."""
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if writable else 0))
        poller.register(self._monitor, zmq.POLLIN)
        poller.poll(max(1, int(timeout_s * 1000)))

    def _translate(self, event: int, value: int) -> LinkEvent | None:
        where = self._endpoint
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            return LinkEvent("up", ConnectionProblem(""))
        if event == zmq.EVENT_HANDSHAKE_FAILED_AUTH and value == _ZAP_DENIED:
            problem = (
                f"the backend at {where} does not allow our key: pair with it again, by a new code of 'wanstage pair'"
            )
            return LinkEvent("refused", KeyRefused(problem))
        renew = "pair with it again, or copy its present connection file to this machine"
        sentences: dict[int, str] = {
            zmq.EVENT_CLOSED: f"nobody answers at {where}: start the backend with 'wanstage serve'",
            zmq.EVENT_DISCONNECTED: f"the backend at {where} closed the connection",
            zmq.EVENT_HANDSHAKE_FAILED_AUTH: f"the backend at {where} could not check our key (code {value})",
            zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL: f"the program at {where} encrypts otherwise than we do: {renew}",
            zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL: f"the program at {where} hung up on our key: it is another program, "
            f"or a backend with new keys; {renew}",
        }
        if event not in sentences:
            return None
        strange = event in {zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL}
        return LinkEvent("down", ConnectionProblem(sentences[event]), not strange)


def _configure(socket: zmq.Socket[bytes], connection: Connection) -> None:
    socket.linger = 0
    socket.immediate = True
    socket.maxmsgsize = limits.MAX_PART_BYTES
    socket.rcvhwm = _RECEIVE_MESSAGES
    socket.reconnect_ivl = -1  # a lost DEALER is closed and a new one made, which clears stale messages
    socket.connect_timeout = 5000
    socket.handshake_ivl = 5000
    socket.heartbeat_ivl = 2000
    socket.heartbeat_timeout = 6000
    socket.heartbeat_ttl = 6000
    if connection.server_key:
        if not zmq.has("curve"):
            problem = "this build of ZeroMQ has no CURVE encryption: install pyzmq from its wheels"
            raise ConnectionProblem(problem)
        socket.curve_serverkey = connection.server_key.encode()
        socket.curve_publickey = connection.client_key.encode()
        socket.curve_secretkey = connection.client_secret.encode()
