"""Debian's Blender in a real window, driven by its words: Connect, presets, Generate, cancel, takes, a talking shot.

WANSTAGE_GUI_SHOTS names a folder for the screenshots (else they go to the test's own).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import driver
from driver import ROOT, Picture, Place, Window, wait_for

pytestmark = driver.marks
PERSON = ROOT / "examples" / "assets" / "reference_man.png"
SPEECH = ROOT / "tests" / "fixtures" / "speech" / "sentence.flac"
CUT, WALL = (124, 12, 520, 300), (112, 88, 52)  # px; blue, green, red
DONE = {"state": "finished", "frames_done": 33, "problem": "", "plane": True}
CHANGED = (
    4.0  # mean difference of two pictures of the plane, of 255: what another frame gives, and more than redraws do
)


@pytest.fixture
def window(tmp_path: Path) -> Iterator[Window]:
    """Blender with the add-on, and a backend."""
    backend, connection = driver.start_backend(tmp_path)
    environment = driver.variables(tmp_path, driver.install(tmp_path), WANSTAGE_CONNECTION=str(connection))
    made = Window(tmp_path, environment, "scene.py")
    yield made
    driver.keep(made)
    driver.stop(backend)


def test_connect_generate_and_keep(window: Window, tmp_path: Path) -> None:
    shots = Path(os.environ.get("WANSTAGE_GUI_SHOTS") or tmp_path / "shots")
    window.sidebar()
    window.learn_icons("X", "CHECKMARK")
    window.open_tab()
    window.shoot(shots / "tab.png")
    window.press_button("Connect", lambda: window.seen()["status"] == "connected", "the connection")
    window.close_panel("Connection")
    capture_is_cancelled(window)
    frames_arrive(window, shots)
    take_is_cancelled(window)
    draft(window, shots)
    look_at_models(window, shots)
    talk(window, shots)
    window.wish("save")
    frames = sorted((tmp_path / "wanstage" / "Scene").glob("*/frame_*.png"))
    assert len(frames) >= 99
    assert all(frame.stat().st_size > 200 for frame in frames)
    seen = window.seen()
    sys.stdout.write(f"longest tick {seen['tick_ms']:.1f} ms, parts {seen['parts_ms']}, drawing {seen['draw_ms']}\n")
    assert seen["tick_ms"] < 100.0, "a tick that people feel; benchmarks/tick.py has the real bound"


def generate(window: Window) -> None:
    """Click the button, which stands below the panel's title of the same name."""
    count = len(window.seen()["takes"])

    def begun() -> bool:
        return window.seen()["capturing"] or len(window.seen()["takes"]) > count

    window.press_button("Generate", begun, "the capture", nth=-1)


def finished(window: Window, number: int, seconds: float = 90) -> None:
    """Wait for the take of that number, from 1."""

    def done() -> bool:
        found = window.seen()["takes"]
        return len(found) >= number and found[number - 1]["state"] == "finished"

    wait_for(done, seconds, f"finished take {number}")


def capture_is_cancelled(window: Window) -> None:
    """Escape while the scene is captured leaves everything as it was."""
    before = window.seen()
    generate(window)
    window.press("Escape")
    wait_for(lambda: not window.seen()["capturing"], 30, "the end of the capture")
    assert [window.seen()[key] for key in ("takes", "blocks", "here")] == [
        before[key] for key in ("takes", "blocks", "here")
    ]


def plane(window: Window) -> Picture:
    """What is seen in the middle of the camera's view, where the plane is."""
    return window.grab()[300:600, 150:650]


def frames_arrive(window: Window, shots: Path) -> None:
    """Frames are on the plane before the take is finished."""
    empty = plane(window)
    generate(window)
    wait_for(lambda: any(0 < take["frames_done"] < 33 for take in window.seen()["takes"]), 60, "a frame while it works")
    wait_for(lambda: cv2.absdiff(plane(window), empty).mean() > CHANGED, 20, "a picture on the plane")
    assert window.seen()["takes"][0]["state"] != "finished"
    window.shoot(shots / "progress.png")
    finished(window, 1)
    window.rest()
    window.shoot(shots / "finished.png")
    assert window.seen()["takes"] == [DONE]


