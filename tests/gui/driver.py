"""Debian's Blender in a window that nobody sees, driven as a person drives it: by the words on the screen.

``Window.find`` has Blender draw a text with its own font (see bridge.py) and looks for it in a picture of the screen,
so nothing here knows where a button is. What is not found fails with the picture kept beside the test's files.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from sight import ALIKE, ALIKE_ICON, ALIKE_TAB, Picture, Place, is_alone, is_same, matches, trimmed

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
TOOLS = ("blender", "Xvfb", "xdotool", "ffmpeg")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
SIZE = (1280, 920)
ICON_PX = 20

marks = [
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


@dataclass(frozen=True)
class Row:
    """A row of a list or a panel."""

    window: Window
    place: Place

    def icon(self, name: str) -> Place:
        """Where Blender's icon of that name is in the row."""
        side = self.window.sidebar()
        return self.window.find_icon(name, Place(side.x, self.place.middle[1] - 11, side.width, 22))

    def click_icon(self, name: str) -> None:
        """Click it."""
        self.window.click(*self.icon(name).middle)


class Window:
    """Xvfb with Blender in it; ``seen`` is what the script inside wrote last."""

    def __init__(
        self,
        folder: Path,
        environment: dict[str, str],
        script: str = "scene.py",
        size: tuple[int, int] = SIZE,
        addons: str = "wanstage",
    ) -> None:
        self.folder, self.size = folder, size
        self.state, self.blend = folder / "state.json", folder / "shot.blend"
        self._words: dict[str, Picture] = {}
        self._pictures: dict[str, Picture] = {}
        self.server, display = screen(size)
        self.environment = {**environment, "DISPLAY": display, "WANSTAGE_GUI_STATE": str(self.state)}
        self.environment["WANSTAGE_GUI_BLEND"] = str(self.blend)
        command = ["blender", "--factory-startup", "--no-native-pixels", "--window-geometry", "0", "0",
                   str(size[0]), str(size[1]), "-noaudio", *(["--addons", addons] if addons else []),
                   "--python", str(HERE / script), "--python", str(HERE / "bridge.py")]  # fmt: skip
        with (folder / "blender.log").open("wb") as log:
            self.blender = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)

    # ---- what is going on --------------------------------------------------------------------------------

    def seen(self) -> dict[str, Any]:
        """What the script inside wrote last; fails when Blender has ended."""
        if self.blender.poll() is not None:
            pytest.fail((self.folder / "blender.log").read_text()[-2000:])
        return json.loads(self.state.read_text()) if self.state.is_file() else {}

    def wish(self, name: str, words: str = "") -> None:
        """Have the script inside do something, see there; wait until it is done."""
        file = self.state.with_suffix(f".{name}")
        part = file.with_suffix(".asked")
        part.write_text(words)
        part.replace(file)
        wait_for(lambda: self.seen() is not None and not file.exists(), 60, name)

    def run(self, code: str) -> None:
        """Python inside Blender, with ``bpy``; fails with what it raises."""
        self.wish("run", code)
        failed = self.state.with_suffix(".failed")
        if failed.exists():
            pytest.fail(failed.read_text())

    def sidebar(self) -> Place:
        """The 3D view's sidebar, below its header."""
        wait_for(lambda: self.seen().get("region", [0] * 4)[2] > 100, 90, "the sidebar")
        x, y, width, height = self.seen()["region"]
        return Place(x, self.seen()["window"][1] - (y + height), width, height)

    # ---- looking -----------------------------------------------------------------------------------------

    def grab(self) -> Picture:
        """The screen; uint8 (h,w,3), blue first."""
        command = ["ffmpeg", "-loglevel", "error", *self._source(), "-f", "rawvideo", "-pix_fmt", "bgr24", "-"]
        got = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        return np.frombuffer(got, np.uint8).reshape(self.size[1], self.size[0], 3)

    def _source(self) -> list[str]:
        grab = ["-f", "x11grab", "-draw_mouse", "0", "-video_size", f"{self.size[0]}x{self.size[1]}"]
        return [*grab, "-i", self.environment["DISPLAY"], "-frames:v", "1"]

    def shoot(self, path: Path) -> Path:
        """A picture of the screen in a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), self.grab())
        return path

    def words(self, text: str) -> Picture:
        """The text as Blender draws it, cut to what is lit; uint8 (h,w)."""
        if text not in self._words:
            self.wish("labels", json.dumps([text]))
            with np.load(self.state.with_suffix(".labels.npz")) as drawn:
                self._words[text] = trimmed(drawn["arr_0"])
        return self._words[text]

    def places(self, text: str, within: Place | None = None, *, underlined: bool = False) -> list[Place]:
        """Where a label stands alone, from the top down; empty when nowhere. ``underlined``: one of its letters may be,
        as in menus."""
        whole = cv2.cvtColor(self.grab(), cv2.COLOR_BGR2GRAY)
        wanted = self.words(text)
        found = matches(whole, wanted, ALIKE, within)
        return [place for place in found if is_alone(whole, place) and (underlined or is_same(whole, place, wanted))]

    def sees(self, text: str, within: Place | None = None) -> bool:
        """Whether the label is on the screen."""
        return bool(self.places(text, within))

    def find(self, text: str, *, within: Place | None = None, nth: int = 0, seconds: float = 8.0) -> Place:
        """The nth place of a label from the top (-1 the last); waits for it, fails with a picture of the screen."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.places(text, within)
            if _has(found, nth):
                return found[nth]
            if time.monotonic() > deadline:
                self.fail(f'"{text}" is not on the screen')

    def find_icon(self, name: str, within: Place) -> Place:
        """The most alike of what is there to an icon of Blender's; ``within`` a row or a panel."""
        for _ in range(12):
            whole = cv2.cvtColor(self.grab(), cv2.COLOR_BGR2GRAY)
            found = matches(whole, self._icon(name), ALIKE_ICON, within)
            if found:
                return max(found, key=lambda place: place.alike)
            time.sleep(0.5)
        self.fail(f"there is no icon {name} in the row at {within.y} px")
        raise AssertionError

    def learn_icons(self, *names: str) -> None:
        """Have Blender show icons once, and keep how they look; the Properties editor must be open."""
        self.wish("icons", json.dumps(names))
        for name in names:
            place = self.find(name)
            whole = cv2.cvtColor(self.grab(), cv2.COLOR_BGR2GRAY)
            left, middle = place.x - ICON_PX - 2, place.y + place.height // 2
            self._pictures[name] = trimmed(whole[middle - 9 : middle + 10, left : place.x - 3])
        self.wish("icons", "[]")

    def _icon(self, name: str) -> Picture:
        if name not in self._pictures:
            self.fail(f"learn_icons({name!r}) comes first")
        return self._pictures[name]

    def fail(self, sentence: str) -> None:
        """Fail, with the screen in a file."""
        file = self.shoot(self.folder / "failed.png")
        pytest.fail(f"{sentence}; the screen is in {file}")

    # ---- doing -------------------------------------------------------------------------------------------

    def mouse(self, *words: object) -> None:
        """xdotool."""
        subprocess.run(["xdotool", *map(str, words)], env=self.environment, check=True)

    def click(self, x: float, y: float) -> None:
        """Window coordinates from the top left; the button must have noticed the mouse before."""
        self.mouse("mousemove", int(x) - 2, int(y), "sleep", "0.15", "mousemove", int(x), int(y), "sleep", "0.35",
                   "mousedown", 1, "sleep", "0.06", "mouseup", 1)  # fmt: skip

    def press(self, key: str) -> None:
        """A key, where the mouse is."""
        self.mouse("key", key)

    def rest(self) -> None:
        """The mouse out of the way; the sidebar lays itself out once more."""
        self.mouse("mousemove", 420, self.size[1] - 220, "sleep", "1.2")

    def settle(self) -> None:
        """Until the sidebar is drawn as it stays: the same twice, half a second apart."""
        self.rest()
        side = self.sidebar()
        before = None
        for _ in range(20):
            now = self.grab()[side.y : side.y + side.height, side.x + 16 : side.x + side.width]
            if before is not None and np.array_equal(before, now):
                return
            before = now
            time.sleep(0.5)

    def click_on(self, text: str, *, within: Place | None = None, nth: int = 0) -> Place:
        """Click a label; where it was."""
        place = self.find(text, within=within, nth=nth)
        self.click(*place.middle)
        return place

    def list_button(self, first: Place, icon: str) -> Place:
        """A button in the column behind a list, by the name in its first row: not the sign of a finished take in it."""
        return self.find_icon(icon, Place(first.x + 90, first.y - 16, 90, 40))

    def press_button(self, text: str, done: Callable[[], Any], what: str, nth: int = 0) -> None:
        """Click a button of the sidebar until it is done: a grey one is clicked again after the next redraw."""
        self.scroll_to(text)
        self.repeat(lambda: self.click_on(text, within=self.sidebar(), nth=nth), done, what)

    def repeat(self, click: Callable[[], Any], done: Callable[[], Any], what: str) -> None:
        """Click, until it is done."""
        for _ in range(5):
            click()
            deadline = time.monotonic() + 6.0
            while time.monotonic() < deadline:
                if done():
                    return
                time.sleep(0.05)
        self.fail(f"{what} did not begin")

    def choose(self, menu: str | Place, item: str) -> None:
        """Open a menu by what it shows now, and take an item of it."""
        self.click(*self.open_menu(menu, item).middle)
        self.rest()

    def open_menu(self, menu: str | Place, item: str) -> Place:
        """Open a menu by what it shows now; where an item of it is."""
        place = self.scroll_to(menu) if isinstance(menu, str) else menu
        before = [(each.x, each.y) for each in self.places(item, underlined=True)]  # elsewhere, as in lists
        x, y = place.middle
        for _ in range(4):  # at once, as a menu that is open before the button is let go takes what is under the mouse
            self.mouse("mousemove", x - 2, y, "sleep", 0.15, "mousemove", x, y, "sleep", 0.35, "click", 1, "sleep", 0.8)
            found = [each for each in self.places(item, underlined=True) if (each.x, each.y) not in before]
            if found:
                return found[0]
            self.press("Escape")
            self.rest()
        self.fail(f'the menu has no "{item}"')
        raise AssertionError

    def scroll_to(self, text: str, nth: int = 0) -> Place:
        """Scroll the sidebar until a label is in it."""
        side = self.sidebar()
        found = self.places(text, side)
        if _has(found, nth):
            return found[nth]
        self._wheel(4, 60)
        for _ in range(30):
            found = self.places(text, side)
            if _has(found, nth):
                return found[nth]
            self._wheel(5, 6)
        return self.find(text, within=side, nth=nth)

    def _wheel(self, button: int, turns: int) -> None:
        side = self.sidebar()
        self.mouse("mousemove", side.x + 6, side.y + side.height // 2, "sleep", "0.1",
                   "click", "--repeat", turns, "--delay", 8, button, "sleep", "0.8")  # fmt: skip

    def open_tab(self, name: str = "Wanstage", panel: str = "Connection") -> None:
        """Click a tab of the sidebar until its panel is seen: where its name stands upright at the right edge, then,
        since upright letters are drawn between pixels and not always known, down the edge."""
        side = self.sidebar()
        upright = cv2.rotate(self.words(name), cv2.ROTATE_90_COUNTERCLOCKWISE)
        edge = Place(side.x + side.width - 24, side.y, 24, side.height)
        found = matches(cv2.cvtColor(self.grab(), cv2.COLOR_BGR2GRAY), upright, ALIKE_TAB, edge)
        likely = [place.middle[1] for place in sorted(found, key=lambda place: -place.alike)][:1]
        for y in [*likely, *range(side.y + 25, side.y + min(side.height, 420), 25)]:
            self.click(side.x + side.width - 10, y)
            self.mouse("sleep", 1.5)
            self.settle()
            if self.sees(panel, side):
                return
        self.fail(f'there is no tab "{name}"')

    def panel(self, title: str) -> tuple[Place, bool]:
        """A panel's title in the sidebar, and whether it is open; scrolls to it."""
        self.scroll_to(title)
        for place in self.places(title, self.sidebar()):
            is_open = self._chevron(place)
            if is_open is not None:
                return place, is_open
        self._wheel(5, 6)
        for place in self.places(title, self.sidebar()):
            is_open = self._chevron(place)
            if is_open is not None:
                return place, is_open
        self.fail(f'there is no panel "{title}"')
        raise AssertionError

    def open_panel(self, title: str, wanted: bool = True) -> Place:
        """Click a panel's title if it is closed (or, for False, open)."""
        for _ in range(5):  # a busy window misses clicks
            place, is_open = self.panel(title)
            if is_open is wanted:
                return place
            self.click(*place.middle)
            deadline = time.monotonic() + 6.0
            while is_open is not wanted and time.monotonic() < deadline:  # it may be drawn late
                self.settle()
                place, is_open = self.panel(title)
            if is_open is wanted:
                return place
        self.fail(f'the panel "{title}" stays {"closed" if wanted else "open"}')
        raise AssertionError

    def close_panel(self, title: str) -> None:
        """Click a panel's title if it is open."""
        self.open_panel(title, wanted=False)

    def _chevron(self, title: Place) -> bool | None:
        """Of the sign before a panel's title: True points down (open), False right (closed), None is no such sign."""
        middle = title.y + title.height // 2
        crop = cv2.cvtColor(self.grab(), cv2.COLOR_BGR2GRAY)[middle - 8 : middle + 8, title.x - 17 : title.x - 3]
        if crop.size == 0:
            return None
        ys, xs = np.nonzero(crop.astype(int) - int(np.median(crop)) > 45)
        if not len(xs):
            return None
        wide, high = int(np.ptp(xs)) + 1, int(np.ptp(ys)) + 1
        if max(wide, high) > 12 or min(wide, high) < 3 or wide == high:
            return None
        return wide > high

    def row(self, text: str, nth: int = 0) -> Row:
        """The row of the sidebar that has a label."""
        return Row(self, self.scroll_to(text, nth))

    def close(self) -> None:
        """End both processes."""
        for process in (self.blender, self.server):
            process.terminate()
            process.wait(20)


