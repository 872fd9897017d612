"""Debian's Blender in a real window: the classic zip installed, the tab opened, Connect and Generate clicked.

WANSTAGE_GUI_SHOTS names a folder for the screenshots (else they go to the test's own).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ("blender", "Xvfb", "xdotool", "ffmpeg")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
SIZE = (1280, 920)

pytestmark = [
    pytest.mark.gui,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(MISSING), reason=f"not found: {', '.join(MISSING)}"),
]


def wait_for(found: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true answer; fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.05)  # the processes are not ours: their files are looked at
    pytest.fail(f"{what} did not happen within {seconds} s")


def modules() -> Path:
    """numpy for Debian's Python 3.11, which Debian's Blender lacks; kept beside the environments."""
    target = ROOT / ".envs" / "gui-modules"
    if not (target / "numpy").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target),
                   "--python-version", "3.11", "--only-binary=:all:", "numpy<2"]  # fmt: skip
        subprocess.run(command, check=True)
    return target


class Window:
    """Xvfb with Blender in it; ``seen`` is what tests/gui/scene.py wrote last."""

    def __init__(
        self, folder: Path, environment: dict[str, str], script: str = "", size: tuple[int, int] = SIZE
    ) -> None:
        self.folder = folder
        self.size = size
        self.state = folder / "state.json"
        self.blend = folder / "shot.blend"
        read, write = os.pipe()
        screen = f"{size[0]}x{size[1]}x24"
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp"]
        self.server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as pipe:
            self.environment = {**environment, "DISPLAY": f":{pipe.readline().strip()}"}
        self.environment.update(WANSTAGE_GUI_STATE=str(self.state), WANSTAGE_GUI_BLEND=str(self.blend))
        name = script or environment.get("WANSTAGE_GUI_SCENE", "scene.py")
        command = ["blender", "--factory-startup", "--no-native-pixels", "--window-geometry", "0", "0",
                   str(size[0]), str(size[1]), "-noaudio", "--addons", "wanstage",
                   "--python", str(Path(__file__).with_name(name))]  # fmt: skip
        with (folder / "blender.log").open("wb") as log:
            self.blender = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    def seen(self) -> dict[str, Any]:
        if self.blender.poll() is not None:
            pytest.fail((self.folder / "blender.log").read_text()[-2000:])
        return json.loads(self.state.read_text()) if self.state.is_file() else {}

    def click(self, x: float, y: float) -> None:
        """Window coordinates from the top left."""
        command = ["xdotool", "mousemove", str(int(x)), str(int(y)), "sleep", "0.3", "click", "1"]
        subprocess.run(command, env=self.environment, check=True)

    def rest(self) -> None:
        """The mouse out of the way; the sidebar lays itself out once more."""
        subprocess.run(["xdotool", "mousemove", "420", "700", "sleep", "1.5"], env=self.environment, check=True)

    def aside(self) -> None:
        """The mouse to the left of the words that it is on, within the same menu, which has a moment to open."""
        command = ["xdotool", "mousemove_relative", "--", "-75", "0", "sleep", "1.0"]
        subprocess.run(command, env=self.environment, check=True)

    def click_until(self, x: float, y: float, found: Callable[[], Any], what: str) -> None:
        """Click; again when nothing came of it, as on a button that was grey until the next redraw."""
        for _ in range(5):
            self.click(x, y)
            deadline = time.monotonic() + 6.0
            while time.monotonic() < deadline:
                if found():
                    return
                time.sleep(0.05)
        pytest.fail(f"{what} did not begin")

    def press(self, key: str) -> None:
        """A key, where the mouse is."""
        subprocess.run(["xdotool", "key", key], env=self.environment, check=True)

    def wish(self, name: str) -> None:
        """Have scene.py do something, see there; wait until it is done."""
        file = self.state.with_suffix(f".{name}")
        file.touch()
        wait_for(lambda: not file.exists(), 30, name)

    def shoot(self, path: Path) -> Path:
        """A picture of the screen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        grab = ["-f", "x11grab", "-draw_mouse", "0", "-video_size", f"{self.size[0]}x{self.size[1]}"]
        command = ["ffmpeg", "-loglevel", "error", "-y", *grab, "-i", self.environment["DISPLAY"]]
        command += ["-frames:v", "1", str(path)]
        subprocess.run(command, check=True)
        return path

    def close(self) -> None:
        for process in (self.blender, self.server):
            process.terminate()
            process.wait(20)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Path]:
    """A real backend process with the test engine; its connection file."""
    file = tmp_path / "backend" / "connection.json"
    command = [sys.executable, "-m", "backend.cli", "serve", "--data", str(tmp_path / "backend"), "--connection-file",
               str(file), "--test-engine"]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    assert process.stdout.readline()
    yield file
    process.terminate()
    process.wait(20)
    process.stdout.close()


def install(tmp_path: Path) -> Path:
    """The classic zip installed as its users would have it; the folder of Blender's user scripts."""
    built = tmp_path / "dist"
    command = [sys.executable, str(ROOT / "packaging" / "build_extension.py"), "--host-only", "--out", str(built)]
    cache = ROOT / "dist" / "wheels"
    if cache.is_dir():
        shutil.copytree(cache, built / "wheels")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    scripts = tmp_path / "scripts"
    with zipfile.ZipFile(next(built.glob("*-classic.zip"))) as zipped:
        zipped.extractall(scripts / "addons")
    return scripts


