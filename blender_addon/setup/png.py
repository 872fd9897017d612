"""PNG files (PNG specification, ISO/IEC 15948) with the standard library alone: capture's, export's and the setup's."""

from __future__ import annotations

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def encode(width: int, height: int, channels: int, rows: bytes) -> bytes:
    """A file of 8 bits a channel, RGB or RGBA. ``rows`` from the top, each begins with a filter byte, 0 for none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6 if channels == 4 else 2, 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")
