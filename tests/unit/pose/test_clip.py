"""Whole clips through an estimator of the test's own: tracks, gaps, cuts, choice, bounded memory, sentences."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.unit.pose.fakes import FakeEstimator, film, frame, many
from wan_models.engine import RequestRefused
from wan_models.pose import estimator as estimators
from wan_models.pose.build import PoseOptions
from wan_models.pose.clip import Recording, estimate_clip
from wan_models.pose.estimator import EstimatorOptions, EstimatorRow, Image, open_estimator
from wan_models.pose.footage import frames, open_footage
from wan_models.pose.posefile import PoseFile, dumps, loads


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(estimators.ESTIMATORS, "fake", EstimatorRow("fake", "tests.unit.pose.fakes:FakeEstimator"))
    FakeEstimator.made.clear()


def record(images: Sequence[Image], **changes: Any) -> PoseFile:
    options = PoseOptions(estimator="fake", **changes)
    recording = Recording(FakeEstimator(EstimatorOptions()), 24.0, options, {"name": "a"})
    for _ in recording.watch(images):
        pass
    return recording.finish()


def test_two_people_who_cross_keep_their_names() -> None:
    places = np.linspace(15, 80, 40)
    pose = record([frame([x, 95 - x]) for x in places])
    assert [each.id for each in pose.people] == [1, 2]
    first, second = (each.landmarks[:, :, 0].mean(axis=1) for each in pose.people)
    np.testing.assert_allclose(first, places, atol=7)
    np.testing.assert_allclose(second, 95 - places, atol=7)  # one hides the other


def test_a_short_gap_is_filled_and_marked_a_long_one_is_told() -> None:
    images = [frame([40.0 if not (5 <= i < 9 or 20 <= i < 40) else None]) for i in range(50)]
    pose = record(images)
    (person,) = pose.people
    assert np.flatnonzero(person.filled[:, 0]).tolist() == [5, 6, 7, 8]
    assert person.confidence[30].max() == 0.0
    assert np.isnan(person.landmarks[6]).all()
    assert np.isfinite(person.rotation).all()
    assert any("frames 20 to 39" in sentence for sentence in pose.warnings)


def test_before_and_after_a_person_is_there_nothing_is_known() -> None:
    pose = record([frame([40.0 if 10 <= i < 30 else None]) for i in range(40)])
    (person,) = pose.people
    assert (person.first, person.last) == (10, 29)
    assert person.confidence[:10].max() == 0.0
    np.testing.assert_array_equal(person.rotation[0], person.rotation[10])


def test_who_is_wanted() -> None:
    images = [frame([20, 70 if i > 15 else None]) for i in range(40)]
    assert [each.id for each in record(images, person="longest").people] == [1]
    assert [each.id for each in record(images, person="2").people] == [2]
    assert [each.id for each in record(images, person="70,30@20").people] == [2]
    assert any("2 people are in the clip" in sentence for sentence in record(images, person="largest").warnings)
    for wanted, sentence in (("7", "there are 1, 2"), ("5,60@20", "nobody is at"), ("a,b", "no place in the picture")):
        with pytest.raises(RequestRefused, match=sentence):
            record(images, person=wanted)


def scene(seed: int, x: float) -> Image:
    """A background with edges of its own, dark enough not to be a person."""
    rng = np.random.default_rng(seed)
    image = cv2.resize(
        rng.integers(0, 2, (2 + 3 * seed, 3 + 4 * seed, 3), np.uint8) * np.uint8(90),
        (96, 64),
        interpolation=cv2.INTER_NEAREST,
    )
    person = frame([x])
    return np.where(person.any(axis=2, keepdims=True), person, image).astype(np.uint8)


def test_a_cut_ends_a_track_and_is_told() -> None:
    pose = record([scene(1 if i < 20 else 2, 40.0) for i in range(40)])
    assert pose.cuts == [20]
    assert [(each.id, each.first, each.last) for each in pose.people] == [(1, 0, 19), (2, 20, 39)]
    assert any("cut at frame 20" in sentence for sentence in pose.warnings)
    assert FakeEstimator.made[-1].resets == 1


def test_a_light_that_goes_on_is_no_cut() -> None:
    lit = [np.clip(scene(1, 40.0).astype(int) + (40 if i >= 20 else 0), 0, 255).astype(np.uint8) for i in range(40)]
    assert record(lit).cuts == []


def test_one_frame_is_a_pose() -> None:
    pose = record([frame([40.0])])
    assert pose.people[0].rotation.shape == (1, 51, 4)
    assert any("one frame" in sentence for sentence in pose.warnings)
    assert loads(dumps(pose)).frames == 1


def test_nobody_and_nothing_are_refused() -> None:
    with pytest.raises(RequestRefused, match="nobody was found"):
        record([frame([None])] * 5)
    with pytest.raises(RequestRefused, match="no frames"):
        record([])


def test_somebody_upside_down_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    person = FakeEstimator._person

    def turned(self: FakeEstimator, x: float) -> Any:
        seen = person(self, x)
        seen.world[:, :2] *= -1
        seen.landmarks[:, :2] = 2 * seen.landmarks[[23, 24], :2].mean(axis=0) - seen.landmarks[:, :2]
        return seen

    monkeypatch.setattr(FakeEstimator, "_person", turned)
    assert any("upside down" in sentence for sentence in record([frame([40.0])] * 10).warnings)


def test_memory_grows_by_people_and_not_by_frames() -> None:
    recording = Recording(FakeEstimator(EstimatorOptions()), 24.0, PoseOptions(estimator="fake"), {"name": "a"})
    tracemalloc.start()
    for found in recording.watch(many(600)):
        if found.index == 100:
            before = tracemalloc.get_traced_memory()[0]
    grown = (tracemalloc.get_traced_memory()[0] - before) / 499
    tracemalloc.stop()
    assert grown < 8000  # bytes a frame: 80 MB for ten thousand, where the frames of 720p would be 27 GB
    assert recording.finish().frames == 600


def test_watching_ends_when_it_is_cancelled() -> None:
    seen: list[int] = []
    recording = Recording(FakeEstimator(EstimatorOptions()), 24.0, PoseOptions(estimator="fake"), {"name": "a"})
    seen.extend(found.index for found in recording.watch(many(1000), lambda: len(seen) >= 3))
    assert len(seen) <= 4


def test_a_film_and_a_folder_of_pictures_give_the_same(tmp_path: Path) -> None:
    images = [frame([20 + i]) for i in range(24)]
    path = film(tmp_path / "walk.mp4", images)
    folder = tmp_path / "stills"
    folder.mkdir()
    for index, image in enumerate(images):
        cv2.imwrite(str(folder / f"{index}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    one, other = (estimate_clip(each, PoseOptions(estimator="fake")) for each in (path, folder))
    assert (one.frames, other.frames) == (24, 24)
    assert one.fps == other.fps == 24.0
    assert np.abs(one.people[0].landmarks - other.people[0].landmarks).max() < 2
    assert one.source["name"] == "walk.mp4"
    assert len(one.source["sha256"]) == 64
    assert all(each.closed for each in FakeEstimator.made)


@pytest.mark.parametrize(("fps", "count"), [(12.0, 12), (24.0, 24), (48.0, 47), (10.0, 10)])
def test_a_film_is_read_at_any_rate(tmp_path: Path, fps: float, count: int) -> None:
    path = film(tmp_path / "walk.mp4", [frame([20 + i]) for i in range(24)])
    found = [float(np.flatnonzero(image[30, :, 0] > 150).mean()) for image in frames(open_footage(path, fps))]
    assert len(found) == pytest.approx(count, abs=1)
    np.testing.assert_allclose(found, 20 + np.minimum(np.arange(len(found)) / fps * 24, 23), atol=1.1)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("no.mp4", "there is no such file"), ("bad.mp4", "cannot be read as a film"), ("empty", "no pictures")],
)
def test_what_is_no_film_is_refused(tmp_path: Path, name: str, sentence: str) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing of the kind")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestRefused, match=sentence):
        open_footage(tmp_path / name)


def test_pictures_of_two_sizes_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((64, 64, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "2.png"), np.zeros((64, 32, 3), np.uint8))
    with pytest.raises(RequestRefused, match="one size"):
        list(frames(open_footage(tmp_path)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [({"height": 9.0}, "height of 9 m"), ({"field_of_view": 0.0}, "field of view"), ({"people": 99}, "99 people")],
)
def test_numbers_that_cannot_be_are_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RequestRefused, match=sentence):
        record([frame([40.0])], **changes)


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(RequestRefused, match="there are mediapipe, fake"):
        open_estimator("kinect")


def test_a_missing_model_is_told_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    monkeypatch.setenv("WANSTAGE_MEDIAPIPE_MODELS", str(tmp_path))
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path)
    with pytest.raises(RequestRefused, match="wanstage models pull pose"):
        open_estimator()
