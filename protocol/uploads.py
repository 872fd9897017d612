"""Jobs on their way to the backend, without I/O: have? -> chunks -> submit, one job after the other.

A chunk is read when there is credit to send it, so memory holds a few chunks whatever the size of the job.
After a reconnect the present job starts again at have?, and what is there already is not sent again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from . import VERSION, limits
from .assets import AssetSource
from .errors import AssetError, InvalidJob, WanstageError
from .events import ClientEvent, RequestFailed, RequestKind, Submitted, UploadProgress
from .messages import AssetsMissing, ChunkStored, HaveAssets, Message, PutChunk, SubmitJob
from .refs import asset_refs
from .specs import AssetRef, JobSpec

log = logging.getLogger(__name__)

Ask = Callable[[RequestKind, str, Callable[[int], Message]], int]

MIN_CHUNK_BYTES = 64 * 1024
_FIRST_CHUNK_BYTES = 1024 * 1024
_CHUNKS_AHEAD = 4
_FAST_S, _SLOW_S = 0.25, 1.0
_TRIES = 3
SOUND_SINCE = 2  # the minor version that brought JobSpec.sound
REDO_SINCE = 4  # ... and JobSpec.redo


@dataclass
class Upload:
    """One job that the backend has not confirmed yet. ``left`` bytes are not confirmed to be there."""

    job_id: str
    spec: JobSpec
    source: AssetSource
    refs: tuple[AssetRef, ...]
    stage: Literal["waiting", "asking", "sending", "submitting"] = "waiting"
    missing: deque[tuple[AssetRef, int]] = field(default_factory=deque)
    queries: int = 0
    left: int = 0
    tries: int = 0
    submitted_once: bool = False

    @property
    def total(self) -> int:
        """All bytes of the job's assets."""
        return sum(ref.nbytes for ref in self.refs)


