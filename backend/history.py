"""How long a job will take, from jobs that ran here. What is not known stays unknown: nothing is ever invented.

A job that ended in one attempt leaves its question (size, steps ...) and its seconds a stage. For another job:

- **measured**: jobs of the same engine, model, task, plan, size, frames and steps: the median of the last few;
- **scaled**: no such job, but others of the same engine, model, task and plan: those nearest in work, by stage.
  ``denoise`` grows with ``wan_models.flops.denoising``, ``load`` stays, every other stage grows with
  width x height x frames.

``load`` counts as little where a worker has the model, else as much as it took lately.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from protocol.messages import EstimateJob
from protocol.specs import JobSpec, Sampler
from wan_models import flops
from wan_models.engine import RequestRefused
from wan_models.models import MODELS
from wan_models.pipelines.settings import resolve
from wan_models.rows import ModelRow

if TYPE_CHECKING:
    from wan_models.requests import Request

LAST = 5
_NO_STAGES = frozenset({"queue", "first_frame", "total"})
_ROWS = {row.name: row for row in MODELS}


class Question(msgspec.Struct, frozen=True):
    """What of a job its time and memory depend on. ``prompt`` and ``negative_prompt`` are there for ``resolve``."""

    task: str
    engine: str
    model: str
    width: int
    height: int
    frames: int
    sampler: Sampler = Sampler()
    plan: str = "auto"
    start_from_reference: bool = False

    @property
    def row(self) -> ModelRow | None:
        """The video model's row; None for engines that have no numbers."""
        return _ROWS.get(self.model) if self.engine == "wan" else None

    def alike(self) -> tuple[str, ...]:
        """Times are compared within these only."""
        return self.engine, self.model, self.task, self.plan


@dataclass(frozen=True)
class _Wish:
    """As much of a request as ``resolve`` reads."""

    sampler: Sampler
    prompt: str = ""
    negative_prompt: str | None = None


def question_of(asked: EstimateJob | JobSpec) -> Question:
    """Of a message, or of a job that was submitted."""
    start = asked.start_from_reference if isinstance(asked, EstimateJob) else asked.talk.start_from_reference
    return Question(
        asked.task,
        asked.engine,
        asked.model,
        asked.width,
        asked.height,
        asked.frames,
        asked.sampler,
        asked.plan,
        start,
    )


class Measured(msgspec.Struct, frozen=True, dict=True):
    """A job that ran here: what was asked, and seconds by stage as ``JobUpdate.timings`` has them."""

    question: Question
    timings: dict[str, float]

    @cached_property
    def stages(self) -> dict[str, float]:
        """Seconds by stage; passes of one stage ("denoise 2 of 3") together."""
        found: dict[str, float] = {}
        for name, seconds in self.timings.items():
            if name not in _NO_STAGES:
                stage = name.partition(" ")[0]
                found[stage] = found.get(stage, 0.0) + seconds
        return found

    @cached_property
    def work(self) -> dict[str, float]:
        """See ``work_of``."""
        return work_of(self.question)


@dataclass(frozen=True)
class Times:
    """Seconds by stage, in the order in which they come, and where they are from."""

    stages: dict[str, float]
    basis: Literal["measured", "scaled"]
    based_on: str

    @property
    def seconds(self) -> float:
        """All together."""
        return sum(self.stages.values())


def steps_of(question: Question) -> tuple[int, bool]:
    """Steps, and whether each needs a second forward; (0, False) where that says nothing or is refused."""
    row = question.row
    if row is None:
        return question.sampler.steps or 0, False
    try:
        settings = resolve(row, cast("Request", _Wish(question.sampler)))
    except RequestRefused:
        return 0, False
    return settings.steps, settings.guides


def work_of(question: Question) -> dict[str, float]:
    """What stages grow with: ``denoise`` with floating-point operations, the others (under "") with pixels."""
    pixels = float(question.width * question.height * question.frames)
    row, (steps, guides) = question.row, steps_of(question)
    if row is None:
        return {"": pixels}
    passes = row.passes(question.frames, question.start_from_reference)
    size = question.width, question.height, question.frames
    return {"": pixels, "denoise": flops.denoising(row, *size, steps=steps, guides=guides, passes=passes)}


def estimate(question: Question, ran: Iterable[Measured], *, warm: bool) -> Times | None:
    """The time of a job, by those that ``ran`` (oldest first); None when nothing like it did. ``warm``: a worker has
    the model open.
    """
    like = [each for each in ran if each.question.alike() == question.alike()]
    if not like:
        return None
    load = _load(like, warm)
    same = [each for each in like if _same(each.question, question)]
    if same:
        count = min(len(same), LAST)
        jobs = "a job" if count == 1 else f"{count} jobs"
        return Times(_stages([each.stages for each in same[-LAST:]], load), "measured", f"{jobs} of this size here")
    wanted = work_of(question)
    nearest = min(like, key=lambda each: _apart(each.work, wanted))
    group = [each for each in like if _same(each.question, nearest.question)][-LAST:]
    scaled = [_scaled(each, wanted) for each in group]
    other = nearest.question
    steps = f", {steps_of(other)[0]} steps" if other.row is not None else ""
    said = f"a job here of {other.width} x {other.height}, {other.frames} frames{steps}, scaled by its work"
    return Times(_stages(scaled, load), "scaled", said)


def _same(one: Question, other: Question) -> bool:
    size = (one.width, one.height, one.frames) == (other.width, other.height, other.frames)
    return size and steps_of(one) == steps_of(other) and one.start_from_reference == other.start_from_reference


def _apart(one: dict[str, float], other: dict[str, float]) -> float:
    """How unlike two jobs are, by the logarithms of their work."""
    return sum(abs(math.log(max(one[key], 1.0) / max(other[key], 1.0))) for key in other)


def _scaled(run: Measured, wanted: dict[str, float]) -> dict[str, float]:
    found = {}
    for stage, seconds in run.stages.items():
        key = stage if stage in wanted else ""
        grown = 1.0 if stage == "load" else wanted[key] / max(run.work[key], 1.0)
        found[stage] = seconds * grown
    return found


def _stages(runs: Sequence[dict[str, float]], load: float) -> dict[str, float]:
    """Medians by stage, in the order of the newest."""
    names = [*runs[-1], *(name for run in runs for name in run if name not in runs[-1])]
    found = {name: median(run.get(name, 0.0) for run in runs) for name in dict.fromkeys(names)}
    if "load" in found:
        found["load"] = load
    return {name: round(seconds, 3) for name, seconds in found.items()}


def _load(like: Sequence[Measured], warm: bool) -> float:
    lately = [each.stages.get("load", 0.0) for each in like[-LAST:]]
    return min(lately) if warm else max(lately)
