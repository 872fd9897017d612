"""``wanstage pose``: the motion of the people in a film to a pose file (docs/pose-file.md), on this machine."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wan_models.pose.build import PoseOptions
    from wan_models.pose.clip import FrameFound
    from wan_models.pose.footage import Footage
    from wan_models.pose.posefile import CameraPath, PoseFile

_EVERY_S = 0.5


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add ``pose`` to the command line."""
    pose = commands.add_parser("pose", help="find the motion of people in a film and write it as a pose file")
    pose.add_argument("video", type=Path, metavar="VIDEO", help="a film, a picture, or a folder of pictures")
    pose.add_argument("-o", "--out", type=Path, required=True, metavar="POSE.npz")
    pose.add_argument(
        "--person",
        default="all",
        metavar="WHO",
        help="all (default), largest, longest, a number, or X,Y or X,Y@FRAME: who is there in the picture (pixels)",
    )
    pose.add_argument("--people", type=int, default=2, metavar="N", help="at most so many at once (default: 2)")
    pose.add_argument("--height", type=float, metavar="METRES", help="how tall the person is")
    pose.add_argument(
        "--camera",
        type=Path,
        metavar="FILE.npz",
        help="the known camera: world_from_camera (T,4,4) and intrinsics (T,4), as in a pose file",
    )
    pose.add_argument("--fov", type=float, metavar="DEGREES", help="field of view along the longer side (default: 50)")
    pose.add_argument("--fps", type=float, metavar="RATE", help="read the film at this rate (pictures: 24)")
    pose.add_argument("--frames", type=int, metavar="N", help="only the first N frames")
    pose.add_argument("--gap", type=float, default=0.5, metavar="SECONDS", help="bridge gaps up to this (default: 0.5)")
    pose.add_argument("--smooth", type=float, default=6.0, metavar="HZ", help="keep what is slower (default: 6)")
    pose.add_argument("--no-smooth", action="store_true", help="as it was seen")
    pose.add_argument("--no-feet", action="store_true", help="do not hold feet that stand")
    pose.add_argument("--no-limits", action="store_true", help="let joints bend further than people's do")
    pose.add_argument("--no-hands", action="store_true", help="do not look for hands")
    pose.add_argument("--no-face", action="store_true", help="do not look for faces")
    pose.add_argument("--estimator", default="mediapipe", metavar="NAME", help="what finds people (default: mediapipe)")
    pose.add_argument("--models", type=Path, metavar="DIR", help="a folder with the estimator's model files")
    pose.add_argument("--overlay", type=Path, metavar="FILE.mp4", help="also draw the skeletons on the film")
    pose.add_argument("--json", action="store_true", help="one JSON object a line instead of text for people")
    pose.set_defaults(run=run)


def run(told: argparse.Namespace) -> int:
    """Write the file and say who is in it. Raises RequestRefused; Ctrl-C ends it within a frame and writes nothing."""
    from wan_models.engine import RequestRefused
    from wan_models.pose.clip import estimate_clip
    from wan_models.pose.posefile import write

    options = _options(told)
    if not told.out.parent.is_dir():
        problem = f"there is no folder {told.out.parent}: make it first"
        raise RequestRefused(problem)
    watcher, started = _Watcher(told.json), time.monotonic()
    with _Interrupt() as interrupt:
        pose = estimate_clip(told.video, options, watcher.found, interrupt.asked)
    watcher.end()
    if interrupt.asked():
        raise KeyboardInterrupt
    try:
        write(pose, told.out)
    except OSError as error:
        problem = f"{told.out} cannot be written: {error.strerror or error}"
        raise RequestRefused(problem) from error
    if told.overlay:
        _overlay(told.video, options, pose, told.overlay)
    _report(told, pose, time.monotonic() - started)
    return 0


def _options(told: argparse.Namespace) -> PoseOptions:
    from wan_models.pose.build import PoseOptions
    from wan_models.pose.filters import Smoothing
    from wan_models.pose.place import FIELD_OF_VIEW

    return PoseOptions(
        estimator=told.estimator,
        models=told.models,
        fps=told.fps,
        frames=told.frames,
        person=told.person,
        people=told.people,
        height=told.height,
        hands=not told.no_hands,
        face=not told.no_face,
        camera=_camera(told.camera) if told.camera else None,
        field_of_view=FIELD_OF_VIEW if told.fov is None else told.fov,
        smoothing=None if told.no_smooth else Smoothing(cutoff=told.smooth),
        gap_s=told.gap,
        limits=not told.no_limits,
        hold_feet=not told.no_feet,
    )


