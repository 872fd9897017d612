"""The commands that talk to a backend: submit, jobs, watch, cancel, remove, fetch. Each returns the exit status."""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from protocol import connection, known
from protocol.client import Client, new_id
from protocol.errors import ConnectionProblem, InvalidJob, UnknownJob
from protocol.events import (
    ClientEvent,
    Disconnected,
    FrameArrived,
    JobChanged,
    JobsListed,
    PoseArrived,
    Refused,
    RequestDone,
    RequestFailed,
    SpecArrived,
    UploadProgress,
)
from protocol.messages import TERMINAL, JobUpdate

from .job_sound import sound_of
from .jobfile import opened
from .report import Reporter, make_reporter
from .settings import default_connection, known_backends
from .takes import TakeFolder

if TYPE_CHECKING:
    from wan_models.requests import Sound

EXIT_JOB = 1


def submit(told: argparse.Namespace) -> int:
    """Upload and queue a job; with ``--out`` or a movie, follow it to its end."""
    if told.movie is True and told.out is None:
        problem = "--movie writes take.mp4 beside the frames: give --out DIR, or the movie a name, --movie FILE.mp4"
        raise InvalidJob(problem)
    changes = [*told.set, *(["talk.start_from_reference=true"] if told.start_from_reference else [])]
    named = {"image": told.image, "last_image": told.last_image}
    pictures = {field: path for field, path in named.items() if path}
    with (
        opened(told.what, told.assets, changes, pictures, sound=told.sound, sound_start=told.sound_start) as (
            spec,
            assets,
        ),
        _client(told) as client,
        make_reporter(told.json) as report,
    ):
        job_id = new_id()
        if assets.note:
            report.say(assets.note)
        client.submit(job_id, spec, assets)
        update = _until_submitted(client, job_id, report, told.timeout)
        if told.out is None and told.movie is None:
            report.result(job_id=job_id, state=update.state, message=f"job {job_id} is {update.state}")
            return 0
        with contextlib.ExitStack() as stack:  # frames that only a movie is made of are not kept
            folder = told.out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wanstage-movie-")))
            return _follow_into(client, TakeFolder(folder, job_id), told, report, assets.sound)


def jobs(told: argparse.Namespace) -> int:
    """List the jobs of this key."""
    with _client(told) as client:
        listed = _list(client, min(1000, max(1, told.limit)), told.timeout)
    make_reporter(told.json).jobs(listed)
    return 0


def watch(told: argparse.Namespace) -> int:
    """Follow a job until it ends, without its frames."""
    with _client(told) as client, make_reporter(told.json) as report:
        job_id = _resolve(client, told.job, told.timeout)
        client.attach(job_id, next_frame=1 << 31)
        return _finish(_follow(client, job_id, None, report, _path(told)), None, report)


def cancel(told: argparse.Namespace) -> int:
    """Ask for a job to be stopped."""
    with _client(told) as client, make_reporter(told.json) as report:
        job_id = _resolve(client, told.job, told.timeout)
        client.cancel(job_id)
        state = ""
        for event in _events(client, told.timeout):
            if isinstance(event, JobChanged) and event.update.job_id == job_id:
                state = event.update.state
                report.job(event.update)
            elif isinstance(event, RequestDone) and event.job_id == job_id:
                break
        report.result(job_id=job_id, state=state, message=f"job {job_id[:12]} is {state}")
    return 0


def remove(told: argparse.Namespace) -> int:
    """Forget an ended job and delete its frames at the backend."""
    with _client(told) as client, make_reporter(told.json) as report:
        job_id = _resolve(client, told.job, told.timeout)
        client.remove(job_id)
        next(event for event in _events(client, told.timeout) if isinstance(event, RequestDone))
        report.result(job_id=job_id, state="removed", message=f"job {job_id[:12]} and its frames are removed")
    return 0


def fetch(told: argparse.Namespace) -> int:
    """Write a job's frames, those that are still to come too."""
    with _client(told) as client, make_reporter(told.json) as report:
        job_id = _resolve(client, told.job, told.timeout)
        take = TakeFolder(told.out, job_id)
        return _follow_into(client, take, told, report, _fetched_sound(client, take, told, report))


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "submit": submit,
    "jobs": jobs,
    "watch": watch,
    "cancel": cancel,
    "remove": remove,
    "fetch": fetch,
}


@contextlib.contextmanager
def connected(content: connection.Connection, timeout_s: float, name: str = "wanstage") -> Iterator[Client]:
    """A client that is connected. Raises ConnectionProblem, KeyRefused, VersionMismatch."""
    client = Client(content, client_name=name)
    client.open()
    try:
        deadline = time.monotonic() + timeout_s
        while client.state != "connected":
            for event in client.wait(min(0.2, timeout_s)):
                if isinstance(event, Refused):
                    raise event.error
            if time.monotonic() > deadline:
                problem = client.problem or f"nobody answers at {content.endpoint}: is the backend running?"
                raise ConnectionProblem(problem)
        yield client
    finally:
        client.close()


def _client(told: argparse.Namespace) -> contextlib.AbstractContextManager[Client]:
    return connected(connection.read(_path(told)), told.timeout)


