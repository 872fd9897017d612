"""The table of moves, the store, and the scheduler with workers that are only pretended."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import msgspec
import pytest

from backend import worker_messages as wm
from backend.frames import FrameStore
from backend.jobs import MOVES, IllegalMove, Job
from backend.scheduler import Scheduler
from backend.store import JobStore
from backend.supervisor import MAX_FAILED_STARTS
from protocol import limits
from protocol.errors import InvalidJob, QuotaExceeded, UnknownJob
from protocol.messages import TERMINAL, JobState
from protocol.specs import JobSpec, Output
from wan_models.registry import engine_infos

SPEC = JobSpec("t2v", 64, 64, 3, 16.0, engine="test", output=Output("raw"))
FRAME = memoryview(bytes(64 * 64 * 3))


class FakeSlot:
    """A worker that is told things and says nothing by itself."""

    def __init__(self, on_card: bool = False, aside: bool = False) -> None:
        self.state, self.job_id, self.kill_at, self.broken, self.failed_starts = "idle", "", None, False, 0
        self.name, self.on_card, self.model = "fake", on_card, ""
        self.aside, self.wanted = aside, not aside
        self.told: list[wm.ToWorker] = []

    def send(self, message: wm.ToWorker) -> None:
        self.told.append(message)


class Rig:
    """A scheduler with one fake slot, a real store and a clock that stands still."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.slot, self.now = folder, FakeSlot(), 100.0
        self.open()

    def open(self) -> None:
        self.slot.state, self.slot.job_id = "idle", ""
        self.frames = FrameStore(self.folder / "frames", 0)
        self.store = JobStore(self.folder / "jobs.sqlite")
        fleet: Any = SimpleNamespace(slots=[self.slot], tick=lambda now, lost: None)
        self.scheduler = Scheduler(self.store, self.frames, fleet, max_attempts=3, grace_s=5.0, clock=lambda: self.now)

    def say(self, *messages: wm.ToServer) -> None:
        for message in messages:
            slot: Any = self.slot
            self.scheduler.hear(slot, message, FRAME)

    def begin(self, number: int = 1) -> Job:
        job = self.scheduler.submit(f"{number:032x}", "me", SPEC)
        self.say(wm.RunStarted(job.job_id))
        return job


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_every_state_has_a_row_and_ends_have_no_moves() -> None:
    assert set(MOVES) == set(get_args(JobState))
    assert {state for state, moves in MOVES.items() if not moves} == TERMINAL


def test_illegal_moves_raise() -> None:
    job = Job("0" * 32, "me", SPEC, 0.0)
    with pytest.raises(IllegalMove, match="queued to finished"):
        job.move("finished")


def test_a_job_runs_and_is_on_disk_at_every_step(rig: Rig) -> None:
    job = rig.begin()
    assert rig.store.load()[0].state == "running"
    run = rig.slot.told[0]
    assert isinstance(run, wm.RunJob)
    assert (run.attempt, run.first_frame) == (1, 0)
    rig.now += 2
    rig.say(*(wm.FrameMade(job.job_id, index) for index in range(2)))
    assert job.eta_s(rig.now) == pytest.approx(1.0)
    rig.say(wm.FrameMade(job.job_id, 2, "odd"), wm.RunEnded(job.job_id, "finished"))
    assert (job.state, job.frames_done, job.notes) == ("finished", 3, {2: "odd"})
    assert rig.store.load()[0].state == "finished"
    assert rig.slot.state == "idle"


def test_a_finish_without_all_frames_is_a_failure(rig: Rig) -> None:
    job = rig.begin()
    rig.say(wm.FrameMade(job.job_id, 1), wm.RunEnded(job.job_id, "finished"))
    assert (job.state, job.frames_done) == ("failed", 0)
    assert "0 of 3" in job.error


