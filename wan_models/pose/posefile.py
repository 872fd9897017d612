"""The pose file: one clip's people on the canonical skeleton, as a .npz that any numpy reads (docs/pose-file.md).

``write`` and ``read`` are each other's inverse. A reader refuses a newer major version and checks every array.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused

from .joints import BODY_LANDMARKS, HAND_LANDMARKS, JOINTS, PARENTS

FORMAT, VERSION = "wanstage-pose", 1
MAX_BYTES = 2 << 30
"""Of one file once unpacked: an hour of ten people at 24 frames a second."""
CONTACTS = ("leftHeel", "leftBall", "rightHeel", "rightBall")
_MAX_HEADER = 16 << 20
_F4, _BOOL = np.dtype("<f4"), np.dtype("bool")


@dataclass
class Person:
    """One person of T frames and J joints, see docs/pose-file.md for every array's meaning.

    ``first`` and ``last`` are the frames (inclusive) between which the person was followed; outside them the arrays
    hold the nearest pose with confidence 0. ``soles`` are points of the feet in rest that are no joints.
    """

    id: int
    name: str
    height: float
    first: int
    last: int
    rest: NDArray[np.float32]  # (J,3)
    rotation: NDArray[np.float32]  # (T,J,4) w x y z
    root: NDArray[np.float32]  # (T,3)
    position: NDArray[np.float32]  # (T,J,3)
    confidence: NDArray[np.float32]  # (T,J)
    filled: NDArray[np.bool_]  # (T,J)
    contact: NDArray[np.bool_]  # (T,4)
    landmarks: NDArray[np.float32]  # (T,33,4) x px, y px, z, visibility
    world: NDArray[np.float32]  # (T,33,4) the estimator's metres, visibility
    left_hand: NDArray[np.float32]  # (T,21,3)
    right_hand: NDArray[np.float32]  # (T,21,3)
    face: NDArray[np.float32]  # (T,B)
    soles: dict[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass
class CameraPath:
    """``world_from_camera`` float64 (T,4,4), looking along -Z with +Y up; ``intrinsics`` float64 (T,4) fx, fy, cx, cy.

    ``guessed``: nobody knew the camera; ``kind`` as in the protocol's Camera.
    """

    world_from_camera: NDArray[np.float64]
    intrinsics: NDArray[np.float64]
    kind: str = "perspective"
    guessed: bool = False


@dataclass
class PoseFile:
    """Everything of one file."""

    fps: float
    frames: int
    source: dict[str, Any]
    estimator: dict[str, Any]
    space: str  # "camera" or "world"
    people: list[Person]
    camera: CameraPath | None = None
    blendshapes: tuple[str, ...] = ()
    filters: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)


def _shapes(frames: int, shapes: int) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    joints = len(JOINTS)
    return {
        "rest": (_F4, (joints, 3)),
        "rotation": (_F4, (frames, joints, 4)),
        "root": (_F4, (frames, 3)),
        "position": (_F4, (frames, joints, 3)),
        "confidence": (_F4, (frames, joints)),
        "filled": (_BOOL, (frames, joints)),
        "contact": (_BOOL, (frames, len(CONTACTS))),
        "landmarks": (_F4, (frames, BODY_LANDMARKS, 4)),
        "world": (_F4, (frames, BODY_LANDMARKS, 4)),
        "left_hand": (_F4, (frames, HAND_LANDMARKS, 3)),
        "right_hand": (_F4, (frames, HAND_LANDMARKS, 3)),
        "face": (_F4, (frames, shapes)),
    }


def header_of(pose: PoseFile) -> dict[str, Any]:
    """The file's header, ready for JSON."""
    camera = pose.camera
    return {
        "format": FORMAT,
        "version": VERSION,
        "fps": pose.fps,
        "frames": pose.frames,
        "source": pose.source,
        "estimator": pose.estimator,
        "space": pose.space,
        "joints": list(JOINTS),
        "parents": list(PARENTS),
        "contacts": list(CONTACTS),
        "blendshapes": list(pose.blendshapes),
        "people": [
            {"id": each.id, "name": each.name, "height": each.height, "first": each.first, "last": each.last,
             "soles": {name: list(point) for name, point in each.soles.items()}}
            for each in pose.people
        ],
        "camera": None if camera is None else {"kind": camera.kind, "guessed": camera.guessed},
        "filters": pose.filters,
        "warnings": pose.warnings,
        "cuts": pose.cuts,
    }  # fmt: skip


