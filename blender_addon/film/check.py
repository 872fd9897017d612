"""Did it follow? The pose found on a take against the rig that drove it: strip, markers, a sentence, numbers.

The rig is read when the check begins (it may be edited while the backend looks) and kept beside the take with the pose
file and the strip: ``rig.npz``, ``pose.npz``, ``follow.png``.
"""

from __future__ import annotations

import json
import logging
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy
import numpy as np

from .. import framefiles, paths, playback, takes
from ..problems import UserProblem
from ..retarget import posefile
from ..words import noted, tr
from . import job, judge, source, strip

logger = logging.getLogger(__name__)

RIG, STRIP = framefiles.RIG, framefiles.STRIP
KEY = "follow"  # of the take's metadata
MOST_MARKERS = 8
PARTS = (noted("head"), noted("torso"), noted("left arm"), noted("right arm"), noted("left leg"), noted("right leg"))


def begin(scene: bpy.types.Scene, take: Any, *, force: bool = False) -> str:
    """Read the rig, then judge by the pose file that the take has, or have it made. Returns the job id, empty when the
    verdict is there already. Raises UserProblem."""
    film, captured = source.of_take(scene, take, check=True)
    if captured is None:
        raise UserProblem(tr("The camera of {name} is not in the scene any more: put it back first", name=take.name))
    if not captured.characters:
        raise UserProblem(
            tr("There is no armature in the shot: add a rigged character, or switch one on under Characters")
        )
    is_fresh = not force and _is_fresh(film, takes.folder(take))
    found = "" if is_fresh else job.problem(scene)
    if found:
        raise UserProblem(found)
    _keep_rig(takes.folder(take), captured)
    if is_fresh:
        finish(scene, take)
        return ""
    return job.start(scene, film, job.Wish(people=min(10, len(captured.characters))))


def _is_fresh(film: job.Film, folder: Path) -> bool:
    """Whether the take's pose file is of the frames that it has now."""
    path = folder / job.FILE
    if not path.is_file() or path.stat().st_mtime < max(each.stat().st_mtime for each in film.pictures):
        return False
    try:
        return int(posefile.read_header(path)["frames"]) == film.frames
    except UserProblem:
        return False


def _keep_rig(folder: Path, captured: Any) -> None:
    body = np.stack([each.body for each in captured.characters])
    names = json.dumps([each.params.name for each in captured.characters])
    try:
        np.savez_compressed(folder / RIG, body=body, names=np.frombuffer(names.encode(), np.uint8))
    except OSError as error:
        raise UserProblem(tr("The rig cannot be kept in {folder} ({reason}): free disk space.", folder=folder,
                             reason=error.strerror)) from error  # fmt: skip


def found(take_id: str) -> Iterator[None]:
    """The pose file of a take has come: a piece a tick. The take may be removed between them."""
    try:
        yield from steps(lambda: takes.find(take_id))
    except UserProblem:
        if takes.find(take_id) is not None:
            raise


def finish(scene: bpy.types.Scene, take: Any) -> None:
    """Compare, and write what came of it, at once. Raises UserProblem."""
    for _ in steps(lambda: (scene, take)):
        pass


def steps(there: Callable[[], tuple[bpy.types.Scene, Any] | None]) -> Iterator[None]:
    """Compare, and write what came of it, in pieces of a few milliseconds. ``there``: the take and its scene, None when
    it was removed. Nothing is changed before the last piece. Raises UserProblem."""
    begun = there()
    if begun is None:
        return
    folder, fps = takes.folder(begun[1]), begun[1].fps
    names, bodies = _rig(folder)
    yield
    people: list[Any] = []
    for person in range(len(posefile.read_header(folder / job.FILE)["people"])):
        people.append(judge.points_of(posefile.read_landmarks(folder / job.FILE, person)))
        yield
    pairs = judge.matched(bodies, people, fps)
    yield
    verdicts: list[judge.Verdict | None] = []
    for body, person in zip(bodies, pairs, strict=True):
        verdicts.append(None if person is None else judge.judge(body, people[person], fps))
        yield
    yield from _draw(folder, verdicts, bodies)
    ended = there()
    if ended is not None:
        _write(*ended, [_told(name, verdict) for name, verdict in zip(names, verdicts, strict=True)])


def _write(scene: bpy.types.Scene, take: Any, told: list[dict[str, Any]]) -> None:
    """Markers and numbers."""
    clear_markers(scene, take)
    values = takes.meta(take)
    values[KEY] = {"people": told, "markers": _mark(scene, take, told), "made": round(time.time(), 1)}
    takes.write_meta(take, values)
    framefiles.write_meta(takes.folder(take), values)
    playback.redraw()


