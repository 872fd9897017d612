"""Turns a pose track into the puppet's targets: joints in pixels, size, facing, and notes on doubtful frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from wan_models.requests import BEHIND, MISSING, STATE, CameraTrack, PoseTrack

from .skeleton import (
    BONES,
    EAR_L,
    EAR_R,
    HAND_L,
    HAND_MIDDLE,
    HAND_R,
    HIP_L,
    HIP_R,
    JOINTS,
    NECK,
    SHOULDER_L,
    SHOULDER_R,
    Bools,
    Floats,
    foot_down,
    unit,
)
from .view import TURNED, beyond_reference, head_yaw, mirrors, side_vectors, yaw_degrees

MIN_FOOT = 0.4  # of the reference's, how far toes stay below the ankle along the shin
USUAL_SHOULDERS = 0.36  # metres between shoulder joints, where no camera tells
REBUILT = "some joints are behind the camera or missing from the rig; they were rebuilt from their neighbours"
FEET_AWAY = "a foot points away from the camera; its toes are drawn lower than they are"
BEHIND_CAMERA = "the character is behind the camera and is not drawn"
_MEASURED = (*(BONES[i] for i in (0, 1, 3, 4, 6, 7, 9, 10)), (SHOULDER_R, HIP_R), (SHOULDER_L, HIP_L))
_PARENTS = {
    NECK: SHOULDER_R, **{b: a for a, b in BONES}, 0: NECK, 14: 0, 15: 0, 16: 0, 17: 0,
    SHOULDER_R: NECK, SHOULDER_L: NECK, HIP_R: SHOULDER_R, HIP_L: SHOULDER_L,
}  # fmt: skip


@dataclass(frozen=True)
class Motion:
    """One character through the shot: joints (T,22,2) px, depth (T,22) m, scale (T,) px a reference px,
    mirror (T,) +-1, yaw and head_yaw (T,) degrees, drawn (T,), face_known (22,); ``notes`` frame -> sentences."""

    joints: Floats
    depth: Floats
    scale: Floats
    mirror: Floats
    yaw: Floats
    head_yaw: Floats
    drawn: Bools
    face_known: Bools
    notes: dict[int, list[str]] = field(default_factory=dict)


def motion_of(track: PoseTrack, rest: Floats, camera: CameraTrack | None) -> Motion:
    """The targets for a reference with joints ``rest`` (22,2)."""
    body = _with_hands(track, rest)
    known = np.isfinite(body[..., :2]).all(axis=2) & ~np.isin(body[..., 4], (BEHIND, MISSING))
    joints, depth = _fill(body[..., :2], known), _fill(body[..., 3:4], known & np.isfinite(body[..., 3]))[..., 0]
    never: Bools = np.asarray(~known.any(axis=0))
    scale, px_per_metre = scales(joints, depth, rest, camera)
    faces = 1.0 if rest[SHOULDER_L, 0] >= rest[SHOULDER_R, 0] else -1.0
    joints, depth = _rebuild(joints, depth, never, rest, scale)
    sides = side_vectors(joints, depth, px_per_metre)
    yaw, mirror = yaw_degrees(sides), mirrors(sides, faces)
    joints = _point_hands(joints, track, rest, scale)
    joints, lowered = _hang_feet(joints, rest, scale)
    behind: Bools = np.asarray((body[:, 1:14, 4] == BEHIND).mean(axis=1) > 0.5)
    notes: dict[int, list[str]] = {}
    rebuilt = ~known[:, 1:14].all(axis=1) & ~behind  # a face that is missing only tilts the head less
    beyond = beyond_reference(yaw, faces)
    for frames, sentence in (
        (beyond, TURNED),
        (rebuilt, REBUILT),
        (behind, BEHIND_CAMERA),
        (lowered & ~beyond, FEET_AWAY),
    ):
        for index in np.flatnonzero(frames):
            notes.setdefault(int(index), []).append(sentence)
    ears = not never[[EAR_R, EAR_L]].any()
    head = head_yaw(joints, depth, px_per_metre, yaw) if ears else yaw
    return Motion(joints, depth, scale, mirror, yaw, head, np.logical_not(behind), np.logical_not(never), notes)


def _with_hands(track: PoseTrack, rest: Floats) -> Floats:
    """(T,22,5): body and the middle of each hand, its state MISSING where the rig has no hand."""
    frames = len(track.body)
    body = np.zeros((frames, JOINTS, 5))
    body[:, :20] = track.body
    for joint, hand, wrist in ((HAND_R, track.right_hand, 4), (HAND_L, track.left_hand, 7)):
        body[:, joint] = track.body[:, wrist]
        body[:, joint, STATE] = MISSING
        if hand is not None:
            body[:, joint] = hand[:, HAND_MIDDLE]
    return body


def _fill(values: Floats, known: Bools) -> Floats:
    """Gaps in time (T,J,C) are interpolated; joints that are never known become zero."""
    filled = np.zeros(values.shape)
    frames = np.arange(len(values))
    for joint in range(values.shape[1]):
        at = np.flatnonzero(known[:, joint])
        if len(at) == len(frames):
            filled[:, joint] = values[:, joint]
        elif len(at):
            for channel in range(values.shape[2]):
                filled[:, joint, channel] = np.interp(frames, at, values[at, joint, channel])
    return filled


def scales(joints: Floats, depth: Floats, rest: Floats, camera: CameraTrack | None) -> tuple[Floats, Floats]:
    """(T,) pixels a reference pixel, and (T,) pixels a metre at the character.

    With a camera, bones are measured in metres, so that foreshortening does not shrink the person; without,
    the least foreshortened bones of half a second tell.
    """
    a, b = np.array(_MEASURED).T
    reference = np.linalg.norm(rest[a] - rest[b], axis=1)
    if camera is not None and (depth[:, 1:14] > 1e-3).all():
        focal = camera.intrinsics[:, :2].mean(axis=1)
        middle = depth[:, [SHOULDER_R, SHOULDER_L, HIP_R, HIP_L]].mean(axis=1)
        near = depth if not camera.orthographic else np.ones_like(depth)
        flat = (joints - camera.intrinsics[:, None, 2:4]) * (near / focal[:, None])[..., None]
        metres = np.concatenate([flat, depth[..., None]], axis=2)
        lengths = np.linalg.norm(metres[:, a] - metres[:, b], axis=2)
        px_per_metre = focal if camera.orthographic else focal / middle
        return px_per_metre * float(np.median(lengths.sum(axis=1))) / float(reference.sum()), px_per_metre
    ratios = np.linalg.norm(joints[:, a] - joints[:, b], axis=2) / np.maximum(reference, 1e-6)
    largest = np.maximum(np.percentile(ratios, 75, axis=1), 1e-3)
    scale = gaussian_filter1d(maximum_filter1d(largest, 9, mode="nearest"), 3.0, mode="nearest")
    shoulders = max(float(np.linalg.norm(rest[SHOULDER_L] - rest[SHOULDER_R])), 1.0)
    return scale, np.asarray(scale * shoulders / USUAL_SHOULDERS)


def _rebuild(joints: Floats, depth: Floats, never: Bools, rest: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Joints that no frame knows hang from their parent as in the reference."""
    order = [NECK, SHOULDER_R, SHOULDER_L, HIP_R, HIP_L, 0, 14, 15, 16, 17, *(b for _, b in BONES)]
    for joint in order:
        if never[joint]:
            parent = _PARENTS[joint]
            joints[:, joint] = joints[:, parent] + scale[:, None] * (rest[joint] - rest[parent])
            depth[:, joint] = depth[:, parent]
    return joints, depth


