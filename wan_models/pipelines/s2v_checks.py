"""What ``s2v`` needs of a request, said before anything is loaded. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wan_models import shots
from wan_models.engine import RequestRefused
from wan_models.requests import Character, DrivePack, Request
from wan_models.rows import ModelRow
from wan_models.sound import SHORTEST_S, check_sound

from .animate_checks import check_pose, check_reference
from .animate_inputs import on_black
from .checks import FPS_TOLERANCE, check_image, check_talk

CUT = 0.1
"""A picture that loses less than this of its width or height is cut without a word: sizes go in steps of 64 pixels."""


def check(row: ModelRow, request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do. Opens the sound's file."""
    check_talk(row, request)
    image, name = person(request)
    check_image(image, name)
    if request.sound is not None:
        check_sound(request.sound, max(request.frames / row.fps, SHORTEST_S))  # a shot of one frame is shorter
    if request.talk.follow_pose:
        _check_shot(row, request)


def person(request: Request) -> tuple[NDArray[np.uint8], str]:
    """The picture of who speaks, RGB, and what it is called: the request's image, else how the shot's first sample
    looks, which stands where the pose does, else the reference of the first character that has one, over black.

    Raises RequestRefused where there is none, or the character's is no picture.
    """
    if request.image is not None:
        return request.image, "reference image"
    pack = request.pack
    if pack is not None and pack.look is not None:
        return pack.look, "shot's look"
    character = next((each for each in pack.characters if each.reference), None) if pack is not None else None
    if character is None or character.reference is None:
        problem = "s2v needs a picture of who speaks: choose an image, or capture the shot's look"
        raise RequestRefused(problem)
    check_reference(character)
    return on_black(character.reference.image), f"reference of {character.name}"


def moved(pack: DrivePack) -> Character:
    """Whose pose is followed: the first character that has a reference, else the first one."""
    return next((each for each in pack.characters if each.reference is not None), pack.characters[0])


def remarks(request: Request) -> tuple[str, ...]:
    """What the user should know before the work begins; the request has passed ``check``."""
    if not request.talk.follow_pose:
        return ()
    pack = shots.given(request)
    chosen = moved(pack)
    others = ", ".join(each.name for each in pack.characters if each is not chosen)
    if not others:
        return ()
    return (f"s2v follows the pose of one person: of {chosen.name}, not of {others}; use one job for each",)


def _check_shot(row: ModelRow, request: Request) -> None:
    pack = shots.given(request)
    shots.check_people(pack)
    shots.check_fit(request, pack)
    if not abs(pack.fps / row.fps - 1.0) <= FPS_TOLERANCE:
        problem = (
            f"{row.name} makes {row.fps:g} frames a second but the shot was captured at {pack.fps:g}: capture it again "
            f"at {row.fps:g}, or leave follow_pose out"
        )
        raise RequestRefused(problem)
    check_pose(moved(pack), request.frames)
