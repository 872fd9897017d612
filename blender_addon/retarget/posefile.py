"""Reads the pose file that ``wanstage pose`` writes (docs/pose-file.md): one zip of .npy arrays.

Nothing in it is unpickled; sizes are checked against the header before anything is read.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..problems import UserProblem
from ..words import noted, tr
from . import joints
from .turns import Array, unit

FORMAT, VERSION = "wanstage-pose", 1
MAX_FRAMES, MAX_PEOPLE, MAX_HEADER = 200_000, 64, 4 << 20
NPY_ROOM = 4096  # bytes of an .npy file beside its numbers
GOES = noted("make it anew with `wanstage pose`")


@dataclass(frozen=True)
class Person:
    """One person: see docs/pose-file.md. T frames, J joints in the order of ``joints.NAMES``; float64, metres.

    ``rest`` (J,3), ``rotation`` (T,J,4), ``root`` (T,3), ``position`` (T,J,3), ``confidence`` (T,J),
    ``contact`` bool (T,4), ``face`` (T,F) 0..1 or None; ``first`` and ``last`` frame that the person is seen in.
    """

    name: str
    height: float
    first: int
    last: int
    rest: Array
    rotation: Array
    root: Array
    position: Array
    confidence: Array
    contact: Array
    face: Array | None


@dataclass(frozen=True)
class PoseFile:
    """``space`` is "world" when ``root`` is in the scene's own coordinates, else "camera"."""

    fps: float
    frames: int
    space: str
    source: str
    people: tuple[str, ...]
    blendshapes: tuple[str, ...]
    warnings: tuple[str, ...]
    person: Person


def read_header(path: Path) -> dict[str, Any]:
    """The header alone. Raises UserProblem."""
    with _open(path) as archive:
        return _header(archive, path.name)


def read_pose(path: Path, person: int = 0) -> PoseFile:
    """The file with one of its people. Raises UserProblem with a sentence for anything that is not a pose file."""
    with _open(path) as archive:
        header = _header(archive, path.name)
        people = header["people"]
        if not people:
            msg = tr("{file} has no person in it: use a film in which one is seen from head to foot.", file=path.name)
            raise UserProblem(msg)
        if not 0 <= person < len(people):
            have = tr("1 person") if len(people) == 1 else tr("{count} people", count=len(people))
            msg = tr(
                "{file} has {have}: choose person 0 to {last}, not {person}.",
                file=path.name,
                have=have,
                last=len(people) - 1,
                person=person,
            )
            raise UserProblem(msg)
        found = _read_person(archive, header, person, path.name)
    source = header.get("source") if isinstance(header.get("source"), dict) else {}
    return PoseFile(
        float(header["fps"]),
        int(header["frames"]),
        str(header.get("space", "camera")),
        str((source or {}).get("name", "")),
        tuple(_name_of(each, n) for n, each in enumerate(people)),
        tuple(str(name) for name in header.get("blendshapes") or ()),
        tuple(str(sentence) for sentence in header.get("warnings") or ()),
        found,
    )


def read_landmarks(path: Path, person: int) -> Array:
    """What was seen of a person, f8 (T,33,4): x px, y px, z, visibility; NaN where nothing was. Raises UserProblem."""
    with _open(path) as archive:
        header = _header(archive, path.name)
        found = _array(archive, f"p{person}/landmarks", (int(header["frames"]), 33, 4), path.name)
    return np.asarray(found, np.float64)


def _name_of(person: dict[str, Any], number: int) -> str:
    return str(person.get("name") or tr("Person {number}", number=number))


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError:
        msg = tr("There is no file {path}: choose a pose file.", path=path)
        raise UserProblem(msg) from None
    except (zipfile.BadZipFile, OSError) as error:
        msg = tr("{file} is not a pose file, or it is cut short: {remedy}.", file=path.name, remedy=tr(GOES))
        raise UserProblem(msg) from error


def _array(archive: zipfile.ZipFile, entry: str, shape: tuple[int, ...], file: str) -> Array:
    """One array of exactly ``shape`` (-1 = any length up to 512). Raises UserProblem."""
    most = int(np.prod([512 if n < 0 else n for n in shape], dtype=np.int64)) * 8 + NPY_ROOM
    try:
        information = archive.getinfo(f"{entry}.npy")
        if information.file_size > most:
            msg = tr(
                "{entry} of {file} is larger than its header says: {remedy}.", entry=entry, file=file, remedy=tr(GOES)
            )
            raise UserProblem(msg)
        with archive.open(information) as stream:
            found = np.lib.format.read_array(stream, allow_pickle=False, max_header_size=NPY_ROOM)
    except KeyError:
        msg = tr("{file} lacks {entry}: {remedy}.", file=file, entry=entry, remedy=tr(GOES))
        raise UserProblem(msg) from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        msg = tr("{entry} of {file} cannot be read: {remedy}.", entry=entry, file=file, remedy=tr(GOES))
        raise UserProblem(msg) from error
    if found.ndim != len(shape) or any(want not in (-1, have) for want, have in zip(shape, found.shape, strict=True)):
        msg = tr(
            "{entry} of {file} has the shape {shape}, which is not {wanted}: {remedy}.",
            entry=entry,
            file=file,
            shape=found.shape,
            wanted=shape,
            remedy=tr(GOES),
        )
        raise UserProblem(msg)
    return np.asarray(found)


