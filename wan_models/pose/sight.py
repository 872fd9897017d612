"""One person's raw arrays over the frames in which they were followed: gaps bridged, sides put right, smoothed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import filters, place, sides, turns
from .contacts import runs
from .filters import Smoothing
from .joints import BODY_LANDMARKS, HAND_LANDMARKS, JOINTS, MP, SIDES
from .posefile import CameraPath
from .solve import head_turns, middle
from .tracks import Track

F64 = NDArray[np.float64]
LEAST_SEEN = 0.05
"""Weight of a point that the estimator thinks hidden, when it is smoothed."""
_BRIDGED = 0.02  # and of one between two that were seen
_ODD_M = 0.02  # a point that jumps less than this is believed
_ALL_ODD = 0.5  # of the points' weights: in a frame that keeps less of them, the whole body is elsewhere
_LIKELY_FACE = np.radians(50.0)  # a face that looks further from where the body's points say is somebody else's
_NO_FACE = 0.003  # weight of the body's points about the head's rotation, beside a face's
_FACE_HZ = 3.0


@dataclass
class Sight:
    """One person's raw arrays over frames first..last, without gaps; ``known`` (n,) where they were seen."""

    track: Track
    first: int
    last: int
    known: NDArray[np.bool_]
    filled: NDArray[np.bool_]
    landmarks: F64
    world: F64
    hands: dict[str, F64]
    faces: F64  # (n,3,3) the head's rotation by the face, NaN where it is not seen
    camera: CameraPath
    # Smoothed, and in world axes:
    points: F64 = field(default_factory=lambda: np.zeros(0))
    marks: F64 = field(default_factory=lambda: np.zeros(0))
    turned: dict[str, F64] = field(default_factory=dict)
    heads: F64 | None = None
    floor: float = 0.0


@dataclass(frozen=True)
class Clip:
    """What is the same for all people."""

    frames: int
    fps: float
    width: int
    height: int
    source: dict[str, Any]
    estimator: dict[str, Any]
    view_relative: bool
    skin: tuple[float, float] = (0.0, 0.0)
    blendshapes: tuple[str, ...] = ()
    cuts: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()


def gather(track: Track, clip: Clip, camera: CameraPath, gap_s: float, warnings: list[str]) -> Sight:
    """The person of a track; ``gap_s`` as in PoseOptions. Adds sentences to ``warnings``."""
    first, last = track.first, track.last
    count = last - first + 1
    known = np.zeros(count, bool)
    landmarks, world = (np.full((count, BODY_LANDMARKS, 4), np.nan) for _ in range(2))
    hands = {side: np.full((count, HAND_LANDMARKS, 3), np.nan) for side in SIDES}
    faces = np.full((count, 3, 3), np.nan)
    for frame, seen in track.seen.items():
        index = frame - first
        if seen.face_turn is not None:
            faces[index] = seen.face_turn
        known[index] = True
        landmarks[index], world[index] = seen.landmarks, seen.world
        for side, points in (("left", seen.left_hand), ("right", seen.right_hand)):
            if points is not None:
                hands[side][index] = points - points[0]
    longest = max(1, round(gap_s * clip.fps))
    landmarks, filled = filters.bridge(landmarks, longest)
    world, _ = filters.bridge(world, longest)
    wrong = np.zeros(count, bool)
    for limbs in (sides.ALL, sides.LEGS, sides.ARMS):
        mistaken = sides.mistaken(landmarks, limbs) & known
        for values in (landmarks, world):
            sides.swap(values, mistaken, limbs)
        if limbs is not sides.LEGS:
            wrong ^= mistaken  # hands go with the arms
    world = sides.backward_feet(world)
    hands["left"][wrong], hands["right"][wrong] = hands["right"][wrong], hands["left"][wrong]
    long = [(one + first, other + first) for one, other in runs(~known & ~filled)]
    if long:
        where = ", ".join(f"{one} to {other}" if other > one else str(one) for one, other in long[:3])
        more = f" and {len(long) - 3} more times" if len(long) > 3 else ""
        warnings.append(
            f"Person {track.id} is out of sight for longer than {gap_s:g} s (frames {where}{more}): the pose "
            "there is only drawn between what was seen, with confidence 0."
        )
    hands = {side: between(points, longest) for side, points in hands.items()}
    mine = place.part_of(camera, first, last)
    return Sight(track, first, last, known, filled, landmarks, world, hands, faces, mine)


def between(points: F64, longest: int) -> F64:
    """(T,...) with gaps of at most ``longest`` frames bridged, long ones left."""
    bridged, filled = filters.bridge(points, longest)
    return np.where(filled.reshape(-1, *[1] * (points.ndim - 1)), bridged, points)


def prepare(sight: Sight, clip: Clip, smooth: Smoothing | None) -> None:
    """Fill what follows from the rest: smoothed, and in world axes."""
    world, sight.marks = sight.world[..., :3], sight.landmarks.copy()
    if smooth is not None:
        world, sight.marks = _steadied(sight, clip.fps, smooth.cutoff)
    world = _joints(world, clip.skin)
    sight.marks[..., :2] = _joints(sight.marks[..., :2], clip.skin)
    view = place.facing(middle(sight.marks, "Hip")[:, :2], sight.camera) if clip.view_relative else None
    sight.points = place.to_world(world, sight.camera, view)
    sight.turned = {
        side: _smooth_hand(place.to_world(hand, sight.camera, view), clip.fps, smooth)
        for side, hand in sight.hands.items()
    }
    sight.heads = _heads(sight, clip, smooth)


