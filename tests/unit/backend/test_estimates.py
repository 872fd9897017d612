"""Memory and time of jobs to come: arithmetic, what is proposed instead, and nothing that is not known."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backend import devices, history
from backend.devices import Card
from backend.estimates import Estimates, Reading, Watch
from backend.fitting import Clip, Memory, fits, plan_for, proposal, smaller
from backend.history import Measured, Question
from backend.jobs import Job
from backend.store import RUNS_KEPT, JobStore, runs_of
from protocol.assets import AssetFolder
from protocol.errors import InvalidJob
from protocol.messages import Estimate, EstimateJob, SmallerJob
from protocol.specs import JobSpec, Sampler
from wan_models import flops
from wan_models.options import Options
from wan_models.registry import engine_infos, model_row

GB = 10**9
I2V = model_row("wan2.2-i2v-a14b")
DRAFT = Question("i2v", "draft", "draft", 832, 480, 81)
WAN = Question("i2v", "wan", I2V.name, 832, 480, 81)


def ran(question: Question, **timings: float) -> Measured:
    return Measured(question, {"queue": 9.0, "first_frame": 3.0, "total": 99.0, **timings})


def changed(question: Question, **told: Any) -> Question:
    return Question(**{**{name: getattr(question, name) for name in question.__struct_fields__}, **told})


# ---- time -------------------------------------------------------------------------------------------


def test_nothing_is_invented() -> None:
    others = [
        ran(changed(DRAFT, task="animate"), draw=1.0),
        ran(changed(DRAFT, engine="test", model="test"), test=1.0),
        ran(changed(DRAFT, plan="stream"), draw=1.0),
    ]
    assert history.estimate(DRAFT, [], warm=True) is None
    assert history.estimate(DRAFT, others, warm=True) is None


def test_the_same_size_gives_medians_of_the_last_ones() -> None:
    old = [ran(DRAFT, load=0.1, draw=100.0) for _ in range(9)]
    runs = [*old, *(ran(DRAFT, load=0.1, draw=seconds) for seconds in (10.0, 12.0, 11.0, 50.0, 12.0))]
    found = history.estimate(DRAFT, runs, warm=True)
    assert found is not None
    assert (found.basis, found.stages, found.seconds) == ("measured", {"load": 0.1, "draw": 12.0}, 12.1)
    assert "5 jobs of this size" in found.based_on


def test_passes_of_one_stage_are_one() -> None:
    run = ran(WAN, **{"load": 2.0, "encode 1 of 2": 1.0, "denoise 1 of 2": 5.0, "encode 2 of 2": 1.0})
    assert run.stages == {"load": 2.0, "encode": 2.0, "denoise": 5.0}


def test_a_model_that_is_open_loads_in_no_time() -> None:
    runs = [ran(WAN, load=60.0, denoise=100.0), ran(WAN, load=0.5, denoise=100.0)]
    warm, cold = (history.estimate(WAN, runs, warm=warm) for warm in (True, False))
    assert warm is not None
    assert cold is not None
    assert (warm.stages["load"], cold.stages["load"]) == (0.5, 60.0)


def test_frames_of_another_engine_scale_by_pixels() -> None:
    runs = [ran(changed(DRAFT, frames=4), draw=1.0), ran(changed(DRAFT, frames=20), draw=4.0)]
    found = history.estimate(changed(DRAFT, frames=40), runs, warm=True)
    assert found is not None
    assert (found.basis, found.seconds) == ("scaled", 8.0)
    assert found.based_on == "a job here of 832 x 480, 20 frames, scaled by its work"


def test_a_video_model_scales_by_its_operations() -> None:
    runs = [ran(WAN, load=10.0, encode=1.0, denoise=100.0, decode=10.0)]
    larger = history.estimate(changed(WAN, width=1280, height=720), runs, warm=True)
    fewer = history.estimate(changed(WAN, sampler=Sampler(steps=20)), runs, warm=True)
    plain = history.estimate(changed(WAN, sampler=Sampler(guidance=1.0)), runs, warm=True)
    assert larger is not None
    assert fewer is not None
    assert plain is not None
    pixels = 1280 * 720 / (832 * 480)
    assert pixels < larger.stages["denoise"] / 100.0 < pixels**2, "attention grows with the square, the rest does not"
    assert larger.stages["decode"] == pytest.approx(10.0 * pixels, rel=1e-3)
    assert larger.stages["load"] == 10.0
    assert fewer.stages["denoise"] == 50.0
    assert "40 steps" in fewer.based_on
    assert plain.stages["denoise"] == 50.0, "no second forward without guidance"


def test_the_formula_by_hand() -> None:
    d, f, layers, n = 5120, 13824, 40, 21 * 52 * 30
    linear = 2 * n * (6 * d * d + 2 * d * f)
    by_hand = layers * (linear + 4 * n * n * d + 4 * n * 512 * d)
    assert flops.forward(I2V, 832, 480, 81) == by_hand
    assert flops.denoising(I2V, 832, 480, 81, steps=3, guides=True, passes=2) == by_hand * 12


def test_finished_jobs_of_one_attempt_are_kept_and_outlive_the_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    spec = JobSpec("t2v", 64, 64, 4, 16.0)
    for number, (state, attempt) in enumerate((("finished", 1), ("finished", 2), ("failed", 1))):
        job = Job(f"{number:032x}", "me", spec, 1.0, state, attempt, timings={"draw": 2.0})  # type: ignore[arg-type]
        store.save(job)
        store.keep_run(job)
        store.remove(job.job_id)
    assert [each.timings for each in store.runs()] == [{"draw": 2.0}]
    assert runs_of(tmp_path / "jobs.sqlite") == store.runs()
    assert runs_of(tmp_path / "none.sqlite") == []
    done = Job("a" * 32, "me", spec, 1.0, "finished", 1)
    for _ in range(RUNS_KEPT + 5):
        store.keep_run(done)
    assert len(store.runs()) == RUNS_KEPT
    store.close()


def test_a_database_of_before_tells_of_its_jobs(tmp_path: Path) -> None:
    store = JobStore(tmp_path / "jobs.sqlite")
    store.save(Job("a" * 32, "me", JobSpec("t2v", 64, 64, 4, 16.0), 1.0, "finished", 1, timings={"draw": 2.0}))
    store._db.execute("DROP TABLE runs")
    store.close()
    again = JobStore(tmp_path / "jobs.sqlite")
    assert [each.timings for each in again.runs()] == [{"draw": 2.0}]
    again.close()


# ---- memory -----------------------------------------------------------------------------------------


def test_what_is_proposed_fits_and_is_the_longest() -> None:
    clip, memory = Clip(I2V, 1280, 720, 81), Memory(7 * GB, 20 * GB)
    assert not fits(clip, memory)
    found = smaller(clip, memory)
    assert found[0] == SmallerJob(1280, 720, 49)
    assert SmallerJob(832, 480, 81) in found
    assert all(fits(Clip(I2V, each.width, each.height, each.frames), memory) for each in found)
    assert not fits(Clip(I2V, 1280, 720, found[0].frames + 4), memory)
    assert proposal(clip, found) == "49 frames would fit"


def test_another_plan_is_proposed_where_one_was_asked_for() -> None:
    clip, memory = Clip(I2V, 832, 480, 81, "resident"), Memory(24 * GB, 64 * GB)
    assert smaller(clip, memory) == (SmallerJob(832, 480, 81, plan_for(Clip(I2V, 832, 480, 81), memory).name),)
    assert smaller(Clip(I2V, 832, 480, 81), Memory(GB, GB)) == ()
    assert proposal(clip, ()) == ""


def test_portrait_stays_portrait() -> None:
    found = smaller(Clip(I2V, 720, 1280, 81), Memory(7 * GB, 20 * GB))
    assert {each.width < each.height for each in found} == {True}


@pytest.mark.parametrize(("visible", "index"), [(None, 1), ("1,0", 0), ("0,1", 1), ("", -1), ("GPU-x,GPU-y", -1)])
def test_torch_counts_cards_that_it_sees(visible: str | None, index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = devices.card_of("cuda:1", (Card(0, "a", 1, 1), Card(1, "b", 1, 1)))
    assert (found.index if found else -1) == index


# ---- answers ----------------------------------------------------------------------------------------


class Peer:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def reply(self, message: Any) -> None:
        self.said.append(message)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Estimate]:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def estimates(asked: EstimateJob, *, free_mib: int = 23_000, held: int = 0, card_gib: float | None = None) -> Any:
        slot = SimpleNamespace(on_card=True, device="cuda:0", model="", card=(held, 0, 0))
        scheduler: Any = SimpleNamespace(slots_for=lambda _: (slot,), runs=list, ahead=lambda _: 2)
        models: Any = SimpleNamespace(lacking=lambda _: "no weights: run 'wanstage models pull x'")
        watch = Watch(lambda: Reading((Card(0, "Card", 24_576, free_mib),), 64 * GB))
        made = Estimates(
            scheduler,
            AssetFolder(tmp_path),
            engine_infos(testing=True),
            models,
            options=Options(card_gib=card_gib),
            watch=watch,
        )
        peer: Any = Peer()
        answer = made.ask(peer, asked)
        for thread in threading.enumerate():
            if thread.name == "memory":
                thread.join(5)
        made.turn(lambda *_: pytest.fail("refused"))
        return answer or peer.said[0]

    return estimates


def test_an_answer_has_the_plan_the_card_and_what_is_missing(ask: Callable[..., Estimate]) -> None:
    found = ask(EstimateJob("i2v", 832, 480, 81, "wan", I2V.name, request=7))
    plan = plan_for(Clip(I2V, 832, 480, 81), Memory(23_000 << 20, 64 * GB))
    assert (found.plan, found.card_needed, found.host_needed) == (plan.name, plan.card, plan.host)
    assert [(each.what, each.card) for each in found.parts] == [(need.what, need.card) for need in plan.needs]
    assert (found.card, found.card_free, found.card_total) == ("Card", 23_000 << 20, 24_576 << 20)
    assert "models pull" in found.missing[-1]
    assert found.missing_bytes > 50 * GB
    assert (found.seconds, found.basis, found.jobs_ahead, found.reply_to) == (None, "none", 2, 7)


def test_what_the_worker_holds_is_free_for_the_next_job(ask: Callable[..., Estimate]) -> None:
    asked = EstimateJob("i2v", 832, 480, 81, "wan", I2V.name)
    assert ask(asked, free_mib=3_000, held=20_000) == ask(asked)
    assert ask(asked, card_gib=8.0).card_free == 8 << 30


def test_too_large_a_job_hears_what_fits(ask: Callable[..., Estimate]) -> None:
    found = ask(EstimateJob("i2v", 1280, 720, 81, "wan", I2V.name), free_mib=6_676)
    assert found.too_large
    assert "needs at least" in found.problem
    assert "frames would fit" in found.problem
    assert found.smaller[0].frames < 81
    assert found.plan == ""


def test_an_engine_or_model_that_is_not_here(ask: Callable[..., Estimate]) -> None:
    for engine, model in (("nope", "x"), ("wan", "nope")):
        with pytest.raises(InvalidJob, match="there"):
            ask(EstimateJob("i2v", 832, 480, 81, engine, model))
