"""A talking shot whose body follows the drive pack: the draft animate moves the person, the sound moves the face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from wan_models.draft import animate
from wan_models.draft.animate.actor import Actor
from wan_models.draft.animate.generate import Direction
from wan_models.draft.animate.generate import generate as animate_shot
from wan_models.engine import RequestRefused
from wan_models.events import Event, Warned
from wan_models.requests import Character, Reference, Request

from .find import find_face
from .gestures import Gestures
from .picture import body_of_look, same
from .talker import Talker

NO_FACE = (
    "No face was found on the person, so only the body follows the shot and no mouth moves; use a reference picture "
    "in which the face is seen from the front."
)


NOT_FIRST = "The first frame is not the reference image itself, as the body follows the shot's poses from there on."


def check_follow(request: Request) -> None:
    """Raise RequestRefused for a shot whose poses cannot be followed."""
    if request.pack is None or not request.pack.characters:
        problem = (
            "the body cannot follow the shot's poses, as there is no drive pack with a character; capture the shot, or "
            "turn off following the pose"
        )
        raise RequestRefused(problem)
    animate.check(as_animate(request))


def as_animate(request: Request) -> Request:
    """The shot as the draft animate takes it: the first character, who talks, is the person of the job's picture."""
    pack = request.pack
    if pack is None or not pack.characters:
        return request
    first = replace(pack.characters[0], reference=_person(request, pack.characters[0]))
    return replace(request, task="animate", pack=replace(pack, characters=(first, *pack.characters[1:])))


def _person(request: Request, character: Character) -> Reference | None:
    """The job's image, with the joints of the character's own reference where it is that picture; else that reference;
    else the character as the pack's look shows it."""
    own = character.reference
    if request.image is not None:
        if own is not None and same(request.image, own.image):
            return own
        return Reference(_with_alpha(request.image, None))
    if own is not None:
        return own
    pack = request.pack
    if pack is None or pack.look is None:
        return None
    alpha = None
    if len(pack.mask):
        mask = np.where(pack.mask[0] == character.index, 255, 0).astype(np.uint8)
        size = (pack.look.shape[1], pack.look.shape[0])
        alpha = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return Reference(_with_alpha(pack.look, alpha), body_of_look(request), source="rig")


def _with_alpha(image: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    if image.shape[2] == 4:
        return image
    opaque = np.full(image.shape[:2], 255, np.uint8) if alpha is None else alpha
    return np.dstack([image, opaque])


def follow(request: Request, gestures: Gestures, cancelled: Callable[[], bool]) -> Iterator[Event]:
    """The events of the draft animate, the first character talking; a Warned where it has no face to see."""
    said: list[str] = []

    def direct(actors: list[Actor]) -> Direction:
        return _talking(actors[0], gestures, said)

    if request.talk.start_from_reference:
        yield Warned(NOT_FIRST)
    for event in animate_shot(as_animate(request), cancelled, direct):
        while said:
            yield Warned(said.pop())
        yield event


def _talking(actor: Actor, gestures: Gestures, said: list[str]) -> Direction:
    picture = actor.puppet_image[..., :3].astype(np.float32) * actor.gains.astype(np.float32)
    lit = np.ascontiguousarray(np.rint(np.minimum(picture, 255)).astype(np.uint8))
    joints = actor.puppet.skin.rest[:20]
    body = np.concatenate([joints, np.ones((20, 1))], axis=1).astype(np.float32)
    found = find_face(lit, body)
    if found.face is None:
        said.append(NO_FACE)
        return lambda _: None
    if found.sentence:
        said.append(found.sentence)
    talker = Talker(lit, found.face, only_face=True)
    return lambda t: actor.show_face(talker.frame(gestures, t))
