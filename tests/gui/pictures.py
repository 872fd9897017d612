"""The guide's pictures, from real windows: ``python3 run.py pictures``, or ``python tests/gui/pictures.py HERO OUT``.

HERO is what export_hero.py wrote, OUT the folder (docs/images). Every picture is a window's, cut and with rings round
what a step of the guide names; the driver found where that is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent))
import driver
import test_window
from driver import ROOT, Picture, Place, Window, wait_for
from motion_pictures import follow, give_reference, live, make_take

SIZE = (1280, 1000)
RING = (60, 165, 255)  # blue, green, red
MOST_BYTES, MOST_BYTES_WHOLE = 150_000, 290_000
MODELS = ("wan2.2-animate-14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-s2v-14b")
MISSING = "wan2.2-animate-2-14b"
ICONS = ("SOLO_OFF", "CHECKMARK", "PRESET")


@dataclass(frozen=True)
class Mark:
    """A ring with the number of the guide's step."""

    step: int
    place: Place


def marked(picture: Picture, marks: Sequence[Mark]) -> Picture:
    """With rings and numbers."""
    drawn = picture.copy()
    for mark in marks:
        ring = mark.place.grown(5)
        left, top, right, bottom = ring.x, ring.y, ring.x + ring.width, ring.y + ring.height
        cv2.rectangle(drawn, (left, top), (right, bottom), RING, 2, cv2.LINE_AA)
        at = (left - 14, (top + bottom) // 2)
        cv2.circle(drawn, at, 11, RING, -1, cv2.LINE_AA)
        text, thick = str(mark.step), 1
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5, thick)
        cv2.putText(drawn, text, (at[0] - wide // 2, at[1] + high // 2), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (20, 20, 20),
                    thick, cv2.LINE_AA)  # fmt: skip
    return drawn


def save(path: Path, picture: Picture, most: int = MOST_BYTES) -> None:
    """A PNG with a palette, as large as it may be."""
    image = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
    for colours in (256, 128, 64, 32):
        way = Image.Quantize.MEDIANCUT if most > MOST_BYTES else Image.Quantize.MAXCOVERAGE  # a take has many shades
        image.quantize(colours, way, 2, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= most:
            break
    sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KB\n")
    sys.stdout.flush()


class Album:
    """Takes pictures of a window into a folder."""

    def __init__(self, window: Window, out: Path) -> None:
        self.window, self.out = window, out

    def whole(self, name: str, *marks: Mark, wide: bool = False) -> None:
        """The 3D view with its sidebar; when wide, with the editors to the right of it too."""
        side = self.window.sidebar()
        shown = marked(self.window.grab(), marks)
        whole = shown[26 : self.window.size[1] - 22, : None if wide else side.x + side.width]
        save(self.out / f"{name}.png", whole, MOST_BYTES_WHOLE)

    def side(self, name: str, *marks: Mark, top: str = "", last: str = "", view: int = 60) -> None:
        """The sidebar from one label to another, and some of the view beside it for the numbers."""
        side = self.window.sidebar()
        first = self.window.find(top, within=side).y - 12 if top else side.y
        end = self.window.find(last, within=side, nth=-1).middle[1] + 18 if last else side.y + side.height
        shown = marked(self.window.grab(), marks)
        save(self.out / f"{name}.png", shown[first:end, side.x - view : side.x + side.width - 20])

    def mark(self, step: int, text: str, nth: int = 0) -> Mark:
        """A ring round a label of the sidebar, as wide as a button."""
        place = self.window.find(text, within=self.window.sidebar(), nth=nth)
        return Mark(step, place.grown(3))

    def row(self, step: int, text: str, nth: int = 0) -> Mark:
        """A ring round the whole row of a label; of a text, with the field below it."""
        place, side = self.window.find(text, within=self.window.sidebar(), nth=nth), self.window.sidebar()
        high = place.height + (26 if text == "Prompt" else 4)
        return Mark(step, Place(side.x + 14, place.y - 2, side.width - 46, high))


def install(folder: Path, out: Path) -> None:
    """Blender's Preferences with the add-on, and the card of the first start."""
    scripts = folder / "scripts"
    (scripts / "addons").mkdir(parents=True)
    window = Window(folder, driver.variables(folder, scripts), "fresh_scene.py", SIZE, addons="")
    try:
        album = Album(window, out)
        window.sidebar()
        window.run(f'bpy.ops.preferences.addon_install(filepath=r"{driver.classic_zip(folder)}")')
        window.run('bpy.ops.preferences.addon_enable(module="wanstage")')
        wait_for(lambda: window.seen()["installed"], 20, "the add-on")
        window.open_tab()
        album.side("setup", album.mark(2, "Set Up", -1), album.mark(2, "Other Machines"), last="Other Machines")
        window.run(
            "bpy.context.preferences.active_section = 'ADDONS'\n"
            "bpy.context.window_manager.addon_search = 'Wanstage'\n"
            "bpy.ops.screen.userpref_show('INVOKE_DEFAULT')"
        )
        place = window.find("Install...", seconds=20)
        shown = marked(window.grab(), [Mark(1, place.grown(3))])
        save(out / "install.png", shown[max(place.y - 60, 0) : place.y + 260, max(place.x - 460, 0) : place.x + 360])
    finally:
        driver.keep(window)


def tour(folder: Path, hero: Path, out: Path, wanted: Sequence[str]) -> None:
    """Everything behind the installation, with the street corner; each part in a window of its own."""
    tiny = folder / "weights"
    command = [sys.executable, "-m", "backend.cli", "models", "make-tiny", str(tiny), *MODELS]
    subprocess.run(
        command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    backend, connection = driver.start_backend(folder, "--models", str(tiny))
    scripts, more = driver.install(folder), {"WANSTAGE_CONNECTION": str(connection), "WANSTAGE_GUI_HERO": str(hero)}
    try:
        for name in wanted:
            if name in PARTS:
                (folder / name).mkdir()
                window = Window(
                    folder / name, driver.variables(folder / name, scripts, **more), "street_scene.py", SIZE
                )
                try:
                    part(name, Album(window, out))
                finally:
                    driver.keep(window)
    finally:
        driver.stop(backend)


def part(name: str, album: Album) -> None:
    """One part's pictures, from a window that was just opened."""
    window = album.window
    window.sidebar()
    window.learn_icons(*ICONS)
    window.open_tab()
    if name == "shot":
        album.side("connect", album.mark(2, "Connect"), last="Connect")
    window.press_button("Connect", lambda: window.seen()["status"] == "connected", "the connection")
    window.rest()
    window.close_panel("Connection")
    if name != "shot":
        window.close_panel("Shot")
    PARTS[name](album)


def shot(album: Album) -> None:
    """The shot's panel."""
    album.whole("shot", album.row(3, "Camera"), album.mark(3, "Scene Range"))


def shade(window: Window, kind: str) -> None:
    """Of the 3D view: SOLID, or MATERIAL, whose materials are compiled first: the picture then stays for 4 s."""
    window.run(f"area_of('VIEW_3D').spaces[0].shading.type = '{kind}'")
    same, before = 0, window.grab()
    for _ in range(80):
        window.mouse("sleep", 1)
        now = window.grab()
        same = same + 1 if np.array_equal(before, now) else 0
        if same == (4 if kind == "MATERIAL" else 1):
            return
        before = now


def tasks(album: Album) -> None:
    """One picture of Characters, Look and Generate for each task; numbers are the steps of its page."""
    window = album.window
    give_reference(window)
    window.open_panel("Takes", wanted=False)
    for name, code, prompt, more in TASKS:
        window.run(f"{code}\nbpy.context.scene.wanstage.prompt = {prompt!r}")
        window.mouse("sleep", 1)
        window.settle()  # the panel that was drawn before must not be taken for this one
        side = window.sidebar()
        marks = [album.row(5, label) for label in (*more, "Prompt")]
        preset = window.find_icon("PRESET", side)
        preset = Place(side.x + 14, preset.y, side.width - 46, preset.height)
        marks.append(Mark(4, preset))
        marks.append(Mark(6, Place(preset.x, preset.y + 26, preset.width, preset.height)))
        marks.append(album.row(8, "Generate", -1))
        album.side(name, *marks, last="Generate")
    item = window.open_menu(window.find_icon("PRESET", window.sidebar()), "Draft 480p")
    album.whole("presets", Mark(4, item.grown(3)))
    window.press("Escape")
    window.rest()


PRESET = 'bpy.ops.wanstage.task_preset(preset="{}")'
TASKS = (
    ("draft", PRESET.format("draft"), "a man walks on a sunny street corner", ("First Image",)),
    ("animate", PRESET.format("animate"), "a man in a grey shirt on a sunny street corner", ("Reference",)),
    (
        "replace",
        PRESET.format("replace"),
        "a man in a grey shirt on a sunny street corner",
        ("Reference", "Background"),
    ),
    ("ends", PRESET.format("ends"), "he turns round, the camera moves to the left", ("First Image",)),
    (
        "ti2v",
        'bpy.context.scene.wanstage.task = "ti2v"',
        "a rainy street corner at night, neon light",
        ("First Image",),
    ),
    ("talk", PRESET.format("talk"), "a man speaks to the camera", ("Reference",)),
)


def models(album: Album) -> None:
    """The models of a task in the menu; one that lacks its weights."""
    window = album.window
    window.run(PRESET.format("animate"))
    window.close_panel("Look")
    window.settle()
    preset = window.find_icon("PRESET", window.sidebar())
    window.click(preset.x + 60, preset.middle[1] + 26)
    window.mouse("sleep", 1.5)
    side, top = window.sidebar(), preset.y - 50
    columns = slice(side.x, side.x + side.width - 24)
    menu = window.grab()[top : top + 320, columns].copy()
    window.press("Escape")
    wait_for(lambda: "wan/" + MISSING in window.seen()["models"], 20, "the missing model")
    window.run(f'bpy.context.scene.wanstage.model_menu = "wan/{MISSING}"')
    window.settle()
    gap = np.full((320, 16, 3), 255, np.uint8)
    save(album.out / "models.png", np.concatenate([menu, gap, window.grab()[top : top + 320, columns]], axis=1))


FLAT = 12  # grey levels: the plane's middle varies by 24 once it has a picture, and by 4 before
SMALL = """
bpy.context.scene.frame_end, bpy.context.scene.wanstage.fps = 21, 24
own = bpy.context.scene.wanstage
own.engine, own.model, own.plate_samples = "draft", "draft", 96
own.size, own.width, own.height = "CUSTOM", 640, 368
"""


def first_take(album: Album) -> None:
    """A draft while it is made, and done."""
    window = album.window
    window.run(PRESET.format("draft") + SMALL + "own.prompt = 'a man walks on a sunny street corner'")
    window.close_panel("Characters")
    window.open_panel("Takes")

    def picture() -> None:
        wait_for(lambda: any(take["frames_done"] > 3 for take in window.seen()["takes"]), 600, "frames")
        wait_for(lambda: window.seen()["takes"][-1]["plane"], 60, "the plane")
        wait_for(lambda: window.grab()[400:600, 150:600].std() > FLAT, 60, "a frame on it")
        album.whole("progress", album.row(8, "Generate", -1))

    make_take(window, meanwhile=picture)


def check(album: Album) -> None:
    """What stands in the way of the shot, and what to press."""
    window = album.window
    window.run(PRESET.format("animate") + "\nbpy.context.scene.frame_end = 24")
    for panel in ("Characters", "Look", "Takes"):
        window.close_panel(panel)
    window.open_panel("Will This Shot Work?")
    window.press_button("Check Shot", lambda: window.sees("Nothing stands in the way") or window.seen()["capturing"],
                        "the check")  # fmt: skip
    wait_for(lambda: not window.seen()["capturing"], 120, "the end of the check")
    window.settle()
    album.side("preflight", album.mark(7, "Check Shot"), top="Will This Shot Work?", last="Takes")


def choose(album: Album) -> None:
    """A second take, the comparison, a star, the accepted take."""
    window = album.window
    give_reference(window)
    window.run(PRESET.format("animate") + SMALL + "own.prompt = 'a man in a grey shirt on a street corner'")
    make_take(window)
    window.close_panel("Look")
    window.close_panel("Generate")
    window.run("bpy.context.scene.frame_set(16)")
    shade(window, "MATERIAL")
    window.open_panel("Compare")
    window.choose("Compare With", "Take 1")
    shade(window, "MATERIAL")
    album.whole("takes")
    window.press_button("End Comparison", lambda: window.sees("Compare With"), "the end of the comparison")
    shade(window, "SOLID")
    window.close_panel("Compare")
    window.row("Take 2").click_icon("SOLO_OFF")
    window.rest()
    window.click(*window.row("Take 2").place.middle)
    accept = window.list_button(window.row("Take 1").place, "CHECKMARK")
    window.click(*accept.middle)
    window.rest()
    window.run("if bpy.context.scene.wanstage.takes[1].choice.verdict != 'accepted': raise ValueError('not accepted')")
    album.whole("accept", Mark(10, accept.grown(4)))


def timeline(album: Album) -> None:
    """Two cameras bound to markers, all shots submitted."""
    window = album.window
    window.run(
        "scene = bpy.context.scene\nwide = scene.camera\nclose = bpy.data.objects.new('Close', wide.data.copy())\n"
        "scene.collection.objects.link(close)\nclose.matrix_world = wide.matrix_world.copy()\nclose.data.lens = 60\n"
        "close.location.x += 0.3\n"
        "for name, frame, camera in (('Wide', 1, wide), ('Close', 9, close)):\n"
        "    scene.timeline_markers.new(name, frame=frame).camera = camera\n"
        "own = scene.wanstage\nown.task, own.engine, own.model = 'i2v', 'draft', 'draft'\n"
        "own.size, own.width, own.height, scene.frame_end = 'CUSTOM', 416, 240, 17"
    )
    window.close_panel("Takes")
    window.open_panel("Shot")
    window.open_panel("Shots from the Timeline")
    if window.sees("List Shots", window.sidebar()):
        window.click_on("List Shots")
        window.rest()
    button = album.row(8, "Submit All Shots")
    count = len(window.seen()["takes"])
    window.press_button("Submit All Shots", lambda: len(window.seen()["takes"]) > count or window.seen()["capturing"],
                        "the first shot")  # fmt: skip
    wait_for(lambda: [t["state"] for t in window.seen()["takes"]][count:] == ["finished"] * 2, 600, "both shots")
    window.rest()
    show_strips(window)
    album.whole("timeline", button, wide=True)
    window.close_panel("Shots from the Timeline")
    window.close_panel("Shot")


STRIPS = """
area = next(area for area in bpy.context.window_manager.windows[0].screen.areas
            if area.type in ("PROPERTIES", "SEQUENCE_EDITOR"))
area.type = "SEQUENCE_EDITOR"
area.spaces[0].show_region_channels = area.spaces[0].show_region_toolbar = False
"""
ALL_STRIPS = (
    STRIPS
    + """
region = next(region for region in area.regions if region.type == "WINDOW")
with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area, region=region):
    bpy.ops.sequencer.view_all()
"""
)


def show_strips(window: Window) -> None:
    """The sequencer at the right, with all that is in it."""
    window.run(STRIPS)
    window.settle()
    window.run(ALL_STRIPS)
    window.settle()


def talking(album: Album) -> None:
    """A line on the sequencer, the person on the plane."""
    window = album.window
    shutil.copy(ROOT / "tests" / "fixtures" / "speech" / "sentence.flac", window.folder / "line.flac")
    test_window.portrait(window.folder)
    window.run(
        "scene = bpy.context.scene\nscene.timeline_markers.clear()\nown = scene.wanstage\n"
        "own.task, own.engine, own.model = 's2v', 'draft', 'draft'\nown.fps, scene.frame_end = 16.0, 33\n"
        "own.size, own.width, own.height = 'CUSTOM', 640, 368\n"
        "bpy.data.objects['Hero'].wanstage.reference = '//portrait.png'\n"
        f"strips = (scene.sequence_editor or scene.sequence_editor_create()).sequences\n"
        f"line = strips.new_sound('Line', r'{window.folder / 'line.flac'}', 1, -8)\nline.sound.filepath = '//line.flac'"
    )
    window.open_panel("Look")
    window.open_panel("Generate")
    make_take(window, 600)
    window.run("bpy.context.scene.frame_set(15)")
    show_strips(window)
    album.whole("talking_panel", wide=True)


def panel(album: Album) -> None:
    """The whole panel, and a take of the man on its plane, as one sees it in Material Preview."""
    window = album.window
    give_reference(window)
    window.run(PRESET.format("animate") + SMALL + "own.prompt = 'a man in a grey shirt on a street corner'")
    window.close_panel("Characters")
    window.open_panel("Takes")
    make_take(window)
    window.run("bpy.context.scene.frame_set(16)")
    shade(window, "MATERIAL")
    album.whole("panel")
    shade(window, "SOLID")


def takes(album: Album) -> None:
    """From the check to the accepted take."""
    first_take(album)
    choose(album)


PARTS = {
    "shot": shot,
    "panels": tasks,
    "models": models,
    "panel": panel,
    "takes": takes,
    "timeline": timeline,
    "talking": talking,
    "check": check,
    "follow": follow,
    "live": live,
}


def main() -> None:
    """All pictures; with names of parts behind, those alone."""
    hero, out = Path(sys.argv[1]), Path(sys.argv[2])
    wanted = sys.argv[3:] or ["install", *PARTS]
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="wanstage-pictures-"))  # kept when a picture fails: the screen is in it
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    if "install" in wanted:
        install(folder / "one", out)
    if set(wanted) & set(PARTS):
        tour(folder / "two", hero, out, wanted)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
