"""Pictures as numpy arrays: Blender's uncompressed files, and resizing. Needs no bpy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..setup import png
from ..words import tr
from .params import CaptureProblem

Array = NDArray[Any]

_HEADER = 18


def png_bytes(picture: Array) -> bytes:
    """A PNG file of uint8 (h,w,3) or (h,w,4), rows from the top."""
    height, width, channels = picture.shape
    rows = np.zeros((height, 1 + width * channels), np.uint8)  # filter 0 before each row
    rows[:, 1:] = picture.reshape(height, -1)
    return png.encode(width, height, channels, rows.tobytes())


def read_targa(data: bytes) -> Array:
    """uint8 (h,w,3) RGB or (h,w,4) RGBA, rows from the top, of an uncompressed Targa file as Blender writes it.

    Raises CaptureProblem for anything else.
    """
    if len(data) < _HEADER or data[1] or data[2] != 2 or data[16] not in {24, 32}:
        msg = tr("Blender wrote a picture that is no uncompressed Targa file: check its render settings.")
        raise CaptureProblem(msg)
    width, height = (int.from_bytes(data[at : at + 2], "little") for at in (12, 14))
    depth = data[16] // 8
    start = _HEADER + data[0]
    if len(data) < start + width * height * depth:
        msg = tr("Blender wrote an incomplete picture: check the free space of its temporary folder.")
        raise CaptureProblem(msg)
    rows = np.frombuffer(data, np.uint8, width * height * depth, start).reshape(height, width, depth)
    if not data[17] & 0x20:
        rows = rows[::-1]
    return np.ascontiguousarray(rows[..., [2, 1, 0, 3][:depth]])


def resize(picture: Array, width: int, height: int) -> Array:
    """uint8 (height, width, channels): linear between pixel centres, or a mean of those that a pixel covers."""
    if picture.shape[:2] == (height, width):
        return picture
    rows = _weights(picture.shape[0], height)
    columns = _weights(picture.shape[1], width)
    lines = np.tensordot(rows, picture.astype(np.float32), axes=(1, 0))
    found = np.matmul(columns, lines)
    return np.asarray(np.clip(np.rint(found), 0, 255), np.uint8)


def _weights(before: int, after: int) -> Array:
    """float32 (after, before): a triangle as wide as the larger of both pixels; the border is repeated."""
    scale = before / after
    support = max(scale, 1.0)
    centres = (np.arange(after) + 0.5) * scale - 0.5
    reach = int(np.ceil(support))
    weights = np.zeros((after, before), np.float32)
    for step in range(-reach, reach + 1):
        at = np.floor(centres).astype(int) + step
        share = np.maximum(0.0, 1.0 - np.abs(at - centres) / support)
        np.add.at(weights, (np.arange(after), np.clip(at, 0, before - 1)), share)
    return weights / weights.sum(axis=1, keepdims=True)


def cover(picture: Array, width: int, height: int) -> Array:
    """Scaled to cover the size, the middle kept."""
    high, wide = picture.shape[:2]
    if wide * height > high * width:
        kept = max(1, round(high * width / height))
        picture = picture[:, (wide - kept) // 2 : (wide - kept) // 2 + kept]
    else:
        kept = max(1, round(wide * height / width))
        picture = picture[(high - kept) // 2 : (high - kept) // 2 + kept]
    return resize(picture, width, height)


def fit(picture: Array, width: int, height: int) -> Array:
    """Scaled to fit into the size, black beside it."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    small = resize(picture, *inner)
    found = np.zeros((height, width, picture.shape[2]), np.uint8)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    found[top : top + inner[1], left : left + inner[0]] = small
    return found
