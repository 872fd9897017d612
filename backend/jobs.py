"""A job and the states it may be in. Knows nothing of sockets, disks or processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from msgspec.structs import replace

from protocol.limits import MIB
from protocol.messages import TERMINAL, JobState, JobUpdate, Progress
from protocol.specs import JobSpec

MOVES: dict[JobState, frozenset[JobState]] = {
    "queued": frozenset({"loading", "cancelled", "failed"}),
    "loading": frozenset({"running", "cancelling", "failed", "queued"}),
    "running": frozenset({"finished", "cancelling", "failed", "queued"}),
    "cancelling": frozenset({"cancelled", "finished"}),
    "finished": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}
"""The one table of legal moves. Back to ``queued`` after a crash or a restart of the server;
``cancelling`` to ``finished`` when the last frame came before the cancel was seen."""

MAX_WARNINGS = 32


class IllegalMove(RuntimeError):
    """A bug of ours: the caller asked for a move that MOVES does not have."""


@dataclass
class Job:
    """One job as the server knows it. ``owner`` is the User-Id (client key) that submitted it."""

    job_id: str
    owner: str
    spec: JobSpec
    created: float  # seconds since 1970
    state: JobState = "queued"
    attempt: int = 0
    error: str = ""
    error_code: str = "none"
    warnings: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    progress: Progress = field(default_factory=Progress)
    frames_done: int = 0
    notes: dict[int, str] = field(default_factory=dict)
    stage_since: float = 0.0  # the server's monotonic clock
    running_since: float = 0.0
    resumed_at: int = 0  # frames that were there when this attempt began
    stage_frames: int = 0  # frames that were there when the present stage began
    reading: Progress | None = None  # the network whose weights the present stage waits for
    reading_since: float = 0.0
    card: tuple[int, int, int] = (0, 0, 0)  # MiB of the worker's card: held by it, free, in all
    passes: int = 1  # how often the engine goes through its stages: once a segment

    @property
    def ended(self) -> bool:
        """True in a state without moves."""
        return self.state in TERMINAL

    def move(self, state: JobState) -> None:
        """Change state. Raises IllegalMove when MOVES does not allow it."""
        if state not in MOVES[self.state]:
            problem = f"job {self.job_id} cannot go from {self.state} to {state}"
            raise IllegalMove(problem)
        self.state = state

    def warn(self, sentence: str) -> None:
        """Keep a warning once, at most MAX_WARNINGS of them."""
        if sentence not in self.warnings and len(self.warnings) < MAX_WARNINGS:
            self.warnings.append(sentence[:1000])

    def begin_stage(self, name: str, steps: int, now: float) -> None:
        """Book the seconds of the stage that ends, and start the next."""
        self.stop_reading(now)
        before = self.progress.stage or "queue"
        self.timings[before] = round(self.timings.get(before, 0.0) + now - self.stage_since, 3)
        self.stage_since, self.stage_frames = now, self.frames_done
        self.progress = Progress(stage=name, steps=steps)

    def read(self, what: str, done: int, total: int, now: float) -> None:
        """So many bytes of a network's weights have been read. Their seconds count as ``load``, not as the stage's."""
        stage = f"load {what}"
        if self.reading is None or self.reading.stage != stage:
            self.stop_reading(now)
            self.reading_since = now
        spent = now - self.reading_since
        rate = round(done / MIB / spent, 1) if spent else 0.0
        self.reading = Progress(stage=stage, step=done // MIB, steps=max(1, total // MIB), unit="MiB", rate=rate)
        if done >= total:
            self.stop_reading(now)

    def stop_reading(self, now: float) -> None:
        """The stage goes on, as if it had begun later by the time it waited."""
        if self.reading is None:
            return
        spent, self.reading = now - self.reading_since, None
        self.timings["load"] = round(self.timings.get("load", 0.0) + spent, 3)
        self.stage_since += spent
        self.running_since += spent

    def eta_s(self, now: float) -> float | None:
        """Seconds left, guessed from this attempt; None when there is nothing to guess from.

        Frames that came in earlier stages give a rate that has everything in it. Before, what is left of this pass
        follows from the frames or steps of the present stage, and other passes take as long as this one.
        """
        if self.state != "running" or self.reading is not None:
            return None
        spent, left = now - self.running_since, self.spec.made - self.frames_done
        if self.stage_frames > self.resumed_at:
            return spent / (self.frames_done - self.resumed_at) * left
        rest = self._rest_of_pass(now)
        return None if rest is None else rest + (self.passes - 1) * (spent + rest)

    def _rest_of_pass(self, now: float) -> float | None:
        made, stage = self.frames_done - self.stage_frames, now - self.stage_since
        if made:
            due = -(-self.spec.made // self.passes) - self.resumed_at
            return stage / made * max(0, due - made)
        done, steps = self.progress.step, self.progress.steps
        return stage / done * (steps - done) if done and steps else None

    def update(self, position: int, now: float, reply_to: int = 0) -> JobUpdate:
        """The message that tells a client where the job is."""
        held, free, total = self.card
        progress = replace(
            self.reading or self.progress,
            frames_done=self.frames_done,
            eta_s=self.eta_s(now),
            card_held=held,
            card_free=free,
            card_total=total,
        )
        return JobUpdate(
            job_id=self.job_id,
            state=self.state,
            frames=self.spec.made,
            label=self.spec.label,
            task=self.spec.task,
            engine=self.spec.engine,
            width=self.spec.width,
            height=self.spec.height,
            fps=self.spec.fps,
            position=position,
            attempt=self.attempt,
            progress=progress,
            error=self.error,
            error_code=self.error_code,
            warnings=tuple(self.warnings),
            timings=dict(self.timings),
            created=self.created,
            reply_to=reply_to,
        )
