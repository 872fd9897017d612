"""Bad input of plan, bench and make-tiny: one sentence on standard error and the status of a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.cli import EXIT_REFUSED, main
from wan_models.engine import RequestRefused
from wan_models.memory.plan import choose
from wan_models.registry import model_row

BENCH = ["bench", "--device", "cpu", "--direct", "--model"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ([*BENCH, "nope"], "wanstage: there is no model nope: there are "),
        ([*BENCH, "wan2.2-ti2v-5b", "--size", "12"], "wanstage: 12 is no size: write width x height in pixels"),
    ],
)
def test_a_benchmark_of_nothing_is_refused(asked: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(asked) == EXIT_REFUSED
    assert capsys.readouterr().err.startswith(sentence)


def test_tiny_models_need_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    assert main(["models", "make-tiny", str(tmp_path / "file" / "x"), "wan2.2-ti2v-5b"]) == EXIT_REFUSED
    said = capsys.readouterr().err
    assert "cannot be written (" in said
    assert said.endswith("choose another folder\n")


def test_what_is_needed_at_least_is_said_with_weights_mapped_from_their_files() -> None:
    row, gb = model_row("wan2.2-animate-14b"), 10**9
    with pytest.raises(RequestRefused, match=r"needs at least 6\.5 GB of the card and 2\.6 GB of the host, 3\.0 GB"):
        choose(row, width=832, height=480, frames=77, free_card=3 * gb, free_host=8 * gb)
