"""Preflight's findings about memory, time and weights: what the backend says of the shot, else what takes say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

from . import estimates, heard, progress, shots, takes
from .finding import Finding, Fix
from .words import tr


def of_shot(scene: bpy.types.Scene) -> Iterator[Finding]:
    """What the shot needs of the backend, and how long it takes."""
    told = estimates.of(scene)
    if told is None:
        yield from _last_time(scene)
        return
    if told.too_large:
        yield _too_large(scene, told)
        return
    if told.plan and told.card_total:
        yield _memory(told)
    if told.missing and told.missing_bytes:
        yield Finding(
            "download", "info", tr("The weights are a download of about {size:.0f} GB", size=told.missing_bytes / 1e9)
        )
    if told.seconds is not None:
        yield Finding("time", "info", _time(told))
    else:
        yield from _last_time(scene)


def _too_large(scene: bpy.types.Scene, told: Any) -> Finding:
    shot = scene.wanstage
    found = estimates.remedies(told, shots.size(shot), shots.frame_count(scene))
    return Finding("memory", "error", told.problem, tuple(Fix(label, how) for label, how in found))


def _memory(told: Any) -> Finding:
    """A plan that changes frames is a warning: the same shot elsewhere looks a little otherwise."""
    held = {
        "used": told.card_needed / estimates.GB,
        "free": told.card_free / estimates.GB,
        "total": told.card_total / estimates.GB,
        "how": tr(estimates.HOW.get(told.plan, told.plan)),
    }
    text = tr("Needs {used:.1f} GB of the card, {free:.1f} of {total:.1f} GB are free: {how}", **held)
    if not told.losses:
        return Finding("memory", "info", text)
    return Finding("memory", "warning", tr("{text}; to fit, {losses}", text=text, losses=told.losses))


def _time(told: Any) -> str:
    long = [each for each in told.stages if each.seconds >= 0.05]
    stages = ", ".join(f"{heard.stage(each.name)} {estimates.about(each.seconds)}" for each in long)
    whole = estimates.about(told.seconds)
    return tr("Takes about {time} ({stages}), {basis}", time=whole, stages=stages, basis=estimates.basis(told))


def _last_time(scene: bpy.types.Scene) -> Iterator[Finding]:
    """How long it took last time, where the backend says nothing of runs to come."""
    shot, size = scene.wanstage, shots.size(scene.wanstage)
    for take in reversed(shot.takes):
        made = takes.meta(take)
        same = made.get("engine") == shot.engine and made.get("model") == shot.model and take.task == shot.task
        seconds = (made.get("timings") or {}).get("done")
        if same and seconds and take.state == "finished" and (take.width, take.height) == size:
            text = tr(
                "{take} of this model and size took {time} for {frames} frames",
                take=take.name,
                time=progress.duration(seconds),
                frames=take.frames,
            )
            yield Finding("time", "info", text)
            return