def _point_hands(joints: Floats, track: PoseTrack, rest: Floats, scale: Floats) -> Floats:
    """Hands that the rig does not have go on from the forearm."""
    for hand, wrist, elbow, points in ((HAND_R, 4, 3, track.right_hand), (HAND_L, 7, 6, track.left_hand)):
        if points is None:
            length = float(np.linalg.norm(rest[hand] - rest[wrist]))
            forearm = joints[:, wrist] - joints[:, elbow]
            full = float(np.linalg.norm(rest[wrist] - rest[elbow]))
            shown = np.linalg.norm(forearm, axis=1) / np.maximum(scale * max(full, 1e-6), 1e-6)
            reach = scale * length * np.clip(shown, 0.55, 1.0)
            joints[:, hand] = joints[:, wrist] + unit(forearm) * reach[:, None]
    return joints


def _hang_feet(joints: Floats, rest: Floats, scale: Floats) -> tuple[Floats, Bools]:
    """Feet that point away from the camera would be drawn upside down over the shin: their toes are held below the
    ankle. Gives the joints and the frames (T,) in which a toe moved by more than a pixel."""
    lowered = np.zeros(len(joints), bool)
    for knee, ankle, toe in ((9, 10, 19), (12, 13, 18)):
        down = foot_down(rest[ankle] - rest[knee])
        least = MIN_FOOT * max(float((rest[toe] - rest[ankle]) @ down), 0.0) * scale
        ground = foot_down(joints[:, ankle] - joints[:, knee])
        missing = np.maximum(least - ((joints[:, toe] - joints[:, ankle]) * ground).sum(axis=1), 0.0)
        joints[:, toe] += ground * missing[:, None]
        lowered |= missing > 1.0
    return joints, lowered
