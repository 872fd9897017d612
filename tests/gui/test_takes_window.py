"""Takes in a real window: the list with its pictures, out of date after an edit, star, accept and a wipe by clicks.

WANSTAGE_GUI_SHOTS names a folder for the screenshots (else they go to the test's own).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import driver
from driver import Window, wait_for

SIZE = (1280, 1500)
pytestmark = driver.marks


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """Blender with the add-on and four takes; no backend."""
    scripts = driver.install(tmp_path)
    environment = driver.variables(tmp_path, scripts, WANSTAGE_BACKEND_PYTHON=sys.executable)
    made = Window(tmp_path, environment, "takes_scene.py", SIZE)
    yield made
    driver.keep(made)


def test_choose_between_takes(window: Window, tmp_path: Path) -> None:
    shots = Path(os.environ.get("WANSTAGE_GUI_SHOTS") or tmp_path / "shots")
    window.sidebar()
    window.learn_icons("SOLO_OFF", "CHECKMARK")
    window.open_tab()
    wait_for(lambda: window.seen()["thumbnails"] == 4, 30, "the pictures of the takes")
    window.rest()
    window.shoot(shots / "takes.png")

    def until(found: Callable[[dict[str, Any]], Any], what: str) -> None:
        wait_for(lambda: found(window.seen()), 20, what)

    window.click(*window.row("Take 1").place.middle)
    until(lambda seen: seen["selected"] == 0, "the first take selected")
    window.rest()
    window.click(*window.list_button(window.scroll_to("Take 1"), "CHECKMARK").middle)
    until(lambda seen: seen["takes"][0]["verdict"] == "accepted", "the accepted take")
    window.find("Accepted, seed 41")
    star = window.row("Take 2")
    window.repeat(lambda: star.click_icon("SOLO_OFF"), lambda: window.seen()["takes"][1]["starred"], "the star")
    assert [take["seen"] for take in window.seen()["takes"]] == [True, False, False, False]
    window.repeat(
        lambda: window.click(*window.row("Take 2").place.middle),
        lambda: window.seen()["selected"] == 1,
        "the second take selected",
    )
    window.rest()
    window.find("Done, seed 42")
    window.shoot(shots / "accepted.png")
    window.wish("edit")
    said = "the camera and the look have changed since"
    until(lambda seen: all(take["outdated"] == said for take in seen["takes"]), "out of date")
    window.rest()
    window.scroll_to("Redo")
    window.shoot(shots / "outdated.png")
    compare(window, shots)
    assert window.seen()["draw_ms"] < 2.0
    assert window.seen()["check_ms"] < 10.0
    sys.stdout.write(f"drawing {window.seen()['draw_ms']:.2f} ms, check {window.seen()['check_ms']:.1f} ms\n")


def compare(window: Window, shots: Path) -> None:
    """The second take with the first, from the menu; the wipe is moved by hand."""
    window.open_panel("Compare")
    window.settle()
    window.repeat(lambda: window.choose("Compare With", "Take 1"), lambda: window.seen()["compare"], "the comparison")
    window.wish("material")
    window.find("Take 2 and Take 1")
    handle = window.scroll_to("Wipe").middle
    window.mouse("mousemove", *handle, "mousedown", 1, "mousemove_relative", "--", -25, 0, "sleep", 0.3, "mouseup", 1)
    for _ in range(6):  # materials are compiled
        window.rest()
    window.shoot(shots / "wipe.png")
    window.press_button("End Comparison", lambda: not window.seen()["compare"], "the end of the comparison")
