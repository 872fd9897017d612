"""Agreement of the draft's i2v with real renders of the same shot, in dB.

    python tests/bpy/make_textured_scene.py shot.npz     (where bpy is)
    python benchmarks/compare_i2v.py shot.npz [PICTURE.png]

``compare`` takes any drive pack and true renders of some of its samples.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from wan_models.draft.i2v import generate, plate_frames
from wan_models.events import FramesDecoded
from wan_models.requests import CameraTrack, DrivePack, Request

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Agreement:
    """PSNR in dB: over all pixels, those seen in sample 0, those two pixels inside them, characters, uncovered ones."""

    sample: int
    everything: float
    seen: float
    seen_inside: float
    characters: float
    uncovered: float
    uncovered_share: float


def psnr(a: Picture, b: Picture, where: NDArray[np.bool_] | None = None) -> float:
    """Peak signal to noise ratio over the pixels of ``where``; nan where there are none."""
    error = (a.astype(np.float64) - b) ** 2
    chosen = error if where is None else error[where]
    return float(10 * np.log10(255**2 / chosen.mean())) if chosen.size and chosen.any() else float("nan")


def shrink(area: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """``area`` less its rim."""
    side = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.erode(area.astype(np.uint8), side) != 0)


def frames_of(pack: DrivePack) -> list[Picture]:
    """The draft's frames of a pack that has a look."""
    asked = Request("i2v", "draft", pack.width, pack.height, pack.frames, pack.fps, pack=pack)
    return [e.frames[0] for e in generate(asked, lambda: False) if isinstance(e, FramesDecoded)]


def compare(pack: DrivePack, looks: dict[int, Picture], frames: list[Picture] | None = None) -> list[Agreement]:
    """How the draft's frames agree with ``looks``, true renders by sample; the pack needs origin maps and masks."""
    made = frames if frames is not None else frames_of(pack)
    rows = []
    for t, look in sorted(looks.items()):
        seen, person = (pack.origin[t] != 0).any(-1), pack.mask[t] != 0
        inside = shrink(seen, 2) & (shrink(person, 2) | shrink(~person, 2))
        areas = (None, seen, inside, shrink(person & seen, 1), ~seen)
        rows.append(Agreement(t, *(psnr(made[t], look, area) for area in areas), float((~seen).mean())))
    return rows


def origin_map(first: NDArray[np.float32], first0: NDArray[np.float32], camera: CameraTrack) -> NDArray[np.uint16]:
    """The origin map of a render of first-sample world positions (nan: nothing), given sample 0's own."""
    height, width = first.shape[:2]
    view = np.linalg.inv(camera.world_from_camera[0])
    fx, fy, cx, cy = camera.intrinsics[0]
    own = first @ view[:3, :3].T + view[:3, 3]
    depth = -own[..., 2]
    x, y = cx + fx * own[..., 0] / depth, cy - fy * own[..., 1] / depth
    good = np.isfinite(x) & (depth > 0) & (x >= 0) & (y >= 0) & (x < width) & (y < height)
    column, row = (np.where(good, v, 0).astype(int) for v in (x, y))
    gap = np.linalg.norm(first0[row, column] - first, axis=-1)
    good &= np.nan_to_num(gap, nan=np.inf) < 6 * np.nan_to_num(depth) / fx
    code = np.dstack([(v / side + 0.25) / 1.5 * 65535 for v, side in ((x, width), (y, height))])
    return np.where(good[..., None], np.clip(np.rint(np.nan_to_num(code)), 1, 65535), 0).astype(np.uint16)


def load(path: Path) -> tuple[DrivePack, dict[int, Picture], dict[int, Picture]]:
    """The pack, true looks and true plates of make_textured_scene.py's file."""
    data = np.load(path)
    frames, height, width = data["mask"].shape
    camera = CameraTrack(data["world"], np.tile([data["focal"], data["focal"], width / 2, height / 2], (frames, 1)))
    view = np.linalg.inv(camera.world_from_camera)
    first = data["first"]
    depth = -(np.einsum("tij,thwj->thwi", view[:, :3, :3], data["now"]) + view[:, None, None, :3, 3])[..., 2]
    depth[np.isnan(first[..., 0])] = np.inf
    looks, plates = (dict(zip(data["looks"].tolist(), data[k], strict=True)) for k in ("look", "look_plate"))
    pack = DrivePack(
        width,
        height,
        frames,
        16.0,
        camera=camera,
        clay=list(data["clay"]),
        plate=list(data["plate"]),
        mask=list(data["mask"]),
        depth=list(depth.astype(np.float32)),
        origin=[origin_map(f, first[0], camera) for f in first],
        look=looks[0],
        look_plate=plates[0],
    )
    return pack, looks, plates


def main(path: Path, picture: Path | None) -> None:
    """Compare and print; optionally a picture: truth, draft and holes of the last look."""
    pack, looks, plates = load(path)
    for name, some in (("origin maps", pack), ("depth and camera", dataclasses.replace(pack, origin=()))):
        made = frames_of(some)
        print(name)
        for row in compare(pack, {t: look for t, look in looks.items() if t}, made):
            print("  " + "  ".join(f"{k} {v:.2f}" for k, v in dataclasses.asdict(row).items()))
        if picture is not None and some is pack:
            last = max(looks)
            seen = (pack.origin[last] != 0).any(-1, keepdims=True)
            rows = [
                [looks[last], made[last]],
                [pack.clay[last], made[last] * seen],
                [plates[last], plate_frames(pack)[last]],
            ]
            cv2.imwrite(str(picture), np.vstack([np.hstack(r) for r in rows])[..., ::-1])
    print("background", "  ".join(f"{t}: {psnr(plate_frames(pack)[t], plates[t]):.2f}" for t in plates if t))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
