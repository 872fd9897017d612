"""``wanstage pose`` from its arguments to its file."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backend.cli import main
from tests.unit.pose.fakes import FakeEstimator, film, frame
from wan_models.pose import estimator as estimators
from wan_models.pose.estimator import EstimatorRow
from wan_models.pose.posefile import read


@pytest.fixture
def video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(estimators.ESTIMATORS, "fake", EstimatorRow("fake", "tests.unit.pose.fakes:FakeEstimator"))
    return film(tmp_path / "walk.mp4", [frame([20 + i, 80]) for i in range(20)])


def run(*arguments: object) -> int:
    return main(["pose", "--estimator", "fake", *map(str, arguments)])


def test_a_film_becomes_a_pose_file(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "walk.npz"
    assert run(video, "-o", out, "--person", "largest", "--height", 1.78, "--overlay", tmp_path / "o.mp4") == 0
    pose = read(out)
    assert len(pose.people) == 1
    assert pose.people[0].height == pytest.approx(1.78)
    assert pose.filters["height"] == 1.78
    assert (tmp_path / "o.mp4").stat().st_size > 1000
    said = capsys.readouterr()
    assert "20 frames at 24 fps, person" in said.out
    assert "2 people are in the clip" in said.err


def test_json_lines(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--json", "--no-smooth", "--no-feet", "--no-limits", "--frames", 5, "--fps", 12)
    assert run(video, "-o", tmp_path / "walk.npz", *arguments) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["event"] == "progress"
    assert lines[-1]["event"] == "result"
    assert (lines[-1]["frames"], lines[-1]["fps"]) == (5, 12.0)
    assert read(tmp_path / "walk.npz").filters["smoothing"] is None


def test_a_pose_files_camera_is_a_camera(video: Path, tmp_path: Path) -> None:
    first = tmp_path / "first.npz"
    assert run(video, "-o", first) == 0
    assert run(video, "-o", tmp_path / "second.npz", "--camera", first) == 0
    assert read(tmp_path / "second.npz").space == "world"


def test_ctrl_c_writes_nothing_and_closes_everything(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = FakeEstimator.find

    def pressed(self: FakeEstimator, *given: Any) -> Any:
        if self.count == 3:
            signal.raise_signal(signal.SIGINT)
        return find(self, *given)

    monkeypatch.setattr(FakeEstimator, "find", pressed)
    FakeEstimator.made.clear()
    assert run(video, "-o", tmp_path / "walk.npz") == 130
    assert not (tmp_path / "walk.npz").exists()
    assert FakeEstimator.made[0].closed
    assert FakeEstimator.made[0].count <= 5


def test_sentences(video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = tmp_path / "short.npz"
    np.savez(short, world_from_camera=np.zeros((2, 4, 4)), intrinsics=np.ones((2, 4)))
    out = tmp_path / "walk.npz"
    for arguments, sentence in (
        ((tmp_path / "none.mp4", "-o", out), "there is no such file"),
        ((video, "-o", tmp_path / "nowhere" / "a.npz"), "there is no folder"),
        ((video, "-o", out, "--person", "9"), "there is no person 9"),
        ((video, "-o", out, "--height", 7), "height of 7 m"),
        ((video, "-o", out, "--camera", video), "is no camera"),
        ((video, "-o", out, "--camera", short), "the camera has 2 frames and the clip 20"),
        ((video, "-o", out, "--fps", -1), "frames a second"),
    ):
        assert run(*arguments) == 4
        assert sentence in capsys.readouterr().err
        assert not out.exists()