def _header(archive: zipfile.ZipFile, file: str) -> dict[str, Any]:
    raw = _header_bytes(archive, file)
    try:
        header = json.loads(raw)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        msg = tr("The header of {file} is not JSON: {remedy}.", file=file, remedy=tr(GOES))
        raise UserProblem(msg) from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        msg = tr("{file} is not a pose file: choose one that `wanstage pose` wrote.", file=file)
        raise UserProblem(msg)
    if header.get("version") != VERSION:
        msg = tr(
            "{file} is of version {version} and this add-on reads version {ours}: update the add-on.",
            file=file,
            version=header.get("version"),
            ours=VERSION,
        )
        raise UserProblem(msg)
    _check_header(header, file)
    return header


def _header_bytes(archive: zipfile.ZipFile, file: str) -> bytes:
    names = archive.namelist()
    if "header.npy" not in names:
        msg = f"{file} is not a pose file: choose one that `wanstage pose` wrote."
        raise UserProblem(msg)
    if archive.getinfo("header.npy").file_size > MAX_HEADER:
        msg = tr("The header of {file} is too long: {remedy}.", file=file, remedy=tr(GOES))
        raise UserProblem(msg)
    try:
        with archive.open("header.npy") as stream:
            return bytes(np.lib.format.read_array(stream, allow_pickle=False, max_header_size=NPY_ROOM).tobytes())
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        msg = tr("The header of {file} cannot be read: {remedy}.", file=file, remedy=tr(GOES))
        raise UserProblem(msg) from error


def _check_header(header: dict[str, Any], file: str) -> None:
    fps, frames, people = header.get("fps"), header.get("frames"), header.get("people")
    if not isinstance(fps, (int, float)) or not 0.1 <= fps <= 1000.0:
        msg = tr(
            "{file} has {fps!r} frames a second: 0.1 to 1000 are possible, {remedy}.",
            file=file,
            fps=fps,
            remedy=tr(GOES),
        )
        raise UserProblem(msg)
    if not isinstance(frames, int) or not 0 <= frames <= MAX_FRAMES:
        msg = tr(
            "{file} has {frames!r} frames: up to {most} can be read, cut the film into pieces.",
            file=file,
            frames=frames,
            most=MAX_FRAMES,
        )
        raise UserProblem(msg)
    if frames == 0:
        msg = tr("{file} has no frames: {remedy}.", file=file, remedy=tr(GOES))
        raise UserProblem(msg)
    if not isinstance(people, list) or len(people) > MAX_PEOPLE or not all(isinstance(each, dict) for each in people):
        msg = tr("The list of people in {file} cannot be read: {remedy}.", file=file, remedy=tr(GOES))
        raise UserProblem(msg)
    if list(header.get("joints") or ()) != joints.NAMES:
        msg = tr(
            "{file} has other joints than a pose file of version {version}: {remedy}.",
            file=file,
            version=VERSION,
            remedy=tr(GOES),
        )
        raise UserProblem(msg)


def _read_person(archive: zipfile.ZipFile, header: dict[str, Any], number: int, file: str) -> Person:
    count, length, prefix = int(header["frames"]), len(joints.NAMES), f"p{number}/"
    have = set(archive.namelist())

    def read(name: str, *shape: int) -> Array:
        found = _array(archive, prefix + name, shape, file)
        if not np.isfinite(found).all():
            msg = tr(
                "{entry} of {file} holds numbers that are not finite: {remedy}.",
                entry=prefix + name,
                file=file,
                remedy=tr(GOES),
            )
            raise UserProblem(msg)
        return np.asarray(found, bool if name == "contact" else np.float64)

    rest = read("rest", length, 3)
    if np.ptp(rest[:, 2]) < 0.1:
        msg = tr("The rest pose of {file} is not a person's: {remedy}.", file=file, remedy=tr(GOES))
        raise UserProblem(msg)
    face = None
    if f"{prefix}face.npy" in have and header.get("blendshapes"):
        face = _held(_array(archive, f"{prefix}face", (count, -1), file).astype(np.float64)).clip(0.0, 1.0)
        face = face if face.shape[1] == len(header["blendshapes"]) else None
    about = header["people"][number]
    first, last = (int(about.get(key, default)) for key, default in (("first", 0), ("last", count - 1)))
    first, last = max(first, 0), min(last, count - 1)
    if last < first:
        msg = tr("{name} is in no frame of {file}: choose another person.", name=_name_of(about, number), file=file)
        raise UserProblem(msg)
    return Person(
        _name_of(about, number), float(about.get("height") or np.ptp(rest[:, 2])), first, last, rest,
        unit(read("rotation", count, length, 4)), read("root", count, 3), read("position", count, length, 3),
        read("confidence", count, length), read("contact", count, 4), face,
    )  # fmt: skip


def _held(values: Array) -> Array:
    """(T,F) where what was not seen keeps what was seen last, 0 before anything was."""
    seen = np.isfinite(values)
    rows = np.where(seen, np.arange(len(values))[:, None], 0)
    filled = np.take_along_axis(values, np.maximum.accumulate(rows, axis=0), 0)
    return np.asarray(np.nan_to_num(filled, posinf=0.0, neginf=0.0))


def write_pose(path: Path, header: dict[str, Any], people: list[dict[str, Array]]) -> None:
    """Write a pose file; ``people`` are their arrays by name. Raises UserProblem when the file cannot be written."""
    arrays = {f"p{n}/{name}": value for n, each in enumerate(people) for name, value in each.items()}
    text = json.dumps({"format": FORMAT, "version": VERSION, **header}).encode()
    arrays["header"] = np.frombuffer(text, np.uint8)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        msg = tr("{path} cannot be written ({reason}): choose another folder.", path=path, reason=error.strerror)
        raise UserProblem(msg) from error