def test_restart_counts_attempts_and_keeps_frames(rig: Rig) -> None:
    job = rig.begin()
    rig.say(wm.FrameMade(job.job_id, 0), wm.FrameMade(job.job_id, 1))
    broken = rig.frames.path(job.job_id, 1, "raw")
    broken.write_bytes(b"cut off")
    rig.open()
    again = rig.scheduler.find(job.job_id, "me")
    assert (again.state, again.attempt, again.frames_done) == ("queued", 1, 1)
    assert not broken.exists()
    rig.scheduler.assign()
    run = rig.slot.told[-1]
    assert isinstance(run, wm.RunJob)
    assert (run.attempt, run.first_frame) == (2, 1)
    rig.open()
    rig.scheduler.assign()
    rig.open()
    assert rig.scheduler.find(job.job_id, "me").state == "failed"


def test_restart_after_the_last_frame_is_a_finish(rig: Rig) -> None:
    job = rig.begin()
    rig.say(*(wm.FrameMade(job.job_id, index) for index in range(3)))
    rig.open()
    assert rig.scheduler.find(job.job_id, "me").state == "finished"


def test_a_cancel_seen_after_the_last_frame_is_a_finish(rig: Rig) -> None:
    job = rig.begin()
    rig.say(*(wm.FrameMade(job.job_id, index) for index in range(3)))
    rig.scheduler.cancel(job)
    assert job.state == "cancelling"
    rig.say(wm.RunEnded(job.job_id, "cancelled"))
    assert job.state == "finished"


def test_restart_while_cancelling_is_a_cancel(rig: Rig) -> None:
    job = rig.begin()
    rig.scheduler.cancel(job)
    assert rig.slot.kill_at == rig.now + 5.0
    rig.open()
    assert rig.scheduler.find(job.job_id, "me").state == "cancelled"


def test_jobs_belong_to_their_owner(rig: Rig) -> None:
    job = rig.begin()
    with pytest.raises(UnknownJob):
        rig.scheduler.find(job.job_id, "somebody")
    with pytest.raises(InvalidJob, match="in use"):
        rig.scheduler.taken(job.job_id, "somebody")
    with pytest.raises(InvalidJob, match="cancel it"):
        rig.scheduler.remove(job)
    assert rig.scheduler.list("somebody", 10) == []


def test_too_many_jobs_are_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_JOBS_PER_CLIENT", 2)
    rig.begin(1)
    second = rig.scheduler.submit("2" * 32, "me", SPEC)
    assert rig.scheduler.position(second) == 1
    with pytest.raises(QuotaExceeded, match="2 jobs"):
        rig.scheduler.submit("3" * 32, "me", SPEC)


def test_no_worker_at_all_is_told_to_the_jobs(rig: Rig) -> None:
    rig.slot.state, rig.slot.broken, rig.slot.failed_starts = "off", True, MAX_FAILED_STARTS
    job = rig.scheduler.submit("1" * 32, "me", SPEC)
    assert job.state == "failed"
    assert "doctor" in job.error


def test_list_is_newest_first_and_limited(rig: Rig) -> None:
    for number in range(1, 4):
        rig.scheduler.submit(f"{number:032x}", "me", SPEC)
    assert [int(job.job_id, 16) for job in rig.scheduler.list("me", 2)] == [3, 2]


# ---- workers of two kinds ---------------------------------------------------------------------------

WAN = JobSpec("t2v", 832, 480, 81, 16.0, engine="wan", model="wan2.2-t2v-a14b", output=Output("raw"))
OTHER = msgspec.structs.replace(WAN, model="wan2.2-ti2v-5b")
LONG = JobSpec("animate", 832, 480, 300, 30.0, engine="wan", model="wan2.2-animate-14b", output=Output("raw"))


