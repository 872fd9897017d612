"""``wanstage plan``: what fits this machine, with gigabytes for each part, before anything is loaded."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any, get_args

from protocol import specs


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``plan`` to the command line."""
    plan = commands.add_parser("plan", help="say how a model would fit this machine's memory; loads nothing")
    plan.add_argument("--model", required=True, help="a name of 'wanstage models list'")
    plan.add_argument("--size", metavar="WxH", help="default: the model's smallest")
    plan.add_argument("--frames", type=int, help="default: the model's usual number")
    plan.add_argument("--plan", choices=get_args(specs.PlanName), default="auto", help="this plan and no other")
    plan.add_argument("--card", type=float, metavar="GB", help="free memory of the card (default: asked of it)")
    plan.add_argument("--host", type=float, metavar="GB", help="free memory of the host (default: what is free)")
    plan.add_argument("--json", action="store_true")
    plan.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Print the plan; 1 when none fits, with the sentence that says what would."""
    from wan_models.engine import RequestRefused
    from wan_models.memory.plan import choose, describe
    from wan_models.registry import model_row

    try:
        row = model_row(told.model)
        width, height = parse_size(told.size) if told.size else row.sizes[0]
        plan = choose(
            row,
            width=width,
            height=height,
            frames=told.frames or row.default_frames,
            free_card=int(told.card * 1e9) if told.card is not None else free_card(),
            free_host=int(told.host * 1e9) if told.host is not None else _free_host(),
            wanted=told.plan,
        )
    except RequestRefused as refusal:
        sys.stderr.write(f"wanstage: {refusal}\n")
        if told.json:
            sys.stdout.write(json.dumps({"fits": False, "reason": str(refusal)}) + "\n")
        return 1
    sys.stdout.write((json.dumps(_as_json(plan)) if told.json else describe(plan)) + "\n")
    return 0


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


def _free_host() -> int:
    import psutil

    return int(psutil.virtual_memory().available * 0.9)


def _as_json(plan: Any) -> dict[str, Any]:  # noqa: ANN401 - wan_models.memory.plan.Plan
    from dataclasses import asdict

    return {"fits": True, "lossless": plan.lossless, **asdict(plan)}
