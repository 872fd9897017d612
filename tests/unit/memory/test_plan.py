"""Arithmetic of plans: what fits, in which order, and what is said when nothing does."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from typing import Any

import pytest

from backend import plan_command
from wan_models.engine import RequestRefused
from wan_models.memory import sizes
from wan_models.memory.plan import ORDER, Plan, PlanName, choose, describe, next_smaller
from wan_models.models import MODELS
from wan_models.registry import model_row

GB = 10**9
ANIMATE = model_row("wan2.2-animate-14b")


def chosen(card: float, host: float = 128, model: str = ANIMATE.name, **options: Any) -> Plan:
    row = model_row(model)
    asked = {"width": 832, "height": 480, "frames": row.default_frames, **options}
    return choose(row, free_card=int(card * GB), free_host=int(host * GB), **asked)


def test_sizes_of_the_released_networks() -> None:
    """2 bytes a number: 28.6 GB an A14B expert, 34.6 GB Animate, 10.0 GB the 5B (the facts page)."""
    for model, expected in (("wan2.2-t2v-a14b", 28.58), (ANIMATE.name, 34.55), ("wan2.2-ti2v-5b", 10.0)):
        one = sizes.blocks(model_row(model), "bf16")
        assert one.whole / GB == pytest.approx(expected, rel=0.002)
        small = sizes.blocks(model_row(model), "fp8")
        assert small.whole < 0.56 * one.whole
        assert small.count == one.count


def test_tokens_are_those_of_the_facts_page() -> None:
    assert sizes.tokens(model_row("wan2.2-i2v-a14b"), 1280, 720, 81) == 75600
    assert sizes.tokens(model_row("wan2.2-i2v-a14b"), 832, 480, 81) == 32760
    assert sizes.tokens(model_row("wan2.2-ti2v-5b"), 1280, 704, 121) == 27280
    assert sizes.tokens(ANIMATE, 1280, 720, 77) == 75600
    assert sizes.tokens(ANIMATE, 1280, 720, 3000) == 75600  # a segment at a time


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
@pytest.mark.parametrize("card", [8, 10, 12, 16, 24, 32, 48, 80])
@pytest.mark.parametrize("host", [24, 32, 64, 128])
def test_what_is_chosen_fits(row: Any, card: int, host: int) -> None:
    width, height = row.sizes[0]
    try:
        plan = chosen(card, host, row.name, width=width, height=height)
    except RequestRefused:
        assert card < 12 or host < 128  # nothing else is ever refused
        return
    assert plan.card <= card * GB
    assert plan.host <= host * GB
    count = sizes.blocks(row, plan.weights).count
    if plan.resident_blocks is not None:
        assert 0 <= plan.resident_blocks < count
        assert (count - plan.resident_blocks) % 2 == 0
    assert plan.card >= max(need.card for need in plan.needs)
    assert len(describe(plan).splitlines()) == len(plan.needs) + 3


def test_more_memory_never_makes_a_slower_choice() -> None:
    ranks = [ORDER.index(chosen(card).name) for card in (9, 12, 16, 24, 40, 60, 80)]
    assert ranks == sorted(ranks, reverse=True)
    blocks = [chosen(card).resident_blocks for card in (10, 12, 16, 24)]
    assert blocks == sorted(blocks, key=lambda count: count or 0)


def test_exact_frames_come_first() -> None:
    assert chosen(80).name == "resident"
    assert chosen(24).lossless
    assert chosen(12).lossless
    assert not chosen(12, wanted="stream-fp8").lossless
    assert "fp8" in describe(chosen(12, wanted="stream-fp8"))


def test_animate_runs_with_32_gb_of_host_memory_and_says_how() -> None:
    plan = chosen(24, 32)
    assert plan.host <= 32 * GB
    assert plan.weights == "fp8"
    whole = chosen(24, 32, wanted="stream")  # exact frames are to be had too, from the files
    assert whole.source == "mapped"
    assert whole.lossless
    assert "their files" in describe(whole)


def test_pinning_is_limited() -> None:
    assert chosen(24, 128, pinnable=64 * GB).source == "pinned"
    assert chosen(24, 128, pinnable=16 * GB).source == "pageable"


def test_what_does_not_fit_is_said_in_one_sentence() -> None:
    with pytest.raises(RequestRefused, match=r"plan resident of .* needs \d+\.\d GB .* plan \S+ would fit$"):
        chosen(24, wanted="resident")
    with pytest.raises(RequestRefused, match=r"needs at least .* choose a smaller size or fewer frames$"):
        chosen(2)
    with pytest.raises(RequestRefused, match=r"there is no plan fast: there are auto, resident"):
        chosen(24, wanted="fast")


def test_the_next_smaller_plan() -> None:
    name: PlanName | None = "resident"
    seen = []
    while name is not None:
        seen.append(name)
        name = next_smaller(Plan(name=name))
    assert sorted(seen) == sorted(ORDER)
    assert seen[-1] == "stream-fp8"


def test_a_tiny_card_gets_tiles_and_they_are_called_lossy() -> None:
    plan = chosen(8, model="wan2.2-ti2v-5b", width=1280, height=704)
    assert plan.vae_tile
    assert "tiles" in describe(plan)
    assert not replace(plan, vae_tile=0).lossless


def told(*arguments: str) -> argparse.Namespace:
    top = argparse.ArgumentParser()
    plan_command.add_parser(top.add_subparsers())
    return top.parse_args(["plan", "--model", ANIMATE.name, "--card", "12", "--host", "64", *arguments])


def test_the_command_prints_a_table_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan_command.run(told()) == 0
    assert "most at a time" in capsys.readouterr().out
    assert plan_command.run(told("--json")) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "stream"
    assert plan_command.run(told("--json", "--plan", "resident")) == 1
    assert not json.loads(capsys.readouterr().out)["fits"]
    assert plan_command.run(told("--size", "big")) == 1
    assert "width x height" in capsys.readouterr().err
