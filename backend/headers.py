"""Pictures of a job by their first bytes: the server decodes no pictures, so its loop never waits for one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from protocol import specs
from protocol.assets import AssetFolder
from protocol.errors import InvalidJob

PNG = b"\x89PNG\r\n\x1a\n"
# Start-of-frame markers of JPEG (ITU-T T.81, table B.1): C0 to CF but DHT, JPG and DAC.
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a length
MAX_SEGMENTS = 1000


def _images(spec: specs.JobSpec) -> Iterator[tuple[specs.ImageRef, str]]:
    pack = spec.pack or specs.DrivePack(spec.width, spec.height, spec.frames, spec.fps)
    named = [
        (spec.image, "first image"),
        (spec.last_image, "last image"),
        (pack.look, "look of the drive pack"),
        (pack.look_plate, "look plate of the drive pack"),
    ]
    named += [(each.reference.image, f"reference image of {each.name}") for each in pack.characters if each.reference]
    if spec.redo:
        named += [(each.image, f"kept frame {each.frame}") for each in spec.redo.kept]
    for ref, what in named:
        if ref is not None:
            yield ref, what


def check_images(folder: AssetFolder, spec: specs.JobSpec) -> None:
    """Look at the header of every single picture of the job; a worker decodes them. Raises InvalidJob for the first
    that is no picture or not of the size that the job says."""
    for ref, what in _images(spec):
        with folder.open(ref.asset.id) as file:
            size = picture_size(file)
        if size is None:
            problem = f"the {what} cannot be decoded as {ref.media_type}: save it again as PNG or JPEG"
            raise InvalidJob(problem)
        if size != (ref.width, ref.height):
            raise another_size(what, ref, *size)


def another_size(what: str, ref: specs.ImageRef, width: int, height: int) -> InvalidJob:
    """The error for a picture (``what``) that is not of the size that its ref says."""
    return InvalidJob(f"the {what} is {width}x{height}, but the job says {ref.width}x{ref.height}: send the job again")


def picture_size(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height in pixels; None when this is neither a PNG nor a JPEG, or ends before it says."""
    start = file.read(24)
    if start.startswith(PNG):
        return struct.unpack(">II", start[16:24]) if start[12:16] == b"IHDR" and len(start) == 24 else None
    if start.startswith(b"\xff\xd8\xff"):
        file.seek(2)
        return _jpeg_size(file)
    return None


def _jpeg_size(file: BinaryIO) -> tuple[int, int] | None:
    for _ in range(MAX_SEGMENTS):
        marker = _marker(file)
        if marker is None:
            return None
        if marker in ALONE:
            continue
        head = file.read(7)  # length, then of a frame: precision, height, width
        if len(head) < 7:
            return None
        if marker in FRAMES:
            height, width = struct.unpack(">HH", head[3:])
            return width, height
        length = int.from_bytes(head[:2], "big")
        if length < 2:
            return None
        file.seek(length - 7, 1)
    return None


def _marker(file: BinaryIO) -> int | None:
    """The next marker's code; fill bytes (FF) before it are passed."""
    if file.read(1) != b"\xff":
        return None
    for _ in range(MAX_SEGMENTS):
        code = file.read(1)
        if code != b"\xff":
            return code[0] if code else None
    return None
