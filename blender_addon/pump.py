"""Drains the backend's messages on Blender's main thread, a few milliseconds at a time.

In the window an app timer calls ``tick``; without one (background mode, the bpy module, tests) ``pump`` and
``run_until`` call the same code in a loop. No thread, no wait longer than the budget.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import bpy

from . import (
    VERSION,
    compat,
    estimates,
    follow,
    heard,
    launch,
    playback,
    preferences,
    remote,
    room,
    setup_run,
    state,
    takes,
    wire,
)
from .problems import UserProblem
from .words import tr

logger = logging.getLogger(__name__)

BUDGET_S = 0.008
PICTURE_S = 0.004  # of the budget, kept for a picture
FLOWING_S, WORKING_S, IDLE_S, PAUSED_S = 1 / 60, 0.1, 6.0, 0.25


def tick(budget_s: float = BUDGET_S) -> float | None:
    """One turn of at most about ``budget_s``; returns the seconds until the next, None when there is nothing to do."""
    now = state.now
    resting, now.resting = now.resting, False
    if now.paused:
        return PAUSED_S
    began = time.perf_counter()
    if _takes_its_time():
        return FLOWING_S
    if setup_run.poll():
        playback.redraw()
    try:
        _pair()
        _wait_for_launch()
        busy = _drain(began + budget_s)
    except (UserProblem, wire.errors.WanstageError) as problem:
        _give_up(heard.reason(problem))
        return WORKING_S if _elsewhere() else None
    asked = estimates.watch(resting=resting)
    room.watch()
    now.longest_tick_s = max(now.longest_tick_s, time.perf_counter() - began)
    if now.client is None and now.launch is None:
        return WORKING_S if _elsewhere() else None
    if busy:
        return FLOWING_S
    awaited = (
        asked or estimates.is_pausing() or now.active() or _elsewhere() or now.status in {"starting", "connecting"}
    )
    now.resting = not awaited
    return WORKING_S if awaited else IDLE_S


def _takes_its_time() -> bool:
    """What gets a tick to itself: a take's sound, which Blender opens, then its undo step, or a piece of work that was
    begun; whether there was one."""
    now, began = state.now, time.perf_counter()
    if now.sounds:
        found = takes.find(now.sounds.popleft())
        if found is not None:
            takes.add_sound(*found)
    elif now.undo_step and now.export is None:  # a step would keep the scene that a film is rendered in
        title, now.undo_step = now.undo_step, ""
        compat.undo_push(title)
        return True  # Blender's time, not ours
    elif now.pieces:
        work = now.pieces.popleft()
        if next(work, now) is not now:
            now.pieces.appendleft(work)  # what fails is not tried again
    else:
        return False
    now.longest_tick_s = max(now.longest_tick_s, time.perf_counter() - began)
    return True


def _elsewhere() -> bool:
    """Whether something goes on beside the connection."""
    return state.now.is_due() or setup_run.card.running is not None or remote.now.attempt is not None


def _pair() -> None:
    """Go on with pairing; a backend that lets us in is connected to."""
    if remote.now.attempt is None:
        return
    try:
        found = remote.poll(preferences.settings().data)
    except UserProblem as problem:
        remote.now.sentence, remote.now.failed = str(problem), True
        playback.redraw()
        return
    if found is not None:
        name, connection = found
        remote.now.sentence, remote.now.failed = tr("Paired with {name}", name=name), False
        end(state.now.launch)
        state.disconnect()
        preferences.choose(name)
        open_client(connection)
        playback.redraw()


def _wait_for_launch() -> None:
    now = state.now
    if now.launch is None:
        return
    connection = now.launch.poll()
    if connection is not None:
        now.launch = None
        open_client(connection)


def _drain(deadline: float) -> bool:
    """Handle events until the deadline. True when there was something.

    At most one picture goes to a plane, and when the events took the time that it needs, in the next turn: a tick
    writes files or shows a picture, not both at any cost.
    """
    now = state.now
    if now.client is None:
        return False
    if not now.backlog:
        now.backlog.extend(now.client.poll(max(deadline - time.perf_counter(), 0.001) / 2))
    late, shown = now.waiting is not None, now.waiting or follow.Shown()
    busy, now.waiting = bool(now.backlog) or late, None
    while not late and now.backlog and time.perf_counter() < deadline and now.client is not None:
        follow.handle(now.backlog.popleft(), shown)
    out_of_time = not late and deadline - time.perf_counter() < PICTURE_S
    if shown and (out_of_time or not shown.show()):
        now.waiting = shown
    if busy:
        now.redraws = state.REDRAWS
    if now.redraws:
        now.redraws -= 1
        playback.redraw()
    return busy or bool(now.redraws)


def _give_up(sentence: str) -> None:
    logger.warning("%s", sentence)
    state.disconnect()
    state.now.status, state.now.sentence = "lost", sentence
    room.watch()
    playback.redraw()


def open_client(connection: Any) -> None:
    """Connect to a backend; whether it answers is told by later ticks."""
    now = state.now
    now.client = wire.client.Client(connection, client_name=f"Wanstage for Blender {VERSION}")
    now.client.open()
    now.connection, now.status, now.sentence = connection, "connecting", ""


def start_timer() -> None:
    """Have the window call ``tick`` soon; harmless when it already does. Timers never fire in background mode."""
    if state.now.resting:  # the next turn may be seconds away
        state.now.resting = False
        stop_timer()
    if not bpy.app.background and not bpy.app.timers.is_registered(tick):
        bpy.app.timers.register(tick, first_interval=FLOWING_S, persistent=True)


def stop_timer() -> None:
    """A timer that is left registered makes some Blenders hang at exit."""
    if bpy.app.timers.is_registered(tick):
        bpy.app.timers.unregister(tick)


def pump(until: Callable[[], bool], timeout_s: float) -> bool:
    """Turn until ``until()`` or the time is over; returns ``until()``. For scripts: this blocks."""
    deadline = time.monotonic() + timeout_s
    while not until():
        if time.monotonic() >= deadline or tick(0.05) is None:
            return until()
        if state.now.client is not None and not state.now.backlog:
            state.now.backlog.extend(state.now.client.wait(0.02))
        elif state.now.launch is not None or _elsewhere():
            time.sleep(0.02)
    return True


def run_until(job_ids: Iterable[str], timeout_s: float) -> bool:
    """Turn until these jobs have ended, with their takes placed and their undo step made; True when they have."""
    wanted, now = list(job_ids), state.now
    return pump(
        lambda: not now.undo_step and all(job not in now.runs or now.runs[job].settled for job in wanted), timeout_s
    )


def end(process_launch: launch.Launch | None) -> None:
    """Stop a backend that is still starting (the user pressed Disconnect meanwhile)."""
    if process_launch is not None and process_launch.process.poll() is None:
        process_launch.process.terminate()
