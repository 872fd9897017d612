"""The pictures of a shot folder: what is written, and that a contact sheet shows what there is."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from wan_models.requests import Character, DrivePack, PoseTrack, Reference

WIDTH, HEIGHT, FRAMES = 208, 120, 21


@pytest.fixture(scope="module")
def pictures() -> Any:
    path = Path(__file__).parents[2] / "examples" / "pictures.py"
    spec = importlib.util.spec_from_file_location("wanstage_pictures", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def ramp(t: int) -> NDArray[np.uint8]:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.dstack([x + t * 2, y + 60, 0 * x + 10 * t]).astype(np.uint8)


@pytest.fixture
def pack() -> DrivePack:
    body = np.zeros((FRAMES, 20, 5), np.float32)
    body[..., 0] = np.linspace(60, 140, 20) + np.arange(FRAMES)[:, None]
    body[..., 1] = np.abs(np.linspace(-50, 50, 20)) + 30
    body[..., 2] = 1
    person = Reference(np.full((90, 40, 4), 200, np.uint8))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[30:90, 50:80] = 1
    depth = np.tile(np.linspace(2, 9, WIDTH, dtype=np.float32), (HEIGHT, 1))
    depth[:20] = np.inf
    return DrivePack(
        WIDTH,
        HEIGHT,
        FRAMES,
        16.0,
        characters=(Character(1, "Ann", PoseTrack(body), person),),
        clay=[ramp(t) for t in range(FRAMES)],
        plate=[ramp(t) for t in range(FRAMES)],
        mask=[mask] * FRAMES,
        depth=[depth] * FRAMES,
        look=ramp(0),
    )


def test_pack_pictures(pictures: Any, pack: DrivePack, tmp_path: Path) -> None:
    written = pictures.write_pack_pictures(pack, tmp_path, 6)
    assert len(written) == 5 * 6
    assert sorted({p.name.split("_")[0] for p in written}) == ["clay", "depth", "mask", "plate", "pose"]
    assert (tmp_path / "pose_0000.png").exists()
    assert (tmp_path / "clay_0020.png").exists()
    depth = np.asarray(Image.open(tmp_path / "depth_0000.png"))
    assert not depth[:20].any()  # nothing there
    assert depth[50, 5].sum() > depth[50, 200].sum() > 0  # near is brighter
    mask = np.asarray(Image.open(tmp_path / "mask_0000.png"))
    assert set(map(tuple, mask.reshape(-1, 3).tolist())) == {(0, 0, 0), pictures.CHARACTER_COLORS[0]}


def test_contact_sheet(pictures: Any, pack: DrivePack, tmp_path: Path) -> None:
    for name in ("animate", "i2v"):
        (tmp_path / name).mkdir()
        for t in range(FRAMES - 3):
            Image.fromarray(ramp(t)).save(tmp_path / name / f"{t:04d}.png")
    (tmp_path / "animate" / "take.json").write_text(json.dumps({"notes": {"10": "The body turns away here."}}), "utf-8")
    sheet = np.asarray(pictures.sheet_of(pack, tmp_path, "A shot"))
    assert sheet.shape[1] == 2 * pictures.MARGIN + pictures.LABELS + 8 * (pictures.CELL + pictures.GAP) - pictures.GAP
    assert (sheet == pictures.ACCENT).all(-1).sum() > 200  # the doubtful frame is marked
    assert tuple(sheet[0, 0]) == pictures.BACKGROUND


def test_evenly_spaced_frames(pictures: Any) -> None:
    assert pictures.spaced(81, 8) == [0, 11, 23, 34, 46, 57, 69, 80]
    assert pictures.spaced(3, 8) == [0, 1, 2]
    assert pictures.spaced(1, 6) == [0]


def test_nothing_to_show(pictures: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to show"):
        pictures.sheet_of(DrivePack(WIDTH, HEIGHT, 5, 16.0), tmp_path, "A shot")
