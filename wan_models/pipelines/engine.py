"""The engine of the video models: checks, weights, memory plan, and the family's own module, with parts kept open.

Determinism: a request gives the same frames on the same machine, in a worker that has just begun as in one that has
made other clips, with every lossless memory plan. Noise comes from torch's CPU generator, seeded with the request's
seed (``denoise.noise``); cuDNN does not try algorithms out; a plan that changes frames (fp8 weights, a VAE in bfloat16
or in tiles) is taken only when no other fits, or when asked for, and is told.
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, cast, get_args

import torch

from wan_models import compiling, store
from wan_models.engine import RequestRefused, out_of_memory
from wan_models.events import Event, StageStarted, Warned
from wan_models.memory.measure import actual_row, free
from wan_models.memory.plan import Free, Plan, PlanName, choose, describe, next_smaller
from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.registry import model_row
from wan_models.requests import Lora, Request
from wan_models.rows import ModelRow
from wan_models.weights import RandomCheckpoint, open_checkpoint

from . import redo
from .checks import check_request
from .contracts import Cancelled, Checkpoint, Parts
from .denoise import JobCancelled
from .parts import LoraChoice, OpenParts, quiet
from .settings import Settings, preset_loras, resolve

log = logging.getLogger(__name__)


class DidNotFit(RequestRefused):
    """Memory ran out during a job: which plan or size to try next. The engine can be used again."""


class Family(Protocol):
    """What each family's module offers. One that needs LoRAs of its own has ``job_loras(row, request)`` too, which
    gives the request's and those.
    """

    FAMILY: str

    def check(self, row: ModelRow, request: Request) -> None: ...
    def generate(self, parts: Parts, request: Request, settings: Settings, cancelled: Cancelled) -> Iterator[Event]: ...


@dataclass
class _Opened:
    """A model that is open: its row with the sizes that its networks have, what was free before it was opened, and
    the largest clip that its plan was made for.
    """

    identity: str
    row: ModelRow
    parts: OpenParts
    plan: Plan
    free: Free
    volume: int


class WanEngine:
    """See ``wan_models.engine.Engine``. Between jobs of a model its parts stay where the plan has them."""

    name: str = "wan"
    models: tuple[str, ...] = tuple(row.name for row in MODELS)
    tasks: tuple[str, ...] = tuple(dict.fromkeys(task for row in MODELS for task in row.tasks))

    def __init__(self, options: Options | None = None) -> None:
        """Opens nothing yet."""
        self._options = options or Options()
        self._device = torch.device(self._options.device)
        self._opened: _Opened | None = None
        self.report: Callable[[Event], None] = quiet
        """See ``wan_models.engine.Reports``."""

    def check(self, request: Request) -> None:
        """Raise RequestRefused for what ``generate`` could not do: the request itself, weights or LoRAs that are not
        there, an unknown plan. Reads no weights.
        """
        row = model_row(request.model)
        if request.redo is not None:
            request = redo.asked(row, request).request
        check_request(row, request)
        _family(row).check(row, request)
        resolve(row, request)
        plan = self._wanted(request)
        if plan not in ("auto", *get_args(PlanName)):
            problem = f"there is no plan {plan}: there are auto, {', '.join(get_args(PlanName))}"
            raise RequestRefused(problem)
        if not self._options.random_weights:
            store.find(row, self._options)
        self._loras(row, request)

    def generate(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """Stages load, encode, denoise and decode, each step, previews, and every frame once, in order.

        A cancelled job ends without decoding. Raises RequestRefused for what only the weights or the free memory can
        tell, DidNotFit when memory runs out.
        """
        if request.redo is None:
            return self._clip(request, cancelled)
        return redo.remade(model_row(request.model), request, lambda asked: self._clip(asked, cancelled))

    def _clip(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        row = model_row(request.model)
        settings, loras = resolve(row, request), self._loras(row, request)
        torch.backends.cudnn.benchmark = False
        yield StageStarted("load")
        fell_short: Plan | None = None
        try:
            opened = self._open(row, request)
            if self._wanted(request) == "auto" and not opened.plan.lossless:
                yield Warned(f"{describe(opened.plan).splitlines()[0]}: no lossless plan fits the free memory")
            opened.parts.cancelled, opened.parts.report = cancelled, self.report
            opened.parts.compiled = compiling.wanted(row, request, settings, self._device)
            opened.parts.set_loras(loras)
            yield from self._see(request, opened.parts)
            yield from _family(row).generate(opened.parts, request, settings, cancelled)
            if opened.parts.eye and opened.parts.eye.problem:
                yield Warned(f"previews became rough: {opened.parts.eye.problem}")
            opened.parts.eye = None
            opened.parts.rest()
            if opened.parts.compiled and compiling.failure():
                yield Warned(f"blocks cannot be compiled here, so steps take a fifth longer: {compiling.failure()}")
        except JobCancelled:
            return
        except RequestRefused:
            raise
        except Exception as error:
            if not out_of_memory(error):
                self.close()  # who knows what a network looks like that was left half-way
                raise
            fell_short = self._opened.plan if self._opened else Plan()
            log.warning("out of memory with the plan %s: %s", fell_short.name, error)
        finally:
            if self._opened is not None:
                self._opened.parts.eye = None
        if fell_short is not None:  # not within the except block: the error's frames hold tensors
            self.close()
            raise DidNotFit(_did_not_fit(row, request, fell_short))

    def close(self) -> None:
        """Give back all memory, of the card and the host."""
        if self._opened is None:
            return
        self._opened.parts.close()
        self._opened = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _see(self, request: Request, parts: OpenParts) -> Iterator[Event]:
        """Previews are seen through a tiny autoencoder where its file is here: no job needs it."""
        parts.eye = None
        if not request.previews or self._options.random_weights:
            return
        path = store.find_previewer(parts.vae.channels, self._options)
        try:
            if path is not None:
                parts.see_through(path)
        except (RequestRefused, RuntimeError) as error:
            if not isinstance(error, RequestRefused) and not out_of_memory(error):
                raise
            why = error if isinstance(error, RequestRefused) else f"there was no memory for {path}"
            yield Warned(f"previews stay rough: {why}")

    def _wanted(self, request: Request) -> str:
        return self._options.plan if request.plan == "auto" else request.plan

    def _loras(self, row: ModelRow, request: Request) -> list[LoraChoice]:
        own = getattr(_family(row), "job_loras", None)
        wanted: tuple[Lora, ...] = (own(row, request) if own else request.loras) + preset_loras(row, request)
        for lora in wanted:
            if lora.expert == "low" and row.boundary is None:
                problem = f"{row.name} has one network, so no low-noise expert for the LoRA {lora.name}: choose both"
                raise RequestRefused(problem)
        return [(store.find_lora(lora.name, self._options), lora.weight, lora.expert) for lora in wanted]

    def _open(self, row: ModelRow, request: Request) -> _Opened:
        """The model's parts: those that are open, if they serve this job as freshly opened ones would."""
        checkpoint = self._checkpoint(row)
        volume = request.width * request.height * request.frames
        now = self._opened
        if now is not None and now.identity == checkpoint.identity:
            plan = self._plan(now.row, request, now.free)
            if _serves(now, plan, volume, self._wanted(request)):
                return now
        self.close()
        found, real = free(self._options), actual_row(checkpoint)
        plan = self._plan(real, request, found)
        log.info("%s\n%s", row.name, describe(plan))
        parts = OpenParts(row, checkpoint, plan, self._device)
        self._opened = _Opened(checkpoint.identity, real, parts, plan, found, volume)
        return self._opened

    def _checkpoint(self, row: ModelRow) -> Checkpoint:
        if self._options.random_weights:
            return RandomCheckpoint(row, self._device)
        return open_checkpoint(store.find(row, self._options))

    def _plan(self, row: ModelRow, request: Request, found: Free) -> Plan:
        return choose(
            row,
            width=request.width,
            height=request.height,
            frames=request.frames,
            free_card=found.card,
            free_host=found.host,
            pinnable=found.pinnable,
            wanted=self._wanted(request),
        )


def _serves(now: _Opened, plan: Plan, volume: int, wanted: str) -> bool:
    """Whether the open parts do the job: with the same frames as ``plan`` would, and with room for them."""
    same_frames = (now.plan.weights, now.plan.vae, now.plan.vae_tile) == (plan.weights, plan.vae, plan.vae_tile)
    as_asked = wanted in ("auto", now.plan.name)
    return same_frames and as_asked and (volume <= now.volume or _placement(now.plan) == _placement(plan))


def _placement(plan: Plan) -> tuple[object, ...]:
    return plan.name, plan.resident_blocks, plan.together, plan.text_stream, plan.reference_on_host


def _family(row: ModelRow) -> Family:
    return cast("Family", import_module(f"wan_models.pipelines.{row.family}"))


def _did_not_fit(row: ModelRow, request: Request, plan: Plan) -> str:
    smaller = next_smaller(plan)
    advice = f"the plan {smaller}, or a smaller size or fewer frames" if smaller else "a smaller size or fewer frames"
    return (
        f"{row.name} at {request.width} x {request.height}, {request.frames} frames did not fit the memory "
        f"with the plan {plan.name}: choose {advice}"
    )
