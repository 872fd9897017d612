"""What finds people in pictures, behind one interface, and the list of those that can."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused

F32 = NDArray[np.float32]
Image = NDArray[np.uint8]
"""sRGB (h,w,3)."""


@dataclass(frozen=True)
class Seen:
    """One person in one frame; the points' order is MediaPipe's, their own left and right.

    ``landmarks`` float32 (33,4): x px, y px, z px from the hips, visibility 0..1. ``world`` (33,4): metres from the
    middle of the hips, x right, y down, z away from the camera, visibility. Hands (21,3): metres in the same axes.
    ``left_pixels``, ``right_pixels`` (21,2): the hands in the picture. ``face``: blend shapes 0..1 in the order of the
    estimator's ``blendshapes``; ``face_points`` (478,3) px; ``face_turn`` (3,3) the head's rotation from one that looks
    into the camera, in the same axes as ``world`` and, if that is ``view_relative``, from the direction of the face.
    """

    landmarks: F32
    world: F32
    left_hand: F32 | None = None
    right_hand: F32 | None = None
    left_pixels: F32 | None = None
    right_pixels: F32 | None = None
    face: F32 | None = None
    face_points: F32 | None = None
    face_turn: F32 | None = None


@dataclass(frozen=True)
class EstimatorOptions:
    """``models``: a folder with the model files, searched first. ``people``: at most so many in one frame. ``every``:
    hands and faces are looked for in each so many-th frame, in turn.
    """

    models: Path | None = None
    people: int = 2
    hands: bool = True
    face: bool = True
    every: int = 1


LOOKS_PER_S = 15.0
"""So often are hands and faces looked for: their motion is smoothed to 6 Hz."""


def every_frame(fps: float) -> int:
    """``EstimatorOptions.every`` for a film of so many frames a second; the looks are never fewer than 12 a second."""
    return max(1, int(fps / LOOKS_PER_S * 1.25))


class Estimator(Protocol):
    """Finds people; open one for one clip and close it. ``find`` and ``refine`` may run on two threads at once.

    ``view_relative``: ``world`` is turned as if the person stood in the middle of the picture (a network that sees a
    crop cannot know better), which the solver corrects once it knows the camera. ``settles``: it follows people from
    frame to frame and is wrong about somebody new at first. ``skin``: by how much its hips lie below the hip joints and
    its shoulders above the shoulder joints, as parts of the way between them.
    """

    name: str
    version: str
    models: dict[str, str]
    blendshapes: tuple[str, ...]
    view_relative: bool
    settles: bool
    skin: tuple[float, float]
    missing: tuple[str, ...]

    def find(self, image: Image, time_s: float) -> list[Seen]:
        """The people of the next frame, bodies only; ``time_s`` grows from call to call."""

    def refine(self, image: Image, people: list[Seen]) -> list[Seen]:
        """The same people with hands and faces, where they are looked for now and can be seen."""

    def fresh(self) -> Estimator:
        """Another one for bodies alone, which has seen nothing yet."""

    def reset(self) -> None:
        """What comes next has nothing to do with what was: a cut."""

    def close(self) -> None:
        """Give everything back. May be called again."""


@dataclass(frozen=True)
class EstimatorRow:
    """``path``: module and class, made with EstimatorOptions. ``check`` says why it cannot run, or None."""

    name: str
    path: str
    check: Callable[[EstimatorOptions], str | None] = field(default=lambda _: None)


def _mediapipe(options: EstimatorOptions) -> str | None:
    from .estimate import unavailable

    return unavailable(options.models)


ESTIMATORS: dict[str, EstimatorRow] = {
    "mediapipe": EstimatorRow("mediapipe", "wan_models.pose.mediapipe:MediaPipe", _mediapipe),
}
"""The estimators by name; another one is another row (its class implements ``Estimator``)."""


def check_estimator(name: str, options: EstimatorOptions) -> EstimatorRow:
    """The row of an estimator that can be opened. Raises RequestRefused as ``open_estimator`` does."""
    row = ESTIMATORS.get(name)
    if row is None:
        problem = f"there is no pose estimator {name}: there are {', '.join(ESTIMATORS)}"
        raise RequestRefused(problem)
    if (reason := row.check(options)) is not None:
        problem = f"poses cannot be found: {reason}"
        raise RequestRefused(problem)
    return row


def open_estimator(name: str = "mediapipe", options: EstimatorOptions | None = None) -> Estimator:
    """Open an estimator. Raises RequestRefused: unknown name, missing package or model (with the remedy)."""
    options = options or EstimatorOptions()
    module, _, attribute = check_estimator(name, options).path.partition(":")
    make: Any = getattr(import_module(module), attribute)
    estimator: Estimator = make(options)
    return estimator
