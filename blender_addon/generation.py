"""Capture a shot and submit it: a generator, so that a window can show progress between its steps.

Nothing half-made is left: the take appears only when its pack is complete and its folder is proved writable.
"""

from __future__ import annotations

import dataclasses
import datetime
import logging
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import bpy
import msgspec

from . import (
    capture,
    catalog,
    framing,
    madefrom,
    preferences,
    preflight,
    pump,
    room,
    shots,
    state,
    take_settings,
    takes,
    talking,
    wire,
)
from .problems import UserProblem, capital
from .words import tr

PNG_BYTES_A_PIXEL = 1.5  # half of raw RGB: what frames of films take as PNG, on the large side

logger = logging.getLogger(__name__)

KEEP_S = 86400.0  # captured maps are deleted a day after they were last used


@dataclass(frozen=True)
class Wish:
    """What the operator was asked for. ``seed`` None takes the shot's."""

    task: str
    seed: int | None = None
    prompt: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Told:
    """What a job is told besides what is captured of the scene: persons of characters, and a sound with its speaker.

    ``source`` is where the sound came from, for the take: {"from", "name"}.
    """

    people: dict[int, Any] = field(default_factory=dict)
    sound: Any = None  # protocol SoundRef
    person: Any = None  # protocol ImageRef; the first picture of tasks that begin from one
    source: dict[str, str] = field(default_factory=dict)


Steps = Generator[state.CaptureState, None, Any]
Capture = Generator[Any, None, tuple[Any, Any]]
"""Yields capture's own progress; returns the pack and the picture of the last sample, None when nobody asked."""


def assets() -> Any:
    """The folder that holds captured assets by content."""
    return wire.assets.AssetFolder(preferences.settings().data / "assets")


def refuse(problems: list[str]) -> None:
    """Raises UserProblem with the first of them, and says how many more there are."""
    if problems:
        more = len(problems) - 1
        raise UserProblem(tr("{problem} (and {count} more)", problem=problems[0], count=more) if more else problems[0])


def drive_pack(scene: bpy.types.Scene, *, force: bool, task: str | None = None) -> Steps:
    """What the task (None = the shot's) needs of the shot: the last pack when it holds that and nothing changed since,
    else a new capture. Returns CachedPack."""
    task = task or scene.wanstage.task
    refuse(preflight.capture_problems(scene, task) or preflight.namesakes(scene))
    wanted = shots.parameters(scene, task)
    samples = shots.needs_samples(scene.wanstage, task)
    parts = wanted.parts if samples else shots.stills(scene.wanstage, task)
    cached = state.now.packs.get(scene.name)
    if force or (cached is not None and cached.key != shots.pack_key(scene, wanted)):
        cached = None
    if cached is not None:  # a face clip or plates take long: what is there stays
        if cached.parts >= parts and (cached.pack.camera is not None or not samples):
            return cached
        parts -= cached.parts
    wanted = dataclasses.replace(wanted, parts=parts if samples else frozenset())
    began = time.monotonic()
    steps = _whole(wanted) if samples else _pictures(wanted, parts)
    pack, last, warnings = yield from _captured(steps, wanted.frames)
    # the key is taken again: making and unmaking the clay look may have counted as edits
    key, seconds = shots.pack_key(scene, wanted), time.monotonic() - began
    found = state.CachedPack(key, pack, warnings, seconds, parts, last)
    found = state.now.packs[scene.name] = found if cached is None else _joined(cached, found)
    tidy()
    return found


def _captured(steps: Capture, frames: int) -> Steps:
    """Run a capture, telling the panel. Returns pack, last picture or None, warnings. Raises UserProblem."""
    progress = state.now.capture = state.CaptureState("prepare", 0, frames)
    try:
        while True:
            try:
                seen = next(steps)
            except StopIteration as done:
                return (*done.value, progress.warnings)
            progress.stage, progress.step, progress.steps = seen.stage, seen.step, seen.steps
            progress.warnings = seen.warnings
            yield progress
    except capture.CaptureProblem as problem:
        raise UserProblem(str(problem)) from problem
    except RuntimeError as problem:  # how Blender's operators say what went wrong
        sentence = tr("The shot cannot be rendered: {reason}", reason=str(problem).removeprefix("Error: ").strip())
        raise UserProblem(sentence) from problem
    except (wire.errors.WanstageError, OSError) as problem:
        raise UserProblem(_not_kept(tr("captured shot"), problem)) from problem
    finally:
        steps.close()  # Esc: the scene is put back before anything else happens
        state.now.capture = None


