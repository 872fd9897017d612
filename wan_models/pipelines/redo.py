"""What a video model is asked in place of a part of a clip, so that it begins with the frames before the part and,
where it can, ends at the frame behind it.

| family        | goes on from                                      | meets the frame behind                    |
|---------------|---------------------------------------------------|-------------------------------------------|
| i2v           | the frame before, its first picture               | it is the last picture (flf2v)            |
| ti2v          | the frame before, its first picture               | no                                        |
| animate       | 1 or 5 frames before, a segment's own overlap     | no; it follows the same poses             |
| animate2      | 1 frame before, a segment's own                   | no; it follows the same render            |
| s2v           | up to 73 frames before, a clip's motion frames    | no; it hears the same sound               |
| t2v           | it cannot                                         |                                           |

One character is made again by Animate alone, by replacement within the clip's own frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from wan_models import redo
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, Preview, Warned
from wan_models.requests import DrivePack, Request
from wan_models.rows import ModelRow

from .animate_inputs import AnimateInputs
from .checks import check_part, first_image
from .s2v_clips import MOTION_FRAMES

SHORT = 1
"""Frames that Animate and Animate-2 go on from where there are not more of them."""


@dataclass(frozen=True)
class InPlace:
    """``request``: a whole clip, which the model makes in place of the part; its frames from ``skip`` on are the
    part's. ``sentences``: what the user should know.
    """

    request: Request
    skip: int = 0
    sentences: tuple[str, ...] = ()


def asked(row: ModelRow, request: Request) -> InPlace:
    """What the model makes for a part of a clip. Raises RequestRefused where it cannot, or kept frames lack."""
    check_part(row, request)
    redo.check(request)
    if row.family in ("animate", "animate2"):
        return _followed(row, request)
    return _heard(request) if row.family == "s2v" else _between(row, request)


def remade(row: ModelRow, request: Request, make: Callable[[Request], Iterator[Event]]) -> Iterator[Event]:
    """The part's frames, numbered from 0 and put into the clip; ``make`` gives the events of a whole clip."""
    plan = asked(row, request)
    for sentence in plan.sentences:
        yield Warned(sentence)
    part = redo.part(request)
    region = _replaced(plan, part.first - plan.skip) if part.character else None
    events = _only(make(plan.request), plan.skip, part.count)
    yield from redo.finished(request, events, region)


def _only(events: Iterator[Event], skip: int, count: int) -> Iterator[Event]:
    """The frames ``skip`` to ``skip + count - 1``, numbered from 0; nothing behind the last of them is waited for."""
    try:
        for event in events:
            if isinstance(event, Preview):
                yield replace(event, index=min(max(event.index - skip, 0), count - 1))
            elif not isinstance(event, FramesDecoded):
                yield event
            else:
                first = max(skip - event.first, 0)
                frames = event.frames[first : skip + count - event.first]
                if len(frames):
                    yield FramesDecoded(event.first + first - skip, frames)
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


# ---- from picture to picture ------------------------------------------------------------------------


def _between(row: ModelRow, request: Request) -> InPlace:
    """A clip from the frame before the part to the one behind it; more kept frames are taken at its ends until the
    model can make so many frames.
    """
    part, last_frame = redo.part(request), request.frames - 1
    meets = "flf2v" in row.tasks and (part.last < last_frame or request.last_image is not None)
    first, last = max(part.first - 1, 0), part.last + (part.last < last_frame and meets)
    lacking = _rounded(row, last - first + 1, meets) - (last - first + 1)
    if meets:
        behind = min(lacking, last_frame - last)
        first, last = first - (lacking - behind), last + behind
        if first < 0:
            problem = f"{row.name} makes {row.frame_step}n + 1 frames, which no part of this clip has: redo all of it"
            raise RequestRefused(problem)
    else:
        last += lacking
    image = _picture(request, first) if part.first else first_image(request)
    ends = (_picture(request, last) if last < last_frame else _last(request)) if meets else None
    plain = replace(
        request, task="flf2v" if meets else "i2v", frames=last - first + 1, image=image, last_image=ends,
        pack=None, redo=None,
    )  # fmt: skip
    open_end = part.last < last_frame and not meets
    sentence = f"{row.name} takes no last picture: the end of the part is blended with the clip, no more"
    return InPlace(plain, part.first - first, (sentence,) if open_end else ())


def _rounded(row: ModelRow, count: int, meets: bool) -> int:
    """The next number of frames that the model makes."""
    least = row.frame_step + 1 if meets else 1
    return max(-(-(count - 1) // row.frame_step) * row.frame_step + 1, least)


def _picture(request: Request, frame: int) -> redo.Frame:
    """A kept frame of the clip. Raises RequestRefused when it was not sent."""
    return redo.kept(redo.part(request), frame, request.height, request.width)


def _last(request: Request) -> redo.Frame:
    """The picture that the clip ends with: its own last frame where that is kept, else the one it was asked for."""
    part, frame = redo.part(request), request.frames - 1
    if part.last < frame or request.last_image is None:
        return _picture(request, frame)
    return request.last_image


# ---- following a shot -------------------------------------------------------------------------------


def _followed(row: ModelRow, request: Request) -> InPlace:
    """Animate: the frames before are the overlap of the first segment, then the shot's own samples follow."""
    part = redo.part(request)
    if request.pack is None:
        problem = f"{row.name} follows a captured shot: send its drive pack"
        raise RequestRefused(problem)
    most = request.animate.overlap if row.family == "animate" else SHORT
    before = redo.frames_before(request, most)
    before = before[-SHORT:] if len(before) < most else before
    start = part.first - len(before)
    pack = redo.cut_pack(request.pack, start, part.last)
    animate = request.animate
    if before and len(before) != animate.overlap:
        animate = replace(animate, overlap=1)
    plain = replace(
        request, frames=part.last - start + 1, pack=pack, animate=animate, before=tuple(before), redo=None
    )  # fmt: skip
    if part.character:
        plain = replace(plain, task="replace", pack=_within(pack, request, start))
    return InPlace(plain, len(before))


def _within(pack: DrivePack, request: Request, start: int) -> DrivePack:
    """The shot with one character, whose surroundings are the clip's own frames."""
    part = redo.part(request)
    return replace(
        pack,
        characters=tuple(each for each in pack.characters if each.index == part.character),
        plate=redo.Kept(request, start, part.last),
        mask=redo.Shown(request, start, part.last),
    )


def _replaced(plan: InPlace, start: int) -> redo.Region:
    """Where Animate replaces: the widened masks that the model works with. Its frame 0 is the clip's ``start``."""
    pack = plan.request.pack
    if pack is None:
        problem = "replacement follows a captured shot: send its drive pack"
        raise RequestRefused(problem)
    inputs = AnimateInputs(pack, pack.characters[0], plan.request.frames)

    def region(frame: int) -> redo.Where:
        return np.asarray(inputs.mask(frame - start) != 0)

    return region


# ---- sound ------------------------------------------------------------------------------------------


def _heard(request: Request) -> InPlace:
    """S2V: the frames before are its motion frames; sound and poses are those of the part."""
    part = redo.part(request)
    sound = request.sound
    if sound is not None:
        sound = replace(sound, start=sound.start + part.first / request.fps)
    pack = redo.cut_pack(request.pack, part.first, part.last) if request.pack is not None else None
    before = tuple(redo.frames_before(request, MOTION_FRAMES))
    return InPlace(replace(request, frames=part.count, pack=pack, sound=sound, before=before, redo=None))
