"""Takes whose frames are on disk while no scene lists them, as after a crash before the file was saved.

Each take's folder tells what its row said (``takes.tell``). Looked at are the shot's frames folders beside the file,
and the cache, where takes of files lie that were never saved: of those, the ones whose scene and camera are in this
file, since the cache is every file's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from . import framefiles, paths, preferences, takes

DEEPEST = 3  # folders below the one that is looked through
JOB_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Lost:
    """A take's folder and what it says."""

    folder: Path
    meta: dict[str, Any]

    @property
    def row(self) -> dict[str, Any]:
        """Property -> value of the row that it had, and its scene."""
        return dict(self.meta["row"])

    @property
    def scene(self) -> bpy.types.Scene:
        """Its own, else the one that is open."""
        return _own_scene(self.row) or bpy.context.scene


def find() -> list[Lost]:
    """All of them, the oldest first."""
    known = {take.job_id for _, take in takes.all_takes()}
    found: dict[str, Lost] = {}
    for folder, is_shared in _folders():
        meta = _read(folder)
        if meta is None or meta["job_id"] in known | set(found):
            continue
        if is_shared and not _is_of_this_file(meta["row"]):
            continue
        found[meta["job_id"]] = Lost(folder, meta)
    return sorted(found.values(), key=lambda each: str(each.meta.get("made", "")))


def add_back(lost: Lost) -> Any:
    """Its row in its scene again, with its plane. A job that had not ended is followed when a backend is connected."""
    scene = lost.scene
    take = scene.wanstage.takes.add()
    for name in takes.ROW:
        if name in lost.row:
            setattr(take, name, lost.row[name])
    take.job_id, take.frames_dir = lost.meta["job_id"], paths.relative(lost.folder)
    take.choice.model = str(lost.meta.get("model", ""))
    take.seen_by = bpy.data.objects.get(take.camera)
    take.frames_done = framefiles.count(lost.folder)
    final = lost.meta.get("state")
    take.state = final if final in takes.ENDED else "queued"
    take.problem = str(lost.meta.get("problem", ""))
    takes.write_meta(take, lost.meta)
    scene.wanstage.take_index = len(scene.wanstage.takes) - 1
    takes.relink(scene, take)
    return take


def _folders() -> Iterator[tuple[Path, bool]]:
    """Folders with a take in them, and whether they lie where all files keep theirs."""
    cache = preferences.settings().cache
    roots = dict.fromkeys(_root(scene) for scene in bpy.data.scenes if scene.library is None)
    for root in [root for root in roots if root is not None and root != cache]:
        for depth in range(DEEPEST + 1):
            for file in sorted(root.glob("*/" * depth + framefiles.TAKE)):
                yield file.parent, False
    for file in sorted(cache.glob(f"*/{framefiles.TAKE}")):
        yield file.parent, True


def _root(scene: bpy.types.Scene) -> Path | None:
    """What of the scene's frames folder is the same for all takes; None for a file that was never saved."""
    pattern = scene.wanstage.frames_folder or takes.FOLDER
    if pattern.startswith("//") and not bpy.data.filepath:
        return None
    fixed = pattern.split("{", 1)[0]
    return paths.absolute(fixed if fixed.endswith(("/", "\\")) else str(Path(fixed).parent))


def _read(folder: Path) -> dict[str, Any] | None:
    """What a folder says; None when it is not a take's of this version."""
    try:
        meta = json.loads((folder / framefiles.TAKE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(meta, dict) or not isinstance(meta.get("row"), dict):
        return None
    row = meta["row"]
    fits = all(isinstance(row.get(name, kind()), kind) for name, kind in takes.ROW.items())
    return meta if fits and JOB_ID.fullmatch(str(meta.get("job_id"))) else None


def _own_scene(row: dict[str, Any]) -> bpy.types.Scene | None:
    scene = bpy.data.scenes.get(str(row.get("scene", "")))
    return scene if scene is not None and scene.library is None else None


def _is_of_this_file(row: dict[str, Any]) -> bool:
    scene = _own_scene(row)
    return scene is not None and str(row.get("camera", "")) in scene.objects