class Studio(Rig):
    """A scheduler with any slots and the registry's engines."""

    def __init__(self, folder: Path, *slots: FakeSlot, grace_s: float | None = None) -> None:
        self.slots = slots
        super().__init__(folder)
        fleet: Any = SimpleNamespace(slots=slots, tick=lambda now, lost: None)
        self.scheduler = Scheduler(
            self.store,
            self.frames,
            fleet,
            max_attempts=3,
            grace_s=grace_s,
            engines=engine_infos(testing=True),
            clock=lambda: self.now,
        )
        self.count = 0

    def submit(self, spec: JobSpec) -> Job:
        self.count += 1
        return self.scheduler.submit(f"{self.count:032x}", "me", spec)

    def end(self, slot: Any) -> None:
        self.scheduler.hear(slot, wm.RunEnded(slot.job_id, "failed", "enough", "job_failed"), FRAME)


def test_a_draft_never_waits_behind_a_video_model(tmp_path: Path) -> None:
    card, cpu = FakeSlot(on_card=True), FakeSlot()
    studio = Studio(tmp_path, cpu, card)
    long, waiting = studio.submit(WAN), studio.submit(WAN)
    draft, next_draft = studio.submit(SPEC), studio.submit(SPEC)
    assert (card.job_id, cpu.job_id) == (long.job_id, draft.job_id)
    assert [studio.scheduler.position(job) for job in (long, waiting, draft, next_draft)] == [0, 1, 0, 1]
    studio.end(cpu)
    assert cpu.job_id == next_draft.job_id
    studio.end(cpu)
    assert cpu.state == "idle", "the video model's second job waits for the card"
    studio.end(card)
    assert card.job_id == waiting.job_id


@pytest.mark.parametrize("on_card", [False, True])
def test_with_one_kind_of_worker_everything_runs_there(tmp_path: Path, on_card: bool) -> None:
    slot = FakeSlot(on_card)
    studio = Studio(tmp_path, slot)
    jobs = [studio.submit(spec) for spec in (WAN, SPEC)]
    assert [studio.scheduler.position(job) for job in jobs] == [0, 1]
    studio.end(slot)
    assert slot.job_id == jobs[1].job_id


def test_a_worker_that_has_the_model_is_preferred(tmp_path: Path) -> None:
    first, second = FakeSlot(on_card=True), FakeSlot(on_card=True)
    studio = Studio(tmp_path, first, second, FakeSlot())
    studio.submit(WAN)
    studio.submit(OTHER)
    studio.end(first)
    studio.end(second)
    again = studio.submit(OTHER)
    assert second.job_id == again.job_id


def test_only_jobs_for_broken_workers_fail(tmp_path: Path) -> None:
    card, cpu = FakeSlot(on_card=True), FakeSlot()
    card.state, card.broken = "off", True
    studio = Studio(tmp_path, card, cpu)
    assert studio.submit(WAN).state == "failed"
    assert studio.submit(SPEC).state == "loading"


@pytest.mark.parametrize(("told", "draft_s", "wan_s"), [(None, 5.0, 60.0), (1.5, 1.5, 1.5)])
def test_a_step_of_a_video_model_gets_time_to_heed_a_cancel(
    tmp_path: Path, told: float | None, draft_s: float, wan_s: float
) -> None:
    card, cpu = FakeSlot(on_card=True), FakeSlot()
    studio = Studio(tmp_path, card, cpu, grace_s=told)
    for spec in (WAN, SPEC):
        studio.scheduler.cancel(studio.submit(spec))
    assert (card.kill_at, cpu.kill_at) == (studio.now + wan_s, studio.now + draft_s)


@pytest.mark.parametrize(
    ("status", "part"),
    [(wm.CARD_BROKEN, "the graphics card failed"), (-9, "memory ran out"), (1, "ended with status 1 in each of 3")],
)
def test_what_ended_a_worker_is_said(rig: Rig, status: int, part: str) -> None:
    job = rig.begin()
    for _ in range(3):
        slot: Any = rig.slot
        job_id = slot.job_id
        slot.state, slot.job_id = "idle", ""
        rig.scheduler._lost(slot, job_id, status)
        rig.scheduler.assign()
    assert job.state == "failed"
    assert part in job.error
    assert "in each of 3 attempts" in job.error


# ---- when it will be done ---------------------------------------------------------------------------