def _whole(wanted: Any) -> Capture:
    """The whole shot."""
    return (yield from capture.capture_shot(wanted, assets())), None


def _pictures(wanted: Any, stills: frozenset[str]) -> Capture:
    """For tasks that need no samples: a pack with the first picture only, if they want any."""
    found = (yield from capture.capture_stills(wanted, assets(), last="last" in stills)) if stills else [None]
    pack = wire.specs.DrivePack(wanted.width, wanted.height, wanted.frames, wanted.fps, look=found[0])
    return pack, found[1] if len(found) > 1 else None


def _joined(before: state.CachedPack, now: state.CachedPack) -> state.CachedPack:
    """Both captures of one shot as one: the newer, with the parts that only the older has."""
    base, other = (now, before) if now.pack.camera is not None else (before, now)
    extra = other.parts - base.parts
    kept: dict[str, Any] = {part: getattr(other.pack, part) for part in extra - {"first", "last", "face"}}
    if "first" in extra:
        kept["look"] = other.pack.look
    if "face" in extra:
        faces = {track.index: track.face for track in other.pack.characters}
        kept["characters"] = tuple(
            msgspec.structs.replace(track, face=faces.get(track.index, ())) for track in base.pack.characters
        )
    pack = msgspec.structs.replace(base.pack, **kept)
    warnings = tuple(dict.fromkeys((*before.warnings, *now.warnings)))
    parts = before.parts | now.parts
    return dataclasses.replace(now, pack=pack, parts=parts, warnings=warnings, last=now.last or before.last)


def _not_kept(what: str, error: Exception) -> str:
    """The sentence for a disk that refuses."""
    if isinstance(error, wire.errors.WanstageError):
        return tr("The {what} cannot be kept: {error}", what=what, error=error)
    where = getattr(error, "filename", None) or preferences.settings().data
    reason = getattr(error, "strerror", None) or error
    return tr(
        "The {what} cannot be kept in {where} ({reason}): free disk space or choose another data folder",
        what=what,
        where=where,
        reason=reason,
    )


def tidy() -> None:
    """Delete captured maps of yesterday that no pack of this session needs; what was sent is at the backend."""
    keep = {ref.id for kept in state.now.packs.values() for ref in wire.refs.asset_refs((kept.pack, kept.last))}
    freed = assets().prune(keep, KEEP_S)
    if freed:
        logger.info("%.1f MB of old captures deleted", freed / 1e6)


def generate(scene: bpy.types.Scene, wish: Wish) -> Steps:
    """Check, capture, submit; returns the job id at once, while the frames are still to come."""
    shot = scene.wanstage
    task = wish.task
    refuse(
        preflight.backend_problems(shot.engine, task, shot.model)
        or preflight.capture_problems(scene, task) + preflight.task_problems(scene, task)
    )
    width, height = shots.size(shot)
    takes.check_folder(scene, task, int(shots.frame_count(scene, task) * width * height * PNG_BYTES_A_PIXEL))
    extra = told(scene, task)
    before = state.now.packs.get(scene.name)
    cached = yield from drive_pack(scene, force=wish.force, task=task)
    spec = spec_of(scene, wish, cached, extra)
    span = madefrom.span_of(scene, task, shots.camera(scene).name, spec.frames, spec.fps)
    made_from = madefrom.kept(span, (yield from madefrom.signature(scene, span)))
    extra_meta = {"made_from": made_from, **({"sound": extra.source} if extra.source else {})}
    return submit(scene, wish, spec, cached, extra_meta, captured=cached is not before)


def told(scene: bpy.types.Scene, task: str) -> Told:
    """The files that a task needs, as assets. Only for shots without problems. Raises UserProblem."""
    if task in preflight.WITH_PEOPLE:
        return Told(references(scene))
    if task in shots.STILLS and scene.wanstage.first_image:
        return Told(person=_picture(bpy.path.abspath(scene.wanstage.first_image)))
    if task != talking.TASK:
        return Told()
    sound, source = sound_of(scene)
    if scene.wanstage.person == "character" and shots.needs_samples(scene.wanstage, task):
        return Told(references(scene), sound, None, source)
    return Told({}, sound, person_of(scene), source)


