"""What a model's row allows a request to be: its task, its number of frames, its size. No torch, no numpy: a server
asks before a job is queued, an engine asks again.

Raises RequestRefused, with one sentence that says what was given, what is allowed and what to ask for.
"""

from __future__ import annotations

from .engine import RequestRefused
from .rows import ModelRow


def check_task(row: ModelRow, task: str) -> None:
    """The task is one of the model's."""
    if task not in row.tasks:
        problem = f"{row.name} cannot do {task}: it does {', '.join(row.tasks)}"
        raise RequestRefused(problem)


def check_frames(row: ModelRow, frames: int) -> None:
    """``frame_step`` * n + 1 of them (any number where the row says so), 1 to ``max_frames``."""
    if not 1 <= frames <= row.max_frames:
        problem = (
            f"{frames} frames were asked for, {row.name} makes 1 to {row.max_frames}: ask for {row.default_frames}"
        )
        raise RequestRefused(problem)
    near = row.nearest_frames(frames)
    if near != (frames,):
        allowed = " or ".join(str(each) for each in near if each <= row.max_frames)
        problem = f"{frames} frames were asked for, {row.name} makes {row.frame_step}n+1: ask for {allowed}"
        raise RequestRefused(problem)


def check_size(row: ModelRow, width: int, height: int) -> None:
    """Sides are multiples of ``size_step``, the area is at most the row's."""
    step = row.size_step
    official = ", ".join(f"{w}x{h}" for w, h in row.sizes)
    if width % step or height % step:
        near = f"{_nearest(width, step)}x{_nearest(height, step)}"
        problem = (
            f"the size {width}x{height} was asked for, {row.name} takes multiples of {step}: ask for {near}, "
            f"or for an official size ({official})"
        )
        raise RequestRefused(problem)
    if width * height > row.area:
        problem = (
            f"the size {width}x{height} was asked for, which is {width * height} pixels, {row.name} takes at most "
            f"{row.area}: ask for an official size ({official})"
        )
        raise RequestRefused(problem)


def _nearest(side: int, step: int) -> int:
    return max(step, round(side / step) * step)


def needed_loras(row: ModelRow, *, fast: bool = False, relight: bool = False) -> tuple[str, ...]:
    """Names in the store of the LoRAs that settings of a job (the preset, relighting) stand for."""
    if fast and row.fast is None:
        problem = f"{row.name} has no preset fast: leave the preset at default"
        raise RequestRefused(problem)
    names = [name for name, _ in row.fast.loras] if fast and row.fast else []
    relighting = row.extras.get("relighting_lora")
    if relight and relighting is None:
        problem = f"{row.name} has no relighting LoRA: switch relighting off"
        raise RequestRefused(problem)
    if relight:
        names.append(str(relighting))
    return tuple(names)
