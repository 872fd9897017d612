"""A whole clip: frames in, people per frame out as they are found, a pose file at the end. Bounded memory: a frame is
forgotten as soon as its people are known, a person takes about 3 kB a frame.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wan_models.engine import RequestRefused

from .build import PoseOptions, build
from .cuts import CutFinder
from .estimator import Estimator, EstimatorOptions, Image, Seen, every_frame, open_estimator
from .footage import Footage, frames, open_footage
from .lookback import LookBack
from .posefile import PoseFile
from .sight import Clip
from .tracks import Tracker, choose, lasting

_BLOCK = 1 << 20


@dataclass(frozen=True)
class FrameFound:
    """The people of one frame: the ids of their tracks, and what was seen of each."""

    index: int
    people: tuple[tuple[int, Seen], ...]


class Recording:
    """Follows people through frames. ``watch`` yields what each frame shows; ``finish`` gives the file."""

    def __init__(self, estimator: Estimator, fps: float, options: PoseOptions, source: dict[str, Any]) -> None:
        """``source``: what the file's header says about the clip; its size is added."""
        options.check()
        self._estimator, self._fps, self._options = estimator, fps, options
        self._source = source
        self._tracker = Tracker(patience=max(2, round(fps)))
        self._cuts: list[int] = []
        self._count = 0
        self._size = (0, 0)

    def watch(self, images: Iterable[Image], cancelled: Callable[[], bool] = lambda: False) -> Iterator[FrameFound]:
        """The people of each frame, one frame late: bodies of a frame are found while hands and faces of the one before
        are. Ends early when ``cancelled``.
        """
        with closing(_ahead(images)) as coming:
            yield from self._watched(coming, cancelled, LookBack(self._estimator))

    def _watched(
        self, coming: Iterable[tuple[Image, bool]], cancelled: Callable[[], bool], back: LookBack
    ) -> Iterator[FrameFound]:
        waiting: tuple[int, Image, bool, Future[list[Seen]]] | None = None
        with ThreadPoolExecutor(1, "pose refine") as pool:
            for index, (image, cut) in enumerate(coming):
                if cancelled() or index == self._options.frames:
                    break
                if cut:
                    self._estimator.reset()
                self._size, self._count = (image.shape[1], image.shape[0]), index + 1
                bodies = self._estimator.find(image, index / self._fps)
                if waiting is not None:
                    yield self._take(*waiting, back=back)
                waiting = (index, image, cut, pool.submit(self._estimator.refine, image, bodies))
            if waiting is not None and not cancelled():
                yield self._take(*waiting, back=back)
                back.end_shot()

    def _take(self, index: int, image: Image, cut: bool, refined: Future[list[Seen]], *, back: LookBack) -> FrameFound:
        if cut:
            back.end_shot()
            self._cuts.append(index)
            self._tracker.end_shot()
        people = refined.result()
        kept = [replace(each, left_pixels=None, right_pixels=None, face_points=None) for each in people]
        tracks = self._tracker.add(index, image, kept)
        back.add(index, image, tracks)
        return FrameFound(index, tuple((track.id, seen) for track, seen in zip(tracks, people, strict=True)))

    def finish(self) -> PoseFile:
        """The pose file of those whom the options choose. Raises RequestRefused: no frame, nobody, no such person."""
        if not self._count:
            problem = "the clip has no frames: choose another"
            raise RequestRefused(problem)
        estimator, (width, height) = self._estimator, self._size
        for track in self._tracker.tracks:
            track.seen = lasting(track.seen, self._fps)
        chosen = choose(self._tracker.tracks, self._options.person, self._count)
        clip = Clip(
            frames=self._count,
            fps=self._fps,
            width=width,
            height=height,
            source={**self._source, "width": width, "height": height},
            estimator={"name": estimator.name, "version": estimator.version, "models": dict(estimator.models)},
            view_relative=estimator.view_relative,
            skin=estimator.skin,
            blendshapes=estimator.blendshapes,
            cuts=tuple(self._cuts),
            warnings=tuple(self._warnings(len(chosen))),
        )
        return build(clip, chosen, self._options)

    def _warnings(self, chosen: int) -> Iterator[str]:
        yield from self._estimator.missing
        if self._cuts:
            where = ", ".join(str(each) for each in self._cuts[:8])
            more = " ..." if len(self._cuts) > 8 else ""
            yield f"The clip is cut at frame {where}{more}: a person before and after a cut counts as two."
        if self._count == 1:
            yield "The clip has one frame: there is a pose, and no motion."
        known = len([each for each in self._tracker.tracks if len(each.seen) > self._count // 10])
        if known > chosen and self._options.person in {"largest", "longest"}:
            yield f"{known} people are in the clip and {self._options.person} took one: 'all' or an id takes others."


def _ahead(images: Iterable[Image]) -> Generator[tuple[Image, bool], None, None]:
    """Each frame and whether it begins a shot; the next one is decoded and compared while this one is looked at."""
    finder, source = CutFinder(), iter(images)

    def following() -> tuple[Image, bool] | None:
        image = next(source, None)
        return None if image is None else (image, finder.is_cut(image))

    with ThreadPoolExecutor(1, "pose frames") as pool:
        coming = pool.submit(following)
        while (found := coming.result()) is not None:
            coming = pool.submit(following)
            yield found


def sha256_of(path: Path) -> str:
    """Of a file; of a folder, of its files' names and sizes."""
    digest = hashlib.sha256()
    if path.is_dir():
        for each in sorted(path.iterdir()):
            digest.update(f"{each.name} {each.stat().st_size}\n".encode())
        return digest.hexdigest()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def estimate_clip(
    path: Path,
    options: PoseOptions | None = None,
    found: Callable[[FrameFound, Footage], None] = lambda _, __: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> PoseFile:
    """The pose file of a film, a picture or a folder of pictures. ``found`` is told of each frame.

    Raises RequestRefused: no such film, no model, nobody in it, numbers out of range.
    """
    options = options or PoseOptions()
    options.check()
    footage = open_footage(path, options.fps)
    wanted = EstimatorOptions(options.models, options.people, options.hands, options.face, every_frame(footage.fps))
    source = {"name": path.name, "sha256": sha256_of(path)}
    with closing(open_estimator(options.estimator, wanted)) as estimator:
        recording = Recording(estimator, footage.fps, options, source)
        with closing(frames(footage)) as images:  # type: ignore[type-var] # a generator
            for each in recording.watch(images, cancelled):
                found(each, footage)
        return recording.finish()
