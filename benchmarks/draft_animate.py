"""Frames a second of the draft animate task on one core at 832x480, written to benchmarks/results/draft_animate.json.

``python benchmarks/draft_animate.py [--frames 40] [--repeat 3] [--reference PNG]`` (a reference has a PNG.joints.json
beside it); without one the tests' drawn person is used. The motion is the tests' CMU clip.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # idle BLAS threads spin, which counts as processor time

import cv2
import numpy as np
import scipy
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.unit.draft_animate.doll import doll_body, draw_doll, metres, project  # noqa: E402
from wan_models.draft.animate import generate  # noqa: E402
from wan_models.events import FramesDecoded  # noqa: E402
from wan_models.requests import Character, DrivePack, PoseTrack, Reference, Request  # noqa: E402

WIDTH, HEIGHT = 832, 480


def reference_of(path: Path | None) -> Reference:
    """The picture at ``path`` with its sidecar, or the drawn person."""
    if path is None:
        return Reference(draw_doll(), doll_body(), source="hand")
    image = cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    sidecar = json.loads(Path(f"{path}.joints.json").read_text(encoding="utf-8"))
    hands = [np.array(sidecar[key], np.float32) if sidecar.get(key) else None for key in ("left_hand", "right_hand")]
    return Reference(np.asarray(image, np.uint8), np.array(sidecar["body"], np.float32), *hands, source="rig")


def request_of(reference: Reference, frames: int) -> Request:
    """A shot with plate, mask and depth, as the add-on captures it; the character is about 350 px tall."""
    body, camera = project(metres()[:frames], focal=720.0)
    frames = len(body)
    body[..., 0] += (WIDTH - 416) / 2
    body[..., 1] += (HEIGHT - 240) / 2
    camera = replace(camera, intrinsics=camera.intrinsics + np.array([0.0, 0.0, (WIDTH - 416) / 2, (HEIGHT - 240) / 2]))
    plate = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    mask: NDArray[np.uint8] = np.zeros((HEIGHT, WIDTH), np.uint8)
    depth = np.full((HEIGHT, WIDTH), 9.0, np.float32)
    depth[:, :300] = 2.0
    pack = DrivePack(
        WIDTH, HEIGHT, frames, 16.0, camera, (Character(1, "hero", PoseTrack(body), reference),),
        plate=[plate] * frames, mask=[mask] * frames, depth=[depth] * frames,
    )  # fmt: skip
    return Request("animate", "draft", WIDTH, HEIGHT, frames, 16.0, pack=pack)


def with_materials(request: Request) -> Request:
    """The same over a background picture that is moved by depth and camera; what it uncovers is grey clay."""
    if request.pack is None:
        return request
    clay = np.full((HEIGHT, WIDTH, 3), 160, np.uint8)
    look = request.pack.plate[0]
    return replace(request, pack=replace(request.pack, plate=[clay] * request.frames, look_plate=look))


def timed(request: Request) -> tuple[float, float]:
    """Seconds of processor time to the first frame, and frames a second after it."""
    start = time.process_time()
    stamps = [time.process_time() for event in generate(request, lambda: False) if isinstance(event, FramesDecoded)]
    return stamps[0] - start, (len(stamps) - 1) / (stamps[-1] - stamps[0])


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--reference", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    request = request_of(reference_of(given.reference), given.frames)
    runs = [timed(request) for _ in range(given.repeat)]
    looks = [timed(with_materials(request)) for _ in range(given.repeat)]
    result = {
        "what": "draft animate, one character, 832x480, one thread, seconds of processor time, "
        "other work running beside it",
        "command": "python benchmarks/draft_animate.py " + " ".join(sys.argv[1:]),
        "frames": request.frames,
        "first_frame_s": {"best": round(min(r[0] for r in runs), 3), "worst": round(max(r[0] for r in runs), 3)},
        "frames_per_s": {"best": round(max(r[1] for r in runs), 1), "worst": round(min(r[1] for r in runs), 1)},
        "frames_per_s_over_moved_look_plate": {
            "best": round(max(r[1] for r in looks), 1), "worst": round(min(r[1] for r in looks), 1)
        },
        "machine": {"cores": os.cpu_count(), "arch": platform.machine(), "system": platform.system()},
        "versions": {
            "python": platform.python_version(), "numpy": np.__version__, "opencv": cv2.__version__,
            "scipy": scipy.__version__,
        },
    }  # fmt: skip
    target = ROOT / "benchmarks" / "results" / "draft_animate.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
