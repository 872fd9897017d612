"""Engines and models by name. Looking at the lists imports no engine, nor numpy."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .models import MODELS
from .options import Options
from .rows import ModelRow

if TYPE_CHECKING:
    from .engine import Engine


@dataclass(frozen=True)
class EngineRow:
    """One engine: where its class is, what it can do, which modules it needs (import name, what to install).

    ``preload`` are modules that a worker imports before the first job, so that its first frame does not wait.
    ``extra``: the project's extra that brings all that it needs.
    ``aside``: its jobs are long and need no card: they get a worker process of their own, so that no draft waits.
    ``on_card``: it works on a graphics card where there is one. ``grace_s``: seconds that one of its steps may take
    after a cancel.
    """

    name: str
    path: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    needs: tuple[tuple[str, str], ...] = ()
    preload: tuple[str, ...] = ()
    testing: bool = False
    has_options: bool = False
    extra: str = ""
    on_card: bool = False
    aside: bool = False
    grace_s: float = 5.0

    @property
    def missing(self) -> tuple[str, ...]:
        """A sentence for each thing that is not installed, or one for all that an extra brings; empty = ready."""
        lacking = [package for module, package in self.needs if not _installed(module)]
        if self.extra and lacking:
            command = f"pip install '.[{self.extra}]'"
            return (f"{self.name} needs {', '.join(lacking)}: run {command} in Wanstage's folder",)
        return tuple(f"{self.name} needs {each}: install it with 'pip install {each}'" for each in lacking)


def _installed(module: str) -> bool:
    # Asked of a module that is being imported, find_spec raises (cv2 loads itself twice).
    return module in sys.modules or find_spec(module) is not None


_ENGINES: tuple[EngineRow, ...] = (
    EngineRow(
        name="draft",
        path="wan_models.draft:DraftEngine",
        models=("draft",),
        tasks=("animate", "i2v", "s2v"),
        needs=(("cv2", "opencv-contrib-python"), ("scipy", "scipy"), ("av", "av")),
        preload=("wan_models.draft.i2v", "wan_models.draft.animate", "wan_models.draft.s2v.ready"),
    ),
    EngineRow(
        name="wan",
        path="wan_models.pipelines.engine:WanEngine",
        models=tuple(row.name for row in MODELS),
        tasks=tuple(dict.fromkeys(task for row in MODELS for task in row.tasks)),
        needs=tuple((name, name) for name in ("torch", "diffusers", "transformers", "ftfy", "safetensors")),
        extra="wan",
        has_options=True,
        on_card=True,
        grace_s=60.0,  # a step of a 14B model at 1280x720 takes 12 s on a fast card
    ),
    EngineRow(
        name="pose",
        path="wan_models.pose.engine:PoseEngine",
        models=("mediapipe",),
        tasks=("pose",),
        needs=(("mediapipe", "mediapipe"), ("cv2", "opencv-contrib-python"), ("scipy", "scipy"), ("av", "av")),
        extra="pose",
        aside=True,
    ),
    EngineRow(
        name="test",
        path="wan_models.testing:TestEngine",
        models=("test", "draft"),
        tasks=("animate", "replace", "i2v", "flf2v", "t2v", "ti2v", "s2v"),
        testing=True,
    ),
)


def engine_infos(testing: bool = False) -> tuple[EngineRow, ...]:
    """The engines a user may ask for; ``testing`` adds the one that makes gradients and faults."""
    return tuple(row for row in _ENGINES if testing or not row.testing)


def preload(name: str) -> None:
    """Import what the engine will need; ImportError comes out as it is."""
    for row in _ENGINES:
        if row.name == name:
            for module in row.preload:
                import_module(module)


def model_row(name: str) -> ModelRow:
    """The row of a video model. Raises RequestRefused for an unknown name."""
    from .engine import RequestRefused

    for row in MODELS:
        if row.name == name:
            return row
    problem = f"there is no model {name}: there are {', '.join(row.name for row in MODELS)}"
    raise RequestRefused(problem)


def open_engine(name: str, options: Options | None = None) -> Engine:
    """Import and make the engine; ``options`` are for those that have some.

    Raises RequestRefused for an unknown name or missing packages.
    """
    from .engine import RequestRefused

    row = next((row for row in _ENGINES if row.name == name), None)
    if row is None:
        problem = f"there is no engine {name}: there are {', '.join(row.name for row in _ENGINES)}"
        raise RequestRefused(problem)
    if row.missing:
        raise RequestRefused("; ".join(row.missing))
    module, _, attribute = row.path.partition(":")
    make = getattr(import_module(module), attribute)
    engine: Engine = make(options or Options()) if row.has_options else make()
    return engine
