"""Triangulates a silhouette: points on a hexagonal grid and along the outline, Delaunay, outside triangles dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import Delaunay

from .skeleton import Floats, Ints

TARGET_VERTICES = 900
MARGIN = 3  # pixels of mesh outside the silhouette, so that soft edges are covered


@dataclass(frozen=True)
class Mesh:
    """``points`` (V,2) px, ``triangles`` (T,3), all wound alike; ``spacing`` px between neighbours."""

    points: Floats
    triangles: Ints
    spacing: float


def triangulate(alpha: NDArray[np.uint8], vertices: int = TARGET_VERTICES) -> Mesh:
    """A mesh over ``alpha`` > 0 and a little margin, about ``vertices`` points."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    inside = np.asarray(cv2.dilate((alpha > 8).astype(np.uint8), disc), np.uint8)
    padded = np.asarray(cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0), np.uint8)
    spacing = max(float(np.sqrt(inside.sum() / vertices / 0.866)), 3.0)
    outline = _outline(padded, spacing) - 1.0
    points = np.concatenate([outline, _grid(inside, spacing)])
    triangles = np.asarray(Delaunay(points).simplices, np.int64)
    centres = points[triangles].mean(axis=1)
    triangles = triangles[_sample(inside, centres) > 0]
    corners = points[triangles]
    area = signed_areas(corners)
    keep = np.abs(area) > 0.02 * spacing * spacing
    triangles, area = triangles[keep], area[keep]
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    used, renumbered = np.unique(triangles, return_inverse=True)
    return Mesh(points[used], renumbered.reshape(-1, 3).astype(np.int64), spacing)


def signed_areas(corners: Floats) -> Floats:
    """Areas of triangles (T,3,2); negative where a triangle is turned over."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]))


def _outline(inside: NDArray[np.uint8], spacing: float) -> Floats:
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    parts = []
    for contour in contours:
        line = contour[:, 0, :].astype(np.float64) + 0.5
        steps = np.linalg.norm(np.diff(line, axis=0, append=line[:1]), axis=1)
        if steps.sum() < 4 * spacing:
            continue
        count = max(int(steps.sum() / spacing), 4)
        along = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
        wanted = np.linspace(0.0, steps.sum(), count, endpoint=False)
        parts.append(np.stack([np.interp(wanted, along, line[:, axis]) for axis in (0, 1)], axis=1))
    return np.concatenate(parts)


def _grid(inside: NDArray[np.uint8], spacing: float) -> Floats:
    height, width = inside.shape
    rows = np.arange(spacing / 2, height, spacing * 0.866)
    grid = [
        np.stack([np.arange((0.25 + 0.5 * (i % 2)) * spacing, width, spacing), np.full_like(cols, y)], axis=1)
        for i, y in enumerate(rows)
        for cols in [np.arange((0.25 + 0.5 * (i % 2)) * spacing, width, spacing)]
    ]
    points = np.concatenate(grid)
    padded = cv2.copyMakeBorder(inside, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    return np.asarray(points[_sample(distance, points) > 0.6 * spacing])


def _sample(image: NDArray[Any], points: Floats) -> NDArray[Any]:
    """Nearest pixels; outside the picture the nearest border pixel."""
    height, width = image.shape[:2]
    x = np.clip(points[:, 0].astype(np.int64), 0, width - 1)
    y = np.clip(points[:, 1].astype(np.int64), 0, height - 1)
    return np.asarray(image[y, x])
