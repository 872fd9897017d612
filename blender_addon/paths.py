"""Our own paths that begin with ``//`` when a file is saved into another folder.

Blender turns the paths of images and sounds so that they lead to the same files from there; those in properties of
add-ons it leaves. What was turned for a copy is put back, since the open file stays where it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy

_turned: list[tuple[Any, str, str]] = []


def relative(path: Path, folder: Path | None = None) -> str:
    """From ``folder`` (None = that of the file; unsaved ones have none) where both are on one drive, else whole."""
    home = folder or (Path(bpy.data.filepath).parent if bpy.data.filepath else None)
    if home is None or home.drive.lower() != path.drive.lower():
        return str(path)
    return str(bpy.path.relpath(str(path), start=str(home)))


def absolute(path: str) -> Path:
    """Without ``//`` and without ``..``."""
    return Path(os.path.normpath(bpy.path.abspath(path)))


def is_elsewhere(target: Path) -> bool:
    """Whether a save goes into another folder than the file lies in; False for the first one."""
    return bool(bpy.data.filepath) and Path(bpy.data.filepath).parent != target.parent


def before_save(target: Path) -> None:
    """Lead to the same files from the folder of ``target``."""
    _turned.clear()
    if not is_elsewhere(target):
        return
    for owner, name in _ours():
        value = getattr(owner, name)
        _turned.append((owner, name, value))
        setattr(owner, name, relative(absolute(value), target.parent))


def after_save(target: Path) -> None:
    """A copy was saved, or nothing was: the open file is where it was."""
    if bpy.data.filepath and Path(bpy.data.filepath) != target:
        for owner, name, value in _turned:
            setattr(owner, name, value)
    elif not bpy.data.filepath:
        for owner, name in _ours():  # what went along with the copy of an unsaved file
            setattr(owner, name, str(target.parent / getattr(owner, name)[2:]))
    _turned.clear()


def _ours() -> Iterator[tuple[Any, str]]:
    """(owner, property) of each of our paths that begins with ``//``."""
    for scene in bpy.data.scenes:
        if scene.library is None:
            yield from _of(scene.wanstage)
            yield from _of(scene.wanstage_retarget)
            yield from _of(scene.wanstage_retarget.motion)
            yield from ((take, "frames_dir") for take in scene.wanstage.takes if take.frames_dir.startswith("//"))
    for item in bpy.data.objects:
        if item.library is None and item.type == "ARMATURE":
            yield from _of(item.wanstage)


def _of(owner: Any) -> Iterator[tuple[Any, str]]:
    for prop in owner.bl_rna.properties:
        is_path = prop.type == "STRING" and prop.subtype in {"FILE_PATH", "DIR_PATH"}
        if is_path and getattr(owner, prop.identifier).startswith("//"):
            yield owner, prop.identifier