def sound_of(scene: bpy.types.Scene) -> tuple[Any, dict[str, str]]:
    """A talking shot's sound, cut to the shot, and where it came from. Raises UserProblem."""
    wanted = talking.parameters(scene)
    try:
        ref = assets().add(capture.capture_sound(wanted))
    except capture.CaptureProblem as problem:
        raise UserProblem(str(problem)) from problem
    except (wire.errors.WanstageError, OSError) as problem:
        raise UserProblem(_not_kept(tr("sound of the shot"), problem)) from problem
    name = bpy.path.basename(wanted.name)
    return wire.specs.SoundRef(ref, name[: wire.limits.MAX_NAME_CHARS]), {"from": wanted.source, "name": name}


def person_of(scene: bpy.types.Scene) -> Any:
    """The picture of who speaks; None = the shot's first frame as the camera sees it. Raises UserProblem."""
    shot = scene.wanstage
    if shot.person == "camera":
        return None
    try:
        item = talking.speaking(scene)
        path = talking.person_file(scene) or shots.reference_path(item, preferences.settings().cache)
        return capture.load_reference(path, assets()).image
    except capture.CaptureProblem as problem:
        raise UserProblem(str(problem)) from problem
    except (wire.errors.WanstageError, OSError) as problem:
        raise UserProblem(_not_kept(tr("picture of the person"), problem)) from problem


def _picture(path: str) -> Any:
    """The picture that a clip begins with. Raises UserProblem."""
    try:
        return capture.load_reference(path, assets()).image
    except capture.CaptureProblem as problem:
        raise UserProblem(tr("First image: {problem}", problem=problem)) from problem
    except (wire.errors.WanstageError, OSError) as problem:
        raise UserProblem(_not_kept(tr("first image of the shot"), problem)) from problem


def references(scene: bpy.types.Scene) -> dict[int, Any]:
    """Character index -> protocol Reference, for those who have one. Raises UserProblem."""
    found = {}
    scratch = preferences.settings().cache
    for index, item in enumerate(shots.characters(scene), start=1):
        try:
            path = shots.reference_path(item, scratch)
            if path is None:
                continue
            reference = capture.load_reference(framing.reference(scene, item, path), assets())
        except capture.CaptureProblem as problem:
            raise UserProblem(str(problem)) from problem
        except (wire.errors.WanstageError, OSError) as problem:
            raise UserProblem(_not_kept(tr("reference picture of {name}", name=item.name), problem)) from problem
        if item.wanstage.joints == "find":
            reference = msgspec.structs.replace(reference, source="none", body=None, left_hand=None, right_hand=None)
        found[index] = reference
    return found


def with_references(pack: Any, people: dict[int, Any]) -> Any:
    """The pack with each character's person."""
    if not people:
        return pack
    tracks = tuple(
        msgspec.structs.replace(track, reference=people[track.index]) if track.index in people else track
        for track in pack.characters
    )
    return msgspec.structs.replace(pack, characters=tracks)


def spec_of(scene: bpy.types.Scene, wish: Wish, cached: state.CachedPack, extra: Told | None = None) -> Any:
    """The job spec. The model is the shot's when the engine has it, else the engine's first."""
    extra = extra or Told()
    shot, pack = scene.wanstage, with_references(cached.pack, extra.people)
    info = preflight.engine_info(shot.engine)
    models = info.models if info is not None else ()
    model = shot.model if shot.model in models or not models else models[0]
    specs = wire.specs
    said: dict[str, Any] = {"pack": pack} if shots.needs_samples(shot, wish.task) else {}
    if wish.task == talking.TASK:
        said |= _talking(shot, pack, extra)
    elif not said:
        said = {"image": pack.look if wish.task in shots.STILLS else None, "last_image": cached.last}
    if extra.person is not None and wish.task in shots.STILLS:
        said["image"] = extra.person
    if shot.engine == "wan":
        said |= _wan_settings(shot, wish.task, model)
    return specs.JobSpec(
        task=wish.task, width=pack.width, height=pack.height, frames=pack.frames, fps=pack.fps,
        seed=shot.seed if wish.seed is None else wish.seed, engine=shot.engine, model=model,
        prompt=shot.prompt if wish.prompt is None else wish.prompt,
        negative_prompt=shot.negative_prompt or None, label=f"{scene.name} {wish.task}"[:200],
        release=shot.free_card, **said,
    )  # fmt: skip