def _has(found: list[Place], nth: int) -> bool:
    return len(found) > nth if nth >= 0 else len(found) >= -nth


def screen(size: tuple[int, int]) -> tuple[subprocess.Popen[bytes], str]:
    """An X server without a screen, and its name."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size[0]}x{size[1]}x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        return server, f":{pipe.readline().strip()}"


# ---- what a window needs -------------------------------------------------------------------------------------


def modules() -> Path:
    """numpy for Debian's Python 3.11, which Debian's Blender lacks; kept beside the environments."""
    target = Path(os.environ.get("WANSTAGE_ENVS", ROOT / ".envs")) / "gui-modules"
    if not (target / "numpy").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target),
                   "--python-version", "3.11", "--only-binary=:all:", "numpy<2"]  # fmt: skip
        subprocess.run(command, check=True)
    return target


def classic_zip(folder: Path) -> Path:
    """The zip for Blender 3.4, built from this checkout."""
    built = folder / "dist"
    command = [sys.executable, str(ROOT / "packaging" / "build_extension.py"), "--host-only", "--out", str(built)]
    cache = ROOT / "dist" / "wheels"
    if cache.is_dir():
        shutil.copytree(cache, built / "wheels")
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return next(built.glob("*-classic.zip"))


def install(folder: Path) -> Path:
    """The zip unpacked as Blender unpacks it; the folder of Blender's user scripts."""
    scripts = folder / "scripts"
    with zipfile.ZipFile(classic_zip(folder)) as zipped:
        zipped.extractall(scripts / "addons")
    return scripts


