"""Reads the uncompressed OpenEXR files that Blender writes: single part, or one part a pass (Blender 5.1 on).

Format: https://openexr.com/en/latest/OpenEXRFileLayout.html (magic, version and flags, attributes up to an empty
name, one offset a scan line, then chunks: [part,] y, size, and every channel's row in alphabetical order).
Needs no bpy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

_MAGIC = 20000630
_MULTI_PART = 0x1000
_PIXEL_TYPES = {0: ("<u4", 4), 1: ("<f2", 2), 2: ("<f4", 4)}


class ExrProblem(Exception):
    """Not a file this reader understands."""


@dataclass(frozen=True)
class _Part:
    channels: tuple[tuple[str, int], ...]  # name, pixel type
    window: tuple[int, int, int, int]

    @property
    def width(self) -> int:
        return self.window[2] - self.window[0] + 1

    @property
    def height(self) -> int:
        return self.window[3] - self.window[1] + 1


def read_exr(data: bytes) -> dict[str, Array]:
    """Every channel by its full name ("ViewLayer.Depth.Z"), (h, w), rows from the top. The arrays look into ``data``.

    Raises ExrProblem for compressed, tiled or deep files.
    """
    magic, version = struct.unpack_from("<iI", data)
    if magic != _MAGIC:
        msg = "not an OpenEXR file"
        raise ExrProblem(msg)
    multi = bool(version & _MULTI_PART)
    parts, position = _read_headers(data, multi)
    position += 8 * sum(part.height for part in parts)
    channels: dict[str, Array] = {}
    for part in parts:
        position = _read_part(data, position, part, 12 if multi else 8, channels)
    return channels


def _read_headers(data: bytes, multi: bool) -> tuple[list[_Part], int]:
    parts, position = [], 8
    while True:
        attributes, position = _read_attributes(data, position)
        if not attributes:
            return parts, position
        if attributes["compression"] != b"\0":
            msg = "the OpenEXR file is compressed"
            raise ExrProblem(msg)
        window = struct.unpack("<4i", attributes["dataWindow"])
        parts.append(_Part(_channel_list(attributes["channels"]), window))
        if not multi:
            return parts, position


def _text(data: bytes, position: int) -> tuple[str, int]:
    end = data.index(b"\0", position)
    return data[position:end].decode("utf-8"), end + 1


def _read_attributes(data: bytes, position: int) -> tuple[dict[str, bytes], int]:
    found: dict[str, bytes] = {}
    while True:
        name, position = _text(data, position)
        if not name:
            return found, position
        _, position = _text(data, position)
        (size,) = struct.unpack_from("<i", data, position)
        found[name] = data[position + 4 : position + 4 + size]
        position += 4 + size


def _channel_list(data: bytes) -> tuple[tuple[str, int], ...]:
    channels, position = [], 0
    while data[position]:
        name, position = _text(data, position)
        channels.append((name, struct.unpack_from("<i", data, position)[0]))
        position += 16
    return tuple(channels)


def _read_part(data: bytes, position: int, part: _Part, lead: int, channels: dict[str, Array]) -> int:
    """Adds the part's channels; returns where the next part's chunks start."""
    row_bytes = part.width * sum(_PIXEL_TYPES[kind][1] for _, kind in part.channels)
    stride = lead + row_bytes
    offset = position + lead
    for name, kind in part.channels:
        dtype, size = _PIXEL_TYPES[kind]
        channels[name] = np.ndarray((part.height, part.width), dtype, data, offset, (stride, size))
        offset += size * part.width
    return position + stride * part.height
