"""Looking for drawn words and icons in a picture of the screen."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

ALIKE, ALIKE_ICON, ALIKE_TAB = 0.9, 0.8, 0.7  # correlation with the drawn words: 0.97 and more where they are
MOST_APART = 0.5  # of a label's contrast, in any pixel: at most 0.3 where it is, 1 where "Take 1" is taken for "Take 2"
GAP_LEFT, GAP_RIGHT = 2, 6  # px that are empty beside a label, so that "Connect" is not found in "Connection"
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Place:
    """A rectangle of the window, pixels from its top left."""

    x: int
    y: int
    width: int
    height: int
    alike: float = 1.0

    @property
    def middle(self) -> tuple[int, int]:
        """Where to click."""
        return self.x + self.width // 2, self.y + self.height // 2

    def grown(self, by: int) -> Place:
        """With a margin."""
        return Place(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)


def trimmed(drawn: Picture) -> Picture:
    """Cut to what differs from the background, with one pixel round it."""
    apart = np.abs(drawn.astype(int) - int(np.median(drawn)))
    ys, xs = np.nonzero(apart > max(int(apart.max()) // 6, 8))
    top, left = max(int(ys.min()) - 1, 0), max(int(xs.min()) - 1, 0)
    return np.ascontiguousarray(drawn[top : ys.max() + 2, left : xs.max() + 2])


def matches(whole: Picture, wanted: Picture, alike: float, within: Place | None) -> list[Place]:
    """Where a picture is in another, from the top down; one place for each cluster."""
    x, y = (max(within.x, 0), max(within.y, 0)) if within else (0, 0)
    part = whole[y : within.y + within.height, x : within.x + within.width] if within else whole
    height, width = wanted.shape
    if part.shape[0] < height or part.shape[1] < width:
        return []
    scores = cv2.matchTemplate(np.ascontiguousarray(part), wanted, cv2.TM_CCOEFF_NORMED)
    scores[~np.isfinite(scores)] = 0
    found = []
    while len(found) < 40:
        _, best, _, (left, top) = cv2.minMaxLoc(scores)
        if best < alike:
            break
        found.append(Place(x + left, y + top, width, height, float(best)))
        scores[max(top - height // 2, 0) : top + height // 2 + 1, max(left - width // 2, 0) : left + width // 2 + 1] = 0
    return sorted(found, key=lambda place: (place.y, place.x))


def is_alone(whole: Picture, place: Place) -> bool:
    """Whether no other letter touches the label, to the right not even behind a space."""
    rows = slice(place.y + 2, place.y + place.height - 2)
    inner = whole[rows, place.x : place.x + place.width].astype(int)
    bright = (int(inner.max()) - int(np.median(inner))) * 0.4
    right = whole[rows, place.x + place.width : place.x + place.width + GAP_RIGHT - 2]
    left = whole[rows, max(place.x - GAP_LEFT + 1, 0) : place.x + 1]
    return all(side.size == 0 or int(side.max()) - int(np.median(inner)) < bright for side in (left, right))


def is_same(whole: Picture, place: Place, wanted: Picture) -> bool:
    """Whether no single letter differs: "Take 1" is "Take 2" but for one."""
    there = whole[place.y : place.y + place.height, place.x : place.x + place.width].astype(np.float64)
    gain, offset = np.polyfit(wanted.ravel().astype(np.float64), there.ravel(), 1)
    return bool(np.abs(there - gain * wanted - offset).max() < MOST_APART * abs(gain) * 255)
