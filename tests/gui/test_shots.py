"""In a real window: the shot is checked, all shots of the timeline are submitted, their sub-panels are drawn in time.

WANSTAGE_GUI_SHOTS names a folder for the screenshots (else they go to the test's own).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import test_window as gui

pytestmark = gui.pytestmark
backend, window = gui.backend, gui.window

DRAW_MS = 2.0


@pytest.fixture
def opened(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> gui.Window:
    """A window with the sub-panel of ``request.param`` open, connected."""
    monkeypatch.setenv("WANSTAGE_GUI_SCENE", "shots_scene.py")
    monkeypatch.setenv("WANSTAGE_GUI_OPEN", request.param)
    made = request.getfixturevalue("window")
    gui.wait_for(lambda: made.seen().get("region", [0] * 4)[2] > 100, 60, "the sidebar")
    x, y, width, height = made.seen()["region"]
    top = made.seen()["window"][1] - (y + height)
    gui.open_tab(made, x + width - 10, top, height, request.param)
    made.wish("connect")
    gui.wait_for(lambda: made.seen()["status"] == "connected", 30, "the connection")
    return made


def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("WANSTAGE_GUI_SHOTS") or tmp_path / "shots")


@pytest.mark.parametrize("opened", ["generate"], indirect=True)
def test_the_shot_is_checked(opened: gui.Window, tmp_path: Path) -> None:
    opened.wish("wide")
    opened.wish("check")
    gui.wait_for(lambda: "size" in opened.seen()["findings"] and not opened.seen()["capturing"], 30, "the check")
    opened.rest()
    opened.shoot(folder(tmp_path) / "preflight.png")
    seen = opened.seen()
    sys.stdout.write(f"findings {seen['findings']}, longest step {seen['step_ms']} ms, drawing {seen['draw_ms']}\n")
    assert seen["fresh"]
    assert seen["draw_ms"]["preflight"] < DRAW_MS


@pytest.mark.parametrize("opened", ["shot"], indirect=True)
def test_all_shots_are_submitted(opened: gui.Window, tmp_path: Path) -> None:
    opened.wish("submit")
    gui.wait_for(lambda: opened.seen()["batch"].startswith("Shot 2 of 3"), 60, "the second shot")
    opened.shoot(folder(tmp_path) / "submitting.png")
    gui.wait_for(lambda: len(opened.seen()["takes"]) == 3 and not opened.seen()["batch"], 60, "the third shot")
    gui.wait_for(
        lambda: [take["state"] for take in opened.seen()["takes"]] == ["finished"] * 3, 90, "three finished takes"
    )
    opened.rest()
    opened.shoot(folder(tmp_path) / "shots.png")
    seen = opened.seen()
    sys.stdout.write(f"{seen['batches']}, longest step {seen['step_ms']} ms, drawing {seen['draw_ms']}\n")
    assert seen["shots"] == ["Wide", "Close on Walker", "Side"]
    assert seen["strips"] == ["Close on Walker", "Side", "Wide"]
    assert seen["draw_ms"]["timeline"] < DRAW_MS
