"""Open the demo's shot.blend from another folder: call with DIR in a bpy Python. Exit 1 and a sentence if it is wrong.

Planes and takes must be in place, every path relative, and the plane must show frame N's pixels at scene frame N.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import blender_addon  # noqa: E402 (the checkout must be importable first)


def pixels(image: bpy.types.Image) -> np.ndarray:
    """float32 (h,w,4), rows from the bottom."""
    flat = np.empty(image.size[0] * image.size[1] * 4, np.float32)
    image.pixels.foreach_get(flat)
    return flat.reshape(image.size[1], image.size[0], 4)


def render_through_camera(scene: bpy.types.Scene, frame: int, path: Path) -> np.ndarray:
    """What the camera sees at a frame, a small Workbench-free render: Cycles, one sample."""
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.render.resolution_percentage = 50
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = str(path)
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True)
    return pixels(bpy.data.images.load(str(path)))


def check(folder: Path) -> None:
    """Raises AssertionError with a sentence."""
    bpy.ops.wm.open_mainfile(filepath=str(folder / "shot.blend"))
    scene = bpy.context.scene
    takes = scene.wanstage.takes
    assert [take.task for take in takes] == ["animate", "i2v"], "the takes are not both in the file"
    for take in takes:
        assert take.frames_dir.startswith("//"), f"the frames of {take.task} are at an absolute path"
        assert json.loads(take.meta)["schema"] == 1
        plane = bpy.data.objects[take.plane]
        assert plane.parent == bpy.data.objects[take.camera], f"the plane of {take.task} does not follow the camera"
    for image in bpy.data.images:
        if image.source in {"FILE", "SEQUENCE"}:
            assert image.filepath.startswith("//"), f"the image {image.name} is at an absolute path"
            assert Path(bpy.path.abspath(image.filepath)).is_file(), f"the image {image.name} lost its file"
    for frame in (1, 41):
        seen = render_through_camera(scene, frame, folder / f"seen_{frame}.png")
        made = bpy.data.images.load(str(folder / "i2v" / f"frame_{frame:04d}.png"))
        made.scale(*(seen.shape[1], seen.shape[0]))
        apart = np.abs(seen[..., :3] - pixels(made)[..., :3]).mean()
        assert apart < 0.03, f"at frame {frame} the camera does not see the newest take's frame ({apart:.3f} apart)"


def main() -> int:
    """Exit code."""
    blender_addon.register()
    with tempfile.TemporaryDirectory() as scratch:
        moved = Path(scratch) / "elsewhere"
        shutil.copytree(sys.argv[1], moved)
        try:
            check(moved)
        except AssertionError as problem:
            sys.stderr.write(f"shot.blend is not right: {problem}\n")
            return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