class Uploads:
    """The queue of jobs to submit.

    ``ask(kind, job_id, build)`` numbers a request, queues the message ``build(number)`` and returns the number.
    """

    def __init__(self, ask: Ask, emit: Callable[[ClientEvent], None], clock: Callable[[], float]) -> None:
        self._ask, self._emit, self._clock = ask, emit, clock
        self._jobs: deque[Upload] = deque()
        self._in_flight: dict[int, tuple[int, float]] = {}  # request number: bytes, when sent
        self._in_flight_bytes = 0
        self._chunk = _FIRST_CHUNK_BYTES
        self._credit = 0  # 0 = not connected
        self._minor = VERSION[1]

    def __contains__(self, job_id: object) -> bool:
        return any(each.job_id == job_id for each in self._jobs)

    def add(self, job_id: str, spec: JobSpec, source: AssetSource) -> None:
        """Queue a job; one that is queued already stays as it is."""
        if job_id not in self:
            self._jobs.append(Upload(job_id, spec, source, tuple(asset_refs(spec))))
            self._advance()

    def drop(self, job_id: str) -> Upload | None:
        """Give a job up. Returns what it was, None when it was not here."""
        found = next((each for each in self._jobs if each.job_id == job_id), None)
        if found:
            if found is self._jobs[0]:
                self._forget_chunks()
            self._jobs.remove(found)
            self._advance()
        return found

    def connected(self, upload_credit: int, minor: int) -> None:
        """A new connection is up, to a backend of this minor version: begin again at have?."""
        self._credit = max(1, upload_credit)
        self._minor = minor
        self._restart()

    def disconnected(self) -> None:
        """Nothing can be sent now."""
        self._credit = 0
        self._forget_chunks()

    # ---- what the backend answers -------------------------------------------------------------------

    def on_missing(self, job_id: str, reply: AssetsMissing) -> None:
        """Answer to have?."""
        job = self._present(job_id, "asking")
        if job is None:
            return
        known = {ref.id: ref for ref in job.refs}
        for each in reply.missing:
            if ref := known.get(each.id):
                have = min(each.have, ref.nbytes)
                job.missing.append((ref, have))
                job.left += ref.nbytes - have
        job.queries -= 1
        if job.queries == 0:
            job.stage = "sending"
            self._report(job)
            self._submit_when_whole(job)

    def on_stored(self, number: int, job_id: str, reply: ChunkStored) -> None:
        """A chunk is on the backend's disk."""
        nbytes, sent = self._in_flight.pop(number, (-1, 0.0))
        if nbytes < 0:
            return
        self._in_flight_bytes -= nbytes
        self._adapt(self._clock() - sent)
        job = self._present(job_id, "sending")
        if job:
            job.left -= nbytes
            self._report(job)
            self._submit_when_whole(job)

    def on_submitted(self, job_id: str) -> None:
        """The backend has the job."""
        if self._present(job_id, "submitting"):
            self._jobs.popleft()
            self._emit(Submitted(job_id))
            self._advance()

    def on_error(self, number: int, job_id: str, kind: RequestKind, error: WanstageError) -> None:
        """A refusal. What was lost at the backend is asked for and sent again, a few times; the rest fails the job."""
        if not self._jobs or self._jobs[0].job_id != job_id:
            return
        if kind == "chunk" and number not in self._in_flight:
            return
        job = self._jobs[0]
        job.tries += 1
        if isinstance(error, AssetError) and job.tries < _TRIES:
            log.warning("job %s: %s; asking again", job_id, error)
            self._restart()
        else:
            self._fail(job, error, kind)

    # ---- what to send -------------------------------------------------------------------------------

    def can_send(self) -> bool:
        """Whether ``next_chunk`` has something to send."""
        if not self._jobs or self._credit == 0:
            return False
        job = self._jobs[0]
        return job.stage == "sending" and bool(job.missing) and self._in_flight_bytes < self._ahead()

    def next_chunk(self, number: int) -> tuple[str, PutChunk, bytes] | None:
        """The next chunk under the credit, as request ``number``: job id, message, bytes."""
        while self.can_send():
            job = self._jobs[0]
            ref, offset = job.missing[0]
            nbytes = min(self._chunk, ref.nbytes - offset)
            try:
                data = _read_exactly(job.source, ref, offset, nbytes)
            except (WanstageError, OSError) as error:
                self._fail(job, _as_asset_error(ref, error), "chunk")
                continue
            job.missing.popleft()
            if offset + nbytes < ref.nbytes:
                job.missing.appendleft((ref, offset + nbytes))
            self._in_flight[number] = (nbytes, self._clock())
            self._in_flight_bytes += nbytes
            return job.job_id, PutChunk(asset=ref, offset=offset, request=number), data
        return None

    def _ahead(self) -> int:
        # A few chunks are enough to keep a link busy; more would only make pings wait behind them.
        return min(self._credit, _CHUNKS_AHEAD * self._chunk)

    def _adapt(self, took: float) -> None:
        if took < _FAST_S:
            self._chunk = min(limits.CHUNK_BYTES, self._chunk * 2)
        elif took > _SLOW_S:
            self._chunk = max(MIN_CHUNK_BYTES, self._chunk // 2)

    def _advance(self) -> None:
        if self._credit and self._jobs and self._jobs[0].stage == "waiting":
            self._restart()

    def _restart(self) -> None:
        self._forget_chunks()
        if not self._jobs:
            return
        job = self._jobs[0]
        if job.spec.sound is not None and self._minor < SOUND_SINCE:
            self._fail(job, _too_old(self._minor, "knows no sound", SOUND_SINCE), "submit")  # it would skip the sound
            return
        if job.spec.redo is not None and self._minor < REDO_SINCE:
            problem = "cannot make a part of a clip again"
            self._fail(job, _too_old(self._minor, problem, REDO_SINCE), "submit")  # it would make the whole clip
            return
        job.missing.clear()
        job.left = 0
        job.stage = "asking"
        size = limits.MAX_ASSETS_PER_QUERY
        batches = [job.refs[i : i + size] for i in range(0, len(job.refs), size)]
        job.queries = len(batches)
        for batch in batches:
            self._ask("have", job.job_id, lambda number, batch=batch: HaveAssets(assets=batch, request=number))  # type: ignore[misc]
        if not batches:
            job.stage = "sending"
            self._submit_when_whole(job)

    def _submit_when_whole(self, job: Upload) -> None:
        if not job.missing and not self._in_flight:
            job.stage = "submitting"
            job.submitted_once = True
            self._ask("submit", job.job_id, lambda number: SubmitJob(job_id=job.job_id, spec=job.spec, request=number))

    def _report(self, job: Upload) -> None:
        self._emit(UploadProgress(job.job_id, job.total - job.left, job.total))

    def _fail(self, job: Upload, error: WanstageError, kind: RequestKind) -> None:
        self._forget_chunks()
        self._jobs.remove(job)
        self._emit(RequestFailed(job.job_id, error, kind))
        self._advance()

    def _forget_chunks(self) -> None:
        self._in_flight.clear()
        self._in_flight_bytes = 0

    def _present(self, job_id: str, stage: str) -> Upload | None:
        job = self._jobs[0] if self._jobs else None
        return job if job and job.job_id == job_id and job.stage == stage else None


def _read_exactly(source: AssetSource, ref: AssetRef, offset: int, nbytes: int) -> bytes:
    data = source.read(ref.id, offset, nbytes)
    if len(data) != nbytes:
        problem = f"asset {ref.id[:12]} should have {ref.nbytes} bytes but ends at {offset + len(data)}: make it again"
        raise AssetError(problem)
    return data


def _too_old(minor: int, lack: str, since: int) -> InvalidJob:
    return InvalidJob(
        f"the backend speaks protocol {VERSION[0]}.{minor}, which {lack}: update the backend to one that speaks "
        f"{VERSION[0]}.{since}"
    )


def _as_asset_error(ref: AssetRef, error: Exception) -> WanstageError:
    return error if isinstance(error, WanstageError) else AssetError(f"asset {ref.id[:12]} cannot be read: {error}")
