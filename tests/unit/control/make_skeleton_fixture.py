"""Makes skeleton.npz: poses and what Wan2.2's own preprocessing draws of them (Apache-2.0 code, not kept here).

    pip download --no-deps wan22==2.2.11 && unzip wan22-*.whl -d DIR && pip install matplotlib
    python tests/unit/control/make_skeleton_fixture.py DIR

Images are stored as indices into a palette, which keeps the file small.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZES = ((480, 832), (832, 480), (720, 1280), (1080, 1920), (64, 96))  # height, width

STANDING = np.array(
    [
        (0.50, 0.12), (0.50, 0.22), (0.44, 0.23), (0.40, 0.36), (0.37, 0.48), (0.56, 0.23), (0.61, 0.34), (0.66, 0.25),
        (0.46, 0.52), (0.45, 0.70), (0.43, 0.88), (0.54, 0.52), (0.57, 0.69), (0.60, 0.86), (0.485, 0.10),
        (0.515, 0.10), (0.47, 0.115), (0.53, 0.115), (0.63, 0.90), (0.40, 0.92),
    ]
)  # fmt: skip


def hand(rng: np.random.Generator, wrist: NDArray[np.float64], size: float) -> NDArray[np.float64]:
    """21 points fanned out from the wrist."""
    points = [wrist]
    turn = rng.uniform(0, 2 * np.pi)
    for finger in range(5):
        angle = turn + (finger - 2) * 0.35
        points += [wrist + size * (0.4 + 0.2 * k) * np.array([np.cos(angle), np.sin(angle)]) for k in range(4)]
    return np.array(points)


def pose(rng: np.random.Generator, height: int, width: int, kind: str) -> list[NDArray[np.float32]]:
    """Body and hands in pixels with scores: plain, some points low, or partly off the picture."""
    size = np.array([width, height], float)
    body = (STANDING - [0.5, 0.5]) * height * rng.uniform(0.8, 1.1) + size / 2 + rng.normal(0, 0.03 * height, (20, 2))
    if kind == "off":
        body += size * rng.uniform(-0.6, 0.6, 2)
    parts = [body, hand(rng, body[7], 0.12 * height), hand(rng, body[4], 0.12 * height)]
    low = 0.35 if kind == "low" else 0.0
    scores = [
        np.where(rng.random(len(p)) < low, rng.uniform(0, 0.5, len(p)), rng.uniform(0.5, 1, len(p))) for p in parts
    ]
    return [np.column_stack([p, s]).astype(np.float32) for p, s in zip(parts, scores, strict=True)]


def main(folder: Path) -> None:
    """Draw every pose by the official code and store both."""
    source = folder / "wan" / "modules" / "animate" / "preprocess"
    sys.path.insert(0, str(source))
    official = importlib.import_module("human_visualization")
    rng = np.random.default_rng(2)
    arrays: dict[str, NDArray[np.generic]] = {}
    for height, width in SIZES:
        for kind in ("plain", "low", "off"):
            parts = pose(rng, height, width, kind)
            body, left, right = (p.astype(np.float64) for p in parts)
            image = official.draw_aapose_new(
                np.zeros((height, width, 3), np.uint8), body, 0.5, kp2ds_lhand=left, kp2ds_rhand=right, draw_hand=True
            )
            palette, index = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
            key = f"{height}x{width}_{kind}"
            for name, value in zip(("body", "left", "right"), parts, strict=True):
                arrays[f"{key}_{name}"] = value
            arrays[f"{key}_palette"] = palette
            arrays[f"{key}_index"] = index.reshape(height, width).astype(np.uint8)
    np.savez_compressed(Path(__file__).with_name("skeleton.npz"), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
