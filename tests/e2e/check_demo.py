"""Check what ``run.py demo --out DIR`` left: call with DIR. Exit 1 and a sentence for the first thing that is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import av
import cv2
import numpy as np

FRAMES, WIDTH, HEIGHT = 81, 832, 480
STAGES = {"install", "scene", "capture", "upload", "first_frame", "done"}


def check_shot(folder: Path) -> None:
    """Numbered frames of the right size that move, and a film of as many frames."""
    names = [f"frame_{number:04d}.png" for number in range(1, FRAMES + 1)]
    found = sorted(path.name for path in folder.glob("frame_*.png"))
    assert found == names, f"{folder} holds {len(found)} frames, {FRAMES} are expected"
    pictures = [cv2.imread(str(folder / name)) for name in (names[0], names[40], names[-1])]
    for picture in pictures:
        assert picture is not None, f"{folder}: a frame is not a readable PNG"
        assert picture.shape == (HEIGHT, WIDTH, 3), f"{folder}: a frame has the shape {picture.shape}"
        assert picture.std() > 10, f"{folder}: a frame is blank"
    apart = np.abs(pictures[0].astype(int) - pictures[1].astype(int)).mean()
    assert apart > 2, f"{folder}: frames 1 and 41 hardly differ ({apart:.2f} of 255)"
    with av.open(str(folder / "take.mp4")) as film:
        count = sum(1 for _ in film.decode(video=0))
    assert count == FRAMES, f"{folder / 'take.mp4'} holds {count} frames"


def check_report(path: Path) -> None:
    """Versions, seconds a stage, bytes."""
    report = json.loads(path.read_text(encoding="utf-8"))
    lacking = STAGES - set(report["seconds"])
    assert not lacking, f"report.json lacks the seconds of {sorted(lacking)}"
    assert {"wanstage", "blender", "python", "protocol"} <= set(report["versions"])
    assert report["frames"] == FRAMES
    assert report["size"] == [WIDTH, HEIGHT]
    assert report["wire_bytes"]["uploaded"] > 0
    assert report["wire_bytes"]["received"] > 0
    for task in ("animate", "i2v"):
        assert report["takes"][task]["state"] == "finished", f"the {task} take is {report['takes'][task]}"
    second = report["takes"]["i2v"]["captured"]
    assert not second, "the second shot was captured again instead of sharing the drive pack"


def main(out: Path) -> None:
    for task in ("animate", "i2v"):
        check_shot(out / task)
    check_report(out / "report.json")
    for name in ("shot.blend", "contact_sheet.png", "motion.webp"):
        assert (out / name).stat().st_size > 50_000, f"{name} is too small to be real"
    for kind in ("pose", "clay", "mask", "depth"):
        assert list((out / "drive_pack").glob(f"{kind}*.png")), f"drive_pack has no {kind} pictures"


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (AssertionError, OSError, KeyError) as problem:
        sys.exit(f"the demo's results are not right: {problem!r}")
