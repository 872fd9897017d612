"""A part of a take made again as a new take: its other frames are the parent's files, linked or copied.

The parent's job is in its folder, so its drive pack is used again while the scene is as it was; otherwise the shot is
captured anew, with the parent's settings, and that is said.
"""

from __future__ import annotations

import datetime
import logging
import time
from dataclasses import dataclass
from typing import Any

import bpy
import msgspec

from . import (
    choices,
    framefiles,
    generation,
    madefrom,
    playback,
    preflight,
    pump,
    room,
    shots,
    state,
    take_settings,
    takes,
    wire,
)
from .problems import UserProblem, capital
from .words import tr

logger = logging.getLogger(__name__)

SINCE = 4  # the protocol's minor version that knows parts
PICTURE, CONTINUED, MOTION = 4, 5, 73
"""Frames round about a part that models look at: I2V rounds its number of frames up by at most so many less one,
Animate goes on from up to five, S2V from 73."""
ALIKE = ("width", "height", "frames", "fps", "camera", "frame_start", "shot", "frame_end", "slip", "outside",
         "pixel_aspect")  # fmt: skip
MADE = ("state", "frames", "notes", "timings", "warnings", "problem", "redo", "job_id", "schema")  # of a take's own job


@dataclass(frozen=True)
class Wish:
    """Frames ``first`` to ``last`` of the take ``job_id``, from 1. ``character``: a name, empty = whole frames;
    ``seed`` None takes the next free one; ``model``: another one of the video models, empty = the take's.
    """

    job_id: str
    first: int
    last: int
    character: str = ""
    overlap: int = 4
    seed: int | None = None
    match_color: bool = False
    model: str = ""


@dataclass(frozen=True)
class Source:
    """What a part is made from: the job of the whole clip, when its scene was captured, and with which warnings.

    ``shown``: masks of the part where the parent shows the character, if that is not where it is now; ``why``: why
    the shot was captured again, empty when it was not.
    """

    spec: Any
    made_from: dict[str, Any]
    shown: tuple[Any, ...] = ()
    why: str = ""
    warnings: tuple[str, ...] = ()


# ---- what keeps it from being done ------------------------------------------------------------------


def problem(take: Any) -> str:
    """Why no part of a take can be made again now, whatever makes it; empty when one can. Cheap: nothing is read."""
    if take.state not in takes.ENDED:
        return tr("{name} is still being made", name=take.name)
    if not take.frames_done or take.frames_done != take.frames:
        return tr("{name} has {done} of {count} frames: only whole takes can be made again in part",
                  name=take.name, done=take.frames_done, count=take.frames)  # fmt: skip
    if state.now.capture is not None:
        return tr("A capture is going on")
    if state.now.client is None and state.now.launch is None:
        return state.now.sentence or tr("No backend is connected: press Connect first")
    if state.now.welcome is not None and state.now.welcome.minor < SINCE:
        return tr("This backend is too old to make a part of a take: update it")
    return ""


def model_problem(take: Any, model: str = "", *, character: bool = False) -> str:
    """Why the take's model, or another one, cannot make a part of it, or a character in it; empty when it can."""
    engine, name, task = _maker(take, model)
    found = next(iter(preflight.backend_problems(engine, task, name)), "")
    info = generation.catalog.model_info(engine, name)
    if not found and info is not None and set(info.tasks) == {"t2v"}:
        return tr("{model} makes clips of the prompt alone and cannot go on from a frame: choose another model",
                  model=info.title or info.name)  # fmt: skip
    if not found and info is not None and character and "replace" not in info.tasks:
        return tr("{model} cannot make one character again: choose whole frames, or a model that does Replace",
                  model=info.title or info.name)  # fmt: skip
    return found


def _maker(take: Any, model: str) -> tuple[str, str, str]:
    """Engine, model and task of the part. Another model does the take's task, or else goes on from a picture."""
    if not model:
        return take.engine, take.choice.model or take.engine, take.task
    info = generation.catalog.model_info("wan", model)
    return "wan", model, take.task if info is None or take.task in info.tasks else "i2v"


