"""Who is who from frame to frame: bodies are matched by where they should be, how large and how coloured they are.

Positions are predicted with the speed of the joints, so two people who cross keep their names; colours of the torso
decide where positions cannot (the Hungarian method over both, scipy's ``linear_sum_assignment``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from wan_models.engine import RequestRefused

from .crops import torso_px
from .estimator import F32, Image, Seen
from .joints import LIMB_LANDMARKS

BODY = list(LIMB_LANDMARKS)
_GATE = 1.6  # torsos: further from where it should be, it is somebody else
_GATE_GROWS = 0.08  # torsos more for each frame that the person was not seen
_GATE_MOST = 4.0
_COLOUR_WEIGHT = 0.6
_COLOUR_GATE = 0.85  # Bhattacharyya distance beyond which it is another person, unless just where they should be
_COLOUR_KEPT = 0.92  # of the colours that a track remembers, each frame
_SPEED_KEPT = 0.6
_SPEED_FADES = 0.85  # a frame, while nobody is seen
_SURE = 0.5  # torsos: nearer than this to where it should be, colours do not matter
_BINS = (8, 4, 3)
_AWAY_S, _GLIMPSE_S = 0.25, 0.2


@dataclass
class Track:
    """One person through one shot: ``seen`` by frame. ``id`` counts from 1."""

    id: int
    seen: dict[int, Seen] = field(default_factory=dict)
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(BODY), 2)))
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros((len(BODY), 2)))
    colours: NDArray[np.float32] | None = None
    size: float = 1.0

    @property
    def first(self) -> int:
        """First frame in which the person is seen."""
        return min(self.seen)

    @property
    def last(self) -> int:
        """Last frame in which the person is seen."""
        return max(self.seen)

    @property
    def area(self) -> float:
        """Square pixels, the median of the frames: how large the person is in the picture."""
        boxes = [np.ptp(each.landmarks[:, :2], axis=0).prod() for each in self.seen.values()]
        return float(np.median(boxes))


class Tracker:
    """Give it each frame's people in order; ``tracks`` are all persons so far, ``end_shot`` lets nobody go on."""

    def __init__(self, patience: int = 30) -> None:
        """``patience``: frames that a person may be out of sight and still be the same one."""
        self.tracks: list[Track] = []
        self._live: list[Track] = []
        self._patience = patience

    def end_shot(self) -> None:
        """A cut: whoever comes now is somebody new."""
        self._live = []

    def add(self, frame: int, image: Image, people: Sequence[Seen]) -> list[Track]:
        """Match the frame's people; returns the track of each."""
        self._live = [each for each in self._live if frame - each.last <= self._patience]
        colours = [_colours(image, each.landmarks) for each in people]
        chosen = self._match(frame, people, colours)
        found = []
        for number, person in enumerate(people):
            track = chosen.get(number) or self._begin(person)
            _update(track, frame, person, colours[number])
            found.append(track)
        return found

    def _begin(self, person: Seen) -> Track:
        track = Track(len(self.tracks) + 1)
        track.points, track.size = _body(person), torso_px(person.landmarks)
        self.tracks.append(track)
        self._live.append(track)
        return track

    def _match(self, frame: int, people: Sequence[Seen], colours: list[NDArray[np.float32] | None]) -> dict[int, Track]:
        if not people or not self._live:
            return {}
        costs = np.array(
            [
                [_cost(track, frame, person, hue) for track in self._live]
                for person, hue in zip(people, colours, strict=True)
            ]
        )
        rows, columns = linear_sum_assignment(np.minimum(costs, 1e3))
        return {
            int(row): self._live[int(column)]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < 1e3
        }


def _body(person: Seen) -> NDArray[np.float64]:
    return np.asarray(person.landmarks[BODY, :2], np.float64)


def _cost(track: Track, frame: int, person: Seen, colours: NDArray[np.float32] | None) -> float:
    """Torsos between where the body should be and where it is, and how much its colours differ; 1e6 = impossible."""
    away = frame - track.last
    fade = (1 - _SPEED_FADES**away) / (1 - _SPEED_FADES) if away > 1 else 1.0
    distance = np.median(np.linalg.norm(track.points + track.speed * fade - _body(person), axis=1))
    size = max(track.size, torso_px(person.landmarks))
    gap = float(distance) / size
    hue = 0.0
    if colours is not None and track.colours is not None:
        hue = float(cv2.compareHist(track.colours, colours, cv2.HISTCMP_BHATTACHARYYA))
    if gap > min(_GATE + _GATE_GROWS * (away - 1), _GATE_MOST) or (hue > _COLOUR_GATE and gap > _SURE):
        return 1e6
    return gap + _COLOUR_WEIGHT * hue