def test_seconds_left_follow_steps_then_frames(tmp_path: Path) -> None:
    """A model that makes all frames at the end: the first one does not stand for the time of the others."""
    studio = Studio(tmp_path, slot := FakeSlot(on_card=True))
    studio.slot = slot
    job = studio.submit(WAN)
    studio.say(wm.RunStarted(job.job_id), wm.StageBegan(job.job_id, "denoise", 40))
    assert job.eta_s(studio.now) is None
    studio.now += 20
    studio.say(wm.StepMade(job.job_id, 10, 40))
    assert job.eta_s(studio.now) == pytest.approx(60)
    studio.now += 60
    studio.say(wm.StageBegan(job.job_id, "decode", 21), wm.FrameMade(job.job_id, 0))
    studio.now += 1
    studio.say(*(wm.FrameMade(job.job_id, index) for index in range(1, 9)))
    assert job.eta_s(studio.now) == pytest.approx(1 / 9 * 72)


def test_seconds_left_count_the_segments_to_come(tmp_path: Path) -> None:
    studio = Studio(tmp_path, slot := FakeSlot(on_card=True))
    studio.slot = slot
    job = studio.submit(LONG)
    assert job.passes == 4
    studio.say(wm.RunStarted(job.job_id), wm.StageBegan(job.job_id, "denoise", 20))
    studio.now += 10
    studio.say(wm.StepMade(job.job_id, 10, 20))
    assert job.eta_s(studio.now) == pytest.approx(10 + 3 * 20)
    studio.now += 10
    studio.say(wm.StageBegan(job.job_id, "decode", 20))
    studio.say(*(wm.FrameMade(job.job_id, index) for index in range(75)))
    studio.now += 5
    studio.say(wm.StageBegan(job.job_id, "denoise", 20))
    assert job.eta_s(studio.now) == pytest.approx(25 / 75 * 225)


# ---- weights that are read --------------------------------------------------------------------------

GIB = 2**30


def test_weights_that_are_read_are_a_stage_within_a_stage(rig: Rig) -> None:
    job = rig.begin()
    rig.say(wm.StageBegan(job.job_id, "denoise", 4))
    rig.now += 1
    rig.say(wm.Reading(job.job_id, "transformer", 0, 28 * GIB))
    rig.now += 10
    rig.say(wm.Reading(job.job_id, "transformer", 7 * GIB, 28 * GIB))
    seen = job.update(0, rig.now).progress
    assert (seen.stage, seen.step, seen.steps) == ("load transformer", 7 * 1024, 28 * 1024)
    assert (seen.unit, seen.rate, seen.eta_s) == ("MiB", 716.8, None)
    rig.now += 30
    rig.say(wm.Reading(job.job_id, "transformer", 28 * GIB, 28 * GIB))
    assert job.update(0, rig.now).progress.stage == "denoise"
    rig.now += 1
    rig.say(wm.StepMade(job.job_id, 1, 4))
    assert job.update(0, rig.now).progress.eta_s == pytest.approx(2 * 3), "the wait for weights is no step's"
    rig.say(wm.StageBegan(job.job_id, "decode", 0))
    assert (job.timings["load"], job.timings["denoise"]) == (40.0, 2.0)


def test_a_last_report_that_is_lost_does_no_harm(rig: Rig) -> None:
    job = rig.begin()
    rig.say(wm.StageBegan(job.job_id, "denoise", 2), wm.Reading(job.job_id, "transformer", 5, 9))
    rig.now += 3
    rig.say(wm.StepMade(job.job_id, 1, 2))
    assert (job.update(0, rig.now).progress.stage, job.timings["load"]) == ("denoise", 3.0)
    rig.say(wm.Reading(job.job_id, "transformer 2", 5, 9), wm.Reading(job.job_id, "vae", 1, 9))
    assert job.update(0, rig.now).progress.stage == "load vae"
    rig.say(wm.RunEnded(job.job_id, "failed", "no"))
    assert job.update(0, rig.now).progress.stage == ""
