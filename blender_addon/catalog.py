"""Which models the connected backend has, as menus; and what a model allows: sizes, rates, numbers of frames.

Menus read properties and ``state`` alone. Blender keeps no copy of the strings of a menu that is made while it is
drawn, so the lists stay here.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from . import state, wire
from .problems import capital
from .words import tr

ENGINE_TITLES = {"draft": ("Draft", "Seconds on the processor, no weights: for timing and framing"),
                 "test": ("Test", "Colour bars, to try the connection"),
                 "wan": ("Wan", "The video model, on a backend that has it")}  # fmt: skip
SIZES = {
    f"{width}x{height}": (width, height)
    for width, height in (
        (832, 480), (480, 832), (1280, 720), (720, 1280), (1280, 704), (704, 1280), (800, 640), (640, 800),
        (832, 448), (448, 832)
    )
}  # fmt: skip
DRAFT_SIZES = ("832x480", "1280x720")
CUSTOM = "CUSTOM"
BOUNDLESS = 1 << 30
LEAST_SIDE, MOST_SIDE = 64, 4096

Item = tuple[str, str, str, str, int]

_COMMAND = re.compile(r"'(wanstage models [^']+)'")

_kept: dict[str, list[Item]] = {}


@dataclass(frozen=True)
class Rule:
    """What a shot's samples may be: ``step`` n + 1 of them (1 = any), at most ``most``; sides in multiples of
    ``size_step``, at most ``area`` pixels (0 = any)."""

    step: int
    most: int
    size_step: int
    area: int

    def fitting(self, count: int) -> int:
        """The largest number of frames that is allowed and not more than ``count``; 0 of 0."""
        count = min(count, self.most)
        return (count - 1) // self.step * self.step + 1 if count > 0 else 0

    def allows_size(self, width: int, height: int) -> bool:
        """Whether frames of this size can be made."""
        return not (width % self.size_step or height % self.size_step or (self.area and width * height > self.area))

    def nearest_size(self, width: int, height: int) -> tuple[int, int]:
        """An allowed size of about this shape, not larger."""
        shrink = min(1.0, math.sqrt(self.area / (width * height))) if self.area else 1.0
        least = -(-LEAST_SIDE // self.size_step) * self.size_step
        sides = [max(int(side * shrink) // self.size_step * self.size_step, least) for side in (width, height)]
        return sides[0], sides[1]


def engine_info(engine: str) -> Any:
    """What the backend said about an engine in its welcome; None when it did not name it."""
    welcome = state.now.welcome
    return next((each for each in welcome.engines if each.name == engine), None) if welcome else None


def models(engine: str) -> tuple[Any, ...]:
    """What the backend tells of an engine's models; empty for engines that have but one."""
    info = engine_info(engine)
    return tuple(info.details) if info is not None else ()


def model_info(engine: str, model: str) -> Any:
    """What the backend tells of one model; None when it tells nothing."""
    return next((each for each in models(engine) if each.name == model), None)


def rule(engine: str, model: str, task: str) -> Rule:
    """The model's rule; before a backend has told it, what all video models have in common."""
    info = model_info(engine, model)
    if info is not None:
        step = 1 if info.any_frames else info.frame_step
        return Rule(step, info.max_frames or BOUNDLESS, info.size_step, info.area)
    if engine == "wan":
        return Rule(1 if task in {"animate", "replace", "s2v"} else 4, BOUNDLESS, 16, 0)
    return Rule(1, BOUNDLESS, 2, 0)


def first_for(task: str, engine: str) -> tuple[str, str] | None:
    """The engine and model to propose for a task: this engine's, else another's; with weights before those without."""
    welcome = state.now.welcome
    if welcome is None:
        return None
    names = [engine, *(each.name for each in welcome.engines if each.name not in {engine, "test"})]
    for name in names:
        able = [each for each in models(name) if task in each.tasks]
        able.sort(key=lambda each: bool(each.missing))
        if able:
            return name, able[0].name
        info = engine_info(name)
        if info is not None and not info.details and task in info.tasks:
            return name, info.models[0]
    return None


def can(engine: str, model: str, task: str) -> bool:
    """Whether the backend's model does the task."""
    info = model_info(engine, model)
    if info is not None:
        return task in info.tasks
    whole = engine_info(engine)
    return whole is not None and not whole.details and task in whole.tasks


def pull_command(info: Any) -> str:
    """The command that gets what a model lacks, out of the backend's sentence; empty when there is none."""
    return command_in(info.missing[0]) if info is not None and info.missing else ""


def command_in(sentence: str) -> str:
    """The command that a sentence of the backend tells to run, such as ``wanstage models pull pose``; empty: none."""
    found = _COMMAND.search(sentence)
    return found.group(1) if found else ""


def lack(info: Any) -> str:
    """What a model lacks, in a few words; empty when nothing. The whole sentence is in the menu's tooltip."""
    if info is None or not info.missing:
        return ""
    command = pull_command(info)
    return tr("No weights: run '{command}' at the backend", command=command) if command else capital(info.missing[0])


