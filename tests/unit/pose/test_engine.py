"""The engine of the queue: events in order, cancelled within a frame, what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.unit.pose.fakes import FakeEstimator, film, frame
from wan_models.engine import RequestRefused
from wan_models.events import PoseFound, Warned
from wan_models.pose import estimator as estimators
from wan_models.pose.engine import COLUMNS, PoseEngine
from wan_models.pose.estimator import EstimatorRow
from wan_models.pose.posefile import loads
from wan_models.registry import open_engine
from wan_models.requests import CameraTrack, PoseRequest, Request


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimators.ESTIMATORS, "fake", EstimatorRow("fake", "tests.unit.pose.fakes:FakeEstimator"))
    FakeEstimator.made.clear()


@pytest.fixture
def request_of(tmp_path: Path) -> Request:
    path = film(tmp_path / "walk.mp4", [frame([20 + i, 80]) for i in range(20)]).rename(tmp_path / "asset")
    return Request("pose", "fake", 96, 64, 20, 24.0, pose=PoseRequest(path, "walk.mp4"))


def test_people_come_frame_by_frame_and_then_the_file(request_of: Request) -> None:
    engine = PoseEngine()
    engine.check(request_of)
    found = [event for event in engine.generate(request_of, lambda: False) if isinstance(event, PoseFound)]
    assert [event.index for event in found] == list(range(21))
    assert [event.file for event in found] == [False] * 20 + [True]
    people = np.frombuffer(found[3].data, "<f4").reshape(-1, COLUMNS)
    assert people[:, 0].tolist() == [1.0, 2.0]
    assert np.isnan(people[:, 265:]).all()
    pose = loads(found[-1].data)
    assert (pose.frames, len(pose.people), pose.source["name"]) == (20, 2, "walk.mp4")
    np.testing.assert_allclose(pose.people[0].landmarks[3].ravel(), people[0, 1:133])


def test_a_film_that_is_too_short_is_told(request_of: Request) -> None:
    events = list(PoseEngine().generate(replace(request_of, frames=25), lambda: False))
    found = [event for event in events if isinstance(event, PoseFound)]
    assert len(found) == 26
    assert found[22].data == b""
    assert any("has 20 frames, 25 were asked for" in event.sentence for event in events if isinstance(event, Warned))


def test_it_ends_within_a_frame_of_a_cancel(request_of: Request) -> None:
    seen: list[int] = []
    events = PoseEngine().generate(request_of, lambda: len(seen) >= 2)
    seen.extend(event.index for event in events if isinstance(event, PoseFound))
    assert seen == [0, 1]
    assert all(each.closed for each in FakeEstimator.made)


def test_a_known_camera_makes_it_the_scenes(request_of: Request) -> None:
    world = np.repeat(np.eye(4)[None], 20, 0)
    world[:, :3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    world[:, 2, 3] = 1.5
    camera = CameraTrack(world, np.repeat([[80.0, 80.0, 48.0, 32.0]], 20, 0))
    asked = replace(request_of, pose=replace(request_of.pose, camera=camera, height=1.8))  # type: ignore[type-var]
    *_, last = (event for event in PoseEngine().generate(asked, lambda: False) if isinstance(event, PoseFound))
    pose = loads(last.data)
    assert pose.space == "world"
    assert pose.people[0].height == pytest.approx(1.8)


def test_what_it_refuses(request_of: Request, tmp_path: Path) -> None:
    engine = open_engine("pose")
    for asked, sentence in (
        (replace(request_of, pose=None), "give a film"),
        (replace(request_of, model="kinect"), "no pose estimator kinect"),
        (replace(request_of, pose=PoseRequest(tmp_path / "none")), "no such file"),
    ):
        with pytest.raises(RequestRefused, match=sentence):
            engine.check(asked)
