"""Answers ``estimate_job``: memory by the arithmetic of plans, time by jobs that ran here. The server never waits.

What is free is read on a thread (the driver's tool takes its time) and good for a moment; questions that come
before it is there are answered in a later turn of the server's loop.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from protocol.assets import AssetFolder
from protocol.errors import InvalidJob, ProtocolError, WanstageError
from protocol.messages import Estimate, EstimateJob, EstimatePart, EstimateStage
from wan_models.engine import RequestRefused
from wan_models.memory.machine import GIB, host_for_plans
from wan_models.memory.plan import losses
from wan_models.options import Options
from wan_models.registry import EngineRow
from wan_models.rows import ModelRow
from wan_models.store.inventory import expected_bytes

from . import history
from .devices import Card, card_of, cards
from .fitting import Clip, Memory, plan_for, proposal, smaller
from .history import Question
from .models import Models
from .peers import Peer
from .scheduler import Scheduler
from .supervisor import Slot

log = logging.getLogger(__name__)

FRESH_S = 2.0
MAX_WAITING = 64
MIB = 1 << 20


@dataclass(frozen=True)
class Reading:
    """What was free: the cards as the driver lists them, and bytes of the host that plans may use."""

    cards: tuple[Card, ...]
    host: int


class Watch:
    """Reads on a thread. ``read`` is what it calls."""

    def __init__(self, read: Callable[[], Reading], clock: Callable[[], float] = time.monotonic) -> None:
        """Reads nothing yet."""
        self._read, self._clock = read, clock
        self._found: Reading | None = None
        self._at = 0.0
        self._thread: threading.Thread | None = None

    def latest(self) -> Reading | None:
        """What was read a moment ago; None while it is being read."""
        if self._thread is not None and self._thread.is_alive():
            return None
        if self._found is not None and self._clock() - self._at <= FRESH_S:
            return self._found
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)
        self._thread.start()
        return None

    def _look(self) -> None:
        self._found, self._at = self._read(), self._clock()


class Estimates:
    """Everything a question needs to be answered."""

    def __init__(
        self,
        scheduler: Scheduler,
        assets: AssetFolder,
        engines: tuple[EngineRow, ...],
        models: Models,
        *,
        options: Options,
        watch: Watch | None = None,
    ) -> None:
        """``options`` are what workers are told of memory and plans."""
        self._scheduler, self._assets, self._models, self._options = scheduler, assets, models, options
        self._engines = {row.name: row for row in engines}
        self._watch = watch or Watch(lambda: Reading(cards(), host_for_plans(options.host_gib)))
        self._waiting: deque[tuple[Peer, EstimateJob]] = deque()

    @property
    def waiting(self) -> bool:
        """Whether questions wait for what is being read."""
        return bool(self._waiting)

    def ask(self, peer: Peer, asked: EstimateJob) -> Estimate | None:
        """The answer, or None when it comes later, by ``turn``. Raises InvalidJob, ProtocolError."""
        question = self._checked(asked)
        if question.row is None:
            return self._answer(asked, question, None)
        reading = self._watch.latest()
        if reading is not None:
            return self._answer(asked, question, reading)
        if len(self._waiting) >= MAX_WAITING:
            problem = f"{MAX_WAITING} estimates are waiting already: ask again in a second"
            raise ProtocolError(problem)
        self._waiting.append((peer, asked))
        return None

    def turn(self, failed: Callable[[Peer, WanstageError, int], None]) -> None:
        """Answer those that waited, once it is known what is free."""
        if not self._waiting:
            return
        reading = self._watch.latest()
        while reading is not None and self._waiting:
            peer, asked = self._waiting.popleft()
            try:
                peer.reply(self._answer(asked, history.question_of(asked), reading))
            except WanstageError as error:
                failed(peer, error, asked.request)

    def _checked(self, asked: EstimateJob) -> Question:
        row = self._engines.get(asked.engine)
        if row is None or asked.model not in row.models:
            names = ", ".join(row.models) if row else ", ".join(self._engines)
            what = f"the engine {row.name} has no model {asked.model}" if row else f"there is no engine {asked.engine}"
            problem = f"{what}: there are {names}"
            raise InvalidJob(problem)
        return history.question_of(asked)

    def _answer(self, asked: EstimateJob, question: Question, reading: Reading | None) -> Estimate:
        engine, row = self._engines[asked.engine], question.row
        slots = self._scheduler.slots_for(asked.engine)
        warm = row is None or any(slot.model == asked.model for slot in slots)
        times = history.estimate(question, self._scheduler.runs(), warm=warm)
        lacking = self._models.lacking(row.name) if row else ""
        missing = (*engine.missing, *([lacking] if lacking else []))
        told = Estimate(
            missing=missing,
            missing_bytes=expected_bytes(row) if row and lacking else 0,
            seconds=round(times.seconds, 3) if times else None,
            stages=tuple(EstimateStage(name, seconds) for name, seconds in times.stages.items()) if times else (),
            basis=times.basis if times else "none",
            based_on=times.based_on if times else "",
            jobs_ahead=self._scheduler.ahead(asked.engine),
            upload=sum(ref.nbytes for ref in asked.assets if not self._assets.has(ref)) if asked.assets else None,
            reply_to=asked.request,
        )
        return self._with_memory(told, row, asked, _best(slots, reading, self._options)) if row and reading else told

    def _with_memory(self, told: Estimate, row: ModelRow, asked: EstimateJob, memory: Memory) -> Estimate:
        from msgspec.structs import replace

        wanted = self._options.plan if asked.plan == "auto" else asked.plan
        clip = Clip(row, asked.width, asked.height, asked.frames, wanted)
        free = {
            "card": memory.name,
            "card_free": memory.card if memory.total else 0,
            "card_total": memory.total,
            "host_free": memory.host,
        }
        try:
            plan = plan_for(clip, memory)
        except RequestRefused as refusal:
            instead = smaller(clip, memory)
            said = "; ".join(filter(None, [str(refusal), proposal(clip, instead)]))
            return replace(told, too_large=True, problem=said, smaller=instead, seconds=None, stages=(), basis="none",
                           based_on="", **free)  # fmt: skip
        return replace(
            told,
            plan=plan.name,
            losses="" if plan.lossless else losses(plan),
            parts=tuple(EstimatePart(need.what, need.card, need.host, need.note) for need in plan.needs),
            card_needed=plan.card if memory.total else 0,
            host_needed=plan.host if memory.total else plan.host + plan.card,
            **free,
        )


def _best(slots: tuple[Slot, ...], reading: Reading, options: Options) -> Memory:
    """What the worker with the most free memory has; without a card, the host's memory is both, as for the worker."""
    found = [_memory_of(slot, card, reading.host, options) for slot in slots if slot.on_card
             if (card := card_of(slot.device, reading.cards)) is not None]  # fmt: skip
    host = reading.host
    without = min(host, int(options.card_gib * GIB)) if options.card_gib is not None else host
    return max(found, key=lambda memory: memory.card, default=Memory(without, host))


def _memory_of(slot: Slot, card: Card, host: int, options: Options) -> Memory:
    """What its worker holds now is free for its next job."""
    free = min(card.total_mib, card.free_mib + slot.card[0]) * MIB
    if options.card_gib is not None:
        free = min(free, int(options.card_gib * GIB))
    return Memory(free, host, card.total_mib * MIB, card.name)
