"""From render passes to the maps of a drive pack. Needs no bpy.

clay, plate u1 (h,w,3) sRGB; mask u1 (h,w); depth f4 (h,w) metres along the view axis, +inf = nothing;
origin u2 (h,w,2): where a surface point is seen in sample 0.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import wire
from .camera import CameraSample, project_local, view_from_world

if TYPE_CHECKING:
    from protocol.specs import ArrayRef, AssetRef

Array = NDArray[Any]

FAR = 1.0e9  # Cycles' depth of nothing is 1e10
_LEVELS = 4096
_EDGE = 0.02  # of the depth: a larger step between neighbours is an outline


class AssetSink(Protocol):
    """Takes bytes and gives back their reference (protocol.assets.AssetFolder)."""

    def add(self, data: bytes) -> AssetRef:
        """Store the bytes; an AssetRef."""


def _srgb_table() -> Array:
    """uint8 sRGB of linear values 0..1 (IEC 61966-2-1)."""
    linear = (np.arange(_LEVELS) + 0.5) / _LEVELS
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255.0 + 0.5).astype(np.uint8)


_SRGB = _srgb_table()


def to_srgb(linear: Array) -> Array:
    """uint8 sRGB of a linear float array."""
    return np.asarray(_SRGB[np.clip(linear * _LEVELS, 0, _LEVELS - 1).astype(np.uint16)])


def clean_depth(depth: Array) -> Array:
    """float32 with +inf for nothing, rounded to 17 significant bits (0.1 mm at 10 m): it packs in half the time."""
    bits = np.ascontiguousarray(depth, np.float32).view(np.uint32)
    rounded = ((bits + np.uint32(0x40)) & np.uint32(0xFFFFFF80)).view(np.float32)
    return np.where(depth < FAR, rounded, np.float32(np.inf))


def contact_shade(inverse_depth: Array) -> Array:
    """A factor (h,w) that darkens creases and what lies close behind something, for soft contact shadows.

    Depth unsharp masking (Luft, Colditz, Deussen 2006) of 1/depth, which is linear over a plane, so that planes stay
    clean at every angle. ``inverse_depth`` is 0 where nothing is.
    """
    height, width = inverse_depth.shape
    half = np.ascontiguousarray(inverse_depth[: height // 2 * 2 : 2, : width // 2 * 2 : 2], np.float32)
    shade = np.ones_like(half)
    for share, strength, limit in ((80, 4.0, 0.14), (20, 1.2, 0.13)):
        radius = max(1, height // (2 * share))
        nearer = (_box_blur(_box_blur(half, radius), radius) - half) / np.maximum(half, np.float32(1e-6))
        shade -= np.clip(nearer * np.float32(strength), 0.0, limit)
    shade = _box_blur(shade, 1)
    full = np.repeat(np.repeat(shade, 2, axis=0), 2, axis=1)
    return np.pad(full, ((0, height - full.shape[0]), (0, width - full.shape[1])), mode="edge")


def _box_blur(picture: Array, radius: int) -> Array:
    """Mean over a square of side 2 radius + 1; the borders are repeated."""
    size = 2 * radius + 1
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (radius + 1, radius)
        sums = np.cumsum(np.pad(picture, pad, mode="edge"), axis=axis, dtype=np.float64)
        low, high = (slice(None),) * axis + (slice(None, -size),), (slice(None),) * axis + (slice(size, None),)
        picture = ((sums[high] - sums[low]) * (1.0 / size)).astype(np.float32)
    return picture


def clay_map(code: Sequence[Array], depth: Array, palette: Array, backdrop: tuple[float, float, float]) -> Array:
    """Clay with contact shadows over the backdrop, sRGB. ``code``: shade, palette row,
    rim; ``palette`` linear (n,3)."""
    shade, paint, rim = code
    nothing = ~np.isfinite(depth)
    light = shade * contact_shade(1.0 / depth)
    rows = _rows(paint, palette)
    picture = np.empty((*depth.shape, 3), np.uint8)
    for channel in range(3):
        picture[..., channel] = to_srgb(palette[rows, channel] * light + rim)
        picture[nothing, channel] = to_srgb(np.float32(backdrop[channel]))
    return picture


def plate_map(code: Sequence[Array], palette: Array, backdrop: tuple[float, float, float]) -> tuple[Array, Array]:
    """The set over the backdrop, sRGB, and its depth. ``code``: shade, 1 / depth, palette row, alpha (clay.py)."""
    shade, inverse, paint, alpha = code
    light = shade * contact_shade(inverse)
    rows = _rows(paint, palette)
    picture = np.empty((*shade.shape, 3), np.uint8)
    for channel in range(3):
        picture[..., channel] = to_srgb(light * palette[rows, channel] + (1.0 - alpha) * np.float32(backdrop[channel]))
    with np.errstate(divide="ignore"):
        return picture, np.where(alpha > 0.5, 1.0 / inverse, np.float32(np.inf))


def _rows(paint: Array, palette: Array) -> Array:
    """Palette rows; what no surface wrote is row 0."""
    return np.clip(np.nan_to_num(paint) + 0.5, 0, len(palette) - 1).astype(np.intp)


def smooth_edges(picture: Array, depth: Array, labels: Array | None = None) -> Array:
    """Anti-aliases outlines found in depth (and in ``labels``): edge pixels become a 3x3 binomial mean."""
    edge = np.zeros(depth.shape, bool)
    flat = np.where(np.isfinite(depth), depth, np.float32(1e6))
    for axis in (0, 1):
        low = (slice(None),) * axis + (slice(None, -1),)
        high = (slice(None),) * axis + (slice(1, None),)
        step = np.abs(flat[high] - flat[low]) > _EDGE * np.minimum(flat[high], flat[low])
        if labels is not None:
            step |= labels[high] != labels[low]
        edge[low] |= step
        edge[high] |= step
    rows, columns = np.nonzero(edge)
    if not len(rows):
        return picture
    total = np.zeros((len(rows), 3), np.uint16)
    for dy, wy in ((-1, 1), (0, 2), (1, 1)):
        y = np.clip(rows + dy, 0, depth.shape[0] - 1)
        for dx, wx in ((-1, 1), (0, 2), (1, 1)):
            total += picture[y, np.clip(columns + dx, 0, depth.shape[1] - 1)].astype(np.uint16) * np.uint16(wy * wx)
    result = picture.copy()
    result[rows, columns] = (total + 8) >> 4
    return result


class OriginMapper:
    """Knows sample 0's camera and depth; encodes where each later surface point was seen then."""

    def __init__(self, camera: CameraSample, depth: Array) -> None:
        self._camera, self._depth = camera, depth
        self._view = view_from_world(camera)

    def encode(self, index: Array, rest: Sequence[Array], first: list[Array | None]) -> Array:
        """uint16 (h,w,2), see SPEC "Origin maps". ``index`` pass indices, ``rest`` x, y, z in each object's own space
        at sample 0, ``first`` world matrices at sample 0 by pass index (None = unknown)."""
        rows = index.astype(np.int32)
        table = np.zeros((len(first), 3, 4), np.float32)
        for row, matrix in enumerate(first):
            if matrix is not None:
                table[row] = (self._view @ matrix)[:3]
        known = np.array([matrix is not None for matrix in first])
        at = np.flatnonzero(known[rows].ravel())
        row = rows.ravel()[at]
        x, y, z = (np.ascontiguousarray(values).ravel()[at] for values in rest)
        local = np.empty((len(at), 3), np.float32)
        for axis in range(3):
            a, b, c, d = (np.ascontiguousarray(table[:, axis, k])[row] for k in range(4))
            local[:, axis] = a * x + b * y + c * z + d
        code = np.zeros((rows.size, 2), np.uint16)
        code[at] = self._encode_points(local)
        return code.reshape(*rows.shape, 2)

    def _encode_points(self, local: Array) -> Array:
        height, width = self._depth.shape
        with np.errstate(over="ignore", invalid="ignore"):
            pixels, depth = project_local(local, self._camera)
        size = np.array([width, height], np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            inside = ((pixels >= -0.25 * size) & (pixels < 1.25 * size)).all(axis=1) & (depth > 0.0)
        pixels = np.where(inside[:, None], pixels, 0.0).astype(np.float32)
        seen = inside & self._was_seen(pixels, depth)
        code = np.clip(np.round((pixels / size + np.float32(0.25)) * np.float32(65535.0 / 1.5)), 1, 65535)
        code[~seen] = 0
        return code.astype(np.uint16)

    def _was_seen(self, pixels: Array, depth: Array) -> Array:
        """Sample 0 shows this very surface there: one of the four pixels around holds its depth. Points outside the
        picture cannot be checked and are kept."""
        height, width = self._depth.shape
        x0, y0 = np.floor(pixels[:, 0] - 0.5).astype(int), np.floor(pixels[:, 1] - 0.5).astype(int)
        outside = (pixels < 0).any(axis=1) | (pixels[:, 0] >= width) | (pixels[:, 1] >= height)
        tolerance = 0.01 * np.abs(depth) + 0.005
        seen = outside.copy()
        for dy in (0, 1):
            for dx in (0, 1):
                there = self._depth[np.clip(y0 + dy, 0, height - 1), np.clip(x0 + dx, 0, width - 1)]
                with np.errstate(invalid="ignore"):
                    seen |= np.abs(there - depth) < tolerance
        return seen


_DTYPES = {"uint8": "u1", "uint16": "u2", "float32": "f4", "float64": "f8"}


def array_ref(array: Array, sink: AssetSink, codec: str = "zlib") -> ArrayRef:
    """Store an array; an ArrayRef. ``codec`` delta is for smooth maps: smaller than zlib alone, and faster."""
    array = np.ascontiguousarray(array)
    data = differences(array) if codec == "delta" else array.tobytes()
    return wire.specs.ArrayRef(sink.add(zlib.compress(data, 1)), _DTYPES[array.dtype.name], array.shape, codec)


def differences(array: Array) -> bytes:
    """Unsigned differences along axis 1, all lowest bytes first (SPEC.md section 12, codec delta)."""
    bits = array.view(f"<u{array.itemsize}")
    steps = bits.copy()
    steps[:, 1:] -= bits[:, :-1]
    return np.ascontiguousarray(steps.reshape(-1).view(np.uint8).reshape(-1, array.itemsize).T).tobytes()
