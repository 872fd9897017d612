"""What each message of the backend does to the takes of the file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import bpy

from . import estimates, findings, framefiles, heard, playback, state, takes, wire
from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

OTHERS: list[Callable[[Any], bool]] = []
"""Who else follows jobs: each is asked whether an event was about one of its own."""


class Shown:
    """The newest picture that came: only that is put on a plane."""

    def __init__(self) -> None:
        self.preview: Any = None
        self.frame: tuple[str, int] | None = None

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.frame is not None or self.preview is not None

    def show(self) -> bool:
        """Put it there; False when only its plane was made, which takes a turn of its own."""
        job_id = self.frame[0] if self.frame is not None else getattr(self.preview, "job_id", "")
        if _make_plane(job_id):
            return False
        if self.frame is not None:
            _show_frame(*self.frame)
        elif self.preview is not None:
            _show_preview(self.preview)
        return True


def handle(event: Any, shown: Shown) -> None:
    """One event of ``protocol.client``."""
    if any(other(event) for other in OTHERS):
        return
    name = type(event).__name__
    handler = _HANDLERS.get(name)
    if handler is None:
        logger.info("nothing to do for %s", name)
        return
    handler(event, shown)


def _connected(event: Any, _shown: Shown) -> None:
    now = state.now
    now.status, now.sentence, now.welcome = "connected", "", event.welcome
    estimates.forget()


def _disconnected(event: Any, _shown: Shown) -> None:
    now = state.now
    now.status = "connecting"
    now.sentence = tr("{reason}; trying again", reason=heard.reason(event.reason))


def _refused(event: Any, _shown: Shown) -> None:
    """Wrong key or wrong version: trying again cannot help."""
    raise UserProblem(heard.reason(event.error))


def _upload(event: Any, _shown: Shown) -> None:
    run = state.now.runs.get(event.job_id)
    if run is not None:
        run.upload = (event.sent, event.total)
        _row(run, stage="upload", step=event.sent >> 20, steps=event.total >> 20)


def _submitted(event: Any, _shown: Shown) -> None:
    run = state.now.runs.get(event.job_id)
    if run is not None:
        run.uploaded_s = run.uploaded_s or time.monotonic() - run.submitted
    logger.info("job %s is at the backend", event.job_id)


def _job_changed(event: Any, _shown: Shown) -> None:
    run = state.now.runs.get(event.update.job_id)
    if run is None:
        return
    run.update = event.update
    write_row(run)
    settle(run)


def _frame(event: Any, shown: Shown) -> None:
    run = state.now.runs.get(event.job_id)
    index = event.index + run.first if run is not None else 0
    # a later one than is due was on its way before we attached anew; it comes again in its turn
    if run is None or run.problem or index != run.received:
        state.now.client.consumed(event)
        return
    try:
        framefiles.write(run.folder, index, event.data)
    except UserProblem as problem:
        fail(run, str(problem))
        return
    state.now.client.consumed(event)
    run.received = index + 1
    run.first_frame_s = run.first_frame_s or time.monotonic() - run.submitted
    if event.header.note:
        run.notes[index] = event.header.note
    shown.frame = (run.job_id, index)
    settle(run)


def _preview(event: Any, shown: Shown) -> None:
    if event.job_id in state.now.runs:
        shown.preview = event


def _estimated(event: Any, _shown: Shown) -> None:
    if estimates.arrived(event.request, event.estimate):
        findings.again(bpy.context.scene)


def _request_failed(event: Any, _shown: Shown) -> None:
    sentence = str(event.error)
    if event.request == "estimate":
        estimates.failed(sentence)
        return
    run = state.now.runs.get(event.job_id)
    if run is None:
        state.now.sentence = sentence
        return
    lost = type(event.error).__name__ == "UnknownJob"
    fail(run, sentence, "lost" if lost else "failed")


def _done(event: Any, _shown: Shown) -> None:
    """A job that was cancelled before it was at the backend: nothing more will be heard of it."""
    run = state.now.runs.get(event.job_id)
    if event.request == "cancel" and run is not None and run.update is None and not run.settled:
        run.settled, run.done_s = True, time.monotonic() - run.submitted
        _end_row(run, "cancelled", "")


_HANDLERS = {
    "Connected": _connected,
    "Disconnected": _disconnected,
    "Refused": _refused,
    "UploadProgress": _upload,
    "Submitted": _submitted,
    "JobChanged": _job_changed,
    "FrameArrived": _frame,
    "PreviewArrived": _preview,
    "Estimated": _estimated,
    "RequestDone": _done,
    "RequestFailed": _request_failed,
}


# ---- rows -------------------------------------------------------------------------------------------


def _row(run: state.Run, **values: Any) -> None:
    found = takes.find(run.job_id)
    if found is not None:
        for name, value in values.items():
            if getattr(found[1], name) != value:
                setattr(found[1], name, value)


def write_row(run: state.Run) -> None:
    """The job's present state into its take. The take ends only when its frames are here too, see ``settle``."""
    update = run.update
    if update is None or run.settled:
        return
    progress = update.progress
    ended = update.state in wire.messages.TERMINAL
    _row(
        run,
        state="running" if ended else update.state,
        stage=heard.WAITING.format(position=update.position)
        if update.position
        else progress.stage,  # English: a file's
        step=progress.step,
        steps=progress.steps,
        frames_done=run.received,
        eta=-1.0 if progress.eta_s is None else progress.eta_s,
    )


