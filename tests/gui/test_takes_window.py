"""Takes in a real window: the list with its pictures, out of date after an edit, accept and a wipe by clicks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from test_window import MISSING, Window, install, modules, open_tab, wait_for

SIZE = (1280, 1500)
pytestmark = [
    pytest.mark.gui,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"not found: {', '.join(MISSING)}"),
]


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """Blender with the add-on and four takes; no backend."""
    environment = {**os.environ, "BLENDER_USER_SCRIPTS": str(install(tmp_path)), "PYTHONPATH": str(modules()),
                   "WANSTAGE_DATA": str(tmp_path / "data"), "WANSTAGE_BACKEND_PYTHON": sys.executable}  # fmt: skip
    made = Window(tmp_path, environment, "takes_scene.py", SIZE)
    yield made
    if made.state.is_file():
        made.shoot(tmp_path / "last.png")
        sys.stdout.write(made.state.read_text() + "\n" + (tmp_path / "blender.log").read_text()[-2000:])
    made.close()


def test_choose_between_takes(window: Window, tmp_path: Path) -> None:
    shots = Path(os.environ.get("WANSTAGE_GUI_SHOTS") or tmp_path / "shots")
    wait_for(lambda: window.seen().get("region", [0] * 4)[2] > 100, 90, "the sidebar")
    x, y, width, height = window.seen()["region"]
    top = window.seen()["window"][1] - (y + height)
    open_tab(window, x + width - 10, top, height)
    wait_for(lambda: window.seen()["thumbnails"] == 4, 30, "the pictures of the takes")
    window.rest()
    window.shoot(shots / "takes.png")
    left, under = x, window.seen()["window"][1] - (y + height)

    def click(place: tuple[int, int], found: Callable[[dict[str, Any]], Any], what: str) -> None:
        window.click_until(left + place[0], under + place[1], lambda: found(window.seen()), what)

    click(row(0, 40), lambda seen: seen["selected"] == 0, "the first take selected")
    click(ACCEPT, lambda seen: seen["takes"][0]["verdict"] == "accepted", "the accepted take")
    click(row(1, STAR), lambda seen: seen["takes"][1]["starred"], "the star")
    assert [take["seen"] for take in window.seen()["takes"]] == [True, False, False, False]
    window.rest()
    window.shoot(shots / "accepted.png")
    window.wish("edit")
    said = "the camera and the look have changed since"
    wait_for(lambda: all(take["outdated"] == said for take in window.seen()["takes"]), 20, "out of date")
    window.rest()
    window.shoot(shots / "outdated.png")
    window.wish("material")
    click(COMPARE, lambda seen: "compare" in seen["drawn"], "the comparison's panel")
    window.wish("compare")
    wait_for(lambda: window.seen()["compare"], 10, "the comparison")
    for _ in range(12):  # materials are compiled
        window.rest()
    window.shoot(shots / "wipe.png")
    assert window.seen()["draw_ms"] < 2.0
    assert window.seen()["check_ms"] < 10.0
    sys.stdout.write(f"drawing {window.seen()['draw_ms']:.2f} ms, check {window.seen()['check_ms']:.1f} ms\n")


COMPARE = (60, 1093)
STAR = 124
ACCEPT = (179, 633)


def row(number: int, across: int) -> tuple[int, int]:
    """A place in a row of the list, from the top left of the sidebar at Debian's Blender 3.4.1."""
    return across, 637 + 21 * number
