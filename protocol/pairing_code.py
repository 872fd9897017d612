"""The pairing code: one line that tells a client where a backend is, how to know it, and a secret for one use.

``wanstage:`` and base32 of: layout (1), length of all, port (2 bytes), the second in which it ends (4), the server's
public key (32), the secret (16), the hosts as UTF-8 with commas between them, and a checksum (5). Big-endian; SPEC.md
section 3. Nothing here is secret but the secret, which is worth nothing once it was used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field

from zmq.utils import z85

from .errors import PairingRefused

SCHEME = "wanstage:"
SECRET_BYTES = 16
_LAYOUT = 1
_CHECK_BYTES = 5
_HEAD = 2 + 2 + 4 + 32 + SECRET_BYTES
_LONGEST = 255
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+(%[A-Za-z0-9._-]+)?")


@dataclass(frozen=True)
class PairingCode:
    """``hosts`` are names or addresses of one machine, the likeliest first; ``server_key`` is Z85, ``secret`` hex.

    ``ends`` is in seconds since 1970 by the backend's clock. The secret is not shown by ``repr``.
    """

    hosts: tuple[str, ...]
    port: int
    server_key: str
    secret: str = field(repr=False)
    ends: int

    def endpoints(self) -> tuple[str, ...]:
        """Where to connect to, in order."""
        return tuple(endpoint(host, self.port) for host in self.hosts)


def endpoint(host: str, port: int) -> str:
    """A host (name, IPv4 or IPv6 address) and a port as ZeroMQ writes them."""
    return f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}"


def is_host(text: str) -> bool:
    """Whether a text can be a host's name or address."""
    return bool(_HOST.fullmatch(text)) and len(text) <= _LONGEST


def write(code: PairingCode) -> str:
    """The code as one line. Raises PairingRefused for hosts that are none, or too many for a code."""
    for host in code.hosts:
        if not is_host(host):
            problem = f"{host!r} is no host: give a name or an address, such as render1 or 192.168.1.20"
            raise PairingRefused(problem)
    if not code.hosts or not 0 < code.port < 1 << 16:
        problem = "a pairing code needs a host and a port of 1 to 65535: give --host and --port"
        raise PairingRefused(problem)
    body = code.port.to_bytes(2, "big") + code.ends.to_bytes(4, "big") + z85.decode(code.server_key)
    body += bytes.fromhex(code.secret) + ",".join(code.hosts).encode()
    length = 2 + len(body) + _CHECK_BYTES
    if length > _LONGEST:
        problem = f"{len(code.hosts)} hosts are too many for one code: name fewer with --host"
        raise PairingRefused(problem)
    whole = bytes([_LAYOUT, length]) + body
    return SCHEME + base64.b32encode(whole + _check(whole)).decode().rstrip("=").lower()


def read(text: str) -> PairingCode:
    """The code in a text: spaces, line ends, quotes and capitals do not matter. Raises PairingRefused with the one
    sentence that says whether it is no code, cut off, mistyped, or of a newer version.
    """
    joined = "".join(text.split()).strip("'\"`<>").lower()
    if not joined.startswith(SCHEME):
        problem = f"this is no pairing code: it begins with {SCHEME} and comes from 'wanstage pair' at the backend"
        raise PairingRefused(problem)
    data = _bytes(joined.removeprefix(SCHEME))
    if data[0] != _LAYOUT:
        problem = f"this pairing code is of another version ({data[0]}, here {_LAYOUT}) or mistyped: copy it again"
        raise PairingRefused(problem)
    if len(data) < data[1]:
        raise PairingRefused(_CUT)
    whole = data[: data[1]]
    if (
        len(data) != data[1]
        or len(data) < _HEAD + _CHECK_BYTES
        or _check(whole[:-_CHECK_BYTES]) != whole[-_CHECK_BYTES:]
    ):
        raise PairingRefused(_MISTYPED)
    return _unpacked(whole[:-_CHECK_BYTES])


_CUT = "this pairing code is cut off, or letters of it are missing: copy the whole line again"
_MISTYPED = "this pairing code is mistyped: a letter is wrong or one too many; copy the whole line again"


def _bytes(text: str) -> bytes:
    """At least two bytes. Raises PairingRefused."""
    padded = text.upper() + "=" * (-len(text) % 8)
    try:
        data = base64.b32decode(padded)
    except binascii.Error:
        # Of eight letters, 1, 3 and 6 are no whole number of bytes: a letter of the end may be missing.
        try:
            data = base64.b32decode(text.upper()[: len(text) // 8 * 8])
        except binascii.Error:
            raise PairingRefused(_MISTYPED) from None
    if len(data) < 2:
        raise PairingRefused(_CUT)
    return data


def _unpacked(body: bytes) -> PairingCode:
    try:
        hosts = tuple(body[_HEAD:].decode().split(","))
    except UnicodeDecodeError:
        raise PairingRefused(_MISTYPED) from None
    port = int.from_bytes(body[2:4], "big")
    if not port or not all(is_host(host) for host in hosts):
        raise PairingRefused(_MISTYPED)
    return PairingCode(
        hosts=hosts,
        port=port,
        server_key=z85.encode(body[8:40]).decode(),
        secret=body[40:_HEAD].hex(),
        ends=int.from_bytes(body[4:8], "big"),
    )


def _check(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECK_BYTES).digest()
