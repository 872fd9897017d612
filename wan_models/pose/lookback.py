"""The first frames of a person, looked at again backwards.

An estimator that follows people needs some frames until it has settled on somebody new: until then limbs may be
anywhere, or nobody is found at all. Once it has settled, the last frames are shown to a second one in reverse, so that
those where the person came into sight are the last that it sees.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import cv2
import numpy as np

from .crops import torso_px
from .estimator import F32, Estimator, Image, Seen
from .tracks import BODY, Track

AHEAD = 12
"""Frames after somebody is first seen until the second look, which needs about half of them to settle."""
BEFORE = 8
"""Frames before, in which they may have been overlooked."""
LONGEST_PX = 1280
"""Frames are kept no larger: 20 of them take 53 MiB."""
_LOST = 4  # frames out of sight: after so many, who comes back is as good as new
_AGREED = 0.12  # torsos between what both see
_SAME = 0.25  # torsos between each joint of a body that both see alike
_NEXT = 0.6  # torsos that a body moves from frame to frame at most
_LEAST = 4
_STAYED = 0.6


@dataclass(frozen=True)
class _Kept:
    index: int
    image: Image
    scale: float  # from the kept picture's pixels to the frame's


class LookBack:
    """Tell it each frame and whose tracks were seen in it; it mends their first frames by ``estimator.fresh()``."""

    def __init__(self, estimator: Estimator) -> None:
        self._estimator = estimator
        self._kept: deque[_Kept] = deque(maxlen=AHEAD + BEFORE)
        self._new: dict[int, tuple[Track, int, int]] = {}  # by id: since when, and the last frame before that
        self._last: dict[int, int] = {}

    def add(self, index: int, image: Image, tracks: Sequence[Track]) -> None:
        """The next frame and who was seen in it."""
        if not self._estimator.settles:
            return
        self._kept.append(_shrunk(index, image))
        for track in tracks:
            before = self._last.get(track.id, -1)
            if before < 0 or index - before > _LOST:
                self._new[track.id] = (track, index, before)
            self._last[track.id] = index
        if any(index - begin >= AHEAD for _, begin, _ in self._new.values()):
            self._mend(AHEAD // 2, [])

    def end_shot(self) -> None:
        """A cut, or the clip's end: what is kept is looked at, then forgotten."""
        if self._new:
            self._mend(_LEAST, list(self._kept))
        self._kept.clear()
        self._new, self._last = {}, {}

    def _mend(self, least: int, ahead: list[_Kept]) -> None:
        """Look at the kept frames in reverse, for all who are new and were seen in ``least`` of them. ``ahead``: shown
        before, to settle on, where there is too little behind.
        """
        now = self._kept[-1].index
        chosen = [each for each in self._new.values() if now - each[1] >= least]
        self._new = {each[0].id: each for each in self._new.values() if now - each[1] < least}
        chosen = [each for each in chosen if _stayed(each[0], each[1], now)]
        if not chosen:
            return
        looks = [Follower(track, before) for track, _, before in chosen]
        with closing(self._estimator.fresh()) as second:
            for step, kept in enumerate(ahead):
                second.find(kept.image, step / 30.0)
            for step, kept in enumerate(reversed(self._kept), len(ahead)):
                people = [_scaled(each, kept.scale) for each in second.find(kept.image, step / 30.0)]
                if not [each for each in looks if each.goes_on(kept.index, people)]:
                    break
        for each in looks:
            each.mend()


def _stayed(track: Track, begin: int, now: int) -> bool:
    """Whether somebody was seen in most frames: what flickers is nobody."""
    return sum(index in track.seen for index in range(begin, now + 1)) > (now - begin) * _STAYED


class Follower:
    """One person in reverse: from where both looks agree, back to where they are lost, and not as far as the frame
    ``before``.
    """

    def __init__(self, track: Track, before: int) -> None:
        self._track, self._before = track, before
        self.found: dict[int, Seen] = {}
        self._last: Seen | None = None

    def goes_on(self, index: int, people: Sequence[Seen]) -> bool:
        """Take the next frame's people; False when the rest need not be shown."""
        if index <= self._before:
            return False
        aim = self._last or self._track.seen.get(index)
        near = min(people, key=lambda each: _apart(each, aim), default=None) if aim is not None else None
        if near is None or aim is None or _apart(near, aim) > (_NEXT if self._last else _AGREED):
            self._before = index if self._last else self._before
            return self._last is None
        self.found[index] = self._last = near
        return True

    def mend(self) -> None:
        """What was found takes the place of what was seen first, but for hands and face; where both agree in every
        limb, their mean does.
        """
        for index, seen in self.found.items():
            first = self._track.seen.get(index)
            if first is None:
                self._track.seen[index] = seen
                continue
            share = 0.5 if _ways(first, seen).max() < _SAME else 1.0
            landmarks = first.landmarks + np.float32(share) * (seen.landmarks - first.landmarks)
            world = first.world + np.float32(share) * (seen.world - first.world)
            self._track.seen[index] = replace(first, landmarks=landmarks, world=world)


def _apart(one: Seen, other: Seen) -> float:
    """Torsos between two bodies."""
    return float(np.median(_ways(one, other)))


def _ways(one: Seen, other: Seen) -> F32:
    """Torsos between each joint of two bodies."""
    ways = np.linalg.norm(one.landmarks[BODY, :2] - other.landmarks[BODY, :2], axis=1)
    return np.asarray(ways / torso_px(other.landmarks), np.float32)


def _shrunk(index: int, image: Image) -> _Kept:
    scale = max(image.shape[:2]) / LONGEST_PX
    if scale <= 1:
        return _Kept(index, image, 1.0)
    small = cv2.resize(image, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
    return _Kept(index, np.asarray(small, np.uint8), scale)


def _scaled(seen: Seen, scale: float) -> Seen:
    return replace(seen, landmarks=seen.landmarks * np.array([scale, scale, scale, 1.0], np.float32))
