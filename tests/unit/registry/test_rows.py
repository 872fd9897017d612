"""Rows of models agree with themselves and with the engine that lists them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wan_models.models import MODELS, S2V_NEGATIVE
from wan_models.registry import engine_infos, model_row
from wan_models.rows import PART_NAMES, ModelRow


@pytest.mark.parametrize("row", MODELS, ids=lambda row: row.name)
def test_what_a_row_offers_is_what_it_allows(row: ModelRow) -> None:
    assert row.repos
    assert set(row.parts) <= set(PART_NAMES)
    assert row.params == sum(part.params for part in row.parts.values())
    assert row.default_frames <= row.max_frames
    assert row.nearest_frames(row.default_frames) == (row.default_frames,)
    for width, height in row.sizes:
        assert width % row.size_step == height % row.size_step == 0
        assert width * height <= row.area
        assert (height, width) in row.sizes


def test_the_engine_lists_every_model_and_task() -> None:
    wan = next(engine for engine in engine_infos() if engine.name == "wan")
    assert wan.models == tuple(row.name for row in MODELS)
    assert set(wan.tasks) == {task for row in MODELS for task in row.tasks}
    assert "s2v" in wan.tasks


def test_s2v_is_as_released() -> None:
    """``wan/configs/wan_s2v_14B.py`` and the repository's config.json."""
    row = model_row("wan2.2-s2v-14b")
    assert (row.repos, row.family, row.tasks) == (("Wan-AI/Wan2.2-S2V-14B",), "s2v", ("s2v",))
    assert (row.steps, row.guidance, row.shift, row.fps, row.segment) == (40, 4.5, 3.0, 16, 80)
    assert row.negative_prompt == S2V_NEGATIVE
    assert len(row.parts["transformer"].config["audio_inject_layers"]) == 12
    assert row.parts["audio_encoder"].config["num_hidden_layers"] + 1 == 25


def test_the_lists_and_the_package_of_s2v_need_no_torch() -> None:
    told = "import sys, wan_models.registry, wan_models.s2v, wan_models.memory.plan, wan_models.store; "
    told += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False, timeout=60).returncode == 0
