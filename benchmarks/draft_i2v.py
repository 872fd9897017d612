"""Speed of the draft's i2v on one core, with zlib-compressed maps decoded frame by frame as the backend does.

    python benchmarks/draft_i2v.py [FRAMES]

Prints, and writes to benchmarks/results/draft_i2v.json, frames a second of processor time (other work on the machine
counts little) at 832 x 480 for origin maps and for depth and camera, for the moved background (plate_frames), and the
seconds to the second frame (the first is the picture itself).
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # idle BLAS threads spin, which counts as processor time

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests" / "unit" / "draft_i2v")]

from _report import write  # noqa: E402
from scene import Scene  # noqa: E402

from wan_models.draft.i2v import generate, plate_frames  # noqa: E402
from wan_models.events import FramesDecoded  # noqa: E402
from wan_models.requests import DrivePack, Request  # noqa: E402


class Squeezed(Sequence[NDArray[Any]]):
    """Maps kept compressed, decoded when asked for."""

    def __init__(self, maps: Sequence[NDArray[Any]]) -> None:
        self._maps = [(zlib.compress(m.tobytes(), 1), m.dtype, m.shape) for m in maps]

    def __len__(self) -> int:
        return len(self._maps)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        data, dtype, shape = self._maps[index]
        return np.frombuffer(zlib.decompress(data), dtype).reshape(shape)


def squeezed(pack: DrivePack) -> DrivePack:
    """The pack with all its maps compressed."""
    tracks = {name: getattr(pack, name) for name in ("clay", "plate", "mask", "depth", "origin")}
    return dataclasses.replace(pack, **{name: Squeezed(maps) for name, maps in tracks.items() if len(maps)})


def timed(pack: DrivePack) -> tuple[float, float]:
    """Seconds to frame 1, and frames a second."""
    start = time.process_time()
    first = 0.0
    request = Request("i2v", "draft", pack.width, pack.height, pack.frames, pack.fps, pack=pack)
    for event in generate(request, lambda: False):
        if isinstance(event, FramesDecoded) and event.first == 1:
            first = time.process_time() - start
    return first, pack.frames / (time.process_time() - start)


def best(measure: Callable[[], tuple[float, float]], rounds: int = 3) -> tuple[float, float]:
    """The fastest of some rounds: other work on the machine only ever slows one down."""
    results = [measure() for _ in range(rounds)]
    return min(r[0] for r in results), max(r[1] for r in results)


def plates(pack: DrivePack) -> tuple[float, float]:
    """The same for the moved background."""
    start = time.process_time()
    for _ in plate_frames(pack):
        pass
    spent = time.process_time() - start
    return spent / pack.frames, pack.frames / spent


def main(frames: int) -> None:
    """Measure, print and write."""
    cv2.setNumThreads(1)
    pack = squeezed(Scene(832, 480, frames, roll=0.05).pack())
    figures = {}
    for name, some, measure in (
        ("i2v over the moved background", pack, timed),
        ("i2v, origin maps, no look plate", dataclasses.replace(pack, look_plate=None), timed),
        ("i2v, depth and camera", dataclasses.replace(pack, origin=()), timed),
        ("background, origin maps, depth and camera", pack, plates),
        ("background, depth and camera", dataclasses.replace(pack, origin=()), plates),
        ("background, origin maps", dataclasses.replace(pack, depth=(), camera=None), plates),
    ):
        first, rate = best(lambda some=some, measure=measure: measure(some))  # type: ignore[misc]
        figures[name] = {
            "frames_per_s": round(rate, 1), "ms_a_frame": round(1000 / rate, 1), "first_s": round(first, 3)
        }  # fmt: skip
    write(
        "draft_i2v",
        {
            "what": "draft i2v, 832x480, one OpenCV thread, maps inflated frame by frame; seconds of processor time, "
            "best of 3; other work running beside it",
            "frames": frames,
            "results": figures,
        },
    )


if __name__ == "__main__":
    words = argparse.ArgumentParser(description="frames a second of the draft's i2v task")
    words.add_argument("frames", type=int, nargs="?", default=17)
    main(words.parse_args().frames)
