"""What the panel says of a running job: the stage, how far it is, how fast, how long still.

From the backend's latest message, which ``state`` holds; a take's own row only has what undo brings back.
"""

from __future__ import annotations

from typing import Any

from . import heard, state
from .words import tr


def text(take: Any) -> str:
    """Such as "Loading transformer: 25 %, 900 MiB/s" or "Denoise: step 3 of 20, 2 min 5 s left"."""
    run = state.now.runs.get(take.job_id)
    if run is None or run.update is None:
        return _before(run)
    update = run.update
    if update.state == "cancelling":
        return tr("Stopping")
    if update.position == 1:
        return tr("Next in the queue")
    if update.position:
        return tr("Waiting: number {number} in the queue", number=update.position)
    found = update.progress
    if found.unit:
        return _amount(found)
    said = heard.title(found.stage) or (tr("Starting") if update.state == "loading" else tr("Working"))
    if found.steps:
        said = tr("{stage}: step {step} of {steps}", stage=said, step=found.step, steps=found.steps)
    return said if found.eta_s is None else tr("{said}, {time} left", said=said, time=duration(found.eta_s))


def _before(run: Any) -> str:
    """The backend has not answered yet."""
    sent, total = run.upload if run is not None else (0, 0)
    if not total:
        return tr("Sending")
    return tr("Uploading: {percent} % of {size:.0f} MB", percent=100 * sent // total, size=total / 1e6)


def _amount(found: Any) -> str:
    """Weights, say, that are read before the work goes on."""
    kind, _, what = found.stage.partition(" ")
    title = tr("Loading {what}", what=heard.stage(what)) if kind == "load" else heard.title(found.stage)
    if not found.steps:
        return title
    said = tr("{stage}: {percent} %", stage=title, percent=100 * found.step // found.steps)
    if not found.rate:
        return said
    said = tr("{said}, {rate:.0f} {unit}/s", said=said, rate=found.rate, unit=found.unit)
    left = (found.steps - found.step) / found.rate
    return tr("{said}, {time} left", said=said, time=duration(left)) if left >= 1 else said


def duration(seconds: float) -> str:
    """Such as "8 s", "2 min 5 s" or "1 h 20 min"."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return tr("{seconds} s", seconds=whole)
    minutes, rest = divmod(whole, 60)
    if minutes >= 60:
        return tr("{hours} h {minutes} min", hours=minutes // 60, minutes=minutes % 60)
    if rest:
        return tr("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
    return tr("{minutes} min", minutes=minutes)


def part(take: Any) -> float:
    """How much of the present stage is done, 0 to 1; of the frames once they come."""
    run = state.now.runs.get(take.job_id)
    if run is None:
        return 0.0
    if run.received:
        return share(run.received, take.frames)
    if run.update is None:
        return share(*run.upload)
    return share(run.update.progress.step, run.update.progress.steps)


def share(step: int, steps: int) -> float:
    """``step`` of ``steps``, 0 when nobody knows how many."""
    return min(max(step / steps, 0.0), 1.0) if steps else 0.0


def last_card(here: bool) -> str:
    """What ``card`` says of the latest job that told it."""
    updates = [run.update for run in state.now.runs.values() if run.update is not None]
    return next((said for update in reversed(updates) if (said := card(update, here))), "")


def card(update: Any, here: bool) -> str:
    """Who holds how much of the backend's card, such as "Card: 18.2 GB backend, 3.1 GB others, 2.7 GB free".

    ``here``: it is this machine's, so Blender is one of the others.
    """
    held, free, total = (getattr(update.progress, name, 0) for name in ("card_held", "card_free", "card_total"))
    if not total:
        return ""
    others = max(total - free - held, 0)
    amounts = {"held": held / 1024, "others": others / 1024, "free": free / 1024}
    if here:
        return tr("Card: {held:.1f} GB backend, {others:.1f} GB Blender and others, {free:.1f} GB free", **amounts)
    return tr("Card: {held:.1f} GB backend, {others:.1f} GB others, {free:.1f} GB free", **amounts)
