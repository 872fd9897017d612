"""From a film to a rig that moves in it: the pose, the bake, and the rig drawn over the film to be looked at.

    python examples/film_to_rig.py FILM --rig RIG.blend --blender PROGRAM [--out DIR] [--person N] [--sheet PICTURE]

RIG.blend is a file with a character (an armature and meshes that follow it; without one the examples' man moves).
PROGRAM is a Blender or a Python that has bpy. DIR gets ``pose.npz``, ``rig.blend`` (the character with its new action
and the film's camera) and ``overlay.mp4``. Runs in the backend's environment
('wanstage models pull pose hand face' first).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import bpy

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RIG = ROOT / "examples" / "assets" / "previz_human.blend"
SENSOR_MM = 36.0
WIDEST_PX = 960
SHEET = (4, 2)  # pictures across and down
CELL_PX, MARGIN_PX = 320, 24
SAID = "wanstage: "  # before a sentence that needs no more words


def main() -> None:
    """In the backend's environment: estimate, have Blender bake and draw, lay the drawing over the film."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--rig", type=Path, default=RIG)
    parser.add_argument("--armature", default="", help="its name, if the file has several")
    parser.add_argument("--blender", required=True)
    parser.add_argument("--out", type=Path, default=Path("film_to_rig"))
    parser.add_argument("--person", type=int, default=0, help="which of the film's people, from 0")
    parser.add_argument("--models", type=Path, help="a folder with MediaPipe's model files")
    parser.add_argument("--height", type=float, help="how tall the person is, metres")
    parser.add_argument("--camera", type=Path, help="the camera, if it is known (docs/pose-file.md)")
    parser.add_argument("--sheet", type=Path, help="also a picture of eight moments")
    told = parser.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    estimate(told)
    draw_rig(told)
    print(*lay_over(told), sep="\n")


def estimate(told: argparse.Namespace) -> None:
    """``wanstage pose``, which says itself what is wrong; ends the program then."""
    command = [sys.executable, "-m", "backend.cli", "pose", str(told.film.resolve()), "-o"]
    command += [str(told.out.resolve() / "pose.npz")]
    for name in ("models", "height", "camera"):
        command += (
            [f"--{name}", str(value.resolve() if isinstance(value, Path) else value)]
            if (value := getattr(told, name))
            else []
        )
    ended = subprocess.run(command, check=False, cwd=ROOT)
    if ended.returncode:
        sys.exit(ended.returncode)


def draw_rig(told: argparse.Namespace) -> None:
    """This file again, in Blender."""
    given = {"rig": str(told.rig.resolve()), "out": str(told.out.resolve()), "armature": told.armature}
    given["person"] = told.person
    told.out.joinpath("rig").mkdir(exist_ok=True)
    for old in told.out.joinpath("rig").glob("*.png"):
        old.unlink()
    start = [told.blender]
    start += ["-b", "--python", __file__, "--"] if Path(told.blender).stem.startswith("blender") else [__file__]
    log = told.out / "blender.log"
    with log.open("w") as stream:
        ended = subprocess.run([*start, "--stage", json.dumps(given)], stdout=stream, stderr=stream, check=False)
    if ended.returncode:
        words = log.read_text()
        said = [line for line in words.splitlines() if line.startswith(SAID)]
        sys.exit(said[-1] if said else f"Blender could not do it; its last words:\n{words[-1500:]}")


def lay_over(told: argparse.Namespace) -> Iterator[Path]:
    """The drawing over the film; yields what was written."""
    import cv2

    from wan_models.pose.footage import frames, open_footage
    from wan_models.video import write_mp4

    footage, drawings = open_footage(told.film), sorted(told.out.joinpath("rig").glob("*.png"))
    wanted = {drawings[round(each)] for each in np.linspace(0, len(drawings) - 1, SHEET[0] * SHEET[1])}
    kept: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for index, image in enumerate(frames(footage)):
            drawing = told.out / "rig" / f"{index + 1:04d}.png"
            width = min(WIDEST_PX, image.shape[1])
            size = (width // 2 * 2, round(image.shape[0] * width / image.shape[1]) // 2 * 2)
            picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            if drawing.is_file():
                drawn = cv2.imread(str(drawing), cv2.IMREAD_UNCHANGED)
                drawn = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA).astype(np.float32)
                part = drawn[..., 3:] / 255
                picture = np.rint(drawn[..., 2::-1] * part + picture * (1 - part)).astype(np.uint8)
                if drawing in wanted:
                    kept.append((picture, part[..., 0] > 0))
            yield picture

    target = told.out / "overlay.mp4"
    write_mp4(target, pictures(), footage.fps)
    yield target
    if told.sheet and kept:
        cv2.imwrite(str(told.sheet), sheet(kept)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        yield told.sheet


def sheet(kept: list[tuple[NDArray[np.uint8], NDArray[np.bool_]]]) -> NDArray[np.uint8]:
    """The pictures side by side, cut to where the rig ever is."""
    import cv2

    ever = np.any([part for _, part in kept], axis=0)
    across, down = np.flatnonzero(ever.any(axis=0)), np.flatnonzero(ever.any(axis=1))
    left, right = max(0, across[0] - MARGIN_PX), across[-1] + MARGIN_PX
    top, bottom = max(0, down[0] - MARGIN_PX), down[-1] + MARGIN_PX
    cut = [picture[top:bottom, left:right] for picture, _ in kept]
    size = (CELL_PX, round(CELL_PX * cut[0].shape[0] / cut[0].shape[1]))
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in cut]
    small += [np.zeros_like(small[0])] * (-len(small) % SHEET[0])
    rows = [np.hstack(small[start : start + SHEET[0]]) for start in range(0, len(small), SHEET[0])]
    return np.asarray(np.vstack(rows), np.uint8)


