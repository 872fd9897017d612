"""Somebody new is looked at again backwards; glimpses are nobody; frames come ahead without being lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from tests.unit.pose.fakes import FakeEstimator, frame
from wan_models.engine import RequestRefused
from wan_models.pose.build import PoseOptions
from wan_models.pose.clip import Recording
from wan_models.pose.estimator import EstimatorOptions, Image, Seen, every_frame
from wan_models.pose.lookback import AHEAD
from wan_models.pose.posefile import PoseFile
from wan_models.pose.tracks import lasting

FPS = 24.0
BLIND, UNSETTLED = 3, 7  # frames


class Settling(FakeEstimator):
    """Overlooks a person at first and then has the arms wrong for a while, as trackers do."""

    settles = True

    def __init__(self, options: EstimatorOptions, late: int = 0) -> None:
        super().__init__(options)
        self.looks = 0
        self.children: list[Settling] = []

    def find(self, image: Image, time_s: float) -> list[Seen]:
        people = super().find(image, time_s)
        self.looks = self.looks + 1 if people else 0
        if self.looks <= BLIND:
            return []
        return [self._wrong(each) for each in people] if self.looks <= UNSETTLED else people

    def _wrong(self, seen: Seen) -> Seen:
        marks = seen.landmarks.copy()
        marks[11:17, 1] += 30
        marks[23:29, 0] += 25
        return replace(seen, landmarks=marks)

    def fresh(self) -> Settling:
        self.children.append(Settling(self.options))
        return self.children[-1]

    def reset(self) -> None:
        super().reset()
        self.looks = 0


def watched(images: Sequence[Image]) -> tuple[Settling, Recording]:
    estimator = Settling(EstimatorOptions())
    recording = Recording(estimator, FPS, PoseOptions(estimator="fake"), {"name": "a"})
    for _ in recording.watch(images):
        pass
    return estimator, recording


def ankle_to_shoulder(pose: PoseFile, index: int) -> float:
    """Pixels down from the shoulders to the ankles."""
    marks = pose.people[0].landmarks[index]
    return float(marks[[27, 28], 1].mean() - marks[[11, 12], 1].mean())


def test_a_persons_first_frames_are_seen_as_well_as_the_later_ones() -> None:
    estimator, recording = watched([frame([40.0])] * 40)
    pose = recording.finish()
    assert (pose.people[0].first, pose.people[0].last) == (0, 39)
    usual = ankle_to_shoulder(pose, 35)
    assert all(ankle_to_shoulder(pose, index) == pytest.approx(usual, rel=0.25) for index in range(12))
    assert len(estimator.children) == 1
    assert estimator.children[0].closed


def test_who_comes_back_after_a_gap_is_looked_at_again() -> None:
    images = [frame([40.0 if not 30 <= i < 40 else None]) for i in range(70)]
    estimator, recording = watched(images)
    person = recording.finish().people[0]
    known = np.flatnonzero(np.isfinite(person.landmarks[:, 0, 0]))
    assert set(range(30)) | set(range(40, 70)) == set(known.tolist())
    assert len(estimator.children) == 2


def test_a_second_look_stays_behind_the_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wan_models.pose.cuts.CutFinder.is_cut", lambda self, image: bool(image[0, 0, 0]))
    second = frame([60.0])
    second[0, 0] = 1  # where the cut is; too dark to be a person
    images = [frame([40.0])] * 20 + [second] + [frame([60.0])] * 29
    _, recording = watched(images)
    people = recording.finish().people
    assert [(each.first, each.last) for each in people] == [(0, 19), (20, 49)]


def test_a_clip_shorter_than_the_look_is_mended_at_its_end() -> None:
    _, recording = watched([frame([40.0])] * (AHEAD - 2))
    assert recording.finish().people[0].first == 0


def test_nobody_is_made_of_what_flickers() -> None:
    images = [frame([40.0, 80.0 if 20 <= i < 22 + BLIND else None]) for i in range(50)]
    _, recording = watched(images)
    assert [each.id for each in recording.finish().people] == [1]


def seen() -> Seen:
    return Seen(np.zeros((33, 4), np.float32), np.zeros((33, 4), np.float32))


def test_glimpses_far_from_the_rest_are_left_out() -> None:
    frames = [*range(20), *range(40, 42), *range(60, 90), *range(92, 94)]
    found = lasting({each: seen() for each in frames}, 24.0)
    assert sorted(found) == [*range(20), *range(60, 90), *range(92, 94)]
    assert sorted(lasting({3: seen(), 40: seen()}, 24.0)) == [3, 40]  # better than nothing


def test_hands_are_looked_for_at_least_twelve_times_a_second() -> None:
    for fps in (12.0, 16.0, 24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 120.0, 240.0):
        assert fps / every_frame(fps) >= 12.0
    assert (every_frame(16.0), every_frame(24.0), every_frame(30.0), every_frame(60.0)) == (1, 2, 2, 5)


def test_a_film_that_turns_out_damaged_is_told_as_before() -> None:
    def images() -> Iterator[Image]:
        yield frame([40.0])
        problem = "clip.mp4 is damaged"
        raise RequestRefused(problem)

    recording = Recording(FakeEstimator(EstimatorOptions()), FPS, PoseOptions(estimator="fake"), {"name": "a"})
    with pytest.raises(RequestRefused, match="damaged"):
        list(recording.watch(images()))


def test_a_watch_that_is_dropped_leaves_no_thread() -> None:
    import threading

    before = threading.active_count()
    watch = Recording(FakeEstimator(EstimatorOptions()), FPS, PoseOptions(estimator="fake"), {"name": "a"}).watch(
        [frame([40.0])] * 50
    )
    next(watch)
    watch.close()
    assert threading.active_count() == before
