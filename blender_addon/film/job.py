"""The motion of a film as a job of the backend: sent, followed, resumed, and its pose file written.

One search a scene; its row (``scene.wanstage_retarget.motion``) is saved with the file, so that another session goes on
where this one stopped: results are numbered, the pose file is the last of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy

from .. import follow, framefiles, generation, paths, playback, preferences, preflight, pump, state, wire
from ..problems import UserProblem, capital
from ..retarget import posefile
from ..words import tr
from . import figure, live

logger = logging.getLogger(__name__)

SINCE = 4  # the protocol's minor version that knows the task
ENGINE, MODEL = "pose", "mediapipe"
FILE = framefiles.POSE
RATE_S = 0.5
LOOKED_FOR = frozenset({"submitting", "queued", "loading", "running", "cancelling"})
when_found: list[Callable[[str], Iterator[None]]] = []
"""What is done with a take's pose file when its row says ``check``, piece by piece: see ``check``. Gets the take's job,
raises UserProblem."""
_second: dict[str, Callable[[], Any]] = {}  # job -> its spec with a film, for backends without the take's frames
_began: dict[str, tuple[float, int]] = {}  # job -> when which frame came first, for its speed
_rows: dict[str, dict[str, Any]] = {}  # job -> its row as it is, which undo may take back


@dataclass(frozen=True)
class Film:
    """What is looked at. ``path`` a film; or ``job`` and ``pictures``: a take's frames. ``camera``: protocol Camera."""

    name: str
    width: int
    height: int
    frames: int
    fps: float
    folder: str
    path: Path | None = None
    job: str = ""
    take: str = ""  # whose frames they are
    pictures: tuple[Path, ...] = ()
    camera: Any = None
    views: figure.Path | None = None  # the same for the live figure
    first: int = 1  # scene frame of its first one
    check: bool = False


@dataclass(frozen=True)
class Wish:
    """Whose motion: ``person`` all, largest, longest, a number or X,Y; ``height`` metres, 0 = found by itself."""

    people: int = 1
    person: str = "all"
    height: float = 0.0


def problem(scene: bpy.types.Scene) -> str:
    """Why no motion can be looked for now; empty when it can. Cheap."""
    if row(scene).state in LOOKED_FOR:
        return tr("A motion is being found already: wait for it, or cancel it")
    now = state.now
    found = next(iter(preflight.backend_problems(ENGINE, "pose", MODEL)), "")
    if not found and now.welcome is not None and now.welcome.minor < SINCE:
        return tr("This backend is too old to find motion: update it")
    return found if found or now.client is not None else tr("No backend is connected: press Connect first")


def row(scene: bpy.types.Scene) -> Any:
    """The scene's search, of which there may have been none."""
    return scene.wanstage_retarget.motion


def rows() -> Iterator[tuple[bpy.types.Scene, Any]]:
    """Of all scenes of this file that have had one."""
    for scene in bpy.data.scenes:
        if scene.library is None and row(scene).job_id:
            yield scene, row(scene)


def find(job_id: str) -> tuple[bpy.types.Scene, Any] | None:
    """The row of a job and its scene."""
    return next(((scene, each) for scene, each in rows() if each.job_id == job_id), None)


def new_folder(scene: bpy.types.Scene, job_id: str) -> str:
    """Where a film's pose file goes: beside the file as takes do, else the cache."""
    if not bpy.data.filepath:
        return str(preferences.settings().cache / job_id)
    return f"//wanstage/{framefiles.safe_name(scene.name)}/motion_{job_id[:8]}"


# ---- sending ----------------------------------------------------------------------------------------


def start(scene: bpy.types.Scene, film: Film, wish: Wish) -> str:
    """Send it; returns the job id at once. Raises UserProblem."""
    found = problem(scene)
    if found:
        raise UserProblem(found)
    most = wire.limits.MAX_FRAMES
    if not 0 < film.frames <= most:
        raise UserProblem(tr("{name} has {count} frames, 1 to {most} can be looked at: cut it.", name=film.name,
                             count=film.frames, most=most))  # fmt: skip
    job_id = wire.client.new_id()
    folder = film.folder or new_folder(scene, job_id)
    framefiles.make_folder(paths.absolute(folder))
    spec = spec_of(film, wish, by_job=bool(film.job))
    values = {"job_id": job_id, "state": "submitting", "source": film.name, "folder": folder, "problem": "",
              "notes": "", "frames": film.frames, "frames_done": 0, "received": 0, "eta": -1.0, "rate": 0.0,
              "first": film.first, "take_id": film.take, "check": film.check, "width": film.width,
              "height": film.height}  # fmt: skip
    _write(scene, row(scene), values)
    if film.job:
        _second[job_id] = lambda: spec_of(film, wish, by_job=False)
    state.now.runs[job_id] = state.Run(job_id, paths.absolute(folder), submitted=time.monotonic())
    try:
        state.now.client.submit(job_id, spec, generation.assets())
    except wire.errors.WanstageError as error:
        state.now.runs.pop(job_id)
        _forget(job_id)
        _write(scene, row(scene), {"job_id": "", "state": "", "problem": ""})
        raise UserProblem(capital(error)) from error
    state.now.client.attach(job_id)
    live.watch(job_id, live.Watched(film.width, film.height, film.fps, film.views))
    pump.start_timer()
    return job_id


