"""The engine of the tests: gradients that depend on seed and index, and faults on demand.

Not for users. The prompt may be a JSON object with the fields of ``Knobs``; anything else is ignored.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from . import redo
from .engine import RequestRefused
from .events import Event, FramesDecoded, Preview, StageStarted, StepDone, Warned, WeightsRead
from .requests import Request
from .sound import SHORTEST_S, check_sound, envelope, read_wave

MIB = 2**20


@dataclass(frozen=True)
class Knobs:
    """``*_at`` are frame indices (-1 = never); ``wait_for`` a file to wait for before frame ``wait_at``;
    ``weights_mib``: say that half of so much has been read, before the first frame.
    """

    delay_s: float = 0.0
    load_s: float = 0.0
    fail_at: int = -1
    refuse: bool = False
    memory_at: int = -1
    crash_at: int = -1
    card_at: int = -1
    note_at: int = -1
    warn: str = ""
    ignore_cancel: bool = False
    preview_side: int = 0
    wait_for: str = ""
    wait_at: int = 0
    weights_mib: int = 0


class TestEngine:
    """Deterministic: frame ``index`` of a seed has always the same bytes. A job with a sound shows in blue how loud it
    is while the frame is shown.
    """

    __test__ = False  # it is no test case, whatever pytest thinks of its name
    name = "test"
    models: tuple[str, ...] = ("test", "draft")
    tasks: tuple[str, ...] = ("animate", "replace", "i2v", "flf2v", "t2v", "ti2v", "s2v")

    def __init__(self) -> None:
        """Reports to nobody yet."""
        self.report: Callable[[Event], None] = _quiet

    def check(self, request: Request) -> None:
        """Sleeps ``load_s`` (a job that loads long), refuses when told to."""
        knobs = _knobs(request.prompt)
        time.sleep(knobs.load_s)
        if request.redo is not None:
            redo.check(request)
        if request.task == "s2v":
            if request.sound is None:
                problem = "the test engine hears nothing: give the task s2v a sound"
                raise RequestRefused(problem)
            check_sound(request.sound, max(request.frames / request.fps, SHORTEST_S))
        if knobs.refuse:
            problem = "the test engine was told to refuse this request: leave out 'refuse'"
            raise RequestRefused(problem)

    def generate(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """Every frame once, in order, with a preview before each when ``preview_side`` is set."""
        made = self._made(request, cancelled)
        return made if request.redo is None else redo.finished(request, made)

    def _made(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        knobs = _knobs(request.prompt)
        stop = _never if knobs.ignore_cancel else cancelled
        loud = _loudness(request)
        frames = redo.span(request)
        yield StageStarted("test", len(frames))
        if knobs.warn:
            yield Warned(knobs.warn)
        if knobs.weights_mib:
            self.report(WeightsRead("test weights", knobs.weights_mib * MIB // 2, knobs.weights_mib * MIB))
        for number, index in enumerate(frames):
            if _wait(knobs, index, stop) or stop():
                return
            _fault(knobs, index)
            if knobs.preview_side and request.previews:
                yield Preview(number, _gradient(request.seed, index, knobs.preview_side, knobs.preview_side))
            notes = ((number, "the test engine doubts this frame"),) if index == knobs.note_at else ()
            picture = _gradient(request.seed, index, request.height, request.width)
            if loud is not None:
                picture[..., 2] = round(255 * float(loud[index]))
            yield FramesDecoded(number, picture[None], notes)
            yield StepDone(number + 1, len(frames))


def _quiet(_: Event) -> None:
    pass


def _never() -> bool:
    return False


def _loudness(request: Request) -> NDArray[np.float32] | None:
    """(frames,) 0..1, of a request that has a sound."""
    if request.sound is None:
        return None
    wave = read_wave(request.sound, seconds=request.frames / request.fps)
    return envelope(wave, 16000, request.fps, request.frames)


def _gradient(seed: int, index: int, height: int, width: int) -> NDArray[np.uint8]:
    rows = np.arange(height, dtype=np.uint32)[:, None]
    columns = np.arange(width, dtype=np.uint32)[None, :]
    shift = np.uint32((seed * 31 + index * 7) % 256)
    picture = np.empty((height, width, 3), np.uint8)
    picture[..., 0] = (columns + shift) & 255
    picture[..., 1] = (rows + shift) & 255
    picture[..., 2] = index & 255
    return picture


def _wait(knobs: Knobs, index: int, stop: Callable[[], bool]) -> bool:
    """Wait for what the knobs say, asking ``stop`` now and then; True when told to stop."""
    until = time.monotonic() + knobs.delay_s
    gate = Path(knobs.wait_for) if knobs.wait_for and index == knobs.wait_at else None
    while time.monotonic() < until or (gate and not gate.exists()):
        if stop():
            return True
        time.sleep(min(0.01, max(0.0, until - time.monotonic())) or 0.01)
    return False


def _fault(knobs: Knobs, index: int) -> None:
    if index == knobs.fail_at:
        problem = f"the test engine was told to fail at frame {index}"
        raise RuntimeError(problem)
    if index == knobs.memory_at:
        raise MemoryError
    if index == knobs.card_at:
        problem = "CUDA error: unspecified launch failure"
        raise RuntimeError(problem)
    if index == knobs.crash_at:
        if hasattr(signal, "SIGKILL"):
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(137)


def _knobs(prompt: str) -> Knobs:
    try:
        told = json.loads(prompt)
    except ValueError:
        return Knobs()
    names = {field.name for field in fields(Knobs)}
    return (
        Knobs(**{name: value for name, value in told.items() if name in names}) if isinstance(told, dict) else Knobs()
    )
