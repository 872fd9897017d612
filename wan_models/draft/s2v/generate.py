"""``check`` and ``generate`` of the draft s2v task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from wan_models import redo
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, StageStarted, StepDone, Warned
from wan_models.requests import Request, Sound
from wan_models.sound import check_sound, read_wave

from .find import find_face
from .follow import check_follow, follow
from .gestures import Gestures, perform
from .picture import check_picture, cover, given
from .speech import RATE, listen
from .talker import Moves, Swaying, Talker

_HEARD_S = 0.2  # of the sound is heard even for a shot of one frame


def check(request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do."""
    sound = _sound(request)
    if request.frames < 1 or not (math.isfinite(request.fps) and request.fps > 0):
        problem = (
            f"{request.frames} frames at {request.fps:g} a second are no shot; ask for at least 1 frame above 0 fps"
        )
        raise RequestRefused(problem)
    check_picture(given(request).image)
    if request.talk.follow_pose:
        check_follow(request)
    check_sound(sound, max(request.frames / request.fps, _HEARD_S))


def generate(request: Request, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """Listen, find the face, then yield one frame at a time. Raises RequestRefused like ``check``."""
    check(request)
    yield StageStarted("listen", 1)
    gestures = _gestures(request)
    yield StepDone(1, 1)
    if cancelled():
        return
    if request.talk.follow_pose:
        yield from follow(request, gestures, cancelled)
        return
    yield StageStarted("find", 1)
    picture = cover(given(request), request.width, request.height)
    found = find_face(picture.image, picture.body)
    if found.sentence:
        yield Warned(found.sentence)
    moves: Moves = Talker(picture.image, found.face) if found.face is not None else Swaying(picture.image)
    yield StepDone(1, 1)
    wanted = redo.span(request)
    yield StageStarted("talk", len(wanted))
    for number, index in enumerate(wanted):
        if cancelled():
            return
        yield FramesDecoded(number, moves.frame(gestures, index)[None])
        yield StepDone(number + 1, len(wanted))


def _gestures(request: Request) -> Gestures:
    wave = read_wave(_sound(request), seconds=(request.frames + 1) / request.fps, rate=RATE)
    speech = listen(wave, request.fps, request.frames)
    return perform(speech, request.fps, request.seed, from_rest=request.talk.start_from_reference)


def _sound(request: Request) -> Sound:
    if request.sound is None:
        problem = "s2v needs a sound that drives the shot; choose a sound strip, a speaker or a sound file"
        raise RequestRefused(problem)
    return request.sound