@pytest.fixture
def window(tmp_path: Path, backend: Path) -> Iterator[Window]:
    """Blender with the add-on."""
    scripts = install(tmp_path)
    environment = {**os.environ, "BLENDER_USER_SCRIPTS": str(scripts), "PYTHONPATH": str(modules()),
                   "WANSTAGE_CONNECTION": str(backend), "WANSTAGE_DATA": str(tmp_path / "data")}  # fmt: skip
    made = Window(tmp_path, environment, environment.get("WANSTAGE_GUI_SCENE", "scene.py"))
    yield made
    if made.state.is_file():  # what pytest shows of a failed test
        made.shoot(tmp_path / "last.png")
        sys.stdout.write(made.state.read_text() + "\n" + (tmp_path / "blender.log").read_text()[-2000:])
    made.close()


def test_connect_generate_and_keep(window: Window, tmp_path: Path) -> None:
    shots = Path(os.environ.get("WANSTAGE_GUI_SHOTS") or tmp_path / "shots")
    wait_for(lambda: window.seen().get("region", [0] * 4)[2] > 100, 60, "the sidebar")
    x, y, width, height = window.seen()["region"]
    top = window.seen()["window"][1] - (y + height)
    open_tab(window, x + width - 10, top, height)
    window.shoot(shots / "tab.png")
    window.click_until(x + width * 0.7, top + CONNECT, lambda: window.seen()["status"] != "off", "the connection")
    wait_for(lambda: window.seen()["status"] == "connected", 30, "the connection")
    before = window.seen()
    button = x + width * 0.5, top + GENERATE
    window.click_until(*button, lambda: window.seen()["capturing"], "the capture")
    window.press("Escape")
    wait_for(lambda: not window.seen()["capturing"], 20, "the end of the capture")
    assert [window.seen()[key] for key in ("takes", "blocks", "here")] == [
        before[key] for key in ("takes", "blocks", "here")
    ]
    window.click_until(*button, lambda: window.seen()["capturing"] or window.seen()["takes"], "the capture")
    wait_for(
        lambda: any(12 < take["frames_done"] < 33 for take in window.seen()["takes"]), 60, "a frame while it works"
    )
    window.shoot(shots / "progress.png")
    wait_for(lambda: any(take["state"] == "finished" for take in window.seen()["takes"]), 60, "a finished take")
    window.shoot(shots / "finished.png")
    done = {"state": "finished", "frames_done": 33, "problem": "", "plane": True}
    assert window.seen()["takes"] == [done]
    window.wish("draft")
    window.click_until(*button, lambda: len(window.seen()["takes"]) == 2, "the draft")
    wait_for(lambda: [take["state"] for take in window.seen()["takes"]] == ["finished"] * 2, 90, "the draft")
    window.rest()
    window.shoot(shots / "draft.png")
    assert window.seen()["takes"] == [done, done]
    seen = window.seen()
    sys.stdout.write(f"longest tick {seen['tick_ms']:.1f} ms, parts {seen['parts_ms']}, drawing {seen['draw_ms']}\n")
    assert seen["tick_ms"] < 100.0, "a tick that people feel; benchmarks/tick.py has the real bound"
    look_at_models(window, shots)
    talk(window, shots, (x, top, width))
    window.wish("save")
    frames = sorted((tmp_path / "wanstage" / "Scene").glob("*/frame_*.png"))
    assert len(frames) == 99
    assert all(frame.stat().st_size > 200 for frame in frames)


def talk(window: Window, shots: Path, place: tuple[float, float, float]) -> None:
    """A line on the sequencer becomes a take whose sound is there too."""
    x, top, width = place
    portrait(window.folder)
    shutil.copy(SPEECH, window.folder / "line.flac")
    window.wish("talk")
    window.rest()
    window.shoot(shots / "talk.png")
    button = x + width * 0.5, top + TALK
    window.click_until(*button, lambda: len(window.seen()["takes"]) == 3, "the talking shot")
    wait_for(lambda: window.seen()["takes"][2]["state"] == "finished", 90, "the talking shot")
    wait_for(lambda: window.seen()["strips"] == [["Line", False], ["Take 3", True]], 10, "the take's sound")
    window.wish("play")
    window.rest()
    window.shoot(shots / "talking.png")
    window.wish("mute")
    wait_for(lambda: window.seen()["strips"] == [["Line", True], ["Take 3", False]], 10, "the take's own sound")
    slow = {name: taken for name, taken in window.seen()["draw_ms"].items() if taken > 2.0}
    assert not slow, "panels draw in under 2 ms"


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
    x, y, width, height = window.seen()["region"]
    window.click(x + width * 0.5, window.seen()["window"][1] - (y + height) + MODEL)
    window.aside()
    window.shoot(shots / "models.png")
    window.press("Escape")
    slow = {name: taken for name, taken in window.seen()["draw_ms"].items() if taken > 2.0}
    assert not slow, "panels draw in under 2 ms"


PERSON = ROOT / "examples" / "assets" / "reference_man.png"
SPEECH = ROOT / "tests" / "fixtures" / "speech" / "sentence.flac"
CUT, WALL = (124, 12, 520, 300), (112, 88, 52)  # px; blue, green, red
MODEL = 404
TALK = 632
CONNECT, GENERATE = 45, 533  # from the top of the sidebar, all panels open, at Debian's Blender 3.4.1


def open_tab(window: Window, x: float, top: float, height: float, panel: str = "connection") -> None:
    """Tabs stand at the right edge from the top; click down until our panels draw."""
    for step in range(30, int(height), 25):
        window.click(x, top + step)
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            if panel in window.seen()["drawn"]:
                return
            time.sleep(0.1)
    window.shoot(window.folder / "no_tab.png")
    pytest.fail("no click opened the Wanstage tab")
