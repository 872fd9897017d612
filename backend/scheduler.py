"""Which job runs where, and what becomes of it. Owns the jobs; tells listeners what changed, knows no client."""

from __future__ import annotations

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from protocol import limits
from protocol.errors import InvalidJob, QuotaExceeded, UnknownJob
from protocol.messages import Progress
from protocol.refs import asset_refs
from protocol.specs import JobSpec
from wan_models.registry import EngineRow

from . import worker_messages as wm
from .frames import DiskFull, FrameStore, stored_as
from .history import Measured
from .jobs import Job
from .models import passes
from .store import JobStore, NotStored
from .supervisor import Slot, Supervisor

log = logging.getLogger(__name__)

Clock = Callable[[], float]
DEFAULT_GRACE_S = 5.0
_KILLED = -9  # by signal 9, which on Linux is what happens to the largest process when memory runs out


Lane = Literal["plain", "card", "aside"]


def _lane_of(slot: Slot) -> Lane:
    return "aside" if slot.aside else "card" if slot.on_card else "plain"


class Listener(Protocol):
    """Who wants to know."""

    def job_changed(self, job: Job) -> None:
        """State, progress or number of frames is another."""

    def preview_made(self, job: Job, message: wm.PreviewMade, pixels: memoryview) -> None:
        """A preview came; ``pixels`` stays valid while it is held."""


