"""Messages to ZeroMQ parts and back: ``[MAGIC, msgpack(message), buffer, ...]``.

The magic holds the major version and is checked before anything is decoded. Whatever the bytes,
only ``ProtocolError`` (or a subclass) comes out of decoding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import msgspec

from . import VERSION, limits
from .errors import ProtocolError, Unsupported, VersionMismatch
from .messages import ClientMessage, Message, ServerMessage

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
        problem = f"the message is not one that SPEC.md allows: {error}"
        kind = Unsupported if "Invalid value" in str(error) and "$.type" in str(error) else ProtocolError
        raise kind(problem) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problem = f"the message is not valid MessagePack: {error}"
        raise ProtocolError(problem) from error


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