def range_problem(take: Any, first: int, last: int) -> str:
    """What is wrong with the frames; empty when nothing."""
    if last < first:
        return tr("The part ends at frame {last}, before it begins at frame {first}: set a later last frame",
                  first=first, last=last)  # fmt: skip
    if first < 1 or last > take.frames:
        return tr("{name} has the frames 1 to {count}, the part is {first} to {last}: choose frames of the take",
                  name=take.name, count=take.frames, first=first, last=last)  # fmt: skip
    return ""


def title(parent: Any, wish: Wish, number: int) -> str:
    """Such as "Take 3 (frames 20 to 41 of Take 2)"."""
    name = parent.name.partition(" (")[0]
    said = {"number": number, "first": wish.first, "last": wish.last, "parent": name}
    if wish.character:
        return tr("Take {number} ({who}, frames {first} to {last} of {parent})", who=wish.character, **said)
    return tr("Take {number} (frames {first} to {last} of {parent})", **said)


# ---- making it --------------------------------------------------------------------------------------


def remake(scene: bpy.types.Scene, wish: Wish) -> generation.Steps:
    """Check, capture if the scene has changed, submit. Returns the job id and the Source. Raises UserProblem."""
    there = takes.find(wish.job_id)
    if there is None:
        raise UserProblem(tr("There is no such take in this file"))
    parent = there[1]
    found = (
        problem(parent),
        model_problem(parent, wish.model, character=bool(wish.character)),
        range_problem(parent, wish.first, wish.last),
    )
    generation.refuse([each for each in found if each][:1])
    _check_files(parent)
    nbytes = (wish.last - wish.first + 1) * parent.width * parent.height * generation.PNG_BYTES_A_PIXEL
    takes.check_folder(scene, parent.task, int(nbytes))
    source = yield from _source(scene, parent, wish)
    spec = _part(scene, parent, wish, source)
    return _submit(scene, wish, spec, source), source


def _check_files(parent: Any) -> None:
    folder = takes.folder(parent)
    if framefiles.count(folder) < parent.frames:
        raise UserProblem(tr("{name} has no frames on disk in {folder}", name=parent.name, folder=folder))


def _source(scene: bpy.types.Scene, parent: Any, wish: Wish) -> generation.Steps:
    """The parent's own job while the scene is as it was and all of it is here, else a new capture."""
    spec, told = _job(parent), takes.meta(parent).get("made_from")
    span = madefrom.span_from(told)
    why = tr("{name} was made before takes kept their jobs", name=parent.name) if spec is None else ""
    if not why and span is not None:
        why = capital(madefrom.sentence(told, (yield from madefrom.signature(scene, span))))
    if not why and not _is_here(spec):
        why = tr("What was captured for {name} is not here any more", name=parent.name)
    if not why and wish.character and not (spec.pack and spec.pack.mask):
        why = tr("{name} was captured without masks", name=parent.name)
    if not why:
        return Source(spec, told or {})
    return (yield from _captured(scene, takes.find(wish.job_id)[1], wish, spec, why))


def _job(parent: Any) -> Any:
    """The job of a take, as it is in its folder; None when it is not there, or of a version that we cannot read."""
    try:
        return wire.load("validation").parse_spec((takes.folder(parent) / framefiles.JOB).read_bytes())
    except (OSError, wire.errors.WanstageError) as error:
        logger.info("no job of %s: %s", parent.name, error)
        return None


def _is_here(spec: Any) -> bool:
    folder = generation.assets()
    refs = list(wire.refs.asset_refs(msgspec.structs.replace(spec, redo=None)))
    for ref in refs:
        if not folder.has(ref):
            return False
    for ref in refs:
        folder.touch(ref.id)  # a capture that is used is kept another day
    return True


