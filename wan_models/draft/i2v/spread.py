"""Push-pull (Gortler et al. 1996, "The Lumigraph", section 3.4): known cells carried into unknown ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .opencv import cv2

if TYPE_CHECKING:
    from .motion import Plane

TRUST = 1e-3  # of the brightest cell: where less than this is known, coarser cells decide


def pull(total: Plane, weight: Plane) -> Plane:
    """Push-pull of one channel: sums (h,w), zero where ``weight`` is, to means known everywhere."""
    if min(total.shape) <= 1:
        mean = total.sum() / max(float(weight.sum()), 1e-6)
        return np.full(total.shape, mean, np.float32)
    half = ((total.shape[1] + 1) // 2, (total.shape[0] + 1) // 2)
    coarse = pull(*(cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (total, weight)))
    wide = cv2.resize(coarse, total.shape[::-1], interpolation=cv2.INTER_LINEAR)
    filled: Plane = (total + wide * np.float32(1e-3)) / (weight + np.float32(1e-3))
    return filled


def spread_ratio(some: Plane, base: Plane) -> Plane:
    """Push-pull of ``some / base``: (h,w,3) sums, zero where unknown, to ratios known everywhere (1 if nothing is)."""
    if min(some.shape[:2]) <= 1:
        total = base.sum((0, 1), keepdims=True)
        whole = some.sum((0, 1), keepdims=True) / np.maximum(total, np.float32(1e-6))
        return np.ascontiguousarray(np.broadcast_to(np.where(total > 0, whole, 1), some.shape), np.float32)
    half = ((some.shape[1] + 1) // 2, (some.shape[0] + 1) // 2)
    coarse = spread_ratio(*(cv2.resize(a, half, interpolation=cv2.INTER_AREA) for a in (some, base)))
    wide: Plane = cv2.resize(coarse, (some.shape[1], some.shape[0]), interpolation=cv2.INTER_LINEAR)
    trust = np.maximum(np.float32(TRUST) * base.max(), np.float32(1e-6))
    filled: Plane = (some + wide * trust) / (base + trust)
    return filled
