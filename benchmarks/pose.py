"""Speed of poses from a film at 1280x720 on two cores, written to benchmarks/results/pose.json.

    python benchmarks/pose.py FILM [--models DIR] [--frames 200]

Prints frames a second, by the clock and by processor time (a machine with other work has less of the first), for bodies
alone and with hands and faces, for one person at a time and for two; what the solver takes after the last frame; and
the most memory of the process. Needs MediaPipe's models ('wanstage models pull pose hand face').
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # idle BLAS threads spin, which counts as processor time

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from _report import write  # noqa: E402

from wan_models.pose.build import PoseOptions  # noqa: E402
from wan_models.pose.clip import Recording  # noqa: E402
from wan_models.pose.estimator import EstimatorOptions, every_frame, open_estimator  # noqa: E402
from wan_models.pose.footage import frames, open_footage  # noqa: E402

SIZE = (1280, 720)
FPS = 30.0
CORES = 2


def decoded(film: Path, count: int) -> list[NDArray[np.uint8]]:
    """The first frames at 1280x720: decoding is not what is measured."""
    found: list[NDArray[np.uint8]] = []
    for image in frames(open_footage(film)):
        found.append(np.asarray(cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA), np.uint8))
        if len(found) == count:
            break
    return found


def measured(images: list[NDArray[np.uint8]], models: Path | None, people: int, parts: bool) -> dict[str, Any]:
    """One run: frames a second while watching, seconds of solving after it."""
    options = PoseOptions(models=models, people=people, hands=parts, face=parts)
    wanted = EstimatorOptions(models, people, parts, parts, every_frame(FPS))
    estimator = open_estimator("mediapipe", wanted)
    try:
        recording = Recording(estimator, FPS, options, {"name": "benchmark"})
        clock, work = time.perf_counter(), time.process_time()
        bodies = hands = faces = 0
        for found in recording.watch(images):
            bodies += len(found.people)
            hands += sum((each.left_hand is not None) + (each.right_hand is not None) for _, each in found.people)
            faces += sum(each.face is not None for _, each in found.people)
        clock, work = time.perf_counter() - clock, time.process_time() - work
        solving = time.process_time()
        recording.finish()
        return {
            "frames_per_s": round(len(images) / clock, 1),
            "processor_ms_a_frame": round(1000 * work / len(images), 1),
            "frames_per_s_of_one_core": round(len(images) / work, 1),
            "cores_used": round(work / clock, 2),
            "solve_s": round(time.process_time() - solving, 2),
            "found": {"bodies": bodies, "hands": hands, "faces": faces},
        }
    finally:
        estimator.close()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("film", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    told = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    images = decoded(told.film, told.frames)
    results = {
        f"{name}, {people} at most": measured(images, told.models, people, parts)
        for people in (1, 2)
        for name, parts in (("bodies", False), ("bodies, hands and faces", True))
    }
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - len(images) * images[0].nbytes / 2**20
    write("pose", {"size": SIZE, "frames": len(images), "runs": results, "memory_mib_without_frames": round(most)})


if __name__ == "__main__":
    main()
