"""What a shot asks of a model, in numbers: which joints leave the picture, how small faces are, how fast bodies move,
who shows his back. From pose tracks alone: nothing is rendered.

Samples are counted from 0; sizes are pixels of the frames that are made.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from .capture import evaluate, pose
from .capture.camera import read_camera
from .capture.offsets import BODY_POINTS
from .capture.params import CaptureProgress, ShotParams
from .capture.visibility import BEHIND, MISSING, OFF_SCREEN, VISIBLE
from .words import noted

Array = NDArray[Any]

FACE_PX = 48.0
"""The VAE makes one number of 8 x 8 pixels and the network one token of 2 x 2 of these: a face under three tokens, 48
pixels, has no room for an expression."""
FAST_SHARE = 0.1
"""Of the picture's shorter side in one frame: the VAE joins four frames into one, so that such a limb is smeared over
nearly half the picture."""
AWAY_S = 1.0
"""Shorter turns of the back are bridged."""
_PLACES = {name: place for place, name in enumerate(BODY_POINTS)}
WORDS = (
    noted("nose"), noted("neck"),
    noted("right shoulder"), noted("right elbow"), noted("right wrist"), noted("right hip"), noted("right knee"),
    noted("right ankle"), noted("right eye"), noted("right ear"), noted("right toe"),
    noted("left shoulder"), noted("left elbow"), noted("left wrist"), noted("left hip"), noted("left knee"),
    noted("left ankle"), noted("left eye"), noted("left ear"), noted("left toe"),
)  # fmt: skip
"""How joints are called."""
_SIDES = {"L": "left ", "R": "right "}


@dataclass(frozen=True)
class Seen:
    """Samples in which something is so: how many, and the first of them."""

    count: int
    first: int


@dataclass(frozen=True)
class Off:
    """Joints that leave the picture: words such as "left wrist", most often missed first."""

    joints: tuple[str, ...]
    seen: Seen
    always: bool  # none of the body is ever in the picture


@dataclass(frozen=True)
class Fast:
    """The fastest joint: pixels a frame at most, and when it is too fast."""

    joint: str
    pixels: float
    seen: Seen


def poses(params: ShotParams) -> Generator[CaptureProgress, None, pose.PoseCapture]:
    """``capture.capture_pose`` without occlusion, one sample a step, so that a window stays alive meanwhile.

    Raises CaptureProblem. However it ends, the scene is as it was.
    """
    pose.check_shot(params)
    scene = evaluate.find_scene(params.scene)
    camera = evaluate.find_camera(scene, params.camera)
    readers = [pose.RigReader(person, evaluate.find_armature(scene, person)) for person in params.characters]
    armatures = [reader.armature for reader in readers]
    frames = evaluate.sample_frames(scene, params)
    aspect = (scene.render.pixel_aspect_x, scene.render.pixel_aspect_y)
    builder = pose.TrackBuilder(params, readers)
    yield CaptureProgress("look", 0, len(frames))
    with evaluate.scratch() as made:
        copy = evaluate.bare_copy(made, scene, [camera, *armatures], armatures)
        for step, frame in enumerate(frames):
            depsgraph = evaluate.set_frame(copy, frame)
            sample = read_camera(camera, depsgraph, params.width, params.height, aspect)
            builder.add(depsgraph, sample, None)
            yield CaptureProgress("look", step + 1, len(frames))
    return pose.pose_capture(builder, frames)


def words(point: str) -> str:
    """ "wrist.L" as "left wrist"."""
    name, _, side = point.partition(".")
    return _SIDES.get(side, "") + name


def off_screen(body: Array) -> Off | None:
    """Joints of a track (T,20,5) that are outside the picture or behind the camera; None when all are always in it."""
    state = body[:, :, 4]
    off = (state == OFF_SCREEN) | (state == BEHIND)
    if not off.any():
        return None
    often = off.sum(axis=0)
    names = tuple(words(BODY_POINTS[place]) for place in np.argsort(-often, kind="stable") if often[place])
    return Off(names, _seen(off.any(axis=1)), bool((off | (state == MISSING)).all()))


def small_face(boxes: Array | None) -> tuple[float, Seen] | None:
    """Median height of the face in the samples that show it, and when it is under FACE_PX; None when that is fine."""
    if boxes is None:
        return None
    height = boxes[:, 3] - boxes[:, 1]
    shown = np.isfinite(height)
    if not shown.any():
        return None
    small = shown & (np.nan_to_num(height, nan=np.inf) < FACE_PX)
    median = float(np.median(height[shown]))
    return (median, _seen(small)) if median < FACE_PX else None


def fast(body: Array, width: int, height: int) -> Fast | None:
    """The joint that moves furthest from one sample to the next, where that is over FAST_SHARE; None when none does."""
    if len(body) < 2:
        return None
    shown = body[:, :, 4] <= VISIBLE
    both = shown[1:] & shown[:-1]
    moved = np.where(both, np.linalg.norm(np.diff(body[:, :, :2], axis=0), axis=2), 0.0)
    limit = FAST_SHARE * min(width, height)
    if moved.max() <= limit:
        return None
    joint = BODY_POINTS[int(np.unravel_index(moved.argmax(), moved.shape)[1])]
    too_fast = np.concatenate([[False], (moved > limit).any(axis=1)])
    return Fast(words(joint), float(moved.max()), _seen(too_fast))


def turned_away(body: Array, fps: float) -> tuple[int, int] | None:
    """First and last sample of the longest stretch over AWAY_S in which the back of the head is seen; None."""
    nose, ears = body[:, _PLACES["nose"]], body[:, [_PLACES["ear.L"], _PLACES["ear.R"]]]
    known = (nose[:, 4] < BEHIND) & (ears[:, :, 4] < BEHIND).all(axis=1)
    back = known & (nose[:, 3] > ears[:, :, 3].mean(axis=1))
    longest = max(_stretches(back), key=lambda stretch: stretch[1] - stretch[0], default=None)
    if longest is None or (longest[1] - longest[0] + 1) / fps < AWAY_S:
        return None
    return longest


def _stretches(flags: Array) -> list[tuple[int, int]]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return [(int(low), int(high) - 1) for low, high in zip(edges[::2], edges[1::2], strict=True)]


def _seen(flags: Array) -> Seen:
    return Seen(int(flags.sum()), int(flags.argmax()))


def scene_frame(scene: bpy.types.Scene, frame_start: int, fps: float, sample: int) -> int:
    """The scene frame that shows a sample."""
    return round(frame_start + sample * scene.render.fps / scene.render.fps_base / fps)
