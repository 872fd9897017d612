"""Makes control.npz: random inputs and what Wan2.2's own code gives for them (Apache-2.0 code, not kept here).

    pip download --no-deps wan22==2.2.11 && unzip wan22-*.whl -d DIR
    python tests/unit/control/make_control_fixture.py DIR

The functions are compiled out of the package by name, so that neither torch nor its other needs are imported.
"""

from __future__ import annotations

import ast
import math
import random
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

PREPROCESS = "wan/modules/animate/preprocess"
AREAS = (1280 * 720, 832 * 480, 1280 * 704, 1024 * 704, 640 * 480, 512 * 512, 100_000, 5000)
SIDES = (480, 832, 720, 1280, 1080, 1920, 1024, 1000, 1500, 768, 1344, 3000, 4000, 2160, 3840, 1, 64, 10_000)
PRECISION_FACES = (  # width, height, x and y of two corners: boxes that single precision moves by a pixel
    (1559, 2100, 886.5464477539062, 599.49560546875, 850.524658203125, 545.6357421875),
    (3893, 2545, 2047.861083984375, 1180.219970703125, 2002.2003173828125, 1130.7159423828125),
    (1536, 909, 689.1217041015625, 453.6163330078125, 633.7868041992188, 423.1183166503906),
)


def official(path: Path, *names: str) -> dict[str, Any]:
    """Functions and methods of one file, the last of each name as Python itself would keep it."""
    found = {n.name: n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)}
    scope: dict[str, Any] = {"np": np, "math": math, "cv2": cv2, "random": random}
    body: list[ast.stmt] = [found[name] for name in names]
    exec(compile(ast.Module(body, []), str(path), "exec"), scope)  # noqa: S102
    return scope


def official_i2v(path: Path) -> Callable[[int, int, int], tuple[int, int]]:
    """The size rule stands in the middle of a method: its assignments are taken out."""
    found = [
        n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef) and n.name == "generate"
    ]
    lines = [n for n in found[0].body if isinstance(n, ast.Assign) and isinstance(n.targets[0], ast.Name)]
    wanted = [n for n in lines if n.targets[0].id in ("aspect_ratio", "lat_h", "lat_w", "h", "w")]  # type: ignore[attr-defined]
    code = compile(ast.Module(list(wanted), []), str(path), "exec")

    def size(width: int, height: int, area: int) -> tuple[int, int]:
        model = SimpleNamespace(vae_stride=(4, 8, 8), patch_size=(1, 2, 2))
        scope = {"np": np, "self": model, "max_area": area, "h": height, "w": width}
        exec(code, scope)  # noqa: S102
        return scope["w"], scope["h"]  # type: ignore[return-value]

    return size


def or_zero(rule: Callable[..., tuple[int, int]], *given: Any) -> tuple[int, int]:
    """0 x 0 where the official code fails, or gives a size that nothing can be made in."""
    try:
        width, height = rule(*given)
    except (ArithmeticError, ValueError, AssertionError):
        return 0, 0
    return (width, height) if width > 0 and height > 0 else (0, 0)


def sizes(package: Path, rng: np.random.Generator) -> np.ndarray:
    """Rows of width, height, area, then width and height of animate, i2v, ti2v, s2v."""
    utils = official(package / PREPROCESS / "utils.py", "calculate_new_size", "resize_by_area")
    utils["padding_resize"] = lambda image, height, width, **_: (width, height)
    best = official(package / "wan/utils/utils.py", "best_output_size")["best_output_size"]
    less = official(package / "wan/speech2video.py", "get_size_less_than_area")["get_size_less_than_area"]
    i2v = official_i2v(package / "wan/image2video.py")
    cases = [(w, h, a) for a in AREAS[:4] for w in SIDES for h in SIDES]
    for _ in range(1200):
        w, h = (int(2 ** rng.uniform(2, 13)) for _ in range(2))
        cases.append((w, h, int(rng.choice(AREAS)) if rng.random() < 0.5 else int(2 ** rng.uniform(9, 22))))
    rows = []
    for w, h, area in cases:
        image = SimpleNamespace(shape=(h, w, 3))
        results = [
            or_zero(utils["resize_by_area"], image, area, True, 16),
            or_zero(i2v, w, h, area),
            or_zero(best, w, h, 32, 32, area),
            or_zero(less, None, h, w, area)[::-1],
        ]
        rows.append([w, h, area, *(v for size in results for v in size)])
    return np.array(rows, np.int32)