def _rig(folder: Path) -> tuple[list[str], list[Any]]:
    try:
        with np.load(folder / RIG, allow_pickle=False) as kept:
            return json.loads(bytes(kept["names"]).decode()), list(kept["body"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserProblem(tr("What was kept of the rig in {folder} cannot be read: check the take again.",
                             folder=folder)) from error  # fmt: skip


def _told(name: str, verdict: judge.Verdict | None) -> dict[str, Any]:
    """A verdict as the take's JSON keeps it; frames count from 1."""
    if verdict is None:
        return {"name": name, "found": False}
    return {
        "name": name,
        "found": True,
        "within": None if np.isnan(verdict.within) else round(verdict.within, 4),
        "judged": round(verdict.judged, 3),
        "unseen": [frame + 1 for frame in verdict.unseen],
        "off": [{"part": each.group, "first": each.first + 1, "last": each.last + 1, "worst": round(each.worst, 3)}
                for each in verdict.stretches],
        "groups": {part: _mean(verdict.groups[:, at]) for at, part in enumerate(judge.GROUPS)},
    }  # fmt: skip


def _mean(errors: Any) -> float | None:
    return None if np.isnan(errors).all() else round(float(np.nanmean(errors)), 4)


def _draw(folder: Path, verdicts: list[judge.Verdict | None], bodies: list[Any]) -> Iterator[None]:
    """The strip of all people, one under the other; grey for who was not found."""
    none = np.full((len(bodies[0]), len(judge.GROUPS)), np.nan)
    groups = np.concatenate([none if each is None else each.groups for each in verdicts], axis=1)
    image = strip.picture(groups)
    yield
    data = strip.encode(image)
    yield
    try:
        (folder / STRIP).write_bytes(data)
    except OSError as error:
        raise UserProblem(tr("The picture cannot be written to {folder} ({reason}): free disk space.", folder=folder,
                             reason=error.strerror)) from error  # fmt: skip


# ---- markers ----------------------------------------------------------------------------------------


def scene_frame(scene: bpy.types.Scene, take: Any, sample: int) -> int:
    """The scene frame at which sample ``sample`` (from 0) of a take is seen."""
    return round(take.frame_start + take.slip + sample * takes.scene_fps(scene) / take.fps)


def _mark(scene: bpy.types.Scene, take: Any, told: list[dict[str, Any]]) -> list[list[Any]]:
    """Markers where the worst stretches begin; returns their names and frames."""
    off = [(each, person) for person in told for each in person.get("off", ())]
    made = []
    for each, person in sorted(off, key=lambda item: -item[0]["worst"])[:MOST_MARKERS]:
        name = tr("off: {part}", part=tr(each["part"]))
        name = f"{person['name']} {name}" if len(told) > 1 else name
        marker = scene.timeline_markers.new(name, frame=scene_frame(scene, take, each["first"] - 1))
        made.append([marker.name, marker.frame])
    return made


def clear_markers(scene: bpy.types.Scene, take: Any) -> int:
    """Take the markers of a take's check away; the user's own stay. Returns how many went."""
    values, gone = takes.meta(take), 0
    for name, frame in (values.get(KEY) or {}).get("markers", ()):
        own = next((each for each in scene.timeline_markers if each.name == name and each.frame == frame), None)
        if own is not None:
            scene.timeline_markers.remove(own)
            gone += 1
    if values.get(KEY):
        values[KEY]["markers"] = []
        takes.write_meta(take, values)
    return gone


# ---- words ------------------------------------------------------------------------------------------


def sentences(take: Any) -> list[str]:
    """What the check of a take came to, one sentence a person; none when there was no check."""
    people = (takes.meta(take).get(KEY) or {}).get("people", ())
    said = [_sentence(each) for each in people]
    return [f"{each['name']}: {text}" for each, text in zip(people, said, strict=True)] if len(said) > 1 else said


def _sentence(told: dict[str, Any]) -> str:
    if not told["found"] or told["within"] is None:
        return tr("Nobody was found in the take where {name} is.", name=told["name"])
    percent = f"{100 * told['within']:.0f}"
    parts = [
        tr("{part} off in frames {first} to {last}", part=tr(each["part"]), first=each["first"], last=each["last"])
        for each in sorted(told["off"], key=lambda each: -each["worst"])[:MOST_MARKERS]
    ]
    if told["unseen"]:
        parts.append(tr("not found in {count} frames", count=len(told["unseen"])))
    said = tr("Follows within {percent} % of the height", percent=percent)
    return f"{said}; {', '.join(parts)}" if parts else said


def strip_file(take: Any) -> Path:
    """The picture of a take's check; it may not be there."""
    return paths.absolute(take.frames_dir) / STRIP


def register() -> None:
    """Be told of takes' pose files."""
    if found not in job.when_found:
        job.when_found.append(found)


def unregister() -> None:
    """No more."""
    if found in job.when_found:
        job.when_found.remove(found)
