"""Pictures as one looks at them: photographs keep their pixels as the camera lay, and EXIF tells how to turn them.

Blender reads the pixels as they are stored.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ..words import tr
from .params import CaptureProblem

TAG, SHORT = 0x0112, 3  # Exif 2.32, 4.6.4: Orientation
SCAN, APP1 = 0xDA, 0xE1


def orientation(data: bytes) -> int:
    """1 to 8 as a JPEG's EXIF says it; 1 = upright, also for files that say nothing or nonsense."""
    at = 2
    while data[:2] == b"\xff\xd8" and at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != SCAN:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if data[at + 1] == APP1 and body.startswith(b"Exif\0\0"):
            return _of_tiff(body[6:])
        at += 2 + length
    return 1


def _of_tiff(tiff: bytes) -> int:
    """Of the first directory (TIFF 6.0, section 2)."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    try:
        if order is None:
            return 1
        (start,) = struct.unpack_from(f"{order}4xI", tiff)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(count):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", tiff, start + 2 + 12 * entry)
            if (tag, kind) == (TAG, SHORT):
                return value if 1 <= value <= 8 else 1
    except struct.error:  # cut off
        return 1
    return 1


def turned(picture: NDArray[Any], how: int) -> NDArray[Any]:
    """(h,w,...) as stored to how it is looked at; of 5 to 8 the sides change places."""
    if how >= 5:
        picture = picture.swapaxes(0, 1)
    if how in {3, 4, 7, 8}:
        picture = picture[::-1]
    return picture[:, ::-1] if how in {2, 3, 6, 7} else picture


def read_picture(path: Path) -> Any:
    """uint8 (h,w,3 or 4) sRGB, straight alpha, rows from the top, upright. Raises CaptureProblem."""
    try:
        image = bpy.data.images.load(str(path), check_existing=False)
    except RuntimeError as error:
        problem = tr("The reference picture {file} cannot be read: choose a PNG or JPEG file.", file=path.name)
        raise CaptureProblem(problem) from error
    try:
        width, height = image.size
        if not width or not height:
            problem = tr("The reference picture {file} cannot be read: choose a PNG or JPEG file.", file=path.name)
            raise CaptureProblem(problem)
        values = np.empty(width * height * image.channels, np.float32)
        image.pixels.foreach_get(values)
        deep, channels = image.is_float, image.channels
    finally:
        bpy.data.images.remove(image)
    picture = values.reshape(height, width, channels)[::-1]
    if channels < 3:
        picture = np.repeat(picture[..., :1], 3, axis=2)
    if deep:  # 16-bit files are linear in Blender
        colour = np.clip(picture[..., :3], 0.0, 1.0)
        encoded = np.where(colour <= 0.0031308, 12.92 * colour, 1.055 * colour ** (1 / 2.4) - 0.055)
        picture = np.concatenate([encoded, picture[..., 3:]], axis=2)
    found = np.clip(np.rint(picture * 255.0), 0, 255).astype(np.uint8)
    found = found[..., :3] if channels == 4 and found[..., 3].min() == 255 else found
    return np.ascontiguousarray(turned(found, orientation(path.read_bytes())))
