"""What the backend says a shot will need and take: asked while nothing else waits, kept by what it depends on.

Drawing compares keys and shows what is kept; ``watch`` asks, at most twice a second and one question at a time. A
backend older than protocol 1.4 is not asked.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import bpy

from . import catalog, preflight, progress, shots, state, talking, wire
from .words import noted, tr

logger = logging.getLogger(__name__)

PAUSE_S = 0.5  # between questions
FRESH_S = 60.0  # memory is taken and freed by others too
ANSWER_S = 30.0
KEPT = 16
GB = 1e9

Key = tuple[Any, ...]

HOW = {
    "resident": noted("all on the card"),
    "resident-fp8": noted("all on the card, fp8"),
    "swap": noted("networks take turns on the card"),
    "swap-fp8": noted("networks take turns on the card, fp8"),
    "stream": noted("streams from memory"),
    "stream-fp8": noted("streams from memory, fp8"),
}


@dataclass
class _Now:
    """``answers``: key -> (when, the backend's Estimate, or None where it made none)."""

    answers: dict[Key, tuple[float, Any]] = field(default_factory=dict)
    asked: Key | None = None
    number: int = 0
    at: float = 0.0


now = _Now()


def key(scene: bpy.types.Scene) -> Key:
    """Equal as long as the question is the same. Properties only: cheap enough for drawing."""
    shot = scene.wanstage
    welcome = state.now.welcome
    return (
        welcome.server_id if welcome is not None else None,
        shot.task,
        shot.engine,
        shot.model,
        shots.size(shot),
        shots.frame_count(scene),
        shot.steps,
        shot.guidance,
        shot.guidance_low,
        shot.quality,
        shot.plan,
        shot.from_person,
    )


def of(scene: bpy.types.Scene) -> Any:
    """The backend's answer for the shot as it is; None while there is none."""
    found = now.answers.get(key(scene))
    return found[1] if found is not None else None


def is_asked(scene: bpy.types.Scene) -> bool:
    """Whether the answer for the shot as it is is on its way, or about to be asked for."""
    if not _can_ask():
        return False
    this = key(scene)
    return this not in now.answers and _question(scene) is not None


def forget() -> None:
    """As after a run, which changes what is free and what is known of times; or with another backend."""
    now.answers.clear()
    now.asked = None


# ---- asking ------------------------------------------------------------------------------------------------


def watch(*, resting: bool = False) -> bool:
    """Ask if there is something to ask; True while an answer is waited for. Called by every turn of the timer.

    ``resting``: nothing woke the timer, as drawing does for a changed setting, so that only an old answer matters.
    """
    if not _can_ask():
        return False
    since = time.monotonic() - now.at
    if now.asked is not None and since < ANSWER_S:
        return True
    if resting and now.asked is None and since < FRESH_S:
        return False
    scene = bpy.context.scene
    if since < PAUSE_S or scene is None or not hasattr(scene, "wanstage"):
        return False
    this = key(scene)
    found = now.answers.get(this)
    fresh = found is not None and time.monotonic() - found[0] < FRESH_S
    question = None if fresh else _question(scene)
    if question is None:
        return False
    now.at = time.monotonic()
    now.number, now.asked = state.now.client.estimate(question), this
    state.now.redraws = state.REDRAWS
    return True


def is_pausing() -> bool:
    """Whether it is too soon for the next question, which a setting may have changed meanwhile."""
    return _can_ask() and time.monotonic() - now.at < PAUSE_S


def _can_ask() -> bool:
    welcome = state.now.welcome
    return state.now.connected and welcome is not None and "estimate" in welcome.features


def _question(scene: bpy.types.Scene) -> Any:
    """What is asked; None for a shot that the backend could not be asked about, which preflight says why."""
    shot, (width, height) = scene.wanstage, shots.size(scene.wanstage)
    info, count = catalog.engine_info(shot.engine), shots.frame_count(scene)
    if info is None or not 0 < count <= shots.MAX_FRAMES or shot.task not in info.tasks:
        return None
    if preflight.size_problems(shot) or min(width, height) < catalog.LEAST_SIDE:
        return None
    model = shot.model if shot.model in info.models or not info.models else info.models[0]
    return wire.messages.EstimateJob(
        task=shot.task,
        width=width,
        height=height,
        frames=count,
        engine=shot.engine,
        model=model,
        sampler=catalog.sampler(shot, model) if shot.engine == "wan" else wire.specs.Sampler(),
        plan=shot.plan if shot.engine == "wan" else "auto",
        start_from_reference=shot.task == talking.TASK and shot.from_person,
    )


def arrived(number: int, estimate: Any) -> bool:
    """Keep an answer; whether it is one that was waited for."""
    if now.asked is None or number != now.number:
        return False
    now.answers[now.asked] = (time.monotonic(), estimate)
    now.asked = None
    while len(now.answers) > KEPT:
        del now.answers[next(iter(now.answers))]
    return True


def failed(sentence: str) -> None:
    """The backend would not answer: it is not asked the same again for a while."""
    logger.info("no estimate: %s", sentence)
    arrived(now.number, None)


# ---- words -------------------------------------------------------------------------------------------------


def lines(scene: bpy.types.Scene) -> list[tuple[str, str]]:
    """What is shown above Generate: sentences, each with an icon. Always one while a backend that makes estimates is
    connected, so that the button stays where it is when an answer comes.
    """
    told = of(scene)
    if told is None:
        return [(tr("Estimating"), "TIME")] if is_asked(scene) else []
    if told.too_large:
        return [(tr("Too large for the memory there"), "ERROR")]
    found = [(summary(told) or tr("Time not known yet"), "TIME")]
    if told.jobs_ahead:
        found.append((tr("{count} jobs come first", count=told.jobs_ahead), "SORTTIME"))
    return found


def summary(told: Any) -> str:
    """Such as "About 4 min 10 s, 18.7 of 24.0 GB (streams from memory)"; empty when nothing is known."""
    long = about(told.seconds) if told.seconds is not None else ""
    if not told.card_total:
        return tr("About {time}", time=long) if long else ""
    held = {
        "used": told.card_needed / GB,
        "total": told.card_total / GB,
        "how": tr(HOW.get(told.plan, told.plan)),
    }
    if not long:
        return tr("{used:.1f} of {total:.1f} GB ({how}); time not known yet", **held)
    return tr("About {time}, {used:.1f} of {total:.1f} GB ({how})", time=long, **held)


def about(seconds: float) -> str:
    """Such as "0.8 s", "4 min 10 s" or "1 h 5 min": no more digits than an estimate has."""
    if seconds < 10:
        return tr("{seconds:.1f} s", seconds=seconds)
    return progress.duration(seconds if seconds < 60 else round(seconds / 5) * 5)


def basis(told: Any) -> str:
    """Where the time comes from."""
    if told.basis == "measured":
        return tr("measured: {jobs}", jobs=told.based_on)
    return tr("scaled: {job}", job=told.based_on)


def remedies(told: Any, size: tuple[int, int], frames: int) -> list[tuple[str, str]]:
    """Labels of Fix buttons for what is too large, each with what ``fixes`` is told."""
    found = []
    for each in told.smaller:
        other = (each.width, each.height) != size
        shorter = each.frames != frames
        sized = {"width": each.width, "height": each.height, "frames": each.frames}
        if each.plan != "auto":
            found.append((tr("Plan {plan}", plan=each.plan), f"plan:{each.plan}"))
        elif other and shorter:
            label = tr("{width} x {height}, {frames} Frames", **sized)
            found.append((label, f"both:{each.width}x{each.height}:{each.frames}"))
        elif other:
            label = tr("{width} x {height}", width=each.width, height=each.height)
            found.append((label, f"size:{each.width}x{each.height}"))
        elif shorter:
            found.append((tr("{frames} Frames", frames=each.frames), f"frames:{each.frames}"))
    return found
