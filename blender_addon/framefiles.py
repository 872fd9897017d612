"""The numbered pictures of a take on disk. No bpy.

``frame_0001.png`` is sample 0. A frame is written beside its place and renamed, so that a name never
shows half a picture, and a full disk leaves no broken file behind.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import shutil
from pathlib import Path
from typing import Any

from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

PATTERN = "frame_{:04d}.png"
SOUND = "sound.wav"
TAKE = "take.json"  # what the take is, and from when its job is sent what its row says
JOB = "job.json"  # what the backend was asked
POSE, RIG, STRIP = "pose.npz", "rig.npz", "follow.png"  # found in the frames, the rig that drove them, both compared
PROBE_BYTES = 65536
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}
"""Names that Windows keeps for devices."""


def path_of(folder: Path, index: int) -> Path:
    """The file of sample ``index`` (0..)."""
    return folder / PATTERN.format(index + 1)


def make_folder(folder: Path) -> Path:
    """Create it and prove that it can be written. Raises UserProblem."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        try:
            probe.write_bytes(bytes(PROBE_BYTES))  # an empty file can be made on a full disk
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        problem = tr(
            "Frames cannot be written to {folder} ({reason}): free disk space, or save the file elsewhere",
            folder=folder,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error
    return folder


def write_whole(target: Path, data: bytes | memoryview) -> None:
    """A file that is there whole or not at all: what was there before stays until then. Raises OSError."""
    scratch = target.with_suffix(".part")
    try:
        scratch.write_bytes(data)
        scratch.replace(target)
    except OSError:
        with contextlib.suppress(OSError):  # the folder itself may be gone
            scratch.unlink(missing_ok=True)
        raise


def write(folder: Path, index: int, data: bytes | memoryview) -> Path:
    """One frame's file. Raises UserProblem when the disk refuses."""
    target = path_of(folder, index)
    try:
        write_whole(target, data)
    except OSError as error:
        problem = tr(
            "Frame {number} cannot be written to {folder} ({reason}): free disk space, then attach again",
            number=index + 1,
            folder=folder,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error
    return target


def write_sound(folder: Path, data: bytes) -> Path:
    """The sound that drove the take, beside its frames. Raises UserProblem when the disk refuses."""
    target = folder / SOUND
    try:
        write_whole(target, data)
    except OSError as error:
        problem = tr(
            "The sound cannot be written to {folder} ({reason}): free disk space, or choose another folder",
            folder=folder,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error
    return target


def prove(folder: Path, nbytes: int) -> None:
    """Prove that a folder could be made and that its disk has room; leaves no folder behind. Raises UserProblem."""
    made = [each for each in (folder, *folder.parents) if not each.exists()]  # deepest first
    try:
        make_folder(folder)
        free = shutil.disk_usage(folder).free
    finally:
        for each in made:
            with contextlib.suppress(OSError):  # what could not be made cannot be removed
                each.rmdir()
    if free < nbytes:
        mib = 2**20
        problem = tr(
            "The disk of {folder} has {free} MB free and the frames may need {needed} MB: free "
            "disk space or choose another frames folder",
            folder=folder,
            free=free // mib,
            needed=-(-nbytes // mib),
        )
        raise UserProblem(problem)


def count(folder: Path) -> int:
    """How many frames are there without a gap, from the first."""
    index = 0
    while path_of(folder, index).is_file():
        index += 1
    return index


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """``take.json`` beside the frames, so that a folder explains itself without the .blend."""
    try:
        (folder / TAKE).write_text(json.dumps(meta, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        logger.warning("take.json cannot be written to %s: %s", folder, error.strerror)  # the .blend has it too


def files(folder: Path) -> list[Path]:
    """A take's own files; what else lies in its folder is somebody else's."""
    found = [file for file in folder.glob("frame_*.png") if re.fullmatch(r"frame_\d{4,}\.png", file.name)]
    return found + [folder / name for name in (TAKE, JOB, SOUND, POSE, RIG, STRIP) if (folder / name).is_file()]


def write_job(folder: Path, data: bytes) -> None:
    """The job beside its frames, so that a part of the take can be made again in another session."""
    try:
        (folder / JOB).write_bytes(data)
    except OSError as error:
        logger.warning("%s cannot be written to %s: %s", JOB, folder, error.strerror)  # then the shot is captured again


def keep(source: Path, target: Path, names: list[str]) -> None:
    """Files of one folder in another too, of one content for ever: linked where the disk can, else copied.

    Frames are replaced, never written in place, so what happens to one name does not reach the other. Raises
    UserProblem.
    """
    for name in names:
        scratch = (target / name).with_suffix(".part")
        try:
            scratch.unlink(missing_ok=True)
            try:
                os.link(source / name, scratch)
            except OSError:  # another disk, or a file system without links
                shutil.copyfile(source / name, scratch)
            scratch.replace(target / name)
        except OSError as error:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
            problem = tr(
                "{name} cannot be taken over from {source} to {target} ({reason}): free disk space",
                name=name,
                source=source,
                target=target,
                reason=error.strerror,
            )
            raise UserProblem(problem) from error


def size(folder: Path) -> int:
    """Bytes that ``remove`` gives back: a file that other takes have too counts by its share."""
    told = [file.stat() for file in files(folder)]
    return sum(each.st_size // max(each.st_nlink, 1) for each in told)


def remove(folder: Path) -> None:
    """Delete a take's files, and the folder if nothing else is in it. Raises UserProblem when the disk refuses."""
    try:
        for file in files(folder):
            file.unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        problem = tr(
            "The frames in {folder} cannot be deleted ({reason}): make the folder writable, then try again",
            folder=folder,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error


def move(source: Path, target: Path) -> None:
    """A take's folder to another place, across disks too. Raises UserProblem."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(str(source), str(target))
    except OSError as error:
        problem = tr(
            "The frames in {source} cannot be moved to {target} ({reason})",
            source=source,
            target=target,
            reason=error.strerror,
        )
        raise UserProblem(problem) from error


def safe_name(name: str) -> str:
    """A folder name that every system takes; letters of any script stay."""
    safe = re.sub(r"[^\w\- ]", "_", name)[:60].strip(" .") or "shot"
    return f"{safe}_" if safe.upper() in RESERVED else safe