def variables(folder: Path, scripts: Path, **more: str) -> dict[str, str]:
    """The environment of a window: its own user folders, numpy, no backend of the user's."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WANSTAGE_BACKEND_")}
    return {**kept, "BLENDER_USER_SCRIPTS": str(scripts), "BLENDER_USER_CONFIG": str(folder / "config"),
            "PYTHONPATH": str(modules()), "WANSTAGE_DATA": str(folder / "data"),
            "WANSTAGE_CONNECTION": str(folder / "none.json"), **more}  # fmt: skip


def start_backend(folder: Path, *more: str) -> tuple[subprocess.Popen[bytes], Path]:
    """A real backend process with the test engine, and its connection file; ready."""
    file = folder / "backend" / "connection.json"
    words: Sequence[str] = ("serve", "--data", str(folder / "backend"), "--connection-file", str(file), *more)
    command = [sys.executable, "-m", "backend.cli", *words, "--test-engine"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    assert process.stdout.readline()
    return process, file


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a backend."""
    process.terminate()
    process.wait(20)
    if process.stdout is not None:
        process.stdout.close()


def keep(window: Window) -> None:
    """What pytest shows of a failed test, and the end of the window."""
    if window.state.is_file() and window.blender.poll() is None:
        window.shoot(window.folder / "last.png")
        sys.stdout.write(window.state.read_text() + "\n" + (window.folder / "blender.log").read_text()[-2000:])
    window.close()
