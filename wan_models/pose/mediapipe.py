"""MediaPipe Tasks as an ``Estimator``: bodies over the whole frame, hands and faces on cuts around each body.

The body model keeps track from frame to frame (VIDEO mode); hands and faces are found anew in each cut (IMAGE mode),
since a cut moves with the body.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .crops import Square, cut, face_square, hand_square, torso_px
from .estimator import F32, EstimatorOptions, Image, Seen
from .models import FACE_MODEL, HAND_MODEL, POSE_MODEL, find_model, how_to_get

LONGEST_PX = 1280
"""The body models see 224 and 256 pixels a side: of a person who fills a fifth of such a frame nothing is lost."""
_SAME_PERSON = 0.6  # two bodies whose points are nearer than this part of the torso are one
_SAME_BOX = 0.5  # or whose boxes share this part of their area
_TRY_EVERY = 4  # frames: how often a part is looked for that was not found the last times
_TIRED = 3  # tries
_HAND_REACH = 0.45  # of the cut's side: a hand further from the wrist is the other hand, or somebody else's


class MediaPipe:
    """See ``Estimator``. Hands and faces are left out where their model file is missing; ``missing`` says so."""

    name = "mediapipe"
    view_relative = True

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
        self._parts: dict[str, Any] = {}
        self._misses: dict[str, list[tuple[Square, int]]] = {}
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
            for side in ("left", "right"):
                options = vision.HandLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(path)))
                self._parts[side] = vision.HandLandmarker.create_from_options(options)
        if (path := found.get(FACE_MODEL)) is not None:
            face = vision.FaceLandmarkerOptions(
                base_options=BaseOptions(model_asset_path=str(path)),
                output_face_blendshapes=True,
                output_facial_transformation_matrixes=True,
            )
            self._parts["face"] = vision.FaceLandmarker.create_from_options(face)

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
        jobs = [self._pool.submit(self._refine_part, part, image, people) for part in self._parts]
        for job in jobs:
            people = [replace(person, **more) for person, more in zip(people, job.result(), strict=True)]
        return people

    def _refine_part(self, part: str, image: Image, people: list[Seen]) -> list[dict[str, Any]]:
        """What is found of a part of each person; one that was not found for a while is tried less often."""
        before, now = self._misses.get(part, []), []
        found: list[dict[str, Any]] = []
        for person in people:
            square = face_square(person.landmarks) if part == "face" else hand_square(person.landmarks, part)
            found.append({})
            if square is None:
                continue
            misses = _count_near(before, square)
            if misses < _TIRED or misses % _TRY_EVERY == 0:
                look = self._face if part == "face" else self._hand
                found[-1] = look(part, image, person, square)
            now.append((square, 0 if found[-1] else misses + 1))
        self._misses[part] = now
        return found

    def _hand(self, side: str, image: Image, person: Seen, square: Square) -> dict[str, Any]:
        picture, to_pixels = cut(image, square)
        found = self._parts[side].detect(self._picture(picture))
        if not found.hand_landmarks:
            return {}
        unit = np.array([[p.x, p.y, 1.0] for p in found.hand_landmarks[0]])
        pixels = np.asarray(unit @ to_pixels.T, np.float32)
        wrist = person.landmarks[15 if side == "left" else 16, :2]
        if np.linalg.norm(pixels[0] - wrist) > _HAND_REACH * square[2]:
            return {}
        world = np.array([[p.x, p.y, p.z] for p in found.hand_world_landmarks[0]], np.float32)
        return {f"{side}_hand": world, f"{side}_pixels": pixels}

    def _face(self, part: str, image: Image, person: Seen, square: Square) -> dict[str, Any]:
        del person
        picture, to_pixels = cut(image, square)
        found = self._parts[part].detect(self._picture(picture))
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

    def reset(self) -> None:
        """See ``Estimator``."""
        self._body.close()
        self._body = self._open_body()
        self._stamp = -1

    def close(self) -> None:
        """See ``Estimator``."""
        self._pool.shutdown()
        for each in (self._body, *self._parts.values()):
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


def _count_near(before: list[tuple[Square, int]], square: Square) -> int:
    """How often in a row a part was not found about here."""
    return next(
        (count for each, count in before if max(abs(each[0] - square[0]), abs(each[1] - square[1])) < square[2] / 2), 0
    )


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
