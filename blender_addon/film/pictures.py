"""Numbered PNG pictures as one film without a codec: an animated PNG (PNG specification, third edition).

The pictures' own compressed data is taken over as it is. For backends that no longer have a take's frames. No bpy.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from ..problems import UserProblem
from ..setup.png import SIGNATURE, chunk
from ..words import tr


def film(paths: Sequence[Path], fps: float) -> bytes:
    """The pictures as an animated PNG of this rate. Raises UserProblem: unreadable, or not of one size and kind."""
    delay = (1 / Fraction(fps).limit_denominator(1001)).limit_denominator(65535)
    header, parts, number = b"", [], 0
    for at, path in enumerate(paths):
        own, data = _read(path)
        header = header or own
        if own != header:
            raise UserProblem(tr("{file} has another size than the frames before it: make the take again.",
                                 file=path.name))  # fmt: skip
        width, height = struct.unpack(">II", own[:8])
        control = struct.pack(">IIIIIHHBB", number, width, height, 0, 0, delay.numerator, delay.denominator, 0, 0)
        parts.append(chunk(b"fcTL", control))
        number += 1
        if at == 0:
            parts.append(chunk(b"IDAT", data))
        else:
            parts.append(chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
    start = chunk(b"IHDR", header) + chunk(b"acTL", struct.pack(">II", len(paths), 1))
    return SIGNATURE + start + b"".join(parts) + chunk(b"IEND", b"")


def _read(path: Path) -> tuple[bytes, bytes]:
    """The header and the compressed pixels of a PNG file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserProblem(tr("{file} cannot be read ({reason}).", file=path.name, reason=error.strerror)) from error
    header, pixels, at = b"", [], len(SIGNATURE)
    while at + 8 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        header = body if kind == b"IHDR" else header
        if kind == b"IDAT":
            pixels.append(body)
        at += 12 + size
    if not data.startswith(SIGNATURE) or not header or not pixels:
        raise UserProblem(tr("{file} is not a PNG picture: make the take again.", file=path.name))
    return header, b"".join(pixels)
