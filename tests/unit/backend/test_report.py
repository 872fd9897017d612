"""What the command line says of a stage."""

from __future__ import annotations

import pytest

from backend.report import step_text
from protocol.messages import Progress


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress("denoise"), ""),
        (Progress("denoise", 3, 40), " 3/40"),
        (Progress("load transformer", 0, 28000, unit="MiB"), " 0 %"),
        (Progress("load transformer", 7000, 28000, unit="MiB", rate=716.8), " 25 %, 717 MiB/s"),
    ],
)
def test_a_stage_says_how_far_it_is(progress: Progress, text: str) -> None:
    assert step_text(progress) == text
