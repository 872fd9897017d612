"""Memory of a long film: 10,000 small frames through the real estimator, to benchmarks/results/pose_long.json.

    python benchmarks/pose_long.py FILM [--models DIR] [--frames 10000]

FILM is run there and back until there are enough frames. Resident memory is noted as frames go by and after solving.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from _report import write  # noqa: E402

from wan_models.pose.build import PoseOptions  # noqa: E402
from wan_models.pose.clip import Recording  # noqa: E402
from wan_models.pose.estimator import EstimatorOptions, open_estimator  # noqa: E402
from wan_models.pose.footage import frames, open_footage  # noqa: E402

SIZE = (256, 154)
NOTES = 10


def resident_mib() -> int:
    """Of this process (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20)


def looped(film: Path, count: int) -> Iterator[NDArray[np.uint8]]:
    """So many frames of the film, forwards and backwards in turn."""
    seen = [np.asarray(cv2.resize(each, SIZE, interpolation=cv2.INTER_AREA), np.uint8) for each in
            frames(open_footage(film, 24.0))][:240]  # fmt: skip
    for _, image in zip(range(count), cycle(seen + seen[-2:0:-1]), strict=False):
        yield image


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--frames", type=int, default=10_000)
    told = parser.parse_args()
    options = PoseOptions(models=told.models, people=1, hands=False, face=False)
    estimator = open_estimator("mediapipe", EstimatorOptions(told.models, 1, False, False))
    memory, clock = {}, time.perf_counter()
    try:
        recording = Recording(estimator, 24.0, options, {"name": "benchmark"})
        for found in recording.watch(looped(told.film, told.frames)):
            if found.index % (told.frames // NOTES) == told.frames // NOTES - 1:
                memory[str(found.index + 1)] = resident_mib()
        watching = time.perf_counter() - clock
        pose = recording.finish()
    finally:
        estimator.close()
    figures = {"size": SIZE, "frames": pose.frames, "people": len(pose.people), "resident_mib_after_frames": memory}
    figures |= {"resident_mib_solved": resident_mib(), "watching_s": round(watching, 1)}
    figures["solving_s"] = round(time.perf_counter() - clock - watching, 1)
    write("pose_long", figures)


if __name__ == "__main__":
    main()
