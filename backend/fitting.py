"""Whether a job fits this machine's memory, with which plan; and what would fit when it does not. Arithmetic only.

``wanstage plan`` and the server's estimates both ask here, so they say the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from protocol.messages import SmallerJob
from wan_models.engine import RequestRefused
from wan_models.memory.machine import pinnable_share
from wan_models.memory.plan import Plan, choose
from wan_models.rows import ModelRow

_LEAST_FRAMES = 17
"""Clips that are shorter are no shots: a smaller size is proposed instead."""
MOST_PROPOSED = 3


@dataclass(frozen=True)
class Memory:
    """Bytes that plans may use, of the card and of the host. ``total`` 0: no card, the host's memory is both."""

    card: int
    host: int
    total: int = 0
    name: str = ""

    @property
    def pinnable(self) -> int:
        """How much of the host may be pinned."""
        return int(self.host * pinnable_share())


@dataclass(frozen=True)
class Clip:
    """What is to be made of a model, with which plan (or auto)."""

    row: ModelRow
    width: int
    height: int
    frames: int
    plan: str = "auto"


def plan_for(clip: Clip, memory: Memory) -> Plan:
    """The plan that a worker would choose. Raises RequestRefused, in a sentence, when none fits."""
    return choose(
        clip.row,
        width=clip.width,
        height=clip.height,
        frames=clip.frames,
        free_card=memory.card,
        free_host=memory.host,
        pinnable=memory.pinnable,
        wanted=clip.plan,
    )


def fits(clip: Clip, memory: Memory) -> bool:
    """Whether any plan (or the one that it names) does."""
    try:
        plan_for(clip, memory)
    except RequestRefused:
        return False
    return True


def smaller(clip: Clip, memory: Memory) -> tuple[SmallerJob, ...]:
    """What fits instead, the nearest first: the same with another plan, fewer frames, a smaller official size of this
    shape, and that with fewer frames.
    """
    found = []
    for each in _smaller(clip, memory):
        job = SmallerJob(each.width, each.height, each.frames, each.plan)
        if job not in found:
            found.append(job)
    return tuple(found[:MOST_PROPOSED])


def _smaller(clip: Clip, memory: Memory) -> Iterator[Clip]:
    free = replace(clip, plan="auto")
    if clip.plan != "auto" and fits(free, memory):
        yield replace(clip, plan=plan_for(free, memory).name)
        return
    fewer = _fewer_frames(free, memory)
    if fewer is not None:
        yield fewer
    for width, height in _smaller_sizes(clip):
        each = replace(free, width=width, height=height)
        if fits(each, memory):
            yield each
            return
        fewer = _fewer_frames(each, memory)
        if fewer is not None:
            yield fewer
            return


def _fewer_frames(clip: Clip, memory: Memory) -> Clip | None:
    """The longest shorter clip that fits, by halving; None when the length is not what is too much."""
    step = clip.row.frame_step
    least, most = (_LEAST_FRAMES - 1) // step, (clip.frames - 2) // step
    best = None
    while least <= most:
        middle = (least + most) // 2
        each = replace(clip, frames=middle * step + 1)
        if fits(each, memory):
            best, least = each, middle + 1
        else:
            most = middle - 1
    return best


def _smaller_sizes(clip: Clip) -> list[tuple[int, int]]:
    """The model's sizes with fewer pixels that stand or lie as this one does, the largest first."""
    lies, area = clip.width >= clip.height, clip.width * clip.height
    found = [size for size in clip.row.sizes if (size[0] >= size[1]) == lies and size[0] * size[1] < area]
    return sorted(found, key=lambda size: -size[0] * size[1])


def proposal(clip: Clip, found: tuple[SmallerJob, ...]) -> str:
    """The end of the sentence that says what does not fit; empty when nothing smaller does, or only another plan, which
    the sentence names already.
    """
    best = found[0] if found else None
    if best is None or best.plan != "auto":
        return ""
    if (best.width, best.height) != (clip.width, clip.height):
        frames = f", {best.frames} frames" if best.frames != clip.frames else ""
        return f"{best.width}x{best.height}{frames} would fit"
    return f"{best.frames} frames would fit"