def _talking(shot: Any, pack: Any, extra: Told) -> dict[str, Any]:
    """The person is an image, or in the pack: its look, or a character's reference with its joints."""
    packed = shots.needs_samples(shot, talking.TASK)
    return {
        "image": extra.person or (None if packed else pack.look),
        "sound": extra.sound,
        "talk": wire.specs.Talk(start_from_reference=shot.from_person, follow_pose=shot.follow_pose),
    }


def _wan_settings(shot: Any, task: str, model: str) -> dict[str, Any]:
    """What the panel's closed parts say; 0 and empty names mean nothing."""
    specs = wire.specs
    loras = tuple(specs.Lora(lora.name, lora.weight, lora.expert) for lora in shot.loras if lora.name)
    animate = specs.Animate()
    if task in preflight.WITH_PEOPLE:
        animate = specs.Animate(int(shot.overlap), shot.match_color, shot.relight and task == "replace")
    return {"sampler": catalog.sampler(shot, model), "loras": loras, "animate": animate, "plan": shot.plan}


def submit(
    scene: bpy.types.Scene,
    wish: Wish,
    spec: Any,
    cached: state.CachedPack,
    extra_meta: dict[str, Any],
    *,
    captured: bool,
) -> str:
    """Make the take, then hand the job to the client. Returns the job id."""
    client = state.now.client
    if client is None:
        problem = state.now.sentence or tr("The backend went away while the shot was captured: connect again")
        raise UserProblem(problem)
    room.begin(scene)
    job_id = wire.client.new_id()
    shot_camera = shots.camera(scene)
    take = takes.add(
        scene, job_id,
        {"task": wish.task, "engine": spec.engine, "seed": spec.seed % 2**31, "width": spec.width,
         "height": spec.height, "frames": spec.frames, "fps": spec.fps, "camera": shot_camera.name,
         "frame_start": shots.frame_range(scene)[0]},
        {"task": wish.task, "engine": spec.engine, "model": spec.model, "seed": spec.seed, "prompt": spec.prompt,
         "size": [spec.width, spec.height], "frames": spec.frames, "fps": spec.fps, "pack_key": cached.key,
         "capture_s": round(cached.seconds, 3), "capture_warnings": list(cached.warnings),
         "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
         "settings": take_settings.snapshot(scene), **extra_meta},
    )  # fmt: skip
    take.choice.model, take.seen_by = spec.model, shot_camera
    takes.framefiles.write_job(takes.folder(take), msgspec.json.encode(spec))
    if spec.sound is not None:
        _keep_sound(scene, take, spec.sound)
    takes.tell(scene, take)
    run = state.Run(job_id, takes.folder(take), captured=captured, submitted=time.monotonic())
    state.now.runs[job_id] = run
    send(scene, client, job_id, spec)
    pump.start_timer()
    logger.info("job %s submitted: %s, %d frames", job_id, wish.task, spec.frames)
    return job_id


def send(scene: bpy.types.Scene, client: Any, job_id: str, spec: Any) -> None:
    """To the client; a job that the protocol does not take leaves no take."""
    try:
        client.submit(job_id, spec, assets())
    except wire.errors.WanstageError as problem:
        state.now.runs.pop(job_id, None)
        takes.remove(scene, job_id)
        raise UserProblem(capital(problem)) from problem
    client.attach(job_id)


def _keep_sound(scene: bpy.types.Scene, take: Any, sound: Any) -> None:
    """Beside the take's frames; there is no take when that fails."""
    try:
        takes.framefiles.write_sound(takes.folder(take), assets().read(sound.asset.id))
    except UserProblem:
        takes.remove(scene, take.job_id)
        raise


def attach(take: Any) -> None:
    """Follow the job of an unfinished take again, from the first frame that is not on disk."""
    client = state.now.client
    if client is None:
        problem = tr("No backend is connected: press Connect first")
        raise UserProblem(problem)
    folder = takes.folder(take)
    takes.framefiles.make_folder(folder)
    received = takes.framefiles.count(folder)
    first, last = takes.part_of(take)
    run = state.Run(take.job_id, folder, received=received, first=first, submitted=time.monotonic())
    state.now.runs[take.job_id] = run
    take.state, take.problem, take.frames_done = "queued", "", received
    client.attach(take.job_id, min(received, last + 1) - first)
    pump.start_timer()
