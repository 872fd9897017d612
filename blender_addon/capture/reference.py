"""Reference pictures: one character cut out of the scene, with its joints in a file beside it.

``<picture>.joints.json``: {"wanstage_reference": 1, "width", "height", "body": [[x, y, score] * 20],
"left_hand": [[x, y, score] * 21] or null, "right_hand": the same, "source": "rig"}; pixels of the picture.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import wire
from ..words import tr
from .camera import read_camera
from .evaluate import bare_copy, character_objects, find_armature, find_camera, find_scene, scratch, set_frame
from .look import render_png, rendered, set_render
from .maps import AssetSink, array_ref
from .params import CaptureProblem, CharacterParams, ShotParams
from .pictures import png_bytes
from .pose import Array, CharacterPose, RigReader, TrackBuilder, check_shot
from .upright import orientation, read_picture

if TYPE_CHECKING:
    from protocol.specs import ImageRef, Reference

JOINTS_SUFFIX = ".joints.json"
HANDS = ("left_hand", "right_hand")


def render_reference(
    scene: str,
    camera: str,
    character: CharacterParams,
    frame: float,
    path: str | Path,
    *,
    width: int = 832,
    height: int = 480,
    samples: int = 32,
) -> Path:
    """Write an RGBA PNG (straight alpha) of one character as the camera sees it, lit by the scene, and its joints.

    Returns the picture's path. Raises CaptureProblem.
    """
    params = ShotParams(scene, camera, frame, 1, 24.0, width, height, (character,))
    check_shot(params)
    source = find_scene(scene)
    eye = find_camera(source, camera)
    reader = RigReader(character, find_armature(source, character))
    target = Path(path).resolve()
    inside = set(character_objects(source, reader.armature))
    kept = [item for item in rendered(source) if item in inside or item.type in {"LIGHT", "LIGHT_PROBE"}]
    with scratch() as made:
        copy = bare_copy(made, source, [*kept, eye], [reader.armature])
        copy.camera = eye
        depsgraph = set_frame(copy, frame)
        aspect = (source.render.pixel_aspect_x, source.render.pixel_aspect_y)
        builder = TrackBuilder(params, [reader])
        builder.add(depsgraph, read_camera(eye, depsgraph, width, height, aspect), None)
        set_render(copy, (width, height), samples, target, alpha=True)
        render_png(made, copy, target)
    pose = builder.finish()[0]
    _write_joints(target, width, height, pose)
    return target


def _write_joints(path: Path, width: int, height: int, pose: CharacterPose) -> None:
    def rows(track: Array | None) -> list[list[float]] | None:
        return None if track is None else [[round(float(value), 3) for value in row[:3]] for row in track[0]]

    joints = {
        "wanstage_reference": 1,
        "width": width,
        "height": height,
        "body": rows(pose.body),
        "left_hand": rows(pose.left_hand),
        "right_hand": rows(pose.right_hand),
        "source": "rig",
    }
    Path(f"{path}{JOINTS_SUFFIX}").write_text(json.dumps(joints), encoding="utf-8")


def load_reference(path: str | Path, folder: AssetSink) -> Reference:
    """A PNG or JPEG, with the joints beside it when there are any, as a protocol ``Reference``. CaptureProblem.

    A photograph whose EXIF says how to turn it is sent as an upright PNG; joints beside it are of the upright picture.
    """
    picture = Path(path)
    try:
        data = picture.read_bytes()
    except OSError as error:
        msg = tr(
            "The reference picture {name} cannot be read ({reason}): choose a PNG or JPEG file.",
            name=picture.name,
            reason=error.strerror,
        )
        raise CaptureProblem(msg) from error
    if orientation(data) != 1:
        data = png_bytes(read_picture(picture))
    media_type, width, height = picture_header(data, picture.name)
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        msg = tr(
            "The reference picture {name} has {width}x{height} px: each side must be from 64 to 4096.",
            name=picture.name,
            width=width,
            height=height,
        )
        raise CaptureProblem(msg)
    image = wire.specs.ImageRef(folder.add(data), width, height, media_type)
    sidecar = Path(f"{picture}{JOINTS_SUFFIX}")
    if not sidecar.is_file():
        return wire.specs.Reference(image)
    return _with_joints(image, sidecar, folder)


def _with_joints(image: ImageRef, sidecar: Path, folder: AssetSink) -> Reference:
    joints = _joints_of(sidecar, (image.width, image.height))
    hands = [None if joints[side] is None else array_ref(joints[side], folder) for side in HANDS]
    source = "rig" if joints["source"] == "rig" else "hand"
    return wire.specs.Reference(image, source, array_ref(joints["body"], folder), *hands)


def read_joints(path: str | Path) -> dict[str, Any] | None:
    """The joints beside a picture, None when there are none: float32 ``body`` (20,3), ``left_hand`` and ``right_hand``
    (21,3) or None, each row x, y, score in its pixels, and ``source``. Raises CaptureProblem."""
    sidecar = Path(f"{path}{JOINTS_SUFFIX}")
    return _joints_of(sidecar, None) if sidecar.is_file() else None


def _joints_of(sidecar: Path, size: tuple[int, int] | None) -> dict[str, Any]:
    try:
        joints = json.loads(sidecar.read_text(encoding="utf-8"))
        if joints["wanstage_reference"] != 1 or size not in {None, (joints["width"], joints["height"])}:
            msg = tr("it is of another version or of another picture size")
            raise ValueError(msg)
        found: dict[str, Any] = {"body": _points(joints["body"], 20), "source": joints["source"]}
        return found | {side: None if joints[side] is None else _points(joints[side], 21) for side in HANDS}
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = tr(
            "The joints file {name} cannot be used ({error}): render the reference again or delete the file.",
            name=sidecar.name,
            error=error,
        )
        raise CaptureProblem(msg) from error


def _points(rows: object, count: int) -> Array:
    array = np.array(rows, np.float32)
    if array.shape != (count, 3) or not np.isfinite(array).all():
        msg = tr("{count} rows of x, y, score are needed", count=count)
        raise ValueError(msg)
    return array


def picture_header(data: bytes, name: str) -> tuple[str, int, int]:
    """Media type, width and height of an encoded picture; CaptureProblem for anything but PNG and JPEG."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return "image/png", width, height
    if data[:2] == b"\xff\xd8":
        size = _jpeg_size(data)
        if size is not None:
            return "image/jpeg", *size
    msg = tr("{name} is no PNG or JPEG picture: choose one of these.", name=name)
    raise CaptureProblem(msg)


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Walks the segments to the frame header (ITU T.81, B.2.2)."""
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        (length,) = struct.unpack(">H", data[position + 2 : position + 4])
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", data[position + 5 : position + 9])
            return width, height
        position += 2 + length
    return None
