"""A temporary camera that sees exactly what numbers say: pinhole, square or oblong pixels, no depth of field."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from mathutils import Matrix
from numpy.typing import NDArray

from .camera import CameraSample
from .evaluate import Scratch

Array = NDArray[Any]


def make_eye(made: Scratch, scene: bpy.types.Scene) -> bpy.types.Object:
    """A camera of a temporary scene, made its own."""
    data = made.add("cameras", bpy.data.cameras.new(".wanstage_camera"))
    eye = made.add("objects", bpy.data.objects.new(".wanstage_camera", data))
    scene.collection.objects.link(eye)
    scene.camera = eye
    return eye


def aim(
    scene: bpy.types.Scene,
    eye: bpy.types.Object,
    size: tuple[int, int],
    camera: CameraSample,
    clip: tuple[float, float],
) -> None:
    """Put the eye where the sample's camera is. Intrinsics become lens, shift and the scene's pixel aspect."""
    width, height = size
    fx, fy, cx, cy = camera.intrinsics
    data = eye.data
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = _aspect(fx, fy)
    data.sensor_fit, data.sensor_width = "HORIZONTAL", 36.0
    data.shift_x = (width / 2 - cx) / width
    data.shift_y = (cy - height / 2) / width * (fx / fy)
    data.clip_start, data.clip_end = clip
    if camera.orthographic:
        data.type, data.ortho_scale = "ORTHO", width / fx
    else:
        data.type, data.lens = "PERSP", fx * 36.0 / width
    eye.matrix_world = Matrix(np.asarray(camera.world).tolist())


def _aspect(fx: float, fy: float) -> tuple[float, float]:
    """Pixel aspect with both numbers at least 1, as Blender wants: fx / fy = aspect_y / aspect_x."""
    ratio = fx / fy if abs(fx - fy) > 1e-5 * fy else 1.0
    return (1.0, ratio) if ratio >= 1.0 else (1.0 / ratio, 1.0)


def cropped(camera: CameraSample, box: tuple[float, float, float, float], size: tuple[int, int]) -> CameraSample:
    """The same view, of this box (left, top, right, bottom px) alone, as a picture of ``size``."""
    left, top, right, bottom = box
    x, y = size[0] / (right - left), size[1] / (bottom - top)
    fx, fy, cx, cy = camera.intrinsics
    return CameraSample(camera.world, np.array([fx * x, fy * y, (cx - left) * x, (cy - top) * y]), camera.orthographic)
