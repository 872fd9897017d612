"""The skeleton of a pose file drawn on its film, to see with one's own eyes how well it follows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from .estimator import Image
from .joints import F64, JOINTS, PARENTS
from .place import to_picture
from .posefile import PoseFile

Marks = NDArray[np.bool_]

_LEFT, _RIGHT, _MIDDLE = (80, 160, 255), (255, 120, 60), (240, 240, 240)
_HELD, _UNSURE = (60, 255, 90), (120, 120, 120)


def draw(pose: PoseFile, images: Iterable[Image]) -> Iterator[Image]:
    """Copies of the frames with everybody's bones: left blue, right orange, grey where nothing was seen; joints of feet
    that are held are green.
    """
    camera = pose.camera
    if camera is None:
        problem = "a pose file without a camera cannot be drawn on its film: make it again"
        raise ValueError(problem)
    flat = [to_picture(np.asarray(person.position, np.float64), camera) for person in pose.people]
    for index, image in zip(range(pose.frames), images, strict=False):
        picture = image.copy()
        for person, points in zip(pose.people, flat, strict=True):
            if person.first <= index <= person.last:
                _bones(picture, points[index, :, :2], person.confidence[index] > 0, person.contact[index])
        yield picture


def _bones(picture: Image, points: F64, known: Marks, contact: Marks) -> None:
    wide = max(1, round(max(picture.shape) / 500))
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            continue
        name = JOINTS[joint]
        colour = _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE
        ends = [tuple(int(each) for each in np.clip(points[at], -9999, 9999)) for at in (parent, joint)]
        thin = name.endswith(("Proximal", "Intermediate", "Distal"))
        cv2.line(picture, ends[0], ends[1], colour if known[0] else _UNSURE, 1 if thin else wide, cv2.LINE_AA)
    for number, name in enumerate(("leftFoot", "leftToes", "rightFoot", "rightToes")):
        if contact[number]:
            at = tuple(int(each) for each in np.clip(points[JOINTS.index(name)], -9999, 9999))
            cv2.circle(picture, at, 2 * wide + 1, _HELD, -1, cv2.LINE_AA)