def blob(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Ellipses, lone pixels, or nothing at all."""
    mask = np.zeros((height, width), np.uint8)
    for _ in range(rng.integers(0, 4)):
        center = (int(rng.integers(-5, width + 5)), int(rng.integers(-5, height + 5)))
        axes = (int(rng.integers(0, width // 4)), int(rng.integers(0, height // 4)))
        cv2.ellipse(mask, center, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return mask


def masks(package: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Masks as bits, settings (iterations, kernel, w_len, h_len), the official result, 1 where it did not fail."""
    names = ("get_mask_boxes", "get_aug_mask", "get_mask_body_img")
    utils = official(package / PREPROCESS / "utils.py", *names)
    given, settings, wanted, worked = [], [], [], []
    for case in range(400):
        mask = blob(rng, 45, 64)
        values = (3, 7, 1, 1) if case % 4 == 0 else tuple(int(rng.integers(1, top)) for top in (4, 9, 12, 12))
        dilated = utils["get_mask_body_img"](np.zeros((45, 64, 3)), mask, k=values[1], iterations=values[0])[1]
        try:
            result, ok = utils["get_aug_mask"](dilated, w_len=values[2], h_len=values[3]), True
        except ValueError:
            result, ok = np.zeros_like(mask), False
        for store, value in zip((given, settings, wanted, worked), (mask, values, result, ok), strict=True):
            store.append(value)
    arrays = {"mask_shape": np.array(np.shape(given)), "mask_settings": np.array(settings, np.int32)}
    return arrays | {
        "mask_given": np.packbits(np.array(given)),
        "mask_wanted": np.packbits(np.array(wanted)),
        "mask_worked": np.array(worked),
    }


def faces(package: Path, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Whole-body points go the official way: single precision, divided by the size, times the size again."""
    bbox = official(package / PREPROCESS / "utils.py", "get_face_bboxes")["get_face_bboxes"]
    metas = official(package / PREPROCESS / "pose2d_utils.py", "split_kp2ds_for_aa", "load_pose_metas_from_kp2ds_seq")
    points, frames, boxes = [], [], []
    for case in range(150 + len(PRECISION_FACES)):
        width, height = (int(2 ** rng.uniform(3, 12)) for _ in range(2))
        spread = rng.uniform(0.02, 0.4) * min(width, height)
        at = rng.uniform(-0.2, 1.2, 2) * (width, height)
        body = rng.normal(at, spread * rng.uniform(0.3, 1.0, 2), (133, 2))
        if case % 3 == 0:
            body = np.round(body)
        score = rng.random((133, 1))
        kp2ds = np.concatenate([body, score], 1).astype(np.float32)
        if case >= 150:
            width, height, *ends = PRECISION_FACES[case - 150]
            kp2ds[23:91, :2] = [ends[:2]] + [ends[2:]] * 67
        kp2ds[:22, :2] = 1  # a body in the picture, which the official code needs at least once
        meta = metas["load_pose_metas_from_kp2ds_seq"]([kp2ds], width, height)[0]
        x1, x2, y1, y2 = bbox(meta["keypoints_face"][:, :2], scale=1.3, image_shape=(height, width))
        points.append(kp2ds[23:91, :2])
        frames.append((width, height))
        boxes.append((x1, y1, x2, y2))
    return {"face_points": np.array(points), "face_frames": np.array(frames), "face_boxes": np.array(boxes)}


def main(package: Path) -> None:
    rng = np.random.default_rng(22)
    arrays = {"sizes": sizes(package, rng), **masks(package, rng), **faces(package, rng)}
    np.savez_compressed(Path(__file__).with_name("control.npz"), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
