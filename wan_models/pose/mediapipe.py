"""MediaPipe Tasks as an ``Estimator``: bodies over the whole frame, hands and faces on cuts around each body.

The body model keeps track from frame to frame (VIDEO mode). So do hands, one model for each, since the cut goes with
the wrist: a hand that is followed need not be found. Faces are found anew in each cut (IMAGE mode).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import chain, count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .crops import Square, cut, face_square, hand_square, torso_px
from .estimator import F32, EstimatorOptions, Image, Seen
from .joints import SIDES
from .models import FACE_MODEL, HAND_MODEL, POSE_MODEL, find_model, how_to_get

LONGEST_PX = 1280
"""The body models see 224 and 256 pixels a side: of a person who fills a fifth of such a frame nothing is lost."""
_SAME_PERSON = 0.6  # two bodies whose points are nearer than this part of the torso are one
_SAME_BOX = 0.5  # or whose boxes share this part of their area
_TRY_EVERY = 4  # looks: how often a part is looked for that was not found the last times
_TIRED = 3  # tries
_MODELS = 4  # for each side: of more people some take turns, and are found anew each time
_TURNS = {"left": 0, "right": 1, "face": 0}  # of several frames, the one in which a part is looked for
_HAND_REACH = 0.45  # of the cut's side: a hand further from the wrist is the other hand, or somebody else's


class MediaPipe:
    """See ``Estimator``. Hands and faces are left out where their model file is missing; ``missing`` says so."""

    name = "mediapipe"
    view_relative = True
    settles = True
    skin = (0.08, 0.03)  # a rendered actor's true joints; Winter's proportions lie between

    def __init__(self, options: EstimatorOptions) -> None:
        """Open the models. Raises OSError or RuntimeError for a damaged model file."""
        import mediapipe as mp

        self._mp, self._options = mp, options
        self.version = version("mediapipe")
        self.models: dict[str, str] = {}
        self.missing: tuple[str, ...] = ()
        self.blendshapes: tuple[str, ...] = ()
        self._stamp = -1
        self._body: Any = None
        self._parts: dict[str, list[Any]] = {}
        self._make: dict[str, Callable[[], Any]] = {}
        self._looks: dict[str, list[_Look]] = {}
        self._clock = count()
        self._turn = -1
        self._pool = ThreadPoolExecutor(2, "pose parts")
        try:
            self._body = self._open_body()
            self._open_parts()
        except BaseException:
            self.close()
            raise

    def _model(self, name: str) -> Path | None:
        path = find_model(name, self._options.models)
        if path is not None and name not in self.models:
            self.models[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return path

    def _open_body(self) -> Any:  # noqa: ANN401 - mediapipe has no types
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(self._model(POSE_MODEL))),
            running_mode=vision.RunningMode.VIDEO,
            num_poses=self._options.people,
        )
        return vision.PoseLandmarker.create_from_options(options)

    def _open_parts(self) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        wanted = {HAND_MODEL: self._options.hands, FACE_MODEL: self._options.face}
        found = {name: self._model(name) for name, on in wanted.items() if on}
        self.missing = tuple(
            f"{'Hands' if name == HAND_MODEL else 'Faces'} were not looked for: {how_to_get(name)}."
            for name, path in found.items()
            if path is None
        )
        if (path := found.get(HAND_MODEL)) is not None:
            hand = vision.HandLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)), running_mode=vision.RunningMode.VIDEO
            )
            self._make |= dict.fromkeys(SIDES, lambda: vision.HandLandmarker.create_from_options(hand))
        if (path := found.get(FACE_MODEL)) is not None:
            face = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)),
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
            self._make["face"] = lambda: vision.FaceLandmarker.create_from_options(face)
        for part, make in self._make.items():
            self._parts[part] = [make()]

    def find(self, image: Image, time_s: float) -> list[Seen]:
        """See ``Estimator``."""
        height, width = image.shape[:2]
        shrink = LONGEST_PX / max(height, width)
        small = image
        if shrink < 1:
            small = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        self._stamp = max(self._stamp + 1, round(time_s * 1000))
        found = self._body.detect_for_video(self._picture(small), self._stamp)
        people = [
            Seen(_points(flat, np.array([width, height, width], np.float32)), _points(deep, np.ones(3, np.float32)))
            for flat, deep in zip(found.pose_landmarks, found.pose_world_landmarks, strict=True)
        ]
        return _once(people)

    def refine(self, image: Image, people: list[Seen]) -> list[Seen]:
        """See ``Estimator``."""
        self._turn = (self._turn + 1) % self._options.every
        now = [part for part in self._parts if _TURNS[part] % self._options.every == self._turn]
        jobs = [self._pool.submit(self._refine_part, part, image, people) for part in now]
        for job in jobs:
            people = [replace(person, **more) for person, more in zip(people, job.result(), strict=True)]
        return people

    def _refine_part(self, part: str, image: Image, people: list[Seen]) -> list[dict[str, Any]]:
        """What is found of a part of each person; one that was not found for a while is tried less often."""
        before = self._looks.get(part, [])
        now: list[_Look] = []
        found: list[dict[str, Any]] = []
        for person in people:
            square = face_square(person.landmarks) if part == "face" else hand_square(person.landmarks, part)
            found.append({})
            if square is None:
                continue
            last = _near(before, square)
            taken = {each.model for each in before + now}
            free = next(number for number in count() if number not in taken) % _MODELS
            misses, model = (last.misses, last.model) if last else (0, free if part in SIDES else 0)
            if misses < _TIRED or misses % _TRY_EVERY == 0:
                look = self._face if part == "face" else self._hand
                found[-1] = look(self._model_of(part, model), part, image, person, square=square)
            now.append(_Look(square, 0 if found[-1] else misses + 1, model))
        self._looks[part] = now
        return found

    def _model_of(self, part: str, number: int) -> Any:  # noqa: ANN401
        while len(self._parts[part]) <= number:
            self._parts[part].append(self._make[part]())
        return self._parts[part][number]

    def _hand(self, model: Any, side: str, image: Image, person: Seen, *, square: Square) -> dict[str, Any]:  # noqa: ANN401
        picture, to_pixels = cut(image, square)
        found = model.detect_for_video(self._picture(picture), next(self._clock))
        if not found.hand_landmarks:
            return {}
        unit = np.array([[p.x, p.y, 1.0] for p in found.hand_landmarks[0]])
        pixels = np.asarray(unit @ to_pixels.T, np.float32)
        wrist = person.landmarks[15 if side == "left" else 16, :2]
        if np.linalg.norm(pixels[0] - wrist) > _HAND_REACH * square[2]:
            model.detect_for_video(self._picture(np.zeros_like(picture)), next(self._clock))  # that hand is let go
            return {}
        world = np.array([[p.x, p.y, p.z] for p in found.hand_world_landmarks[0]], np.float32)
        return {f"{side}_hand": world, f"{side}_pixels": pixels}

    def _face(self, model: Any, part: str, image: Image, person: Seen, *, square: Square) -> dict[str, Any]:  # noqa: ANN401
        del part, person
        picture, to_pixels = cut(image, square)
        found = model.detect(self._picture(picture))
        if not found.face_landmarks:
            return {}
        unit = np.array([[p.x, p.y, 1.0, p.z * square[2]] for p in found.face_landmarks[0]])
        points = np.column_stack([unit[:, :3] @ to_pixels.T, unit[:, 3]]).astype(np.float32)
        if not self.blendshapes:
            self.blendshapes = tuple(each.category_name for each in found.face_blendshapes[0])
        shapes = np.array([each.score for each in found.face_blendshapes[0]], np.float32)
        turn = _face_turn(np.array(found.facial_transformation_matrixes[0]))
        return {"face": shapes, "face_points": points, "face_turn": turn}

    def _picture(self, image: Image) -> Any:  # noqa: ANN401
        return self._mp.Image(image_format=self._mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))

    def fresh(self) -> MediaPipe:
        """See ``Estimator``."""
        return MediaPipe(replace(self._options, hands=False, face=False))

    def reset(self) -> None:
        """See ``Estimator``."""
        self._body.close()
        self._body = self._open_body()
        self._stamp = -1

    def close(self) -> None:
        """See ``Estimator``."""
        self._pool.shutdown()
        for each in (self._body, *chain.from_iterable(self._parts.values())):
            if each is not None:
                each.close()
        self._body, self._parts = None, {}


def _points(points: Any, scale: F32) -> F32:  # noqa: ANN401
    found = np.array([[p.x, p.y, p.z, p.visibility or 0.0] for p in points], np.float32)
    found[:, :3] *= scale
    return found


def _face_turn(matrix: NDArray[np.float64]) -> F32 | None:
    """The rotation of MediaPipe's 4x4 from its own axes (y up, z towards the camera) to the picture's; None if it is
    none.
    """
    size = np.linalg.det(matrix[:3, :3])
    if not np.isfinite(size) or size <= 0:
        return None
    flip = np.diag([1.0, -1.0, -1.0])
    return np.asarray(flip @ (matrix[:3, :3] / np.cbrt(size)) @ flip, np.float32)


@dataclass(frozen=True)
class _Look:
    """Where a part was looked for, how often in a row in vain, and by which model."""

    square: Square
    misses: int
    model: int


def _near(before: list[_Look], square: Square) -> _Look | None:
    """The last look at a part that was about here."""
    x, y, side = square
    return next((each for each in before if max(abs(each.square[0] - x), abs(each.square[1] - y)) < side / 2), None)


def _once(people: list[Seen]) -> list[Seen]:
    """Without those found twice: of two bodies in one place the surer one stays."""
    kept: list[Seen] = []
    for person in sorted(people, key=lambda each: -float(each.landmarks[:, 3].mean())):
        if not any(_same(each.landmarks, person.landmarks) for each in kept):
            kept.append(person)
    return kept


def _same(one: F32, other: F32) -> bool:
    distances = np.linalg.norm(one[11:, :2] - other[11:, :2], axis=1)
    if np.median(distances) / torso_px(one) < _SAME_PERSON:
        return True
    low = np.maximum(one[:, :2].min(axis=0), other[:, :2].min(axis=0))
    high = np.minimum(one[:, :2].max(axis=0), other[:, :2].max(axis=0))
    shared = float(np.prod(np.maximum(high - low, 0.0)))
    areas = sum(float(np.prod(np.ptp(each[:, :2], axis=0))) for each in (one, other))
    return shared / max(areas - shared, 1.0) > _SAME_BOX
