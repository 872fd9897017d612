"""A talking shot, as an artist makes one from the panel: a line of dialogue on the sequencer, a rig with the picture of
a person, a real backend; then the take on its plane with its sound in the sequencer.

``python examples/talking_shot.py --out DIR --backend-python PYTHON`` in an environment that has bpy. The draft engine
needs no weights and takes seconds. With the video model: ``--engine wan --models DIR``; ``wanstage models make-tiny
DIR`` writes tiny weights whose frames are noise, which is enough to see every step work, kept short by
``--size 128x64 --steps 1``.

DIR gets ``talk.blend``, the take's folder, and (by examples/talking_pictures.py, in the backend's environment)
``take.mp4`` and ``contact_sheet.png``.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import bpy  # noqa: E402 (the checkout must be importable first)
import demo_scene  # noqa: E402
import wan_shot  # noqa: E402

from blender_addon import catalog, compat, soundtrack, state  # noqa: E402
from blender_addon.capture import ShotParams, waves  # noqa: E402
from blender_addon.capture.look import render_look  # noqa: E402

SPEECH = ROOT / "tests" / "fixtures" / "speech" / "sentence.flac"
PROMPT = "a man in a white shirt talks to the camera on a sunny street corner"
FPS = 24  # of the scene; the model's own rate is another, time stays the same
LINE_AT, LEAD_OUT_S = 13, 0.5  # the strip's first frame; silence behind it
PIXEL_M = 1.78 / 1073  # the reference is a man of 1.78 m, from y = 45 to 1118 px
FEET_PX = 1118
EYES_M, DISTANCE_M, LENS_MM, SAMPLES = 1.55, 2.1, 78.0, 32


def build(out: Path, sound: Path) -> bpy.types.Scene:
    """The demo's street, its rig before a close camera, a portrait of the person whom the rig stands for, the line."""
    scene = demo_scene.build()
    scene.render.fps = FPS
    close_up(scene)
    bpy.data.objects[demo_scene.HERO].wanstage.reference = portrait(scene, out)
    seconds = waves.open_sound(sound, sound.name).seconds
    scene.frame_start, scene.frame_end = 1, LINE_AT + math.ceil((seconds + LEAD_OUT_S) * FPS)
    line = compat.strip_collection(scene).new_sound("Line", str(sound), 1, LINE_AT)
    line.show_waveform = True
    return scene


def portrait(scene: bpy.types.Scene, out: Path) -> str:
    """``portrait.png``: the reference's man on the street as a card, by the shot's camera; his joints beside it."""
    reference = Path(demo_scene.describe()["reference"])
    made = card(scene, reference)
    width, height = demo_scene.WIDTH, demo_scene.HEIGHT
    wanted = ShotParams(scene.name, scene.camera.name, 1, 1, FPS, width, height, look_samples=SAMPLES)
    hero = bpy.data.objects[demo_scene.HERO]
    render_look(wanted, scene, scene.camera, out / "portrait.png", without=[hero])
    joints = json.loads(Path(f"{reference}.joints.json").read_text("utf-8"))
    zoom = LENS_MM / scene.camera.data.sensor_width * width / DISTANCE_M * PIXEL_M  # pixels there for one of his
    middle, eyes = joints["width"] / 2, FEET_PX - EYES_M / PIXEL_M
    for part in ("body", "left_hand", "right_hand"):
        joints[part] = [
            [width / 2 + (x - middle) * zoom, height / 2 + (y - eyes) * zoom, score] for x, y, score in joints[part]
        ]
    joints.update(width=width, height=height)
    (out / "portrait.png.joints.json").write_text(json.dumps(joints), encoding="utf-8")
    bpy.data.objects.remove(made)
    return "//portrait.png"


def card(scene: bpy.types.Scene, picture: Path) -> bpy.types.Object:
    """The picture, upright at the origin in its real size, its transparent parts clear."""
    image = bpy.data.images.load(str(picture))
    width, height = (side * PIXEL_M for side in image.size)
    low = (FEET_PX - image.size[1]) * PIXEL_M
    mesh = bpy.data.meshes.new("Man")
    corners = [(x, 0.0, z) for x, z in ((-0.5, 0.0), (0.5, 0.0), (0.5, 1.0), (-0.5, 1.0))]
    mesh.from_pydata([(x * width, y, low + z * height) for x, y, z in corners], [], [(0, 1, 2, 3)])
    layer = mesh.uv_layers.new(name="UVMap")
    for corner, uv in zip(layer.data, ((0, 0), (1, 0), (1, 1), (0, 1)), strict=True):
        corner.uv = uv
    mesh.materials.append(cut_out(image))
    made = bpy.data.objects.new("Man", mesh)
    scene.collection.objects.link(made)
    return made


