"""As-rigid-as-possible deformation of a triangle mesh in the plane, with a stretch prescribed for each triangle.

Local/global (Sorkine and Alexa 2007; per-triangle form of Liu et al. 2008): minimise
``sum_t area_t |J_t(x) - R_t S_t|^2 + sum_p w_p |C_p x - c_p|^2`` over positions x and rotations R_t, where the
symmetric stretch S_t (foreshortening along a bone) is given each frame. The matrix of the global step never
changes, so it is factored once.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.linalg import splu

from .mesh import signed_areas
from .skeleton import Floats, Ints


class Solver:
    """One mesh (V points, T triangles) with P pins: a pin is a sparse combination of points and a weight."""

    def __init__(self, points: Floats, triangles: Ints, pins: csr_matrix, weights: Floats) -> None:
        self.count = len(triangles)
        self.gradient = _gradient(points, triangles)
        area = np.abs(signed_areas(points[triangles]))
        weighted = (self.gradient.T @ diags(np.repeat(area, 2))).tocsr()
        self._from_targets = weighted
        self._from_pins = (pins.T @ diags(weights)).tocsr()
        loose = diags(np.full(len(points), 1e-9))
        self._factor = splu((weighted @ self.gradient + self._from_pins @ pins + loose).tocsc())

    def jacobians(self, positions: Floats, mirror: float = 1.0) -> Floats:
        """(T,2,2): d position / d rest; ``mirror`` -1 when the rest shape is seen mirrored in x."""
        stacked = (self.gradient @ positions).reshape(self.count, 2, 2)  # (t, d/d rest axis, x or y)
        jacobian = np.swapaxes(stacked, 1, 2).copy()
        jacobian[:, :, 0] *= mirror
        return jacobian

    def solve(self, start: Floats, stretch: Floats, targets: Floats, mirror: float, iterations: int) -> Floats:
        """Positions (V,2) from ``start`` (V,2), pins at ``targets`` (P,2), and the symmetric ``stretch`` (T,2,2)
        of each triangle in the (mirrored) rest frame."""
        positions = start
        fixed = self._from_pins @ targets
        for _ in range(iterations):
            wanted = rotations(self.jacobians(positions, mirror) @ stretch) @ stretch
            wanted[:, :, 0] *= mirror
            stacked = np.swapaxes(wanted, 1, 2).reshape(-1, 2)
            positions = self._factor.solve(self._from_targets @ stacked + fixed)
        return np.asarray(positions)


def rotations(matrices: Floats) -> Floats:
    """The nearest proper rotations (T,2,2) of 2x2 matrices, in closed form."""
    cos = matrices[:, 0, 0] + matrices[:, 1, 1]
    sin = matrices[:, 1, 0] - matrices[:, 0, 1]
    length = np.maximum(np.hypot(cos, sin), 1e-12)
    cos, sin = cos / length, sin / length
    return np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=-2)


def stretches(matrices: Floats) -> Floats:
    """The symmetric factors S of ``M = R S`` (T,2,2)."""
    return np.swapaxes(rotations(matrices), 1, 2) @ matrices


def _gradient(points: Floats, triangles: Ints) -> csr_matrix:
    """(2T,V): rows 2t and 2t+1 give d/dx and d/dy of a function on the points, constant in triangle t."""
    corners = points[triangles]
    twice = 2.0 * signed_areas(corners)
    rows, columns, values = [], [], []
    for k in range(3):
        edge = corners[:, (k + 2) % 3] - corners[:, (k + 1) % 3]
        for axis, value in ((0, -edge[:, 1] / twice), (1, edge[:, 0] / twice)):
            rows.append(2 * np.arange(len(triangles)) + axis)
            columns.append(triangles[:, k])
            values.append(value)
    shape = (2 * len(triangles), len(points))
    return csr_matrix((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