def spec_of(film: Film, wish: Wish, *, by_job: bool) -> Any:
    """The job. Raises UserProblem when the film cannot be read or kept."""
    specs = wire.specs
    asked: dict[str, Any] = {"of_job": film.job} if by_job else {"video": _video(film)}
    pose = specs.Pose(
        person=wish.person or "all", people=wish.people, height=wish.height or None, camera=film.camera, **asked
    )
    return specs.JobSpec(
        "pose", film.width, film.height, film.frames, film.fps, engine=ENGINE, model=MODEL, pose=pose,
        label=f"{film.name} pose"[: wire.limits.MAX_NAME_CHARS],
    )  # fmt: skip


def _video(film: Film) -> Any:
    from . import pictures

    folder = generation.assets()
    try:
        if film.path is not None:
            asset = folder.add_file(film.path)
        else:
            asset = folder.add(pictures.film(film.pictures, film.fps))
    except (wire.errors.WanstageError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserProblem(tr("{name} cannot be read ({reason}).", name=film.name, reason=reason)) from error
    return wire.specs.VideoRef(asset, film.name[: wire.limits.MAX_NAME_CHARS])


def cancel(scene: bpy.types.Scene) -> None:
    """Stop the search. Raises UserProblem."""
    own = row(scene)
    if state.now.client is None:
        raise UserProblem(tr("No backend is connected: press Connect first"))
    if own.job_id not in state.now.runs:
        raise UserProblem(tr("No motion is being found"))
    state.now.client.cancel(own.job_id)


def attach_unfinished() -> int:
    """Go on with the searches of this file; returns how many."""
    count = 0
    for _, own in rows():
        if own.state not in LOOKED_FOR or own.job_id in state.now.runs or state.now.client is None:
            continue
        run = state.Run(own.job_id, paths.absolute(own.folder), received=own.received, submitted=time.monotonic())
        run.done_s = -1.0 if own.received > own.frames else 0.0
        state.now.runs[own.job_id] = run
        state.now.client.attach(own.job_id, own.received)
        live.watch(own.job_id, live.Watched(own.width, own.height))
        count += 1
    return count


# ---- following --------------------------------------------------------------------------------------


def handle(event: Any) -> bool:
    """One event of the client; whether it was about a search of ours."""
    kind = type(event).__name__
    if kind == "Connected":
        attach_unfinished()
    elif kind == "Disconnected":
        live.hide()
    job_id = event.update.job_id if kind == "JobChanged" else getattr(event, "job_id", "")
    there = find(job_id) if job_id else None
    if kind == "PoseArrived":
        _arrived(event, there)
        return True
    run = state.now.runs.get(job_id)
    if there is None or run is None:
        return False
    if kind == "UploadProgress":
        run.upload = (event.sent, event.total)
    elif kind == "JobChanged":
        run.update = event.update
        _changed(run, *there)
    elif kind == "RequestFailed":
        _failed(run, *there, event.error)
    elif kind == "RequestDone" and event.request == "cancel" and run.update is None:
        _end(run, *there, "cancelled")
    return True


def _arrived(event: Any, there: tuple[bpy.types.Scene, Any] | None) -> None:
    """What one frame shows, which is counted, or the pose file."""
    run = state.now.runs.get(event.job_id)
    try:
        if run is None or there is None or run.settled or event.index != run.received:
            return
        scene, own = there
        if event.header.kind == "file":
            _write_file(paths.absolute(own.folder) / FILE, event.data)
            run.done_s = -1.0  # it is here
        else:
            since, at = _began.setdefault(event.job_id, (time.monotonic(), event.index))
            spent = time.monotonic() - since
            rate = (event.index - at) / spent if spent > RATE_S else own.rate
            _write(scene, own, {"frames_done": event.index + 1, "rate": rate})
            live.came(event.job_id, event.index, event.data)
        run.received = event.index + 1
        _write(scene, own, {"received": run.received})
        _changed(run, scene, own)
    except UserProblem as error:
        _end(run, *there, "failed", str(error))
    finally:
        state.now.client.consumed(event)


def _write_file(target: Path, data: Any) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        framefiles.write_whole(target, data)
    except OSError as error:
        raise UserProblem(tr("The pose file cannot be written to {folder} ({reason}): free disk space, then try again.",
                             folder=target.parent, reason=error.strerror)) from error  # fmt: skip


def _changed(run: state.Run, scene: bpy.types.Scene, own: Any) -> None:
    """The job's state into the row; it ends when the pose file is here as well."""
    update = run.update
    if update is None or run.settled:
        return
    if update.state not in wire.messages.TERMINAL:
        eta = update.progress.eta_s
        _write(scene, own, {"state": update.state, "eta": -1.0 if eta is None else eta})
    elif update.state != "finished":
        _end(run, scene, own, update.state, update.error)
    elif run.done_s < 0:
        _found(run, scene, own)


def _failed(run: state.Run, scene: bpy.types.Scene, own: Any, error: Any) -> None:
    """A backend that has not got the take's frames any more is sent them."""
    again = _second.pop(own.job_id, None)
    gone = type(error).__name__ in {"UnknownJob", "InvalidJob"}
    if again is None or not gone or run.update is not None:
        lost = type(error).__name__ == "UnknownJob"
        _end(run, scene, own, "lost" if lost else "failed", str(error))
        return
    logger.info("the backend has not got the frames of %s (%s): they are sent", own.source, error)
    try:
        client = state.now.client
        client.forget(own.job_id)
        client.submit(own.job_id, again(), generation.assets())
        client.attach(own.job_id)
    except (UserProblem, wire.errors.WanstageError) as problem:
        _end(run, scene, own, "failed", str(problem))


def _found(run: state.Run, scene: bpy.types.Scene, own: Any) -> None:
    """The pose file is the Retarget panel's now, or what a take is judged by."""
    run.done_s = 0.0
    if own.check:
        state.now.pieces.append(_judged(run, own.take_id))
        return
    path = paths.absolute(own.folder) / FILE
    try:
        people = len(posefile.read_header(path)["people"])
    except UserProblem as problem:
        logger.warning("%s", problem)
        _end(run, scene, own, "failed", tr("The backend sent no pose file that can be read: press Find Motion again"))
        return
    _end(run, scene, own, "finished")
    notes = [*getattr(run.update, "warnings", ())]
    if people > 1:
        notes.insert(0, tr("{count} people are in it: choose one by Person", count=people))
    shown = scene.wanstage_retarget
    _write(scene, own, {"notes": "\n".join(notes)})
    shown.pose_file, shown.person, shown.first = paths.relative(path), 0, own.first


def _judged(run: state.Run, take_id: str) -> Iterator[None]:
    """The take is judged, and the search has ended then."""
    sentence = ""
    try:
        for each in when_found:
            yield from each(take_id)
    except UserProblem as problem:
        sentence = str(problem)
    there = find(run.job_id)
    if there is not None and not run.settled:
        _end(run, *there, "failed" if sentence else "finished", sentence)
    run.settled = True


def _end(run: state.Run, scene: bpy.types.Scene, own: Any, final: str, sentence: str = "") -> None:
    run.settled, run.final, run.problem = True, final, sentence
    _write(scene, own, {"state": final, "problem": capital(sentence), "eta": -1.0})
    _second.pop(own.job_id, None)
    live.end(own.job_id)
    state.now.undo_step = "Wanstage Find Motion"
    playback.redraw()


def _write(scene: bpy.types.Scene, own: Any, values: dict[str, Any]) -> None:
    for name, value in values.items():
        if getattr(own, name) != value:
            setattr(own, name, value)
    if own.job_id:
        kept = _rows.setdefault(own.job_id, {"scene": scene.name})
        kept.update(
            {each.identifier: getattr(own, each.identifier) for each in own.bl_rna.properties if each.type != "POINTER"}
        )


def _forget(job_id: str) -> None:
    _rows.pop(job_id, None)
    _second.pop(job_id, None)


def after_undo() -> None:
    """Undo brings old rows back: what runs goes on in its row."""
    for job_id, kept in _rows.items():
        scene, run = bpy.data.scenes.get(kept["scene"]), state.now.runs.get(job_id)
        if scene is None or run is None:
            continue
        if not run.settled or row(scene).job_id == job_id:
            _write(scene, row(scene), {name: value for name, value in kept.items() if name != "scene"})


def forget() -> None:
    """Another file is open."""
    _rows.clear()
    _began.clear()
    _second.clear()
    live.end()


def move_beside_file(target: Path) -> None:
    """Before a file is saved for the first time: bring pose files from the cache next to it. Raises UserProblem."""
    for scene, own in rows():
        source = Path(own.folder)
        if own.folder.startswith("//") or own.take_id or own.state in LOOKED_FOR or not source.is_dir():
            continue
        relative = f"//wanstage/{framefiles.safe_name(scene.name)}/motion_{own.job_id[:8]}"
        there = target.parent / relative.removeprefix("//")
        if there.exists():
            continue
        framefiles.move(source, there)
        _write(scene, own, {"folder": relative})
        repoint(scene, source, relative)


def repoint(scene: bpy.types.Scene, source: Path, relative: str) -> None:
    """A folder was moved: the Retarget panel's pose file, if it lies in there, with it."""
    shown = scene.wanstage_retarget
    if shown.pose_file and paths.absolute(shown.pose_file).parent == source:
        shown.pose_file = f"{relative}/{Path(shown.pose_file).name}"


def register() -> None:
    """Have the messages of the backend."""
    if handle not in follow.OTHERS:
        follow.OTHERS.append(handle)
    if live.hide not in state.leaving:
        state.leaving.append(live.hide)


def unregister() -> None:
    """Let go of them."""
    if handle in follow.OTHERS:
        follow.OTHERS.remove(handle)
    if live.hide in state.leaving:
        state.leaving.remove(live.hide)
    forget()
