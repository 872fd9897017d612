"""The draft's i2v as an engine: events of one request."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from wan_models import redo
from wan_models.events import Event, FramesDecoded, StageStarted, StepDone, Warned

from .checks import check, first_frame
from .frames import FrameMaker
from .layers import Layers, part_colors, part_surfaces
from .samples import Samples
from .scale import scale_picture
from .trust import clean_rims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wan_models.requests import DrivePack, Request

    from .fill import Picture
    from .motion import Mask

STILL = (
    "There is no drive pack: the draft holds the picture still; "
    "submit from the scene, or with a bundle, to see the motion."
)
NO_ORIGIN = (
    "The drive pack has no origin maps: the set moves by depth and camera, "
    "and characters are the clay render in the picture's colours."
)
LITTLE = 0.1
LITTLE_KNOWN = "Only {:.0%} of this frame was seen in the first one; the rest is the clay render in matched colours."
Notes: TypeAlias = tuple[tuple[int, str], ...]


def generate(request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Frames of an i2v request, one at a time; frame 0 is the picture itself. Raises RequestRefused like ``check``."""
    check(request)
    picture = scale_picture(first_frame(request), request.width, request.height)
    wanted = redo.span(request)
    frames: Iterator[tuple[Picture, Notes]]
    if request.pack is None:
        yield Warned(STILL)
        frames = ((picture, ()) for _ in wanted)
    else:
        if not len(request.pack.origin):
            yield Warned(NO_ORIGIN)
        frames = _moved(request, request.pack, picture)
    yield StageStarted("draw", len(wanted))
    for number in range(len(wanted)):
        if cancelled():
            return
        frame, notes = next(frames)
        yield FramesDecoded(number, frame[np.newaxis], tuple((number, sentence) for _, sentence in notes))
        yield StepDone(number + 1, len(wanted))


def _moved(request: Request, pack: DrivePack, picture: Picture) -> Iterator[tuple[Picture, Notes]]:
    wanted = redo.span(request)
    if wanted.start == 0:
        yield picture, ()
    wanted = wanted[1:] if wanted.start == 0 else wanted
    samples = Samples(pack, request.width, request.height)
    if samples.moves_background and request.image is None:
        layers = Layers(samples, pack, picture)
        for index in wanted:
            where, known = samples.motion(index)
            yield layers.frame(index, where, known), _notes(index, known)
        return
    maker = FrameMaker(clean_rims(picture, samples.mask(0)), samples.clay(0), samples.mask(0))
    parts = part_colors(samples, pack, picture)
    for index in wanted:
        where, known = samples.motion(index)
        depth = partial(samples.inverse, index) if len(pack.depth) else None
        surfaces = part_surfaces(samples, pack, parts, index)
        doubtful = samples.doubtful(index, where, known)
        yield (
            maker.make(where, known, samples.base(index), samples.mask(index), depth, surfaces, doubtful),
            _notes(index, known),
        )


def _notes(index: int, known: Mask) -> Notes:
    share = np.count_nonzero(known) / known.size
    return ((index, LITTLE_KNOWN.format(share)),) if share < LITTLE else ()