def _path(told: argparse.Namespace) -> Path:
    """A file, or the name of a backend that ``wanstage connect`` paired with."""
    if told.connection is None:
        return default_connection()
    named: Path = told.connection
    if not named.exists() and str(named) in known.names(known_backends()):
        return known.path(known_backends(), str(named))
    return named


def _look_again(client: Client, path: Path) -> None:
    """A backend that was started again may listen elsewhere: its connection file says where."""
    with contextlib.suppress(ConnectionProblem):
        client.connection = connection.read(path)


def _events(client: Client, timeout_s: float | None = None, path: Path | None = None) -> Iterator[ClientEvent]:
    """Events until the caller has enough. Raises what the backend refuses, and ConnectionProblem after the timeout.

    With ``path`` the connection file is read again while the connection is lost.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        if path and client.state == "lost":
            _look_again(client, path)
        for event in client.wait(0.5):
            if isinstance(event, RequestFailed | Refused):
                raise event.error
            yield event
            if timeout_s is not None:
                deadline = time.monotonic() + timeout_s
        if deadline is not None and time.monotonic() > deadline:
            problem = client.problem or f"the backend has not answered for {timeout_s:.0f} seconds: try again"
            raise ConnectionProblem(problem)


def _list(client: Client, limit: int, timeout_s: float) -> tuple[JobUpdate, ...]:
    client.list_jobs(limit)
    return next(tuple(event.jobs) for event in _events(client, timeout_s) if isinstance(event, JobsListed))


def _resolve(client: Client, text: str, timeout_s: float) -> str:
    """The one job whose id begins so. Raises UnknownJob."""
    found = [each.job_id for each in _list(client, 1000, timeout_s) if each.job_id.startswith(text.lower())]
    if len(found) != 1:
        problem = f"{len(found)} jobs of this key begin with {text!r}: 'wanstage jobs' lists them"
        raise UnknownJob(problem)
    return found[0]


def _until_submitted(client: Client, job_id: str, report: Reporter, timeout_s: float) -> JobUpdate:
    for event in _events(client, timeout_s):
        if isinstance(event, UploadProgress):
            report.upload(event)
        elif isinstance(event, JobChanged) and event.update.job_id == job_id:
            report.job(event.update)
            return event.update
    raise AssertionError  # _events ends only by raising


def _fetched_sound(client: Client, take: TakeFolder, told: argparse.Namespace, report: Reporter) -> Sound | None:
    """``--sound``, for the movie of a job that was submitted elsewhere: a backend sends no assets back."""
    if told.sound is None and told.sound_start is not None:
        problem = "--sound-start is about a sound: give --sound FILE too"
        raise InvalidJob(problem)
    if not told.movie:
        return None
    client.get_spec(take.job_id)
    events = (event for event in _events(client, told.timeout) if isinstance(event, SpecArrived))
    spoken = next(events).spec.sound
    if told.sound:
        start = spoken.start if spoken and told.sound_start is None else told.sound_start or 0.0
        return sound_of(told.sound, told.sound.name, start)
    if spoken and take.sound is None:
        report.say(f"the movie is silent: the sound {spoken.name} is not in {take.folder}, give it with --sound FILE")
    return None


def _follow_into(
    client: Client, take: TakeFolder, told: argparse.Namespace, report: Reporter, sound: Sound | None
) -> int:
    """Write the job's frames, its sound and its movie."""
    if sound is not None:
        take.keep_sound(sound)
    client.attach(take.job_id, next_frame=take.count)
    update = _follow(client, take.job_id, take, report, _path(told))
    target = None if told.movie is True else told.movie
    path = take.movie(update.fps, target) if told.movie and take.count else None
    return _finish(update, take if told.out else None, report, path)


def _follow(client: Client, job_id: str, take: TakeFolder | None, report: Reporter, path: Path) -> JobUpdate:
    """Until the job has ended and, with ``take``, its frames are on disk."""
    update: JobUpdate | None = None
    for event in _events(client, path=path):
        if isinstance(event, Disconnected):
            report.say(f"{event.reason}; trying again, the job goes on")
        elif isinstance(event, FrameArrived) and take:
            report.frame(event, take.write(event))
            client.consumed(event)
        elif isinstance(event, PoseArrived) and take:
            take.write_pose(event)
            client.consumed(event)
        elif isinstance(event, JobChanged) and event.update.job_id == job_id:
            update = event.update
            report.job(update)
        else:
            continue
        if update and update.state in TERMINAL and (take is None or take.count >= update.progress.frames_done):
            return update
    raise AssertionError  # _events ends only by raising


def _finish(update: JobUpdate, take: TakeFolder | None, report: Reporter, movie: Path | None = None) -> int:
    state, count = update.state, update.progress.frames_done
    where = f" in {take.folder}" if take else f", {movie}" if movie else ""
    text = f"{state}: {count} of {update.frames} frames{where}"
    message = f"{text}; {update.error}" if update.error else text
    for sentence in update.warnings:
        report.say(sentence)
    report.result(
        job_id=update.job_id,
        state=state,
        frames=count,
        error=update.error,
        timings=update.timings,
        movie=str(movie or ""),
        message=message,
    )
    return 0 if state == "finished" else EXIT_JOB
