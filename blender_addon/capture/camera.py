"""The camera as numbers: world matrix and pixel intrinsics at each sample, and projection through them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..words import tr
from .params import CaptureProblem

if TYPE_CHECKING:
    import bpy

Array = NDArray[Any]


@dataclass(frozen=True)
class CameraSample:
    """``world`` float64 (4,4), looking along -Z; ``fx, fy, cx, cy`` in pixels (pixels a metre when orthographic)."""

    world: Array
    intrinsics: Array
    orthographic: bool

    def key(self) -> bytes:
        """Equal for equal cameras."""
        return bytes(self.world.tobytes() + self.intrinsics.tobytes())


def read_camera(
    camera: bpy.types.Object, depsgraph: bpy.types.Depsgraph, width: int, height: int, pixel_aspect: tuple[float, float]
) -> CameraSample:
    """The evaluated ``camera`` object for pictures of this size, with sensor fit, shift and pixel aspect.

    Blender's projection matrix P maps to NDC; pixels are x = (ndc + 1) / 2 * width and y = (1 - ndc) / 2 * height.
    The object's scale does not matter to a camera and is taken out. CaptureProblem for panoramic cameras.
    """
    evaluated = camera.evaluated_get(depsgraph)
    kind = evaluated.data.type
    if kind not in {"PERSP", "ORTHO"}:
        msg = tr(
            "{camera} is a {kind} camera: choose a perspective or orthographic one.",
            camera=camera.name,
            kind=kind.lower(),
        )
        raise CaptureProblem(msg)
    p = np.array(
        evaluated.calc_matrix_camera(depsgraph, x=width, y=height, scale_x=pixel_aspect[0], scale_y=pixel_aspect[1]),
        float,
    )
    ortho = kind == "ORTHO"
    dx, dy = (p[0, 3], -p[1, 3]) if ortho else (-p[0, 2], p[1, 2])
    intrinsics = np.array(
        [p[0, 0] * width / 2, p[1, 1] * height / 2, (1 + dx) * width / 2, (1 + dy) * height / 2], np.float64
    )
    return CameraSample(np.array(evaluated.matrix_world.normalized(), np.float64), intrinsics, ortho)


def view_from_world(sample: CameraSample) -> Array:
    """float64 (4,4)."""
    return np.asarray(np.linalg.inv(sample.world))


def project(points: Array, sample: CameraSample) -> tuple[Array, Array]:
    """Pixels (..., 2) and depth in metres along the view axis (...) of world points (..., 3)."""
    view = view_from_world(sample)
    local = points @ view[:3, :3].T + view[:3, 3]
    return project_local(local, sample)


def project_local(local: Array, sample: CameraSample) -> tuple[Array, Array]:
    """The same for points already in camera space."""
    fx, fy, cx, cy = sample.intrinsics
    depth = -local[..., 2]
    divisor = np.ones_like(depth) if sample.orthographic else np.where(np.abs(depth) < 1e-9, 1e-9, depth)
    pixels = np.stack([fx * local[..., 0] / divisor + cx, -fy * local[..., 1] / divisor + cy], axis=-1)
    return pixels, depth
