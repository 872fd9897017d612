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
from driver import ROOT, Picture, Place, Window, wait_for

SIZE = (1280, 1000)
RING = (60, 165, 255)  # blue, green, red
MOST_BYTES = 150_000
MODELS = ("wan2.2-animate-14b", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b", "wan2.2-s2v-14b")
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


def save(path: Path, picture: Picture) -> None:
    """A PNG with a palette, as large as it may be."""
    image = Image.fromarray(np.ascontiguousarray(picture[:, :, ::-1]))
    for colours in (256, 128, 64, 32):
        image.quantize(colours, Image.Quantize.MAXCOVERAGE, 2, dither=Image.Dither.NONE).save(path, optimize=True)
        if path.stat().st_size <= MOST_BYTES:
            break
    sys.stdout.write(f"{path.name}: {path.stat().st_size // 1024} KB\n")
    sys.stdout.flush()


class Album:
    """Takes pictures of a window into a folder."""

    def __init__(self, window: Window, out: Path) -> None:
        self.window, self.out = window, out

    def whole(self, name: str, *marks: Mark) -> None:
        """The 3D view with its sidebar, without the editors to the right of it."""
        side = self.window.sidebar()
        shown = marked(self.window.grab(), marks)
        save(self.out / f"{name}.png", shown[26 : self.window.size[1] - 22, : side.x + side.width])

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
    """Everything behind the installation, with the street corner."""
    tiny = folder / "models"
    command = [sys.executable, "-m", "backend.cli", "models", "make-tiny", str(tiny), *MODELS]
    subprocess.run(
        command, check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL
    )
    backend, connection = driver.start_backend(folder, "--models", str(tiny))
    more = {"WANSTAGE_CONNECTION": str(connection), "WANSTAGE_GUI_HERO": str(hero)}
    window = Window(folder, driver.variables(folder, driver.install(folder), **more), "street_scene.py", SIZE)
    try:
        album = Album(window, out)
        window.sidebar()
        window.learn_icons(*ICONS)
        window.open_tab()
        shot(album)
        for name, part in PARTS.items():
            if name in wanted:
                part(album)
    finally:
        driver.keep(window)
        driver.stop(backend)


def shot(album: Album) -> None:
    """Connected, and the shot's panel."""
    window = album.window
    connect = album.mark(2, "Connect")
    album.side("connect", connect, last="Connect")
    window.press_button("Connect", lambda: window.seen()["status"] == "connected", "the connection")
    window.rest()
    window.close_panel("Connection")
    album.whole("shot", album.row(3, "Camera"), album.mark(3, "Scene Range"))
    window.close_panel("Shot")


def tasks(album: Album) -> None:
    """One picture of Characters, Look and Generate for each task; numbers are the steps of its page."""
    window = album.window
    shutil.copy(ROOT / "examples" / "assets" / "reference_man.png", window.folder / "reference.png")
    joints = ROOT / "examples" / "assets" / "reference_man.png.joints.json"
    shutil.copy(joints, window.folder / "reference.png.joints.json")
    window.run('bpy.data.objects["Hero"].wanstage.reference = "//reference.png"')
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


def first_take(album: Album) -> None:
    """The check, a draft while it is made, and done."""
    window = album.window
    window.run(PRESET.format("draft"))
    window.close_panel("Look")
    window.open_panel("Will This Shot Work?")
    window.press_button("Check Shot", lambda: window.sees("Nothing stands in the way") or window.seen()["capturing"],
                        "the check")  # fmt: skip
    wait_for(lambda: not window.seen()["capturing"], 60, "the end of the check")
    window.rest()
    album.side("preflight", album.mark(7, "Check Shot"), top="Generate")
    window.close_panel("Will This Shot Work?")
    window.open_panel("Takes")
    generate(window)
    wait_for(lambda: any(take["frames_done"] > 3 for take in window.seen()["takes"]), 600, "frames")
    album.whole("progress", album.row(8, "Generate", -1))
    wait_for(lambda: window.seen()["takes"][0]["state"] == "finished", 600, "the draft")
    window.run("bpy.context.scene.frame_set(20)")
    window.rest()
    album.whole("take")


def generate(window: Window) -> None:
    """Click it."""
    before = len(window.seen()["takes"])
    window.press_button(
        "Generate", lambda: window.seen()["capturing"] or len(window.seen()["takes"]) > before, "the capture", nth=-1
    )


def choose(album: Album) -> None:
    """A second take, the comparison, a star, the accepted take."""
    window = album.window
    window.run('bpy.ops.wanstage.task_preset(preset="animate")\nown = bpy.context.scene.wanstage\n'
               'own.engine = own.model = "draft"\nown.size = "832x480"')  # fmt: skip
    generate(window)
    wait_for(lambda: [take["state"] for take in window.seen()["takes"]] == ["finished"] * 2, 600, "the second take")
    window.close_panel("Generate")
    window.run("area_of('VIEW_3D').spaces[0].shading.type = 'MATERIAL'")
    window.open_panel("Compare")
    window.choose("Compare With", "Take 1")
    for _ in range(4):  # materials are compiled
        window.rest()
    album.whole("compare", album.row(9, "Wipe"))
    window.press_button("End Comparison", lambda: window.sees("Compare With"), "the end of the comparison")
    window.run("area_of('VIEW_3D').spaces[0].shading.type = 'SOLID'")
    window.close_panel("Compare")
    window.row("Take 2").click_icon("SOLO_OFF")
    window.rest()
    name = window.scroll_to("Take 2")
    beside = Place(name.x + 90, name.y - 50, 190, 90)
    accept = window.find_icon("CHECKMARK", beside)
    window.click(*accept.middle)
    window.rest()
    album.whole("accept", Mark(10, accept.grown(4)))


def timeline(album: Album) -> None:
    """Two cameras bound to markers, all shots submitted."""
    window = album.window
    window.run(
        "scene = bpy.context.scene\nwide = scene.camera\nclose = bpy.data.objects.new('Close', wide.data.copy())\n"
        "scene.collection.objects.link(close)\nclose.matrix_world = wide.matrix_world.copy()\nclose.data.lens = 60\n"
        "close.location.x += 0.3\n"
        "for name, frame, camera in (('Wide', 1, wide), ('Close', 17, close)):\n"
        "    scene.timeline_markers.new(name, frame=frame).camera = camera\n"
        "own = scene.wanstage\nown.task, own.engine, own.model = 'i2v', 'draft', 'draft'\n"
        "own.size, own.width, own.height = 'CUSTOM', 416, 240"
    )
    window.close_panel("Takes")
    window.open_panel("Shot")
    window.open_panel("Shots from the Timeline")
    if window.sees("List Shots", window.sidebar()):
        window.click_on("List Shots")
        window.rest()
    button = album.row(5, "Submit All Shots")
    count = len(window.seen()["takes"])
    window.press_button("Submit All Shots", lambda: len(window.seen()["takes"]) > count or window.seen()["capturing"],
                        "the first shot")  # fmt: skip
    wait_for(lambda: [t["state"] for t in window.seen()["takes"]][count:] == ["finished"] * 2, 600, "both shots")
    window.rest()
    album.whole("timeline", button)
    window.close_panel("Shots from the Timeline")
    window.close_panel("Shot")


def talking(album: Album) -> None:
    """A line on the sequencer, the person on the plane."""
    window = album.window
    shutil.copy(ROOT / "tests" / "fixtures" / "speech" / "sentence.flac", window.folder / "line.flac")
    portrait(window.folder)
    window.run(
        "scene = bpy.context.scene\nscene.timeline_markers.clear()\nown = scene.wanstage\n"
        "own.task, own.engine, own.model = 's2v', 'draft', 'draft'\nown.size, own.fps = '832x480', 16.0\n"
        "bpy.data.objects['Hero'].wanstage.reference = '//portrait.png'\n"
        f"strips = (scene.sequence_editor or scene.sequence_editor_create()).sequences\n"
        f"line = strips.new_sound('Line', r'{window.folder / 'line.flac'}', 9, 1)\n"
        "area_of('DOPESHEET_EDITOR').type = 'SEQUENCE_EDITOR'"
    )
    window.open_panel("Look")
    window.open_panel("Generate")
    count = len(window.seen()["takes"])
    generate(window)
    wait_for(lambda: [t["state"] for t in window.seen()["takes"]][count:] == ["finished"], 600, "the talking shot")
    window.run("bpy.context.scene.frame_set(15)")
    window.rest()
    album.whole("talking", album.row(8, "Generate", -1))


def portrait(folder: Path) -> None:
    """``portrait.png``: head and shoulders of the reference's man, and his joints beside it."""
    import test_window

    test_window.portrait(folder)


def takes(album: Album) -> None:
    """From the check to the accepted take."""
    first_take(album)
    choose(album)


def follow(album: Album) -> None:
    """A draft of the man compared with its rig, whose left arm was moved since; the panel that finds motion."""
    window = album.window
    shutil.copy(ROOT / "examples" / "assets" / "reference_man.png", window.folder / "reference.png")
    joints = ROOT / "examples" / "assets" / "reference_man.png.joints.json"
    shutil.copy(joints, window.folder / "reference.png.joints.json")
    window.run(
        'bpy.data.objects["Hero"].wanstage.reference = "//reference.png"\n'
        'bpy.ops.wanstage.task_preset(preset="animate")\nown = bpy.context.scene.wanstage\n'
        'own.engine = own.model = "draft"\nown.size = "832x480"'
    )
    window.close_panel("Look")
    count = len(window.seen()["takes"])
    generate(window)
    wait_for(lambda: [t["state"] for t in window.seen()["takes"]][count:] == ["finished"], 300, "the take")
    window.close_panel("Generate")
    window.open_panel("Takes")
    wait_for(lambda: not window.seen()["capturing"], 60, "the end of the capture")
    window.run(MOVED_ARM)
    window.open_panel("Did It Follow?")
    window.press_button("Compare with the Rig", lambda: window.sees("Cancel") or window.sees("Follows"), "the check")
    window.find("Remove Markers", seconds=120)
    window.run("bpy.context.scene.frame_set(20)")
    window.rest()
    album.whole("follow", album.mark(9, "Compare with the Rig"))
    window.close_panel("Takes")
    window.open_panel("Retarget")
    window.open_panel("Motion from Film")
    window.run('bpy.context.scene.wanstage_retarget.film = "//walk.mp4"')
    window.rest()
    album.side("motion_panel", album.row(4, "Film"), album.mark(6, "Find Motion"), top="Retarget", last="Find Motion")


MOVED_ARM = """
from mathutils import Quaternion
scene, bone = bpy.context.scene, bpy.data.objects["Hero"].pose.bones["LeftArm"]
for frame in (11, 27):
    scene.frame_set(frame)
    bone.keyframe_insert("rotation_quaternion", frame=frame)
for frame in range(12, 27):
    scene.frame_set(frame)
    bone.rotation_quaternion = bone.rotation_quaternion @ Quaternion((0, 0, 1), 1.2)
    bone.keyframe_insert("rotation_quaternion", frame=frame)
scene.frame_set(1)
"""
PARTS = {"panels": tasks, "takes": takes, "timeline": timeline, "talking": talking, "follow": follow}


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
