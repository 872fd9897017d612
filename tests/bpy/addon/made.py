"""Finished takes without a backend: real PNG frames on the disk, rows and planes by the add-on's own code."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def png(rgb: np.ndarray) -> bytes:
    """uint8 (h,w,3) as a PNG file."""
    height, width = rgb.shape[:2]
    rows = b"".join(b"\0" + row.tobytes() for row in rgb)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def flat(red: int, green: int, blue: int) -> np.ndarray:
    return np.full((64, 128, 3), (red, green, blue), np.uint8)


def finished(scene: Any, job: str, *, pictures: list[np.ndarray] | None = None, fps: float = 16.0,
             meta: dict[str, Any] | None = None, **values: Any) -> Any:  # fmt: skip
    """A take of four flat frames (or of ``pictures``) at scene frame 1, placed in front of the scene's camera."""
    from blender_addon import framefiles, takes

    pictures = pictures or [flat(40 * index, 100, 200) for index in range(1, 5)]
    take = takes.add(
        scene, job * 32,
        {"task": "i2v", "engine": "test", "seed": 1, "width": 128, "height": 64, "frames": len(pictures), "fps": fps,
         "camera": scene.camera.name, "frame_start": 1.0, **values},
        {"prompt": "p", "seed": 1, "model": "test", "task": "i2v", **(meta or {})},
    )  # fmt: skip
    folder = takes.folder(take)
    for index, picture in enumerate(pictures):
        framefiles.write(folder, index, png(picture))
    take.state, take.choice.model = "finished", "test"
    framefiles.write_meta(folder, takes.meta(take))
    takes.relink(scene, take)
    return take


def files(folder: Path) -> list[str]:
    """Everything in a folder, relative."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
