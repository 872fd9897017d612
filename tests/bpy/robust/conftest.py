"""The add-on's own fixtures, takes that wait for a sign in the middle, and Blenders in processes of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

bpy = pytest.importorskip("bpy", reason="needs the bpy module")

from tests.bpy.tools import load  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from robust_tools import ROOT, Held, environment  # noqa: E402

_addon = load("wanstage_robust_fixtures", ROOT / "tests" / "bpy" / "addon" / "conftest.py")
addon, shot, backend, connected, refused = (
    _addon.addon, _addon.shot, _addon.backend, _addon.connected, _addon.refused
)  # fmt: skip


@pytest.fixture
def hold(connected: Any, tmp_path: Path) -> Any:
    """``hold(scene, at, **options)``: a take of a connected shot that stops in the middle; see ``Held``."""
    made: list[Held] = []

    def make(scene: Any = None, at: int = 3, **options: Any) -> Held:
        gate = tmp_path / f"gate{len(made)}"
        made.append(Held(scene or connected, gate, at, **options))
        return made[-1]

    yield make
    for each in made:  # a job that waits for ever would keep the backend's only worker
        each.go()


@pytest.fixture
def blender(tmp_path: Path) -> Callable[..., str]:
    """``blender(script, *words)`` runs a script in a Blender of its own; its output. Fails when that fails."""

    def run(script: str, *words: object, **more: str) -> str:
        path = tmp_path / "script.py"
        path.write_text(script, encoding="utf-8")
        command = [sys.executable, str(path), *map(str, words)]
        done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path, **more), capture_output=True, text=True,
                              timeout=90, check=False)  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout

    return run
