"""What a server leaves on disk to be found by, and the keys it keeps: lock, connection files, allow-list.

``data/server.lock`` names the one server of a data folder (pid and start time together name a process); looking at it
and taking it is one step, behind the system's lock of ``data/server.lock.guard``.
``data/keys`` (0700) holds the server's own pair, the local client's pair, and the public keys that are let in.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import psutil
import zmq

from protocol import connection
from protocol.connection import Connection
from protocol.errors import WanstageError

from .clients import LOCAL, Clients
from .private import alone, write_private


class AlreadyServed(WanstageError):
    """Another server has this data folder."""


class _Holder(msgspec.Struct, frozen=True):
    pid: int
    started: float
    connection_file: str = ""


class _Pair(msgspec.Struct, frozen=True):
    public: str
    secret: str


def start_time(pid: int) -> float:
    """When the process started (seconds since 1970); 0.0 when there is none."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


def reachable(endpoint: str, host: str) -> str:
    """Where to connect to what is bound at ``endpoint``: all addresses of a machine is no address to connect to."""
    for everywhere in ("//0.0.0.0:", "//[::]:"):
        endpoint = endpoint.replace(everywhere, f"//{host}:")
    return endpoint


def _holder(path: Path) -> _Holder:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Holder)
    except (OSError, msgspec.DecodeError):
        return _Holder(0, 0.0)


def _is_alive(holder: _Holder) -> bool:
    """Start times may differ in the last digits between two readings of a clock that was adjusted."""
    return abs(start_time(holder.pid) - holder.started) < 1.0


class Lock:
    """Held from construction to ``release``. Raises AlreadyServed while the holder lives; a dead one's is taken."""

    def __init__(self, data: Path, connection_file: Path) -> None:
        """Take the lock of the data folder."""
        self._path = data / "server.lock"
        holder = _Holder(os.getpid(), start_time(os.getpid()), str(connection_file))
        scratch = self._path.with_name(f"server.lock.{os.getpid()}")
        write_private(scratch, msgspec.json.encode(holder), os.O_TRUNC)
        try:
            with alone(data / "server.lock.guard"):
                self._refuse_if_held()
                scratch.replace(self._path)  # appears with its content or not at all
        finally:
            scratch.unlink(missing_ok=True)

    def _refuse_if_held(self) -> None:
        holder = _holder(self._path)
        if holder.pid and _is_alive(holder):
            problem = (
                f"a backend (process {holder.pid}) serves this data folder already; "
                f"its connection file is {holder.connection_file}"
            )
            raise AlreadyServed(problem)

    def release(self) -> None:
        """Let the folder go."""
        self._path.unlink(missing_ok=True)


class Listening(msgspec.Struct, frozen=True):
    """Where the running server of a data folder listens, for commands on its machine. ``keys`` False = without any."""

    endpoint: str
    keys: bool = True

    def write(self, data: Path) -> None:
        """Tell it."""
        write_private(data / _LISTENING, msgspec.json.encode(self), os.O_TRUNC)

    @staticmethod
    def gone(data: Path) -> None:
        """Tell that nobody listens any more."""
        (data / _LISTENING).unlink(missing_ok=True)


_LISTENING = "listening.json"


def listening(data: Path) -> Listening | None:
    """Where the server of the data folder listens; None when none runs."""
    if not serving(data):
        return None
    try:
        return msgspec.json.decode((data / _LISTENING).read_bytes(), type=Listening)
    except (OSError, msgspec.DecodeError):
        return None


def serving(data: Path) -> bool:
    """Whether a server holds the data folder now."""
    holder = _holder(data / "server.lock")
    return bool(holder.pid) and _is_alive(holder)


class Keys:
    """The key pairs of a data folder; made at first use."""

    def __init__(self, data: Path) -> None:
        """Read or make the server's and the local client's pair."""
        self._folder = data / "keys"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.server = self._pair("server")
        self._local = self._pair(LOCAL)
        self.clients = Clients(self._folder)

    def allowed(self) -> frozenset[bytes]:
        """The public keys (Z85) of all clients."""
        return frozenset({self._local.public.encode(), *(each.key.encode() for each in self.clients.listed().values())})

    def name_of(self, key: str) -> str:
        """What the client of a public key is called; empty for a key that is not allowed."""
        if key == self._local.public:
            return LOCAL
        return next((name for name, each in self.clients.listed().items() if each.key == key), "")

    def add_client(self, name: str) -> _Pair:
        """A new pair for ``name``, whose public half is allowed from now on; the secret half is not kept here."""
        pair = _new_pair()
        self.clients.add(name, pair.public)
        return pair

    def connection(self, endpoint: str, pair: _Pair | None = None) -> Connection:
        """What a client needs to know; without ``pair``, the local client's."""
        pair = pair or self._local
        return Connection(
            endpoint, self.server.public, pair.public, pair.secret, os.getpid(), round(start_time(os.getpid()), 3)
        )

    def _pair(self, name: str) -> _Pair:
        path = self._folder / f"{name}.json"
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=_Pair)
        pair = _new_pair()
        write_private(path, msgspec.json.encode(pair), os.O_EXCL)
        return pair


class ConnectionFile:
    """The file clients look for: there while the server is ready, removed at a clean exit (if it is still ours)."""

    def __init__(self, path: Path, content: Connection) -> None:
        """Write it."""
        self._path, self._content = path, content
        connection.write(path, content)

    def remove(self) -> None:
        """Remove it, unless another server has written its own there."""
        try:
            ours = connection.read(self._path) == self._content
        except WanstageError:
            return
        if ours:
            self._path.unlink(missing_ok=True)


def _new_pair() -> _Pair:
    public, secret = zmq.curve_keypair()
    return _Pair(public.decode(), secret.decode())