def restore_row(run: state.Run) -> None:
    """After undo or redo: the row as it is now, and its picture if that was taken away."""
    if not run.settled:
        write_row(run)
        return
    found = takes.find(run.job_id)
    if found is None:
        return
    scene, take = found
    take.state = run.final
    take.problem = run.problem or getattr(run.update, "error", "")
    if run.received:
        takes.relink(scene, take)


def settle(run: state.Run) -> None:
    """When the job has ended and all its frames are on disk: the final row, the sequence, one undo step."""
    update = run.update
    if run.settled or update is None or update.state not in wire.messages.TERMINAL:
        return
    if update.state == "finished" and run.received < run.first + update.frames:
        return
    run.received = framefiles.count(run.folder) or run.received  # of a redone part: with the frames behind it
    run.settled, run.done_s = True, time.monotonic() - run.submitted
    _end_row(run, update.state, update.error)


def fail(run: state.Run, sentence: str, final: str = "failed") -> None:
    """The take cannot go on from here; what arrived is kept."""
    logger.warning("job %s: %s", run.job_id, sentence)
    run.problem, run.settled = sentence, True
    _end_row(run, final, sentence)


def _end_row(run: state.Run, final: str, sentence: str) -> None:
    found = takes.find(run.job_id)
    run.final = final
    estimates.forget()  # how long it took is known now
    if found is None:
        return
    scene, take = found
    for _, row in takes.all_takes():  # a full copy of the scene has a row of the same job
        if row.job_id == run.job_id:
            row.state, row.problem, row.stage, row.eta = final, sentence, "", -1.0
            row.frames_done, row.choice.seconds = run.received, run.done_s
    values = takes.meta(take)
    values.update(state=final, frames=run.received, notes={str(k + 1): v for k, v in run.notes.items()},
                  timings={**getattr(run.update, "timings", {}), "first_frame": round(run.first_frame_s, 3),
                           "done": round(run.done_s, 3)},
                  warnings=list(getattr(run.update, "warnings", ())), problem=sentence)  # fmt: skip
    takes.write_meta(take, values)
    if run.received:
        takes.tell(scene, take)
        takes.relink(scene, take, sound=False)
        if takes.sound_is_due(scene, take):
            state.now.sounds.append(run.job_id)
    state.now.undo_step = f"Wanstage {take.name}"
    playback.redraw()


# ---- pictures ---------------------------------------------------------------------------------------


def _make_plane(job_id: str) -> bool:
    """Make the plane of a take that has none yet; whether one was made."""
    found = takes.find(job_id) if job_id else None
    if found is None or playback.find_plane(job_id) is not None:
        return False
    scene, take = found
    camera = playback.camera_of(take)
    if camera is None:
        return False
    takes.place(scene, take, camera)
    return True


def _plane(job_id: str) -> tuple[Any, bpy.types.Object] | None:
    found, plane = takes.find(job_id), playback.find_plane(job_id)
    return None if found is None or plane is None else (found[1], plane)


def _show_frame(job_id: str, index: int) -> None:
    run = state.now.runs.get(job_id)
    found = _plane(job_id)
    if run is None or found is None:
        return
    take, plane = found
    take.frames_done = run.received
    if not run.settled:
        playback.show_frame(plane, framefiles.path_of(run.folder, 0), index)
    run.shown = index


def _show_preview(event: Any) -> None:
    found = _plane(event.job_id)
    if found is not None:
        playback.show_preview(found[1], event.header.width, event.header.height, event.data)
