"""Photographs whose EXIF says how to turn them: what is framed, shown and sent is upright."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

STORED = np.zeros((96, 64, 3), np.uint8)
STORED[:24], STORED[:, :16] = (250, 30, 30), (30, 30, 250)  # red above, blue at the left
UPRIGHT = {
    1: STORED, 2: STORED[:, ::-1], 3: np.rot90(STORED, 2), 4: STORED[::-1], 5: STORED.swapaxes(0, 1),
    6: np.rot90(STORED, -1), 7: np.rot90(STORED, 2).swapaxes(0, 1), 8: np.rot90(STORED, 1),
}  # fmt: skip


def photograph(path: Path, orientation: int, order: str = ">") -> Path:
    """STORED as a JPEG by Blender, with an EXIF of one entry."""
    image = bpy.data.images.new("Photo", 64, 96)
    rgba = np.ones((96, 64, 4), np.float32)
    rgba[..., :3] = STORED[::-1] / 255.0
    image.pixels.foreach_set(rgba.ravel())
    image.filepath_raw, image.file_format = str(path), "JPEG"
    image.save()
    bpy.data.images.remove(image)
    data = path.read_bytes()
    head = b"MM\0*" if order == ">" else b"II*\0"
    told = b"Exif\0\0" + head + struct.pack(f"{order}IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(told) + 2) + told + data[2:])
    return path


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_what_is_read_and_sent_is_upright(addon: Any, tmp_path: Path, orientation: int) -> None:
    from blender_addon import capture, wire
    from blender_addon.capture.upright import read_picture

    path = photograph(tmp_path / "photo.jpg", orientation, "><"[orientation % 2])
    wanted = UPRIGHT[orientation].astype(int)
    found = read_picture(path)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 6
    folder = wire.assets.AssetFolder(tmp_path / "assets")
    image = capture.load_reference(path, folder).image
    assert (image.height, image.width) == wanted.shape[:2]
    assert image.media_type == ("image/jpeg" if orientation == 1 else "image/png")
    sent = tmp_path / "sent"
    sent.write_bytes(folder.read(image.asset.id))
    assert (read_picture(sent) == found).all()


@pytest.mark.parametrize("order", ["<", ">"])
def test_the_tag_in_either_byte_order(addon: Any, tmp_path: Path, order: str) -> None:
    from blender_addon.capture.upright import orientation

    data = photograph(tmp_path / "photo.jpg", 6, order).read_bytes()
    assert orientation(data) == 6


def test_damaged_files_are_taken_for_upright(addon: Any, tmp_path: Path) -> None:
    from blender_addon.capture.upright import orientation

    data = photograph(tmp_path / "photo.jpg", 6).read_bytes()
    assert {orientation(data[:length]) for length in range(len(data[:60]))} <= {1, 6}
    assert orientation(photograph(tmp_path / "other.jpg", 9).read_bytes()) == 1
    for nonsense in (b"", b"\xff\xd8", b"\xff\xd8\xff\xe1\0\x0eExif\0\0MM\0*\xff\xff", b"\x89PNG"):
        assert orientation(nonsense) == 1