def _joints(points: F64, skin: tuple[float, float]) -> F64:
    """(T,33,C) with hips and shoulders where the joints are, which lie between the points that are seen."""
    found = points.copy()
    ends = [[MP[f"{side}{part}"] for side in SIDES] for part in ("Hip", "Shoulder")]
    trunk = (points[:, ends[1]] - points[:, ends[0]]).mean(axis=1, keepdims=True)
    found[:, ends[0]] += skin[0] * trunk
    found[:, ends[1]] -= skin[1] * trunk
    return found


def _heads(sight: Sight, clip: Clip, smooth: Smoothing | None) -> F64 | None:
    """(n,3,3) by how much the face turns the head from what the body's points say (the head's own axes): wholly where
    it is seen and likely, fading before and after; None where no face is seen.
    """
    ears = sight.marks[:, :11, :2].mean(axis=1)
    view = place.facing(ears, sight.camera) if clip.view_relative else np.eye(3)
    faces = place.to_world(np.swapaxes(view @ sight.faces @ place.LOOKS_BACK, 1, 2), sight.camera)
    faces = np.swapaxes(faces, 1, 2)
    known = np.asarray(np.isfinite(faces).all(axis=(1, 2)), bool)
    if not known.any():
        return None
    step = np.swapaxes(head_turns(sight.points), 1, 2) @ np.where(known[:, None, None], faces, np.eye(3))
    away = np.where(known[:, None], turns.vectors(step), 0.0)
    known &= np.linalg.norm(away, axis=1) < _LIKELY_FACE
    weight = np.where(known, 1.0, _NO_FACE)[:, None]
    away = np.where(known[:, None], away, 0.0)[:, None]
    away = filters.weighted(away, weight, clip.fps, _FACE_HZ if smooth else 0.0)[:, 0]
    return turns.from_vectors(away)


def _steadied(sight: Sight, fps: float, cutoff: float) -> tuple[F64, F64]:
    """The landmarks' metres and pixels without what trembles and jumps, each as sure as it was seen; the pixels'
    visibility falls where a point was not believed.
    """
    seen = np.where(sight.known, 1.0, np.where(sight.filled, _BRIDGED, 1.0))[:, None]
    weights = seen * np.clip(sight.landmarks[..., 3], LEAST_SEEN, 1.0)
    size = max(float(np.median(np.ptp(sight.landmarks[..., 1], axis=1))), 1.0)
    marks = sight.landmarks.copy()
    trust = filters.plausible(sight.world[..., :3], weights, fps, _ODD_M)
    trust = np.minimum(trust, filters.plausible(marks[..., :2], weights, fps, _ODD_M / 1.7 * size))
    lost = np.median(trust / weights, axis=1) < _ALL_ODD  # then the other points are no better
    trust[lost] *= _BRIDGED
    marks[..., :2] = filters.weighted(marks[..., :2], trust, fps, cutoff)
    # A curve through a point that is not believed is as good as the points around it.
    sure = (marks[..., 3] * trust / weights)[..., None]
    marks[..., 3] = np.clip(filters.weighted(sure, np.ones(trust.shape), fps, cutoff / 2)[..., 0], 0.0, 1.0)
    return filters.weighted(sight.world[..., :3], trust, fps, cutoff), marks


def _smooth_hand(hand: F64, fps: float, smooth: Smoothing | None) -> F64:
    if smooth is None:
        return hand
    found = hand.copy()
    for first, last in runs(np.asarray(np.isfinite(hand).all(axis=(1, 2)), bool)):
        found[first : last + 1] = filters.zero_phase(hand[first : last + 1], fps, smooth.cutoff, smooth.order)
    return found


_SOURCES = {
    "hips": (23, 24), "spine": (11, 12, 23, 24), "chest": (11, 12), "neck": (7, 8, 11, 12), "head": (0, 7, 8),
    "Shoulder": ("Shoulder",), "UpperArm": ("Shoulder", "Elbow"), "LowerArm": ("Elbow", "Wrist"),
    "Hand": ("Wrist", "Index", "Pinky"), "UpperLeg": ("Hip", "Knee"), "LowerLeg": ("Knee", "Ankle"),
    "Foot": ("Ankle", "Heel", "Toe"), "Toes": ("Heel", "Toe"),
}  # fmt: skip


def confidence(sight: Sight) -> F64:
    """(n,51): the least sure of the landmarks that a bone hangs on; fingers as sure as the wrist of a hand that is
    seen. Half where a gap was bridged, 0 where nothing is known.
    """
    visibility = np.clip(sight.landmarks[..., 3], 0.0, 1.0)
    found = np.zeros((len(visibility), len(JOINTS)))
    for joint, name in enumerate(JOINTS):
        side = next((each for each in SIDES if name.startswith(each)), "")
        part = name[len(side) :]
        if part in _SOURCES:
            marks = [MP[f"{side}{each}"] if isinstance(each, str) else each for each in _SOURCES[part]]
            found[:, joint] = visibility[:, marks].min(axis=1)
        else:
            seen = np.isfinite(sight.hands[side]).all(axis=(1, 2))
            found[:, joint] = np.where(seen, visibility[:, MP[f"{side}Wrist"]], 0.0)
    return found * np.where(sight.known, 1.0, np.where(sight.filled, 0.5, 0.0))[:, None]