def _camera(path: Path) -> CameraPath:
    """The camera of an .npz. Raises RequestRefused."""
    import numpy as np

    from wan_models.engine import RequestRefused
    from wan_models.pose.posefile import CameraPath

    try:
        with np.load(path, allow_pickle=False) as arrays:
            prefix = "camera/" if "camera/intrinsics" in arrays else ""
            world = np.asarray(arrays[f"{prefix}world_from_camera"], np.float64)
            inner = np.asarray(arrays[f"{prefix}intrinsics"], np.float64)
    except (OSError, ValueError, KeyError, EOFError) as error:
        problem = f"{path} is no camera ({error}): give an .npz with world_from_camera (T,4,4) and intrinsics (T,4)"
        raise RequestRefused(problem) from error
    if world.ndim != 3 or world.shape[1:] != (4, 4) or inner.shape != (len(world), 4):
        problem = f"{path} has arrays of {world.shape} and {inner.shape}: (T,4,4) and (T,4) are needed"
        raise RequestRefused(problem)
    return CameraPath(world, inner)


def _overlay(video: Path, options: PoseOptions, pose: PoseFile, target: Path) -> None:
    from wan_models.engine import RequestRefused
    from wan_models.pose.footage import frames, open_footage
    from wan_models.pose.overlay import draw
    from wan_models.video import write_mp4

    try:
        write_mp4(target, draw(pose, frames(open_footage(video, options.fps))), pose.fps, None)
    except OSError as error:
        problem = f"{target} cannot be written: {error.strerror or error}"
        raise RequestRefused(problem) from error


def _report(told: argparse.Namespace, pose: PoseFile, seconds: float) -> None:
    rate = pose.frames / max(seconds, 1e-6)
    if told.json:
        people: list[dict[str, Any]] = [
            {"id": each.id, "first": each.first, "last": each.last, "height": each.height} for each in pose.people
        ]
        _line(event="result", file=str(told.out), frames=pose.frames, fps=pose.fps, rate=round(rate, 1), people=people,
              cuts=pose.cuts, warnings=pose.warnings)  # fmt: skip
        return
    for sentence in pose.warnings:
        sys.stderr.write(f"{sentence}\n")
    who = ", ".join(f"person {each.id} (frames {each.first} to {each.last})" for each in pose.people)
    sys.stdout.write(f"{told.out}: {pose.frames} frames at {pose.fps:g} fps, {who}; {rate:.1f} frames a second\n")


def _line(**facts: object) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


class _Watcher:
    """Frames done, frames a second and time left, on standard error, or as JSON lines."""

    def __init__(self, as_json: bool) -> None:
        self._json, self._first, self._last = as_json, 0.0, 0.0
        self._bar: Any = None

    def found(self, frame: FrameFound, footage: Footage) -> None:
        """One frame is done."""
        now = time.monotonic()
        self._first = self._first or now
        done = frame.index + 1
        if not self._json:
            self._draw(done, footage.count)
        elif now - self._last >= _EVERY_S:
            self._last = now
            rate = (done - 1) / (now - self._first) if now > self._first else 0.0
            left = round((footage.count - done) / rate, 1) if rate and footage.count >= done else None
            _line(event="progress", done=done, frames=footage.count, rate=round(rate, 1), eta_s=left,
                  people=len(frame.people))  # fmt: skip

    def _draw(self, done: int, count: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            rate_text, left = TextColumn("{task.fields[rate]}"), TimeRemainingColumn()
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate_text, left)
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("finding people", total=count or None, rate="")
        rate = (done - 1) / max(time.monotonic() - self._first, 1e-6)
        self._bar.update(0, completed=done, rate=f"{rate:.1f} fps")

    def end(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()


class _Interrupt:
    """The first Ctrl-C asks the work to stop after its frame, so that threads and models are closed in order; the
    second one does as always.
    """

    def __enter__(self) -> _Interrupt:
        self._asked = False
        self._before: Any = signal.signal(signal.SIGINT, self._ask)
        return self

    def _ask(self, *_: object) -> None:
        self._asked = True
        signal.signal(signal.SIGINT, self._before)

    def asked(self) -> bool:
        """Whether somebody pressed it."""
        return self._asked

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)