def _update(track: Track, frame: int, person: Seen, colours: NDArray[np.float32] | None) -> None:
    points = _body(person)
    if track.seen:
        away = frame - track.last
        track.speed = _SPEED_KEPT * track.speed + (1 - _SPEED_KEPT) * (points - track.points) / away
    track.points = points
    track.size = 0.8 * track.size + 0.2 * torso_px(person.landmarks)
    if colours is not None:
        kept = track.colours
        track.colours = colours if kept is None else _COLOUR_KEPT * kept + (1 - _COLOUR_KEPT) * colours
    track.seen[frame] = person


def _colours(image: Image, landmarks: F32) -> NDArray[np.float32] | None:
    """Colour histogram of the torso; None where it is outside the picture."""
    corners = landmarks[[11, 12, 24, 23], :2]
    low = np.maximum(corners.min(axis=0), 0).astype(int)
    high = np.minimum(corners.max(axis=0) + 1, image.shape[1::-1]).astype(int)
    if (high - low < 4).any():
        low = np.maximum(low - 3, 0)
        high = np.minimum(high + 3, image.shape[1::-1])
        if (high - low < 4).any():
            return None
    patch = cv2.resize(image[low[1] : high[1], low[0] : high[0]], (24, 24), interpolation=cv2.INTER_AREA)
    found = cv2.calcHist(
        [cv2.cvtColor(patch, cv2.COLOR_RGB2HSV)], [0, 1, 2], None, list(_BINS), [0, 180, 0, 256, 0, 256]
    )
    found = cv2.GaussianBlur(found.reshape(_BINS[0], -1), (1, 3), 0)  # hues beside each other are alike
    return np.asarray(found / max(float(found.sum()), 1e-9), np.float32)


def lasting(seen: dict[int, Seen], fps: float) -> dict[int, Seen]:
    """Without glimpses: of somebody who was out of sight, a few frames before or after are as likely somebody else."""
    frames = sorted(seen)
    breaks = [0, *(at for at in range(1, len(frames)) if frames[at] - frames[at - 1] > _AWAY_S * fps), len(frames)]
    groups = [frames[one:other] for one, other in pairwise(breaks)]
    kept = [group for group in groups if len(group) >= _GLIMPSE_S * fps]
    return {frame: seen[frame] for group in kept or groups for frame in group}


def choose(tracks: Sequence[Track], wanted: str, frames: int) -> list[Track]:
    """The persons that are wanted: ``all``, ``largest``, ``longest``, an id, or ``X,Y`` / ``X,Y@FRAME`` in pixels.

    ``all`` leaves out those seen for less than a quarter of a second's worth (6 frames) in a clip that is longer.
    Raises RequestRefused: nobody at all, no such id, nobody there.
    """
    if not tracks:
        problem = "nobody was found in the clip: is a person seen from head to knee, upright, and not tiny?"
        raise RequestRefused(problem)
    if wanted == "all":
        lasting = [each for each in tracks if len(each.seen) >= min(6, max(1, frames // 4))]
        return lasting or [max(tracks, key=lambda each: len(each.seen))]
    if wanted == "largest":
        return [max(tracks, key=lambda each: each.area * len(each.seen))]
    if wanted == "longest":
        return [max(tracks, key=lambda each: len(each.seen))]
    if "," in wanted:
        return [_at(tracks, wanted)]
    for each in tracks:
        if wanted == str(each.id):
            return [each]
    known = ", ".join(str(each.id) for each in tracks)
    problem = (
        f"there is no person {wanted}: there are {known} (also: all, largest, longest, X,Y or X,Y@FRAME in pixels)"
    )
    raise RequestRefused(problem)


def _at(tracks: Sequence[Track], wanted: str) -> Track:
    place, _, frame = wanted.partition("@")
    try:
        x, y = (float(each) for each in place.split(","))
        index = int(frame or 0)
    except ValueError as error:
        problem = f"{wanted!r} is no place in the picture: give X,Y or X,Y@FRAME in pixels, for example 640,360@0"
        raise RequestRefused(problem) from error
    found = []
    for track in tracks:
        if index in track.seen:
            points = track.seen[index].landmarks[:, :2]
            low, high = (
                points.min(axis=0) - 0.1 * np.ptp(points, axis=0),
                points.max(axis=0) + 0.1 * np.ptp(points, axis=0),
            )
            if low[0] <= x <= high[0] and low[1] <= y <= high[1]:
                found.append((float(np.linalg.norm(points.mean(axis=0) - (x, y))), track))
    if not found:
        problem = f"nobody is at {x:g},{y:g} in frame {index}: choose a place on the person, or say largest"
        raise RequestRefused(problem)
    return min(found, key=lambda each: each[0])[1]
