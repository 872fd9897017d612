"""Messages to ZeroMQ parts and back: ``[MAGIC, msgpack(message), buffer, ...]``.

The magic holds the major version and is checked before anything is decoded. Whatever the bytes,
only ``ProtocolError`` (or a subclass) comes out of decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec

from . import VERSION, limits
from .errors import MalformedSpec, ProtocolError, Unsupported, VersionMismatch
from .messages import ClientMessage, Message, ServerMessage
from .validation import explain

MAGIC = b"WAN" + bytes([VERSION[0]])

M = TypeVar("M")
Buffer: TypeAlias = bytes | bytearray | memoryview

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_server_decoder: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(ServerMessage)


def encode(message: Message, *buffers: Buffer) -> list[Buffer]:
    """The parts to send. Raises ProtocolError when the message is over the limits."""
    body = _encoder.encode(message)
    if len(body) > limits.MAX_BODY_BYTES:
        problem = f"{type(message).__name__} takes {len(body)} bytes, at most {limits.MAX_BODY_BYTES} are allowed"
        raise ProtocolError(problem)
    return [MAGIC, body, *buffers]


def decode_client(parts: Sequence[Buffer]) -> tuple[ClientMessage, Sequence[Buffer]]:
    """A client's message and its buffers, as a backend reads it."""
    return _decode(_client_decoder, parts), parts[2:]


def decode_server(parts: Sequence[Buffer]) -> tuple[ServerMessage, Sequence[Buffer]]:
    """A backend's message and its buffers, as a client reads it."""
    return _decode(_server_decoder, parts), parts[2:]


def _decode(decoder: msgspec.msgpack.Decoder[M], parts: Sequence[Buffer]) -> M:
    _check_envelope(parts)
    try:
        return decoder.decode(parts[1])
    except msgspec.ValidationError as error:
        raise _invalid(parts[1], error) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problem = f"the message is not valid MessagePack: {error}"
        raise ProtocolError(problem) from error


class _Head(msgspec.Struct):
    """What is still worth reading in a message that is otherwise wrong."""

    type: str = ""
    request: Annotated[int, msgspec.Meta(ge=0)] = 0
    job_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")] = ""
    spec: dict[str, Any] = {}


_head_decoder = msgspec.msgpack.Decoder(_Head)


def _invalid(body: Buffer, error: msgspec.ValidationError) -> ProtocolError:
    try:
        head = _head_decoder.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        head = _Head()
    problem = f"the message is not one that SPEC.md allows: {error}"
    if str(error).endswith("`$.type`"):
        found: ProtocolError = Unsupported(problem)
    elif head.type == "submit_job" and "`$.spec" in str(error):
        found = MalformedSpec(explain(error, head.spec))
    else:
        found = ProtocolError(problem)
    found.request, found.job_id = head.request, head.job_id
    return found


def _check_envelope(parts: Sequence[Buffer]) -> None:
    if not 2 <= len(parts) <= limits.MAX_PARTS:
        problem = f"a message has 2 to {limits.MAX_PARTS} parts, {len(parts)} came"
        raise ProtocolError(problem)
    magic = bytes(parts[0][:8])
    if magic[:3] != b"WAN" or len(magic) != len(MAGIC):
        problem = "the peer does not speak the Wanstage protocol"
        raise ProtocolError(problem)
    if magic != MAGIC:
        problem = f"the peer speaks Wanstage protocol {magic[3]}, this side {VERSION[0]}: update the older of the two"
        raise VersionMismatch(problem)
    if len(parts[1]) > limits.MAX_BODY_BYTES:
        problem = f"the message body takes {len(parts[1])} bytes, at most {limits.MAX_BODY_BYTES} are allowed"
        raise ProtocolError(problem)
