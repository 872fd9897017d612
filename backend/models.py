"""What the backend's models can do and what they lack, for ``welcome`` and for jobs before they are queued. No torch.

Which weights are there is read from disks that may be slow, so a thread looks, and ``welcome`` tells what it last saw.
"""

from __future__ import annotations

import logging
import threading
import time

from protocol.errors import InvalidJob
from protocol.messages import EngineInfo, ModelInfo
from protocol.specs import JobSpec
from wan_models.engine import RequestRefused
from wan_models.models import MODELS
from wan_models.options import Options
from wan_models.registry import EngineRow
from wan_models.rows import ModelRow

log = logging.getLogger(__name__)

FRESH_S = 5.0  # what was seen within so many seconds is not looked up again
FIRST_WAIT_S, WAIT_S = 5.0, 0.3  # how long a welcome waits for the thread: while nothing is known, and later
_ROWS = {row.name: row for row in MODELS}


class Models:
    """The video models of this backend, as ``options`` let them be found."""

    def __init__(self, options: Options, engines: tuple[EngineRow, ...]) -> None:
        """``engines`` are those that clients may ask for. A thread begins to look for their models."""
        self._options, self._engines = options, engines
        self._missing: dict[str, str] = {}
        self._looked = 0.0
        self._done = threading.Event()
        self._look()

    # ---- for welcome --------------------------------------------------------------------------------

    def infos(self) -> tuple[EngineInfo, ...]:
        """The engines as clients see them, with details of each model that has numbers of its own."""
        if self._done.is_set() and time.monotonic() - self._looked > FRESH_S:
            self._look()
        self._done.wait(WAIT_S if self._missing else FIRST_WAIT_S)
        missing = self._missing
        return tuple(
            EngineInfo(
                name=engine.name,
                models=engine.models,
                tasks=engine.tasks,
                missing=engine.missing,
                details=tuple(_details(row, missing.get(row.name, "")) for row in _rows(engine)),
            )
            for engine in self._engines
        )

    def _look(self) -> None:
        self._done.clear()
        # A daemon: a network disk that does not answer must not keep the server from ending.
        threading.Thread(target=self._scan, name="models", daemon=True).start()

    def _scan(self) -> None:
        try:
            found = {row.name: self._lacking(row) for engine in self._engines for row in _rows(engine)}
            self._missing = found
        except Exception:
            log.exception("the models cannot be looked for; a job that names one will say why")
        finally:
            self._looked = time.monotonic()
            self._done.set()

    def _lacking(self, row: ModelRow) -> str:
        from wan_models import store

        return store.installed(row, self._options)

    def lacking(self, name: str) -> str:
        """What a model lacks, in a sentence, as last seen; empty when nothing is known to be missing."""
        return self._missing.get(name, "")

    # ---- for jobs -----------------------------------------------------------------------------------

    def check(self, engine: EngineRow, spec: JobSpec) -> None:
        """All that a model's row and the model store say about a job. Raises InvalidJob."""
        row = _ROWS.get(spec.model)
        try:
            if row is not None:
                self._check(row, spec)
            elif spec.loras:
                problem = (
                    f"the engine {engine.name} has no LoRAs, {spec.loras[0].name} was asked for: leave loras empty"
                )
                raise RequestRefused(problem)
        except RequestRefused as error:
            raise InvalidJob(str(error)) from error

    def _check(self, row: ModelRow, spec: JobSpec) -> None:
        from wan_models import store
        from wan_models.pipelines.checks import check_asked
        from wan_models.pipelines.settings import preset_names

        check_asked(row, spec)
        needed = preset_names(row, spec)
        lacking = self._lacking(row)
        if lacking:
            raise RequestRefused(lacking)
        if spec.animate.relight and spec.task == "replace" and "relighting_lora" in row.extras:
            needed = (*needed, str(row.extras["relighting_lora"]))
        for name in (*needed, *(each.name for each in spec.loras)):
            store.find_lora(name, self._options)


def passes(spec: JobSpec) -> int:
    """How often the model goes through its stages for this job: once, or once for each segment."""
    row = _ROWS.get(spec.model)
    return row.passes(spec.made, spec.talk.start_from_reference) if row else 1


def _rows(engine: EngineRow) -> tuple[ModelRow, ...]:
    return tuple(_ROWS[name] for name in engine.models if name in _ROWS)


def _details(row: ModelRow, missing: str) -> ModelInfo:
    return ModelInfo(
        name=row.name,
        title=row.title,
        tasks=row.tasks,
        fps=float(row.fps),
        sizes=row.sizes,
        size_step=row.size_step,
        area=row.area,
        frame_step=row.frame_step,
        any_frames=row.any_frames,
        default_frames=row.default_frames,
        max_frames=row.max_frames,
        segment=row.segment,
        steps=row.steps,
        guidance=row.guidance,
        fast=row.fast is not None,
        missing=(missing,) if missing else (),
    )