def sampler(shot: Any, model: str) -> Any:
    """How a job of the shot samples with the video model: what is 0 or not chosen is the model's own."""
    info = model_info("wan", model)
    fast = shot.quality == "fast" and info is not None and info.fast
    return wire.specs.Sampler(
        steps=shot.steps or None,
        guidance=shot.guidance or None,
        guidance_low=shot.guidance_low or None,
        preset="fast" if fast else "default",
    )


# ---- menus --------------------------------------------------------------------------------------------------


def _keep(name: str, items: list[Item]) -> list[Item]:
    """The same list as long as nothing changed."""
    if _kept.get(name) != items:
        _kept[name] = items
    return _kept[name]


def model_items(shot: Any, _context: Any = None) -> list[Item]:
    """The models for the shot's task, each as engine/model; always with the one that is chosen."""
    rows: list[tuple[str, str, str, str]] = []
    for info in state.now.welcome.engines if state.now.welcome else ():
        for each in info.details:
            if shot.task in each.tasks:
                said = each.missing[0] if each.missing else tr("{fps:g} frames a second", fps=each.fps)
                rows.append((f"{info.name}/{each.name}", each.title, said, "IMPORT" if each.missing else "NONE"))
        if not info.details and shot.task in info.tasks and info.models:
            title, said = ENGINE_TITLES.get(info.name, (info.name, ""))
            model = shot.model if info.name == shot.engine and shot.model in info.models else info.models[0]
            rows.append((f"{info.name}/{model}", title, said, "NONE"))
    chosen = f"{shot.engine}/{shot.model}"
    if chosen not in [row[0] for row in rows]:
        rows.insert(0, _absent(shot, chosen))
    return _keep("model", [(*row, number) for number, row in enumerate(rows)])


def _absent(shot: Any, chosen: str) -> tuple[str, str, str, str]:
    """The chosen model where the backend does not offer it for this task, or none is connected."""
    if state.now.welcome is None:
        title, said = ENGINE_TITLES.get(shot.engine, (shot.engine, ""))
        return chosen, title if shot.model in {"", shot.engine, "draft"} else shot.model, said, "NONE"
    info = model_info(shot.engine, shot.model)
    name = info.title if info else ENGINE_TITLES.get(shot.engine, (shot.engine, ""))[0]
    return chosen, name, tr("Not for this task at this backend: choose another"), "ERROR"


def get_model(shot: Any) -> int:
    """Row of the chosen model."""
    chosen = f"{shot.engine}/{shot.model}"
    return next(row[4] for row in model_items(shot) if row[0] == chosen)


def set_model(shot: Any, number: int) -> None:
    """Choose a row of the menu."""
    engine, _, model = model_items(shot)[number][0].partition("/")
    choose(shot, engine, model)


def choose(shot: Any, engine: str, model: str) -> None:
    """Set engine and model; the rate becomes the model's, and so does a size that it cannot make."""
    shot.engine, shot.model = engine, model
    info = model_info(engine, model)
    if info is None:
        return
    shot.fps = info.fps
    width, height = size_of(shot)
    if not rule(engine, model, shot.task).allows_size(width, height) and info.sizes:
        set_size(shot, min(info.sizes, key=lambda size: apart(size, (width, height))))


def apart(one: tuple[int, int], other: tuple[int, int]) -> float:
    """How unlike two sizes are: shape before area."""
    shape = math.log(one[0] / one[1]) - math.log(other[0] / other[1])
    return abs(shape) * 4.0 + abs(math.log(one[0] * one[1] / (other[0] * other[1])))


def task_changed(shot: Any, _context: Any = None) -> None:
    """Propose a model that does the new task when the chosen one does not."""
    if state.now.welcome is None or can(shot.engine, shot.model, shot.task):
        return
    found = first_for(shot.task, shot.engine)
    if found is not None:
        choose(shot, *found)


def size_of(shot: Any) -> tuple[int, int]:
    """Width and height of the frames, pixels."""
    return SIZES.get(shot.size, (shot.width, shot.height))


def set_size(shot: Any, size: tuple[int, int]) -> None:
    """As a named size where there is one."""
    name = f"{size[0]}x{size[1]}"
    if name in SIZES:
        shot.size = name
    else:
        shot.size, shot.width, shot.height = CUSTOM, *size


def size_items(shot: Any, _context: Any = None) -> list[Item]:
    """The official sizes of the chosen model, what is set now, and one's own."""
    info = model_info(shot.engine, shot.model)
    names = [f"{width}x{height}" for width, height in info.sizes] if info and info.sizes else list(DRAFT_SIZES)
    if shot.size != CUSTOM and shot.size not in names:
        names.append(shot.size)
    rows = [(name, name.replace("x", " x "), "Width and height in pixels", "NONE") for name in names]
    rows.append((CUSTOM, "Custom", "Width and height of your own", "NONE"))
    return _keep("size", [(*row, number) for number, row in enumerate(rows)])


def get_size(shot: Any) -> int:
    """Row of the present size."""
    return next((row[4] for row in size_items(shot) if row[0] == shot.size), len(size_items(shot)) - 1)


def choose_size(shot: Any, number: int) -> None:
    """Choose a row of the sizes; one's own begins with the size that was set."""
    name = size_items(shot)[number][0]
    if name == CUSTOM:
        shot.width, shot.height = size_of(shot)
        shot.size = CUSTOM
        return
    width, _, height = name.partition("x")
    set_size(shot, (int(width), int(height)))
