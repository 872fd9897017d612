"""In a real window: the shot is checked and mended by a click, all shots of the timeline are submitted.

WANSTAGE_GUI_SHOTS names a folder for the screenshots (else they go to the test's own).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import driver
from driver import Window, wait_for

pytestmark = driver.marks
DRAW_MS = 2.0


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Window]:
    """A window with the sub-panel of ``request.param`` open, connected."""
    backend, connection = driver.start_backend(tmp_path)
    more = {"WANSTAGE_CONNECTION": str(connection), "WANSTAGE_GUI_OPEN": request.param}
    made = Window(tmp_path, driver.variables(tmp_path, driver.install(tmp_path), **more), "shots_scene.py")
    made.open_tab()
    made.open_panel("Connection")
    made.press_button("Connect", lambda: made.seen()["status"] == "connected", "the connection")
    made.close_panel("Connection")
    yield made
    driver.keep(made)
    driver.stop(backend)


def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("WANSTAGE_GUI_SHOTS") or tmp_path / "shots")


@pytest.mark.parametrize("opened", ["generate"], indirect=True)
def test_the_shot_is_checked_and_mended(opened: Window, tmp_path: Path) -> None:
    opened.wish("wide")
    opened.press_button("Check Shot", lambda: "size" in opened.seen()["findings"], "the check")
    wait_for(lambda: not opened.seen()["capturing"], 30, "the end of the check")
    opened.rest()
    opened.shoot(folder(tmp_path) / "preflight.png")
    seen = opened.seen()
    sys.stdout.write(f"findings {seen['findings']}, longest step {seen['step_ms']} ms, drawing {seen['draw_ms']}\n")
    assert seen["fresh"]
    assert seen["draw_ms"]["preflight"] < DRAW_MS
    opened.press_button("Use 412 x 240", lambda: "size" not in opened.seen()["findings"], "the mended size")


@pytest.mark.parametrize("opened", ["shot"], indirect=True)
def test_all_shots_are_submitted(opened: Window, tmp_path: Path) -> None:
    opened.wish("small")
    opened.press_button("Submit All Shots", lambda: opened.seen()["batches"], "the shots")
    wait_for(lambda: opened.seen()["batch"].startswith("Shot 2 of 3"), 60, "the second shot")
    opened.shoot(folder(tmp_path) / "submitting.png")
    wait_for(lambda: len(opened.seen()["takes"]) == 3 and not opened.seen()["batch"], 60, "the third shot")
    wait_for(lambda: [take["state"] for take in opened.seen()["takes"]] == ["finished"] * 3, 90, "three finished takes")
    opened.rest()
    opened.shoot(folder(tmp_path) / "shots.png")
    seen = opened.seen()
    sys.stdout.write(f"{seen['batches']}, longest step {seen['step_ms']} ms, drawing {seen['draw_ms']}\n")
    assert seen["shots"] == ["Wide", "Close on Walker", "Side"]
    assert seen["strips"] == ["Close on Walker", "Side", "Wide"]
    assert seen["draw_ms"]["timeline"] < DRAW_MS
