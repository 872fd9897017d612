"""The pose estimator as an engine of the queue: what each frame shows as it is found, the pose file at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

import numpy as np
from numpy.typing import NDArray

from wan_models.engine import RequestRefused
from wan_models.events import Event, PoseFound, StageStarted, StepDone, Warned
from wan_models.requests import PoseRequest, Request

from .build import PoseOptions
from .clip import FrameFound, Recording, sha256_of
from .estimator import Estimator, EstimatorOptions, check_estimator, every_frame, open_estimator
from .filters import Smoothing
from .footage import frames, open_footage
from .joints import HAND_LANDMARKS
from .posefile import CameraPath, dumps

COLUMNS = 391
"""1 + 33 * 4 + 33 * 4 + 21 * 3 + 21 * 3: see the protocol's ``pose_ready``."""
MAX_FILE_BYTES = 60 << 20
"""A little less than one part of a message may have."""


class PoseEngine:
    """See ``wan_models.engine.Engine``. A request's frames come as PoseFound, then the file."""

    name = "pose"
    models: tuple[str, ...] = ("mediapipe",)
    tasks: tuple[str, ...] = ("pose",)

    def check(self, request: Request) -> None:
        """Refuse what cannot be looked at: no film, no model."""
        asked = _asked(request)
        options(request).check()
        open_footage(asked.footage, request.fps)
        check_estimator(request.model, self._wanted(request))

    def generate(self, request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
        """Yield what each frame shows, within a frame of its being found."""
        asked, settings = _asked(request), options(request)
        footage = open_footage(asked.footage, request.fps)
        source = {"name": asked.name, "sha256": sha256_of(asked.footage)}
        yield StageStarted("find", request.frames)
        with closing(self._open(request)) as estimator:
            recording = Recording(estimator, request.fps, settings, source)
            done = 0
            for found in recording.watch(frames(footage), cancelled):
                done = found.index + 1
                yield PoseFound(found.index, packed(found))
                yield StepDone(done, request.frames)
            if cancelled():
                return
            if 0 < done < request.frames:
                yield Warned(
                    f"{asked.name} has {done} frames, {request.frames} were asked for: the last ones are empty."
                )
                for index in range(done, request.frames):
                    yield PoseFound(index, b"")
            yield StageStarted("solve")
            pose = recording.finish()
        for sentence in pose.warnings:
            yield Warned(sentence)
        data = dumps(pose)
        if len(data) > MAX_FILE_BYTES:
            problem = (
                f"the pose file has {len(data) >> 20} MiB, at most {MAX_FILE_BYTES >> 20} can be sent: ask for one "
                "person, or for fewer frames"
            )
            raise RequestRefused(problem)
        yield PoseFound(request.frames, data, file=True)

    def _wanted(self, request: Request) -> EstimatorOptions:
        asked = _asked(request)
        return EstimatorOptions(None, asked.people, asked.hands, asked.face, every_frame(request.fps))

    def _open(self, request: Request) -> Estimator:
        return open_estimator(request.model, self._wanted(request))


def _asked(request: Request) -> PoseRequest:
    if request.pose is None:
        problem = "the task pose needs what to look at: give a film"
        raise RequestRefused(problem)
    return request.pose


def options(request: Request) -> PoseOptions:
    """The request's settings as the solver takes them."""
    asked = _asked(request)
    camera = asked.camera
    return PoseOptions(
        estimator=request.model,
        fps=request.fps,
        frames=request.frames,
        person=asked.person,
        people=asked.people,
        height=asked.height,
        hands=asked.hands,
        face=asked.face,
        camera=None
        if camera is None
        else CameraPath(
            camera.world_from_camera, camera.intrinsics, "orthographic" if camera.orthographic else "perspective"
        ),
        field_of_view=asked.field_of_view,
        smoothing=Smoothing(cutoff=asked.smooth) if asked.smooth else None,
        gap_s=asked.gap_s,
        limits=asked.joint_limits,
        hold_feet=asked.hold_feet,
    )


def packed(found: FrameFound) -> bytes:
    """The people of a frame as f4 (P, COLUMNS), NaN where a hand is not seen."""
    rows = np.full((len(found.people), COLUMNS), np.nan, "<f4")
    for row, (track, seen) in zip(rows, found.people, strict=True):
        row[0] = track
        row[1:133], row[133:265] = seen.landmarks.ravel(), seen.world.ravel()
        row[265:328], row[328:391] = _hand(seen.left_hand), _hand(seen.right_hand)
    return rows.tobytes()


def _hand(points: NDArray[np.float32] | None) -> NDArray[np.float32]:
    return np.full(HAND_LANDMARKS * 3, np.nan, np.float32) if points is None else points.ravel()