class Scheduler:
    """The queue. All methods belong to the server's thread."""

    def __init__(
        self,
        store: JobStore,
        frames: FrameStore,
        supervisor: Supervisor,
        *,
        max_attempts: int,
        grace_s: float | None = None,
        engines: tuple[EngineRow, ...] = (),
        clock: Clock = time.monotonic,
    ) -> None:
        """Load what is on disk; what was running is queued again.

        ``grace_s``: seconds between a cancel and the end of a worker that does not heed it; None = as the engine's
        row says.
        """
        self._store, self._frames, self._supervisor = store, frames, supervisor
        self._engines = {row.name: row for row in engines}
        self._max_attempts, self._grace_s, self._clock = max_attempts, grace_s, clock
        self._jobs: dict[str, Job] = {}
        self._queue: deque[str] = deque()
        self.listener: Listener | None = None
        for job in store.load():
            self._recover(job)

    # ---- for the server -----------------------------------------------------------------------------

    @property
    def unfinished(self) -> int:
        """How many jobs have not ended."""
        return sum(not job.ended for job in self._jobs.values())

    def now(self) -> float:
        """The clock that everything here is measured by."""
        return self._clock()

    def peek(self, job_id: str) -> Job | None:
        """The job whoever owns it; None when there is none."""
        return self._jobs.get(job_id)

    def assets_in_use(self) -> set[str]:
        """Ids of the assets that jobs which have not ended name."""
        return {ref.id for job in self._jobs.values() if not job.ended for ref in asset_refs(job.spec)}

    def find(self, job_id: str, owner: str) -> Job:
        """The owner's job. Raises UnknownJob, also for a job of somebody else."""
        job = self._jobs.get(job_id)
        if job is None or job.owner != owner:
            problem = f"there is no job {job_id} of this key: list the jobs to see which there are"
            raise UnknownJob(problem)
        return job

    def taken(self, job_id: str, owner: str) -> Job | None:
        """The job if it was submitted before. Raises InvalidJob when the id belongs to somebody else."""
        job = self._jobs.get(job_id)
        if job is not None and job.owner != owner:
            problem = f"the job id {job_id} is in use: make a new one (uuid4)"
            raise InvalidJob(problem)
        return job

    def list(self, owner: str, limit: int) -> list[Job]:
        """The owner's jobs, newest first."""
        mine = [job for job in self._jobs.values() if job.owner == owner]
        return mine[: -limit - 1 : -1]

    def position(self, job: Job) -> int:
        """1 = next of those that wait for the same workers; 0 = not waiting."""
        if job.state != "queued" or job.job_id not in self._queue:
            return 0
        lane = self._lane(job.spec.engine)
        before = itertools.takewhile(lambda each: each != job.job_id, self._queue)
        return 1 + sum(self._lane(self._jobs[each].spec.engine) == lane for each in before)

    def ahead(self, engine: str) -> int:
        """How many jobs have to end before one of this engine could begin, if it were submitted now."""
        lane = self._lane(engine)
        before = sum(not job.ended and self._lane(job.spec.engine) == lane for job in self._jobs.values())
        return max(0, before - max(0, len(self.slots_for(engine)) - 1))

    def slots_for(self, engine: str) -> tuple[Slot, ...]:
        """The workers that an engine's jobs may go to."""
        lane = self._lane(engine)
        return tuple(slot for slot in self._supervisor.slots if _lane_of(slot) == lane)

    def runs(self) -> Sequence[Measured]:
        """Jobs that ran here, oldest first."""
        return self._store.runs()

    def submit(self, job_id: str, owner: str, spec: JobSpec) -> Job:
        """Put a checked spec on disk and in the queue. Raises QuotaExceeded."""
        waiting = sum(job.owner == owner and not job.ended for job in self._jobs.values())
        if waiting >= limits.MAX_JOBS_PER_CLIENT:
            problem = (
                f"{waiting} jobs of this key have not ended, at most {limits.MAX_JOBS_PER_CLIENT} may: wait or cancel"
            )
            raise QuotaExceeded(problem)
        self._frames.room_for(spec)
        job = Job(job_id, owner, spec, created=time.time(), stage_since=self._clock(), passes=passes(spec))
        self._store.save(job)
        self._jobs[job_id] = job
        self._queue.append(job_id)
        log.info(
            "job %s: %s by %s, %d frames of %dx%d", job_id, spec.task, spec.engine, spec.made, spec.width, spec.height
        )
        self._changed(job)
        self.assign()
        return job

    def cancel(self, job: Job) -> None:
        """Queued jobs end at once, running ones soon (killed after the grace period); ended ones stay as they are."""
        if job.state == "queued":
            self._queue.remove(job.job_id)
            self._end(job, "cancelled")
        elif job.state in {"loading", "running"}:
            job.move("cancelling")
            self._save(job)
            for slot in self._supervisor.slots:
                if slot.job_id == job.job_id:
                    slot.send(wm.CancelRun(job.job_id))
                    slot.kill_at = self._clock() + self._grace(job)

    def _grace(self, job: Job) -> float:
        row = self._engines.get(job.spec.engine)
        return self._grace_s if self._grace_s is not None else row.grace_s if row else DEFAULT_GRACE_S

    def remove(self, job: Job) -> None:
        """Forget an ended job and its frames. Raises InvalidJob for one that has not ended."""
        if not job.ended:
            problem = f"job {job.job_id} is {job.state}: cancel it before removing it"
            raise InvalidJob(problem)
        self._store.remove(job.job_id)
        self._frames.remove(job.job_id)
        del self._jobs[job.job_id]

    def tick(self) -> None:
        """Look after the workers and hand out jobs."""
        self._supervisor.tick(self._clock(), self._lost)
        self.assign()

    def assign(self) -> None:
        """Give waiting jobs to idle workers, in order; where no worker can be started, say so to the jobs."""
        for job_id in list(self._queue):
            job = self._jobs[job_id]
            slots = self.slots_for(job.spec.engine)
            for slot in slots:
                slot.wanted = True
            idle = [slot for slot in slots if slot.state == "idle"]
            if idle:
                self._queue.remove(job_id)
                # The one that has the model already, if there is one.
                self._begin(job, max(idle, key=lambda slot: slot.model == job.spec.model))
            elif all(slot.broken for slot in slots):
                self._queue.remove(job_id)
                problem = "no worker process can be started: 'wanstage doctor' and the worker's log say why"
                self._fail(job, problem, "job_failed")

    def _lane(self, engine: str) -> Lane:
        """Which workers an engine's jobs are for. Engines that use a graphics card go to those that have one, those
        that are kept aside to theirs; the others to a card only where there is no other worker, so that none waits
        behind a long job.
        """
        row, lanes = self._engines.get(engine), {_lane_of(slot) for slot in self._supervisor.slots}
        if row is not None and row.on_card and "card" in lanes:
            return "card"
        if row is not None and row.aside and "aside" in lanes:
            return "aside"
        return "plain" if "plain" in lanes else "card"

    def shelve(self) -> None:
        """The server stops: what runs goes back to the queue, and the attempt does not count."""
        for job in self._jobs.values():
            if job.state in {"loading", "running"}:
                job.attempt -= 1
                job.move("queued")
                self._save(job)
            elif job.state == "cancelling":
                job.move("cancelled")
                self._save(job)

    # ---- from the workers ---------------------------------------------------------------------------

    def hear(self, slot: Slot, message: wm.ToServer, pixels: memoryview) -> None:
        """Take in what a worker said."""
        if isinstance(message, wm.WorkerReady):
            slot.state, slot.failed_starts = "idle", 0
            self.assign()
            return
        if slot.job_id != message.job_id:  # the job was ended here (disk full) while the worker still ran
            if isinstance(message, wm.RunEnded):
                self._release(slot)
            return
        job = self._jobs[message.job_id]
        job.card = getattr(message, "card", job.card)
        slot.card = job.card
        if isinstance(message, wm.Reading):
            job.read(message.what, message.done, message.total, self._clock())
        else:  # the engine does something else: whatever it read is there
            job.stop_reading(self._clock())
        match message:
            case wm.RunStarted():
                self._started(job)
            case wm.StageBegan():
                self._stage(job, message.name, message.steps)
            case wm.StepMade():
                job.progress = Progress(job.progress.stage, message.step, message.steps)
            case wm.Caution():
                job.warn(message.sentence)
            case wm.PreviewMade() if self.listener and job.state == "running":
                self.listener.preview_made(job, message, pixels)
            case wm.FrameMade():
                self._frame(job, slot, message, pixels)
            case wm.RunEnded():
                self._release(slot)
                self._ended(job, message)
        self._changed(job)
        self.assign()

    def _begin(self, job: Job, slot: Slot) -> None:
        job.attempt += 1
        job.move("loading")
        self._stage(job, "load", 0)
        job.resumed_at = job.frames_done
        self._save(job)
        slot.state, slot.job_id, slot.kill_at, slot.model = "busy", job.job_id, None, job.spec.model
        log.info("job %s: attempt %d begins at frame %d on %s", job.job_id, job.attempt, job.frames_done, slot.name)
        pose = job.spec.pose
        footage = str(self._frames.pictures(pose.of_job)) if pose and pose.of_job else ""
        slot.send(wm.RunJob(job.job_id, job.attempt, job.spec, job.frames_done, footage))

    def _started(self, job: Job) -> None:
        if job.state == "loading":
            job.move("running")
            job.running_since = self._clock()
            self._save(job)

    def _stage(self, job: Job, name: str, steps: int) -> None:
        job.begin_stage(name, steps, self._clock())

    def _frame(self, job: Job, slot: Slot, message: wm.FrameMade, pixels: memoryview) -> None:
        if job.state not in {"running", "cancelling"} or message.index != job.frames_done:
            return
        try:
            self._frames.write(job.job_id, message.index, stored_as(job.spec), pixels, message.note)
        except OSError as error:
            problem = f"frame {message.index} could not be stored: {error.strerror or error}"
            self._give_up(job, slot, problem, "job_failed")
            return
        except DiskFull as error:
            self._give_up(job, slot, str(error), error.code)
            return
        if message.note:
            job.notes[message.index] = message.note
        job.frames_done += 1
        if job.frames_done == 1:
            job.timings["first_frame"] = round(time.time() - job.created, 3)

    def _give_up(self, job: Job, slot: Slot, problem: str, code: str) -> None:
        """End a job from this side; its frames go, to make room and because half a shot is no result."""
        slot.send(wm.CancelRun(job.job_id))
        slot.kill_at = self._clock() + self._grace(job)
        slot.job_id = "-"  # busy with nothing we want until its RunEnded comes
        self._frames.remove(job.job_id)
        job.frames_done = 0
        if job.state == "cancelling":
            self._end(job, "cancelled")
        else:
            self._fail(job, problem, code)

    def _release(self, slot: Slot) -> None:
        slot.state, slot.job_id, slot.kill_at = "idle", "", None

    def _ended(self, job: Job, message: wm.RunEnded) -> None:
        if message.outcome != "failed" and job.frames_done == job.spec.made:
            self._end(job, "finished")
        elif job.state == "cancelling":
            self._end(job, "cancelled")
        else:
            error = message.error or f"the worker stopped after {job.frames_done} of {job.spec.made} frames"
            self._fail(job, error, message.code if message.error else "job_failed")

    def _lost(self, slot: Slot, job_id: str, status: int) -> None:
        job = self._jobs.get(job_id)
        if job is None or job.ended:
            return
        if job.state == "cancelling":
            self._end(job, "cancelled")
            return
        self._retry(job, _ending(status))

    def _retry(self, job: Job, reason: str) -> None:
        if job.attempt >= self._max_attempts:
            problem = f"{reason} in each of {job.attempt} attempts: the worker's log has the details"
            self._fail(job, problem, "job_failed")
            return
        log.warning("job %s: %s; attempt %d of %d", job.job_id, reason, job.attempt + 1, self._max_attempts)
        job.move("queued")
        self._stage(job, "", 0)
        self._queue.appendleft(job.job_id)
        self._save(job)

    # ---- endings ------------------------------------------------------------------------------------

    def _fail(self, job: Job, error: str, code: str) -> None:
        job.error, job.error_code = error, code
        log.error("job %s failed: %s", job.job_id, error)
        self._end(job, "failed")

    def _end(self, job: Job, state: str) -> None:
        job.move(state)  # type: ignore[arg-type]  # callers pass literals
        self._stage(job, "", 0)
        job.timings["total"] = round(time.time() - job.created, 3)
        log.info("job %s: %s with %d frames after %.2f s", job.job_id, state, job.frames_done, job.timings["total"])
        self._save(job)
        if job.resumed_at == 0:
            self._store.keep_run(job)

    def _save(self, job: Job) -> None:
        try:
            self._store.save(job)
        except NotStored:
            # The job is on disk with an earlier state: a restart would do some of it again, which is harmless.
            log.exception("job %s is %s, which could not be written", job.job_id, job.state)
        self._changed(job)

    def _changed(self, job: Job) -> None:
        if self.listener:
            self.listener.job_changed(job)

    def _recover(self, job: Job) -> None:
        job.stage_since, job.passes = self._clock(), passes(job.spec)
        crashed = job.state in {"loading", "running"}
        job.frames_done, job.notes = self._frames.survey(job.job_id, job.spec, check=not job.ended)
        self._jobs[job.job_id] = job
        if job.state == "cancelling":
            self._end(job, "cancelled")
        elif job.state == "queued":
            self._queue.append(job.job_id)
        elif job.state == "running" and job.frames_done == job.spec.made:
            self._end(job, "finished")
        elif crashed:
            self._retry(job, "the server ended")


def _ending(status: int) -> str:
    """Why a worker ended, as far as its status tells; the sentence goes on with how often."""
    if status == wm.CARD_BROKEN:
        return "the graphics card failed, so that the worker process had to be started again,"
    if status == _KILLED:
        return "the worker process ended with status -9 (killed, perhaps because the machine's memory ran out)"
    return f"the worker process ended with status {status}"
