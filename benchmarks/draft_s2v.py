"""Speed of the draft's talking shots on one core at 832x480, written to benchmarks/results/draft_s2v.json.

    python benchmarks/draft_s2v.py [--frames 80] [--image PNG] [--sound FILE]

Without a picture the examples' rendered man is cut to head and chest. Prints seconds of processor time to the first
frame (listening and finding the face are in it, importing MediaPipe is not: a worker does that before its first job),
frames a second of processor time after it, the same with the body following poses, and how many frames the mouth is
late against clicks at several rates.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # idle BLAS threads spin, which counts as processor time

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import draft_animate  # noqa: E402
from _report import write  # noqa: E402

from wan_models.draft.s2v import generate  # noqa: E402
from wan_models.draft.s2v import ready as _ready  # noqa: E402, F401
from wan_models.draft.s2v.speech import RATE, listen  # noqa: E402
from wan_models.events import FramesDecoded, Warned  # noqa: E402
from wan_models.pose.face import face_unavailable  # noqa: E402
from wan_models.requests import Request, Sound, TalkSettings  # noqa: E402

SIZE = (832, 480)
MAN = ROOT / "examples" / "assets" / "reference_man.png"
SPEECH = ROOT / "tests" / "fixtures" / "speech" / "sentence.flac"


def picture_of(path: Path | None) -> NDArray[np.uint8]:
    """The picture at ``path``, else the rendered man's head and chest."""
    read = cv2.imread(str(path or MAN), cv2.IMREAD_UNCHANGED)
    image = np.asarray(cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA if read.shape[2] == 4 else cv2.COLOR_BGR2RGB), np.uint8)
    return image if path is not None else image[20:320, 124:644]


def timed(request: Request) -> tuple[dict[str, float], list[str]]:
    """Processor time to the first frame and frames a second after it; sentences of warnings."""
    start, stamps, said = time.process_time(), [], []
    for event in generate(request, lambda: False):
        if isinstance(event, FramesDecoded):
            stamps.append(time.process_time())
        elif isinstance(event, Warned):
            said.append(event.sentence)
    rate = (len(stamps) - 1) / (stamps[-1] - stamps[0])
    return {"first_s": stamps[0] - start, "frames_per_s": rate, "ms_a_frame": 1000 / rate}, said


def best(request: Request, rounds: int = 3) -> dict[str, Any]:
    """The best of some rounds: other work on the machine only ever slows one down."""
    results = [timed(request) for _ in range(rounds)]
    fastest = {
        name: round((max if name == "frames_per_s" else min)(result[name] for result, _ in results), 3)
        for name in results[0][0]
    }
    return {**fastest, "said": results[0][1]}


def lateness(fps: float, seconds: float = 10.0) -> float:
    """Frames by which the mouth is late (negative: early) against clicks of half a millisecond at odd times."""
    chance = np.random.default_rng(0)
    times = np.arange(0.5, seconds - 0.5, 0.37) + chance.uniform(0, 0.1, len(np.arange(0.5, seconds - 0.5, 0.37)))
    wave = np.zeros(round(seconds * RATE), np.float32)
    for at in times:
        wave[round(at * RATE) - 4 : round(at * RATE) + 4] = 0.8
    jaw = listen(wave, fps, round(seconds * fps)).jaw
    shown = np.arange(len(jaw)) / fps
    lags = np.linspace(-2, 2, 161)
    truths = [np.exp(-0.5 * ((shown[:, None] - times - lag / fps) * fps / 0.6) ** 2).sum(axis=1) for lag in lags]
    return round(float(lags[int(np.argmax([truth @ jaw / np.linalg.norm(truth) for truth in truths]))]), 3)


def main() -> None:
    """Measure, print and write."""
    words = argparse.ArgumentParser(description="frames a second of the draft's s2v task")
    words.add_argument("--frames", type=int, default=80)
    words.add_argument("--image", type=Path, default=None)
    words.add_argument("--sound", type=Path, default=SPEECH)
    given = words.parse_args()
    cv2.setNumThreads(1)
    request = Request(
        "s2v", "draft", *SIZE, given.frames, 16.0, image=picture_of(given.image), sound=Sound(given.sound)
    )
    shot = draft_animate.request_of(draft_animate.reference_of(MAN), given.frames)
    following = replace(shot, task="s2v", sound=Sound(given.sound), talk=TalkSettings(follow_pose=True))
    write(
        "draft_s2v",
        {
            "what": "draft s2v, 832x480, one OpenCV thread; seconds of processor time, best of 3; other work running "
            "beside it",
            "frames": given.frames,
            "face": face_unavailable() or "landmarks",
            "results": {
                "a face, head and body moved": best(request),
                "no face, the picture moved": best(replace(request, image=np.full((480, 832, 3), 90, np.uint8))),
                "body follows the pose": {**best(following), "frames": following.frames},
            },
            "frames_late_against_clicks": {str(fps): lateness(fps) for fps in (16.0, 23.976, 24.0, 30.0)},
        },
    )


if __name__ == "__main__":
    main()