def _captured(scene: bpy.types.Scene, parent: Any, wish: Wish, old: Any, why: str) -> generation.Steps:
    """The shot as it is now, with the parent's settings; the shot's own come back."""
    before, told = take_settings.snapshot(scene), takes.meta(parent)
    name, task = scene.name, parent.task
    try:
        take_settings.apply(scene, told.get("settings") or {})
        shot = scene.wanstage
        # To replace one character of a video model's take, masks and depth are needed too.
        wanted = "replace" if wish.character and shot.engine == "wan" and task == "animate" else task
        generation.refuse(preflight.capture_problems(scene, wanted) + preflight.task_problems(scene, task))
        extra = generation.told(scene, task)
        cached = yield from generation.drive_pack(scene, force=False, task=wanted)
        asked = generation.Wish(task, int(told.get("seed", parent.seed)), told.get("prompt"))
        spec = generation.spec_of(scene, asked, cached, extra)
        span = madefrom.span_of(scene, task, shots.camera(scene).name, spec.frames, spec.fps)
        made_from = madefrom.kept(span, (yield from madefrom.signature(scene, span)))
    finally:
        found = bpy.data.scenes.get(name)  # another file may have been opened meanwhile
        if found is not None:
            take_settings.apply(found, before)
    _check_same(takes.find(wish.job_id)[1], spec)
    return Source(spec, made_from, _shown(old, spec, wish), why, cached.warnings)


def _check_same(parent: Any, spec: Any) -> None:
    """A part fits only into a clip of its own length and size."""
    if (spec.width, spec.height, spec.frames) == (parent.width, parent.height, parent.frames):
        return
    now, then = (f"{frames} x {width} x {height}" for width, height, frames in (
        (spec.width, spec.height, spec.frames), (parent.width, parent.height, parent.frames)))  # fmt: skip
    raise UserProblem(
        tr("The shot is now {now} (frames, width, height) and {name} is {then}: generate it anew",
           now=now, name=parent.name, then=then)
    )  # fmt: skip


def _shown(old: Any, new: Any, wish: Wish) -> tuple[Any, ...]:
    """The masks of the part where the parent shows the character, if both jobs know it by the same index."""
    if not wish.character or old is None or old.pack is None or not old.pack.mask:
        return ()
    masks = tuple(old.pack.mask[wish.first - 1 : wish.last])
    same = _index(old, wish.character) == _index(new, wish.character)
    here = all(generation.assets().has(each.asset) for each in masks)
    return masks if same and here and masks != tuple(new.pack.mask[wish.first - 1 : wish.last]) else ()


def _index(spec: Any, name: str) -> int:
    """A character's value in the masks. Raises UserProblem."""
    people = spec.pack.characters if spec.pack is not None else ()
    found = next((each.index for each in people if each.name == name), None)
    if found is None:
        names = ", ".join(each.name for each in people) or tr("nobody")
        raise UserProblem(tr("{name} is not in the shot, it has: {names}", name=name, names=names))
    return int(found)


# ---- the job ----------------------------------------------------------------------------------------


def _part(scene: bpy.types.Scene, parent: Any, wish: Wish, source: Source) -> Any:
    """The whole clip's job with the part in it."""
    specs, spec = wire.specs, source.spec
    first, last = wish.first - 1, wish.last - 1
    character = _index(spec, wish.character) if wish.character else 0
    wanted = set(wire.redo.needed(first, last, parent.frames, overlap=wish.overlap, character=character))
    engine, model, task = _maker(parent, wish.model)
    before, behind = _reach(engine, task)
    wanted |= {*range(max(first - before, 0), first), *range(last + 1, min(last + 1 + behind, parent.frames))}
    part = specs.Redo(
        first, last, tuple(_frame(parent, index) for index in sorted(wanted)), wish.overlap, character, source.shown,
        wish.match_color,
    )  # fmt: skip
    changes: dict[str, Any] = {"engine": engine, "model": model, "task": task} if wish.model else {}
    if character and engine == "wan" and task == "animate" and spec.pack is not None:
        changes["pack"] = msgspec.structs.replace(spec.pack, plate=())  # the clip's own frames are the plate
    seed = choices.another_seed(scene, parent) if wish.seed is None else wish.seed
    return msgspec.structs.replace(
        spec, seed=seed, redo=part, release=scene.wanstage.free_card, label=f"{scene.name} {task} part"[:200], **changes
    )


def _reach(engine: str, task: str) -> tuple[int, int]:
    """So many frames before and behind a part may be looked at."""
    if engine != "wan":
        return 0, 0
    if task == "s2v":
        return MOTION, 0
    return (CONTINUED, 0) if task in preflight.WITH_PEOPLE else (PICTURE, PICTURE)


