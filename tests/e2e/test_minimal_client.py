"""The example client against a real backend: the open protocol is enough, and its errors are sentences."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.e2e.conftest import ROOT, Served

MINIMAL = ROOT / "examples" / "minimal_client.py"


def call(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(MINIMAL), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def picture(path: Path) -> Path:
    noise = np.random.default_rng(7).integers(0, 255, (96, 160, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def test_a_picture_becomes_saved_frames(serve: Callable[..., Served], tmp_path: Path) -> None:
    image = picture(tmp_path / "first.png")
    done = call(serve().ready["connection_file"], image, "a street", tmp_path / "frames")
    assert done.returncode == 0, done.stderr
    frames = sorted((tmp_path / "frames").glob("*.png"))
    assert [frame.name for frame in frames] == [f"{i:04d}.png" for i in range(17)]
    assert np.array_equal(cv2.imread(str(frames[0])), cv2.imread(str(image)))


def test_a_missing_connection_file_is_named(tmp_path: Path) -> None:
    done = call(tmp_path / "nowhere.json", picture(tmp_path / "first.png"), "", tmp_path / "frames")
    assert done.returncode == 1
    assert "nowhere.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_picture_that_is_none_gets_the_backends_sentence(serve: Callable[..., Served], tmp_path: Path) -> None:
    fake = tmp_path / "fake.png"
    fake.write_bytes(picture(tmp_path / "first.png").read_bytes()[:200])
    done = call(serve().ready["connection_file"], fake, "", tmp_path / "frames")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.strip().count("\n") == 0, done.stderr
    assert not (tmp_path / "frames" / "0000.png").exists()