def dumps(pose: PoseFile) -> bytes:
    """The file's bytes."""
    arrays: dict[str, NDArray[Any]] = {"header": np.frombuffer(json.dumps(header_of(pose)).encode(), np.uint8)}
    for number, person in enumerate(pose.people):
        for name, (dtype, shape) in _shapes(pose.frames, len(pose.blendshapes)).items():
            array = np.ascontiguousarray(getattr(person, name), dtype)
            if array.shape != shape:
                problem = f"{name} of person {number} is {array.shape}, {shape} is needed: report this as a bug"
                raise ValueError(problem)
            arrays[f"p{number}/{name}"] = array
    if pose.camera is not None:
        arrays["camera/world_from_camera"] = np.ascontiguousarray(pose.camera.world_from_camera, "<f8")
        arrays["camera/intrinsics"] = np.ascontiguousarray(pose.camera.intrinsics, "<f8")
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type] # numpy's stub takes the names for its own options
    return stream.getvalue()


def write(pose: PoseFile, path: Path) -> None:
    """Write the file whole or not at all. Raises OSError."""
    scratch = path.with_name(path.name + ".tmp")
    try:
        scratch.write_bytes(dumps(pose))
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read(path: Path) -> PoseFile:
    """The file's content. Raises RequestRefused: no such file, no pose file, a newer version, damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _refused(path.name, f"cannot be read: {error.strerror or error}") from error
    return loads(data, path.name)


def loads(data: bytes, name: str = "the pose file") -> PoseFile:
    """What ``dumps`` made. Raises RequestRefused as ``read`` does."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as package:
            entries = {each.filename: each.file_size for each in package.infolist()}
        if "header.npy" not in entries:
            raise _refused(name, "is no pose file (it has no header): make one with 'wanstage pose VIDEO -o POSE.npz'")
        if sum(entries.values()) > MAX_BYTES or entries["header.npy"] > _MAX_HEADER:
            raise _refused(name, f"would unpack to more than {MAX_BYTES >> 20} MiB: it is damaged")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            header = json.loads(bytes(arrays["header"]).decode())
            _check_version(name, header)
            return _content(name, header, arrays)
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError, OSError) as error:
        if isinstance(error, RequestRefused):
            raise
        raise _refused(name, f"is damaged or no pose file ({error}): make it again from its video") from error


def _check_version(name: str, header: object) -> None:
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise _refused(name, f"is no pose file (its format is not {FORMAT}): make one with 'wanstage pose'")
    version = header.get("version")
    if not isinstance(version, int) or version < 1:
        raise _refused(name, f"has the version {version!r}, 1 to {VERSION} are known: it is damaged")
    if version > VERSION:
        raise _refused(
            name, f"has version {version}, this Wanstage reads up to {VERSION}: update Wanstage, or make it again here"
        )


def _content(name: str, header: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> PoseFile:
    if tuple(header["joints"]) != JOINTS or tuple(header["parents"]) != PARENTS:
        raise _refused(name, f"has other joints than version {VERSION}'s {len(JOINTS)}: it is damaged")
    frames, shapes = int(header["frames"]), tuple(str(each) for each in header.get("blendshapes", ()))
    people = [
        _person(name, number, each, arrays, frames=frames, shapes=shapes)
        for number, each in enumerate(header["people"])
    ]
    camera = header.get("camera")
    return PoseFile(
        fps=float(header["fps"]),
        frames=frames,
        source=dict(header["source"]),
        estimator=dict(header["estimator"]),
        space=str(header["space"]),
        people=people,
        camera=_camera(name, camera, arrays, frames) if camera else None,
        blendshapes=shapes,
        filters=dict(header.get("filters", {})),
        warnings=[str(each) for each in header.get("warnings", ())],
        cuts=[int(each) for each in header.get("cuts", ())],
    )


def _person(
    name: str,
    number: int,
    row: dict[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    *,
    frames: int,
    shapes: tuple[str, ...],
) -> Person:
    found = {}
    for key, (dtype, shape) in _shapes(frames, len(shapes)).items():
        array = arrays[f"p{number}/{key}"]
        if array.shape != shape or array.dtype != dtype:
            raise _refused(name, f"is damaged: p{number}/{key} is {array.dtype} {array.shape}, {dtype} {shape} is due")
        found[key] = array
    soles = {str(point): (float(at[0]), float(at[1]), float(at[2])) for point, at in row.get("soles", {}).items()}
    return Person(
        id=int(row["id"]), name=str(row["name"]), height=float(row["height"]), first=int(row["first"]),
        last=int(row["last"]), soles=soles, **found,
    )  # fmt: skip


def _camera(name: str, row: dict[str, Any], arrays: Mapping[str, NDArray[Any]], frames: int) -> CameraPath:
    world, inner = arrays["camera/world_from_camera"], arrays["camera/intrinsics"]
    if world.shape != (frames, 4, 4) or inner.shape != (frames, 4):
        raise _refused(name, f"is damaged: its camera is {world.shape} and {inner.shape} for {frames} frames")
    return CameraPath(world, inner, str(row.get("kind", "perspective")), bool(row.get("guessed", False)))


def _refused(name: str, what: str) -> RequestRefused:
    return RequestRefused(f"{name} {what}")