def _frame(parent: Any, index: int) -> Any:
    """A frame of the take as an asset. Raises UserProblem."""
    path = framefiles.path_of(takes.folder(parent), index)
    try:
        asset = generation.assets().add_file(path)
    except (wire.errors.WanstageError, OSError) as error:
        raise UserProblem(tr("{path} cannot be read: {reason}", path=path, reason=error)) from error
    return wire.specs.KeptFrame(index, wire.specs.ImageRef(asset, parent.width, parent.height))


def _submit(scene: bpy.types.Scene, wish: Wish, spec: Any, source: Source) -> str:
    """Make the take with the parent's frames in it, then hand the job to the client. Returns the job id."""
    client = state.now.client
    if client is None:
        raise UserProblem(state.now.sentence or tr("No backend is connected: press Connect first"))
    room.begin(scene)
    job_id = wire.client.new_id()
    take = _new_take(scene, job_id, wish, spec, source)
    folder = takes.folder(take)
    try:
        _take_over(takes.find(wish.job_id)[1], take, wish)
    except UserProblem:
        takes.remove(scene, job_id)
        raise
    framefiles.write_job(folder, msgspec.json.encode(spec))
    first = wish.first - 1
    captured = bool(source.why)
    run = state.Run(job_id, folder, received=first, first=first, captured=captured, submitted=time.monotonic())
    state.now.runs[job_id] = run
    generation.send(scene, client, job_id, spec)
    _show_kept(scene, job_id)
    pump.start_timer()
    logger.info("job %s submitted: frames %d to %d of %s", job_id, wish.first, wish.last, wish.job_id)
    return job_id


def _new_take(scene: bpy.types.Scene, job_id: str, wish: Wish, spec: Any, source: Source) -> Any:
    """Its row, with all that the parent's has."""
    parent = takes.find(wish.job_id)[1]
    kept = {name: getattr(parent, name) for name in ALIKE}
    told = {name: value for name, value in takes.meta(parent).items() if name not in MADE}
    number = sum(take.shot == parent.shot for take in scene.wanstage.takes) + 1
    name = title(parent, wish, number)
    told |= {
        "task": spec.task, "engine": spec.engine, "model": spec.model, "seed": spec.seed,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "made_from": source.made_from, "capture_warnings": list(source.warnings),
        "redo": {"of": wish.job_id, "first": wish.first, "last": wish.last, "overlap": wish.overlap,
                 "character": wish.character, "match_color": wish.match_color, "model": wish.model},
    }  # fmt: skip
    kept |= {"task": spec.task, "engine": spec.engine, "seed": spec.seed % 2**31}
    take = takes.add(scene, job_id, kept, told)
    take.name, take.choice.model, take.frames_done = name, spec.model, wish.first - 1
    take.pixel_aspect = kept["pixel_aspect"]
    takes.tell(scene, take)
    return take


def _take_over(parent: Any, take: Any, wish: Wish) -> None:
    """The parent's frames outside of the part, and its sound."""
    source, part = takes.folder(parent), range(wish.first - 1, wish.last)
    names = [framefiles.path_of(source, index).name for index in range(parent.frames) if index not in part]
    if takes.sound_file(parent).is_file():
        names.append(framefiles.SOUND)
    framefiles.keep(source, takes.folder(take), names)


def _show_kept(scene: bpy.types.Scene, job_id: str) -> None:
    """The plane at once, with the frame before the part, until the first new one comes."""
    found = takes.find(job_id)
    camera = bpy.data.objects.get(found[1].camera) if found else None
    if camera is None or not found[1].frames_done:
        return
    plane = takes.place(scene, found[1], camera)
    folder = takes.folder(found[1])
    playback.show_frame(plane, framefiles.path_of(folder, 0), found[1].frames_done - 1)


def again(take: Any) -> Wish | None:
    """The wish that a take was made by, to be made once more; None for takes of whole clips. Raises UserProblem."""
    told = takes.meta(take).get("redo")
    if not told:
        return None
    if takes.find(told["of"]) is None:
        raise UserProblem(tr("The take that {name} is a part of was removed: make the whole shot anew", name=take.name))
    return Wish(told["of"], told["first"], told["last"], told.get("character", ""), told.get("overlap", 4),
                int(takes.meta(take).get("seed", take.seed)), told.get("match_color", False),
                told.get("model", ""))  # fmt: skip