def stage(given: dict[str, Any]) -> None:
    """In Blender: open the rig, bake the pose file, film it with the file's camera, save."""
    import bpy

    out = Path(given["out"])
    os.environ.setdefault("WANSTAGE_DATA", str(out / "data"))
    bpy.ops.wm.open_mainfile(filepath=given["rig"], load_ui=False)
    import blender_addon

    blender_addon.register()
    rig = the_armature(given["armature"])
    with np.load(out / "pose.npz", allow_pickle=False) as arrays:
        header = json.loads(bytes(arrays["header"]).decode())
        world, inner = arrays["camera/world_from_camera"], arrays["camera/intrinsics"]
    set_up(rig, header)
    bpy.ops.wanstage.retarget(
        pose_file=str(out / "pose.npz"), armature=rig.name, person=given["person"], place="FILE", first=1
    )
    report = json.loads(rig.animation_data.action["wanstage_retarget"])
    film_camera(rig, header, world, inner, scale=report["scale"])
    scene = bpy.context.scene
    first, last = (round(each) for each in rig.animation_data.action.frame_range)
    scene.frame_start, scene.frame_end = first, last
    scene.render.filepath = f"{out / 'rig'}/"
    bpy.ops.wm.save_as_mainfile(filepath=str(out / "rig.blend"), copy=True)
    bpy.ops.render.render(animation=True)
    blender_addon.unregister()


def the_armature(name: str) -> bpy.types.Object:
    """The one that is asked for, or the only one. Ends the program with a sentence if there is none."""
    import bpy

    found = [item for item in bpy.data.objects if item.type == "ARMATURE" and (not name or item.name == name)]
    if len(found) != 1:
        names = ", ".join(item.name for item in bpy.data.objects if item.type == "ARMATURE") or "none"
        sys.exit(f"{SAID}give the armature's name by --armature: the file has {names}.")
    return found[0]


def set_up(rig: bpy.types.Object, header: dict[str, Any]) -> None:
    """The film's rate and size; only what follows the rig is drawn, on nothing."""
    import bpy

    scene = bpy.context.scene
    scene.render.fps = max(1, round(header["fps"]))
    scene.render.fps_base = scene.render.fps / header["fps"]
    source = header["source"]
    scene.render.resolution_x = min(WIDEST_PX, source["width"])
    scene.render.resolution_y = round(source["height"] * scene.render.resolution_x / source["width"])
    scene.render.resolution_percentage = 100
    scene.render.engine, scene.render.film_transparent = "BLENDER_WORKBENCH", True
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "PNG", "RGBA"
    scene.view_settings.view_transform = "Standard"
    scene.display.shading.color_type, scene.display.shading.light = "MATERIAL", "STUDIO"
    for item in scene.objects:
        follows = any(each.type == "ARMATURE" and each.object == rig for each in item.modifiers)
        item.hide_render = not (item.type == "MESH" and (follows or item.parent == rig))


def film_camera(
    rig: bpy.types.Object,
    header: dict[str, Any],
    world: NDArray[np.float64],
    inner: NDArray[np.float64],
    *,
    scale: float,
) -> None:
    """The camera of the film, as far from the rig as its size asks for: the picture stays the same."""
    import bpy
    from mathutils import Matrix

    scene, source = bpy.context.scene, header["source"]
    camera = bpy.data.objects.new("Film", bpy.data.cameras.new("Film"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.data.sensor_fit, camera.data.sensor_width = "HORIZONTAL", SENSOR_MM
    place, turn, _ = rig.matrix_world.decompose()
    base = Matrix.Translation(place) @ turn.to_matrix().to_4x4()
    for index, (eye, (fx, _, cx, cy)) in enumerate(zip(world, inner, strict=True)):
        matrix = np.array(eye)
        matrix[:3, 3] *= scale
        camera.matrix_world = base @ Matrix(matrix.tolist())
        camera.data.lens = SENSOR_MM * fx / source["width"]
        camera.data.shift_x = 0.5 - cx / source["width"]
        camera.data.shift_y = (cy - source["height"] / 2) / source["width"]
        if index and header["camera"]["guessed"]:
            break  # a guessed camera stands
        for path in ("location", "rotation_euler"):
            camera.keyframe_insert(path, frame=index + 1)


if __name__ == "__main__":
    if "--stage" in sys.argv:
        code = 1
        try:
            stage(json.loads(sys.argv[-1]))
            code = 0
        except SystemExit as end:
            print(end, file=sys.stderr)
        except RuntimeError as error:  # an operator's sentence
            print(SAID + str(error).strip().removeprefix("Error: "), file=sys.stderr)
        except Exception:
            sys.excepthook(*sys.exc_info())
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # some Blenders hang at exit once Rigify or a timer was there
    main()
