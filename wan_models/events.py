"""What an engine says while it works, in the order in which it happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class StageStarted:
    """A stage of known or unknown length (``steps`` 0) begins: find, fit, denoise, decode ..."""

    name: str
    steps: int = 0


@dataclass(frozen=True)
class StepDone:
    """``step`` of ``steps`` of the present stage is done, counted from 1."""

    step: int
    steps: int


@dataclass(frozen=True)
class Preview:
    """A cheap look at frame ``index``: uint8 sRGB (h, w, 3), any size."""

    index: int
    image: NDArray[np.uint8]


@dataclass(frozen=True)
class FramesDecoded:
    """Final frames ``first``..: uint8 sRGB (n, h, w, 3). ``notes`` marks doubtful ones: index -> a sentence."""

    first: int
    frames: NDArray[np.uint8]
    notes: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True)
class PoseFound:
    """What frame ``index`` shows of people, as f4 rows (``wan_models.pose.engine.packed``); ``file``: behind the last
    frame, the pose file's bytes.
    """

    index: int
    data: bytes
    file: bool = False


@dataclass(frozen=True)
class Warned:
    """Something the user should know, in one sentence; the work goes on."""

    sentence: str


@dataclass(frozen=True)
class WeightsRead:
    """``done`` of ``total`` bytes of the weights of ``what`` ("text encoder") have been read; a stage waits for them.

    Told to ``wan_models.engine.Reports.report``, since an engine that reads can yield nothing.
    """

    what: str
    done: int
    total: int


Event: TypeAlias = StageStarted | StepDone | Preview | FramesDecoded | PoseFound | Warned | WeightsRead