def take_is_cancelled(window: Window) -> None:
    """The X beside the progress stops a take."""
    window.run("import json\nbpy.context.scene.wanstage.prompt = json.dumps({'delay_s': 1.0})")
    generate(window)
    wait_for(lambda: len(window.seen()["takes"]) == 2, 60, "the second take")
    window.scroll_to("Sampling")  # stands below the progress
    button = window.find("Generate", within=window.sidebar(), nth=-1)
    below = Place(window.sidebar().x, button.y + 12, window.sidebar().width, 90)
    wait_for(lambda: window.seen()["takes"][1]["frames_done"] > 1, 60, "a frame of the second take")
    window.click(*window.find_icon("X", below).middle)
    wait_for(lambda: window.seen()["takes"][1]["state"] == "cancelled", 30, "the cancelled take")


def draft(window: Window, shots: Path) -> None:
    """The preset of the draft engine, chosen from its menu; a small size so that it takes seconds."""
    window.choose("Presets", "Draft 480p")
    wait_for(lambda: window.seen()["model"] == "draft/draft", 20, "the draft engine")
    window.run("own = bpy.context.scene.wanstage\nown.prompt, own.size = '', 'CUSTOM'\n"
               "own.width, own.height = 416, 240\nbpy.context.scene.frame_set(26)")  # fmt: skip
    generate(window)
    finished(window, 3)
    window.rest()
    window.shoot(shots / "draft.png")
    assert window.seen()["takes"][2] == DONE
    accept(window, shots)


def accept(window: Window, shots: Path) -> None:
    """The check mark beside the list accepts the take that was made last."""
    first = window.scroll_to("Take 1")
    window.click(*window.list_button(first, "CHECKMARK").middle)
    window.rest()
    window.run("if bpy.context.scene.wanstage.takes[2].choice.verdict != 'accepted': raise ValueError('not accepted')")
    window.scroll_to("Accepted, seed 0")
    window.shoot(shots / "accepted.png")


def talk(window: Window, shots: Path) -> None:
    """A line on the sequencer becomes a take whose sound is there too."""
    portrait(window.folder)
    shutil.copy(SPEECH, window.folder / "line.flac")
    window.wish("talk")
    window.rest()
    window.shoot(shots / "talk.png")
    generate(window)
    finished(window, 4)
    wait_for(lambda: sorted(window.seen()["strips"]) == [["Line", False], ["Take 4", True]], 60, "the take's sound")
    window.wish("play")
    window.rest()
    window.shoot(shots / "talking.png")
    window.wish("mute")
    wait_for(lambda: sorted(window.seen()["strips"]) == [["Line", True], ["Take 4", False]], 10, "the take's own sound")
    draws_in_time(window)


def portrait(folder: Path) -> None:
    """``portrait.png``: head and shoulders of the reference's man on a wall, and his joints beside it."""
    whole = cv2.imread(str(PERSON), cv2.IMREAD_UNCHANGED)
    left, top, wide, high = CUT
    cut = whole[top : top + high, left : left + wide].astype(np.float32)
    alpha = cut[:, :, 3:] / 255
    cv2.imwrite(str(folder / "portrait.png"), (cut[:, :, :3] * alpha + (1 - alpha) * WALL).astype(np.uint8))
    joints = json.loads(Path(f"{PERSON}.joints.json").read_text())
    for part in ("body", "left_hand", "right_hand"):
        joints[part] = [[x - left, y - top, score] for x, y, score in joints[part]]
    joints.update(width=wide, height=high)
    (folder / "portrait.png.joints.json").write_text(json.dumps(joints))


def look_at_models(window: Window, shots: Path) -> None:
    """The video models of the backend in the panel and its menu; drawing stays cheap."""
    for name, model in (("wan", "wan/wan2.2-animate-14b"), ("video", "wan/wan2.2-i2v-a14b")):
        window.wish(name)
        wait_for(lambda model=model: window.seen()["model"] == model, 20, "the choice of a model")
        window.rest()
        window.shoot(shots / f"{name}.png")
        assert model in window.seen()["models"]
    window.scroll_to("Copy Command")
    draws_in_time(window)


def draws_in_time(window: Window) -> None:
    """Panels draw in under 2 ms."""
    slow = {name: taken for name, taken in window.seen()["draw_ms"].items() if taken > 2.0}
    assert not slow, "panels draw in under 2 ms"