def cut_out(image: bpy.types.Image) -> bpy.types.Material:
    """The picture as it is: it was lit when it was made."""
    material = bpy.data.materials.new("Man")
    compat.enable_nodes(material)
    tree = material.node_tree
    tree.nodes.clear()
    picture, clear = tree.nodes.new("ShaderNodeTexImage"), tree.nodes.new("ShaderNodeBsdfTransparent")
    glow, mixed = tree.nodes.new("ShaderNodeEmission"), tree.nodes.new("ShaderNodeMixShader")
    output = tree.nodes.new("ShaderNodeOutputMaterial")
    picture.image = image
    tree.links.new(picture.outputs["Color"], glow.inputs["Color"])
    tree.links.new(picture.outputs["Alpha"], mixed.inputs[0])
    tree.links.new(clear.outputs[0], mixed.inputs[1])
    tree.links.new(glow.outputs[0], mixed.inputs[2])
    tree.links.new(mixed.outputs[0], output.inputs["Surface"])
    return material


def close_up(scene: bpy.types.Scene) -> None:
    """Head and shoulders, from the height of the eyes; no dolly."""
    camera = scene.camera
    camera.animation_data_clear()
    camera.data.lens = LENS_MM
    camera.location, camera.rotation_euler = (0.0, -DISTANCE_M, EYES_M), (math.radians(90.0), 0.0, 0.0)


def prepare(out: Path, told: argparse.Namespace) -> bpy.types.Scene:
    """The scene saved in ``out``, its shot set up as in the panel."""
    sound = out / told.sound.name
    if sound != told.sound.resolve():
        shutil.copy(told.sound, sound)
    scene = build(out, sound)
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "talk.blend"), compress=True)
    own = scene.wanstage
    own.task, own.person, own.sound_from, own.sound_strip = "s2v", "character", "strip", "Line"
    own.from_person, own.prompt, own.frames_folder, own.steps = True, PROMPT, "//take", told.steps
    scene.sync_mode = "AUDIO_SYNC"
    return scene


def choose(scene: bpy.types.Scene, told: argparse.Namespace) -> None:
    """The engine's model for talking shots; it sets rate and size. Raises RuntimeError when there is none."""
    own = scene.wanstage
    found = catalog.first_for("s2v", told.engine)
    if found is None or found[0] != told.engine:
        message = f"the backend's engine {told.engine} makes no talking shots"
        raise RuntimeError(message)
    catalog.choose(own, *found)
    if told.size:
        catalog.set_size(own, tuple(map(int, told.size.split("x"))))


def run(out: Path, told: argparse.Namespace) -> dict[str, Any]:
    """One take; writes ``report.json`` and saves the file. The add-on must be registered."""
    scene = prepare(out, told)
    done = bpy.ops.wanstage.connect(python=told.backend_python, backend_folder=str(ROOT), wait=60.0)
    if done != {"FINISHED"}:
        raise RuntimeError(state.now.sentence)
    try:
        choose(scene, told)
        report = wan_shot.submit(scene, "s2v")
        strip = soundtrack.find(scene, report["job_id"])
        report["strip"] = [strip.name, compat.strip_times(strip).left, strip.channel] if strip else None
        scene.frame_set(LINE_AT + FPS)
        bpy.ops.wm.save_mainfile(compress=True)
    finally:
        wan_shot.stop_backend()
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def words() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the file, the take and its movie")
    parser.add_argument("--backend-python", default=sys.executable, help="a Python that has the backend")
    parser.add_argument("--engine", default="draft", choices=("draft", "wan"), help="default: draft")
    parser.add_argument("--models", type=Path, help="folder with models, searched before the usual places")
    parser.add_argument("--sound", type=Path, default=SPEECH, help="what is said (default: a sentence of the tests)")
    parser.add_argument("--size", default="", metavar="WxH", help="default: 832x480, or the model's own")
    parser.add_argument("--steps", type=int, default=0, help="0 = the model's own")
    return parser


def main() -> int:
    """Exit code 0, or 1 after one sentence."""
    told = words().parse_args()

    def make_it(out: Path) -> int:
        report = run(out, told)
        print(f"{report['frames']} frames and their sound by {report['model']}", flush=True)
        pictures = [told.backend_python, str(ROOT / "examples" / "talking_pictures.py"), report["folder"], str(out)]
        return subprocess.run(pictures, check=False).returncode

    return wan_shot.carry_out("talking_shot", told, make_it)


if __name__ == "__main__":
    wan_shot.leave(main())
