"""Notices cuts: the picture's colours and its edges change at once, much more than they did just before."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from .estimator import F32, Image

_SMALL = (96, 54)
_BINS = (8, 4, 4)
_COLOURS = 0.2  # Bhattacharyya distance of the colour histograms, 0 = the same, 1 = nothing in common
_EDGES = 0.4  # correlation of the edges of two pictures, 1 = the same: a light that goes on leaves them where they are
_NOTHING = 0.1  # correlation below which two pictures have nothing in common, whatever their colours
_SUDDEN = 0.35  # below the median of the frames before: in a fast pan edges never stay where they are
_FLAT = 0.05
_BEFORE = 12


class CutFinder:
    """Give it the frames in order; it says which begin a new shot."""

    def __init__(self) -> None:
        self._edges: F32 | None = None
        self._colours: F32 | None = None
        self._likeness: deque[float] = deque(maxlen=_BEFORE)

    def is_cut(self, image: Image) -> bool:
        """True when this frame does not go on where the one before was."""
        small = np.asarray(cv2.resize(image, _SMALL, interpolation=cv2.INTER_AREA), np.uint8)
        edges, colours = _edges(small), _histogram(small)
        if not edges.any():  # black, or a flash: what comes after is compared with what was before
            return False
        before, before_colours = self._edges, self._colours
        self._edges, self._colours = edges, colours
        if before is None or before_colours is None:
            return False
        likeness = float((edges * before).mean())
        usual = float(np.median(self._likeness)) if self._likeness else 1.0
        distance = float(cv2.compareHist(before_colours, colours, cv2.HISTCMP_BHATTACHARYYA))
        other = distance > _COLOURS or likeness < _NOTHING
        cut = likeness < min(_EDGES, usual - _SUDDEN) and other
        self._likeness.append(likeness)
        if cut:
            self._likeness.clear()
        return cut


def _edges(small: Image) -> F32:
    """Strength of the brightness's slopes, with mean 0 and variance 1."""
    grey = np.asarray(cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (5, 5), 0), np.float32)
    slope = np.sqrt(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)))
    slope -= slope.mean()
    if slope.std() < _FLAT:
        return np.zeros_like(slope)
    return np.asarray(slope / max(float(slope.std()), 1e-6), np.float32)


def _histogram(small: Image) -> F32:
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    found = cv2.calcHist([hsv], [0, 1, 2], None, list(_BINS), [0, 180, 0, 256, 0, 256])
    return np.asarray(found / found.sum(), np.float32)
