"""What the panel says of a running job: the stage, how far it is, how fast, how long still. No bpy.

From the backend's latest message, which ``state`` holds; a take's own row only has what undo brings back.
"""

from __future__ import annotations

from typing import Any

from . import state


def text(take: Any) -> str:
    """Such as "Loading transformer: 25 %, 900 MiB/s" or "Denoise: step 3 of 20, 2 min 5 s left"."""
    run = state.now.runs.get(take.job_id)
    if run is None or run.update is None:
        return _before(run)
    update = run.update
    if update.state == "cancelling":
        return "Stopping"
    if update.position:
        return "Next in the queue" if update.position == 1 else f"Waiting: number {update.position} in the queue"
    found = update.progress
    if found.unit:
        return _amount(found)
    title = found.stage[:1].upper() + found.stage[1:] or ("Starting" if update.state == "loading" else "Working")
    far = f": step {found.step} of {found.steps}" if found.steps else ""
    left = f", {duration(found.eta_s)} left" if found.eta_s is not None else ""
    return title + far + left


def _before(run: Any) -> str:
    """The backend has not answered yet."""
    sent, total = run.upload if run is not None else (0, 0)
    return f"Uploading: {100 * sent // total} % of {total / 1e6:.0f} MB" if total else "Sending"


def _amount(found: Any) -> str:
    """Weights, say, that are read before the work goes on."""
    kind, _, what = found.stage.partition(" ")
    title = f"Loading {what}" if kind == "load" else found.stage[:1].upper() + found.stage[1:]
    if not found.steps:
        return title
    rate = f", {found.rate:.0f} {found.unit}/s" if found.rate else ""
    left = (found.steps - found.step) / found.rate if found.rate else 0.0
    return f"{title}: {100 * found.step // found.steps} %{rate}" + (f", {duration(left)} left" if left >= 1 else "")


def duration(seconds: float) -> str:
    """Such as "8 s", "2 min 5 s" or "1 h 20 min"."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


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
    amounts = ((held, "backend"), (others, "Blender and others" if here else "others"), (free, "free"))
    return "Card: " + ", ".join(f"{amount / 1024:.1f} GB {name}" for amount, name in amounts)
