"""Finds out which takes are out of date, a few milliseconds at a time, after edits and when asked.

Nothing runs while nothing is edited: an edit starts a timer, which waits until the user pauses, checks, and ends.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from typing import Any

import bpy

from . import madefrom, playback, state, takes

logger = logging.getLogger(__name__)

BUDGET_S = 0.004
QUIET_S = 0.6
NEXT_S = 0.02


class _Check:
    """The check that is going on: the file's ``revision`` when it began, and when the last edit was."""

    steps: Generator[None, None, None] | None = None
    revision = -1
    edited = 0.0
    longest_s = 0.0  # of this thread's own work in one tick


now = _Check()


def check(scene: bpy.types.Scene) -> Generator[None, None, None]:
    """Compare every take of a scene with the scene as it is. Takes of one span share the work."""
    known: dict[madefrom.Span, dict[str, str]] = {}
    for job_id in [take.job_id for take in scene.wanstage.takes]:
        found = takes.find(job_id)
        told = takes.meta(found[1]).get("made_from") if found else None
        span = madefrom.span_from(told)
        if span is None:
            continue
        if span not in known:
            known[span] = yield from madefrom.signature(scene, span)
        found = takes.find(job_id)  # between ticks a take may have been removed
        if found is not None:
            _write(found[1], madefrom.sentence(told, known[span]))
        yield


def _write(take: Any, sentence: str) -> None:
    if take.choice.outdated != sentence:
        take.choice.outdated = sentence
        playback.redraw()


def check_now(scene: bpy.types.Scene) -> None:
    """At once, for scripts and for who does not want to wait."""
    for _ in check(scene):
        pass


def edited() -> None:
    """Something that a take may depend on has changed: check when the user pauses. Cheap, called by every edit."""
    now.edited = time.monotonic()
    if bpy.app.background or bpy.app.timers.is_registered(tick):
        return
    if any(len(scene.wanstage.takes) for scene in bpy.data.scenes):
        bpy.app.timers.register(tick, first_interval=QUIET_S)


def tick() -> float | None:
    """One turn of the timer; None when all takes are checked."""
    if state.now.paused or state.now.capture is not None or madefrom.is_playing():
        now.steps = None
        return QUIET_S
    if now.steps is None or now.revision != state.now.revision:
        wait = now.edited + QUIET_S - time.monotonic()
        if wait > 0:
            return wait
        now.steps, now.revision = _all(), state.now.revision
    began, worked = time.perf_counter(), time.thread_time()
    try:
        while time.perf_counter() - began < BUDGET_S:
            next(now.steps)
    except StopIteration:
        now.steps = None
        return None
    except ReferenceError:  # what was looked at was removed between two ticks: from the beginning
        now.steps = None
        return QUIET_S
    finally:
        now.longest_s = max(now.longest_s, time.thread_time() - worked)
    return NEXT_S


def _all() -> Generator[None, None, None]:
    for name in [scene.name for scene in bpy.data.scenes]:
        scene = bpy.data.scenes.get(name)
        if scene is not None:
            yield from check(scene)


def stop() -> None:
    """Forget the check that is going on."""
    now.steps = None
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)
