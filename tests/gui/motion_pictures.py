"""The guide's pictures of motion that is found in films: whether a take follows, and the figure while it is found."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from driver import ROOT, Window, wait_for

if TYPE_CHECKING:
    from pictures import Album


def give_reference(window: Window) -> None:
    """The examples' man is who the rig becomes."""
    shutil.copy(ROOT / "examples" / "assets" / "reference_man.png", window.folder / "reference.png")
    joints = ROOT / "examples" / "assets" / "reference_man.png.joints.json"
    shutil.copy(joints, window.folder / "reference.png.joints.json")
    window.run('bpy.data.objects["Hero"].wanstage.reference = "//reference.png"')


def make_take(window: Window, seconds: float = 400, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Click Generate, and wait until the take is there and nothing is captured any more."""
    before = len(window.seen()["takes"])
    window.press_button(
        "Generate", lambda: window.seen()["capturing"] or len(window.seen()["takes"]) > before, "the capture", nth=-1
    )
    meanwhile()
    wait_for(lambda: [take["state"] for take in window.seen()["takes"]][before:] == ["finished"], seconds, "the take")
    wait_for(lambda: not window.seen()["capturing"], 60, "the end of the capture")


def draft(window: Window) -> None:
    """A take of the man, 24 frames."""
    give_reference(window)
    window.run(
        "scene = bpy.context.scene\nscene.frame_end = 24\nown = scene.wanstage\nown.task = 'animate'\n"
        "own.engine = own.model = 'draft'\nown.size, own.plate_samples = '832x480', 96"
    )
    make_take(window)
    window.close_panel("Generate")


def follow(album: Album) -> None:
    """A draft of the man compared with its rig, whose left arm was moved since; the panel that finds motion."""
    window = album.window
    draft(window)
    window.run(MOVED_ARM)
    window.open_panel("Did It Follow?")
    window.click(*window.scroll_to("Compare with the Rig").middle)
    wait_for(lambda: list((window.folder / "wanstage").rglob("follow.png")), 120, "the comparison")
    window.run("bpy.context.scene.frame_set(16)")
    window.rest()
    window.scroll_to("Remove Markers")
    window.rest()
    album.whole("follow", album.mark(9, "Compare with the Rig"), album.mark(10, "Remove Markers"))
    window.close_panel("Takes")
    window.open_panel("Retarget")
    window.open_panel("Motion from Film")
    window.run('bpy.context.scene.wanstage_retarget.film = "//walk.mp4"')
    window.scroll_to("Find Motion")
    window.rest()
    album.side("motion_panel", album.row(5, "Who"), album.mark(6, "Find Motion"), top="Retarget", last="Find Motion")


def live(album: Album) -> None:
    """People are looked for in a take: over its frame, and behind it in the room. The search is held at a frame."""
    window = album.window
    draft(window)
    for title in ("Characters", "Look", "Takes"):
        window.close_panel(title)
    window.open_panel("Retarget")
    window.open_panel("Motion from Film")
    window.run("bpy.context.scene.wanstage_retarget.source = 'TAKE'")
    window.run(HELD)
    window.run("bpy.context.scene.frame_set(15)")
    window.scroll_to("Cancel")
    window.rest()
    album.whole("live_pose")
    window.run("from wanstage import state\nstate.now.paused.discard('picture')")


HELD = """
import time
from wanstage import pump, state
scene = bpy.context.scene
bpy.ops.wanstage.find_motion(source='TAKE', who='longest')
own = scene.wanstage_retarget.motion
until = time.monotonic() + 60
while own.frames_done < 18 and time.monotonic() < until:
    pump.tick(0.002)
    time.sleep(0.002)
state.now.paused.add('picture')
"""
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
