"""An estimator that sees a person wherever a picture is not black: as wide and high as the bright part of it.

Frames are painted by ``frame``: each person is a bright bar of a colour of its own, so tests know where everybody is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from tests.unit.pose.walker import walker
from wan_models.pose.estimator import EstimatorOptions, Image, Seen

SIZE = (96, 64)
COLOURS = ((255, 60, 60), (60, 60, 255), (60, 255, 60))
_TRUTH = walker(2.0, 24.0)


def frame(places: Sequence[float | None], background: int = 0) -> Image:
    """Persons at ``places`` (x of the middle, None = out of sight); the background is below what counts as bright."""
    image = np.full((SIZE[1], SIZE[0], 3), background, np.uint8)
    for place, colour in zip(places, COLOURS, strict=False):
        if place is not None:
            cv2.rectangle(image, (round(place) - 5, 8), (round(place) + 5, 56), colour, -1)
    return image


class FakeEstimator:
    """See ``Estimator``. Knows persons by colour but tells nobody: it gives them in the order of their places."""

    name, version = "fake", "1"
    view_relative = settles = False
    skin = (0.0, 0.0)
    missing: tuple[str, ...] = ()
    made: list[FakeEstimator] = []  # noqa: RUF012 - for the tests to look at

    def __init__(self, options: EstimatorOptions) -> None:
        self.options, self.models = options, {"fake.task": "00"}
        self.blendshapes: tuple[str, ...] = ("jawOpen",)
        self.count = self.resets = 0
        self.closed = False
        FakeEstimator.made.append(self)

    def find(self, image: Image, time_s: float) -> list[Seen]:
        found = []
        for colour in COLOURS:
            columns = np.flatnonzero((image.astype(int) - colour).__abs__().max(axis=2).min(axis=0) < 60)
            if len(columns):
                found.append(self._person(float(columns.mean())))
        self.count += 1
        return sorted(found, key=lambda each: float(each.landmarks[:, 0].mean()))

    def _person(self, x: float) -> Seen:
        points = _TRUTH.points()[self.count % len(_TRUTH.root)]
        local = points - points[[23, 24]].mean(axis=0)
        world = np.column_stack([local[:, 0], -local[:, 2], local[:, 1], np.ones(33)]).astype(np.float32)
        pixels = np.column_stack([x + 25 * world[:, 0], 30 + 25 * world[:, 1], 25 * world[:, 2], np.ones(33)])
        return Seen(pixels.astype(np.float32), world)

    def refine(self, image: Image, people: list[Seen]) -> list[Seen]:
        return people

    def fresh(self) -> FakeEstimator:
        return FakeEstimator(self.options)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


def film(path: Path, frames: Sequence[Image], fps: int = 24) -> Path:
    """The frames as a film."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = frames[0].shape[1], frames[0].shape[0], "yuv420p"
        stream.bit_rate = 4_000_000
        for image in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def many(count: int) -> Iterator[Image]:
    """Frames one after the other, none kept."""
    for index in range(count):
        yield frame([20 + index % 50])
