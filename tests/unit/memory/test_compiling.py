"""Which jobs are compiled, and what happens where that does not work. The speed is measured on a card."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from tests.unit.memory.tiny import WAN, numbers
from wan_models import compiling
from wan_models.engine import RequestRefused
from wan_models.memory.load import build, fill, onto
from wan_models.pipelines.settings import resolve
from wan_models.registry import model_row
from wan_models.requests import Request, SamplerSettings, Task

CARD = torch.device("cuda")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("WANSTAGE_COMPILE", raising=False)
    monkeypatch.setattr(compiling, "_problem", [])
    known = compiling.obstacle
    known.cache_clear()
    yield
    known.cache_clear()


def asked(model: str, task: Task, frames: int, steps: int | None = None, side: tuple[int, int] = (832, 480)) -> Any:
    row = model_row(model)
    request = Request(task, model, *side, frames, row.fps, sampler=SamplerSettings(steps=steps))
    return row, request, resolve(row, request)


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (("wan2.2-i2v-a14b", "i2v", 81, None), True),
        (("wan2.2-i2v-a14b", "i2v", 81, 4), False),
        (("wan2.2-animate-14b", "animate", 77, None), False),
        (("wan2.2-animate-14b", "animate", 200, None), True),
        (("wan2.2-animate-2-14b", "animate", 200, None), False),
        (("wan2.2-s2v-14b", "s2v", 77, None), True),
    ],
)
def test_long_jobs_are_compiled(
    monkeypatch: pytest.MonkeyPatch, job: tuple[str, Task, int, int | None], expected: bool
) -> None:
    monkeypatch.setattr(compiling, "obstacle", lambda _: "")
    assert compiling.wanted(*asked(*job), CARD) is expected
    monkeypatch.setenv("WANSTAGE_COMPILE", "0")
    assert not compiling.wanted(*asked(*job), CARD)


def test_what_stands_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiling.obstacle(torch.device("cpu")) == "there is no card"
    monkeypatch.setattr(compiling, "find_spec", lambda _: True)
    monkeypatch.setattr(compiling.shutil, "which", lambda _: None)
    monkeypatch.setattr(compiling.sys, "platform", "linux")
    compiling.obstacle.cache_clear()
    assert compiling.obstacle(CARD) == "there is no C compiler"
    monkeypatch.setenv("WANSTAGE_COMPILE", "1")
    assert not compiling.wanted(*asked("wan2.2-i2v-a14b", "i2v", 81), CARD)
    monkeypatch.setenv("WANSTAGE_COMPILE", "yes")
    with pytest.raises(RequestRefused, match="it may be auto, 1 or 0"):
        compiling.wished()


def test_a_compiler_that_fails_leaves_the_blocks_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = build("WanTransformer3DModel", WAN)
    fill(module, numbers(module, 1).items(), torch.float32, onto(module, torch.device("cpu")), "tiny")
    latents, words = torch.randn(1, 16, 1, 4, 4), torch.randn(1, 3, WAN["text_dim"])
    with torch.no_grad():
        plain = module(latents, torch.tensor([5.0]), words, return_dict=False)[0]

    def broken(*_: Any, **__: Any) -> Any:
        problem = "no ptxas\nand a long story"
        raise RuntimeError(problem)

    monkeypatch.setattr(torch, "compile", lambda *_, **__: broken)
    compiling.compile_blocks(module)
    with torch.no_grad():
        assert torch.equal(module(latents, torch.tensor([5.0]), words, return_dict=False)[0], plain)
    assert compiling.failure() == "no ptxas"
    compiling.uncompile_blocks(module)
