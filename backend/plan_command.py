"""``wanstage plan``: what fits this machine, with gigabytes for each part, before anything is loaded; and how long it
will take, where jobs that ran here tell.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from msgspec import structs

from protocol import specs
from protocol.messages import SmallerJob
from wan_models.memory.machine import host_for_plans
from wan_models.memory.plan import Plan, describe

from . import fitting, history
from .settings import default_data
from .store import runs_of


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``plan`` to the command line."""
    plan = commands.add_parser("plan", help="say how a model would fit this machine's memory; loads nothing")
    plan.add_argument("--model", required=True, help="a name of 'wanstage models list'")
    plan.add_argument("--size", metavar="WxH", help="default: the model's smallest")
    plan.add_argument("--frames", type=int, help="default: the model's usual number")
    plan.add_argument("--plan", choices=get_args(specs.PlanName), default="auto", help="this plan and no other")
    plan.add_argument("--card", type=float, metavar="GB", help="free memory of the card (default: asked of it)")
    plan.add_argument("--host", type=float, metavar="GB", help="free memory of the host (default: what is free)")
    plan.add_argument("--task", choices=get_args(specs.Task), help="for the time; default: the model's first")
    plan.add_argument("--steps", type=int, help="for the time; default: the model's own")
    plan.add_argument("--data", type=Path, metavar="DIR", help="the backend's data folder, whose jobs tell the time")
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Print the plan and, where it is known, the time; 1 when none fits, with the sentence that says what would."""
    from wan_models.engine import RequestRefused
    from wan_models.registry import model_row

    try:
        row = model_row(told.model)
        width, height = parse_size(told.size) if told.size else row.sizes[0]
        clip = fitting.Clip(row, width, height, told.frames or row.default_frames, told.plan)
        memory = _memory(told)
    except RequestRefused as refusal:
        return _refuse(told, str(refusal), ())
    try:
        plan = fitting.plan_for(clip, memory)
    except RequestRefused as refusal:
        instead = fitting.smaller(clip, memory)
        return _refuse(told, "; ".join(filter(None, [str(refusal), fitting.proposal(clip, instead)])), instead)
    times = _times(told, clip)
    if told.json:
        sys.stdout.write(json.dumps(_as_json(plan, times)) + "\n")
    else:
        sys.stdout.write("\n".join([describe(plan), *_time_lines(times)]) + "\n")
    return 0


def _refuse(told: argparse.Namespace, sentence: str, instead: tuple[SmallerJob, ...]) -> int:
    sys.stderr.write(f"wanstage: {sentence}\n")
    if told.json:
        smaller = [structs.asdict(each) for each in instead]
        sys.stdout.write(json.dumps({"fits": False, "reason": sentence, "smaller": smaller}) + "\n")
    return 1


def _memory(told: argparse.Namespace) -> fitting.Memory:
    """What the options say, else what is free. Raises RequestRefused where the card does not tell."""
    card = int(told.card * 1e9) if told.card is not None else free_card()
    return fitting.Memory(card, int(told.host * 1e9) if told.host is not None else host_for_plans(), card)


def _times(told: argparse.Namespace, clip: fitting.Clip) -> history.Times | None:
    """By jobs of this machine's backend; cold, since this command does not ask whether the model is open."""
    data = told.data or default_data()
    task = told.task or clip.row.tasks[0]
    question = history.Question(
        task,
        "wan",
        clip.row.name,
        clip.width,
        clip.height,
        clip.frames,
        specs.Sampler(steps=told.steps),
        clip.plan,
    )
    return history.estimate(question, runs_of(data / "jobs.sqlite"), warm=False)


def _time_lines(times: history.Times | None) -> list[str]:
    if times is None:
        return ["time: not known, no job of this model and task has run here"]
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in times.stages.items())
    return [f"time: about {times.seconds:.0f} s ({stages}), {times.basis} by {times.based_on}"]


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of "832x480". Raises RequestRefused."""
    from wan_models.engine import RequestRefused

    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        problem = f"{text} is no size: write width x height in pixels, like 832x480"
        raise RequestRefused(problem)
    return int(width), int(height)


def free_card() -> int:
    """Free bytes of the first card, by nvidia-smi. Raises RequestRefused when it does not say."""
    from wan_models.engine import RequestRefused

    query = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True).stdout
        return int(said.splitlines()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        problem = "nvidia-smi does not say how much memory a card has here: give --card GB"
        raise RequestRefused(problem) from None


def _as_json(plan: Plan, times: history.Times | None) -> dict[str, Any]:
    known: dict[str, Any] | None = None
    if times is not None:
        known = {"seconds": times.seconds, "stages": times.stages, "basis": times.basis, "based_on": times.based_on}
    return {"fits": True, "lossless": plan.lossless, **asdict(plan), "time": known}
