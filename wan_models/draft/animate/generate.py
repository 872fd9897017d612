"""``check`` and ``generate`` of the draft animate task."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wan_models import redo, shots
from wan_models.draft.ahead import Ahead
from wan_models.draft.i2v import plate_frames
from wan_models.draft.i2v.checks import check_aspect
from wan_models.engine import RequestRefused
from wan_models.events import Event, FramesDecoded, StageStarted, StepDone
from wan_models.requests import BEHIND, BODY_POINTS, DEPTH, MISSING, STATE, Character, DrivePack, PoseTrack, Request

from .actor import Actor
from .composite import Scene, background, paint_clay
from .joints import check_reference, find_person
from .light import match_light

Direction = Callable[[int], None]


def check(request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do."""
    pack = shots.given(request)
    shots.check_fit(request, pack)
    shots.check_people(pack)
    for character in pack.characters:
        _check_track(character, request.frames)
    if pack.camera is not None and len(pack.camera.intrinsics) < request.frames:
        msg = (
            f"the camera track has {len(pack.camera.intrinsics)} samples but {request.frames} are asked; capture again"
        )
        raise RequestRefused(msg)
    named = [character for character in pack.characters if character.reference is not None]
    if not named:
        names = ", ".join(character.name for character in pack.characters)
        msg = f"no character has a reference image ({names}); choose a picture of the person to animate"
        raise RequestRefused(msg)
    _check_maps(request, pack)
    for character in named:
        if character.reference is not None:
            check_reference(character.name, character.reference)


def _check_track(character: Character, frames: int) -> None:
    body = character.pose.body
    if body.ndim != 3 or body.shape[1:] != (20, 5) or len(body) < frames:
        msg = f"the pose track of {character.name} has shape {body.shape}; ({frames}, 20, 5) is needed"
        raise RequestRefused(msg)
    known = ~np.isin(body[:frames, :, STATE], (BEHIND, MISSING))
    if not known.any():
        msg = f"{character.name} is behind the camera all through the shot; point the camera at the character"
        raise RequestRefused(msg)
    broken = known & ~np.isfinite(body[:frames, :, :DEPTH]).all(axis=2)
    if broken.any():
        frame, joint = (int(v) for v in np.argwhere(broken)[0])
        msg = (
            f"the pose track of {character.name} is not a number at frame {frame}, {BODY_POINTS[joint]}; capture again"
        )
        raise RequestRefused(msg)


def _check_maps(request: Request, pack: DrivePack) -> None:
    if pack.look_plate is not None:
        check_aspect(pack.look_plate.shape[1], pack.look_plate.shape[0], pack.width, pack.height, "background picture")
    for name in ("plate", "clay", "mask", "depth"):
        maps = getattr(pack, name)
        if not len(maps):
            continue
        if len(maps) < request.frames:
            msg = f"the {name} track has {len(maps)} pictures but {request.frames} frames are asked; capture again"
            raise RequestRefused(msg)
        if maps[0].shape[:2] != (pack.height, pack.width):
            size = f"{maps[0].shape[1]}x{maps[0].shape[0]}"
            msg = f"the {name} pictures are {size} but the shot is {pack.width}x{pack.height}; capture again"
            raise RequestRefused(msg)


def generate(
    request: Request, cancelled: Callable[[], bool], direct: Callable[[list[Actor]], Direction] | None = None
) -> Iterator[Event]:
    """Find and bind every reference, then yield one frame at a time; frames with notes are doubtful ones.

    The background is the pack's picture with materials (look_plate), moved by the scene's own motion, where it has
    one, else its clay plates. ``direct`` is called with the actors when all are bound; what it returns is called with
    each frame's index before that is drawn.

    Raises RequestRefused like ``check``, and when no person can be found in a reference.
    """
    check(request)
    if request.pack is None:
        return
    pack = _trimmed(request.pack, request.frames)
    named = [character for character in pack.characters if character.reference is not None]
    yield StageStarted("find", len(named))
    actors = []
    for done, character in enumerate(named, start=1):
        if cancelled():
            return
        if character.reference is not None:
            person = find_person(character.name, character.reference)
            actors.append(Actor(character, person, pack.camera))
        yield StepDone(done, len(named))
    pack = replace(pack, plate=Ahead(plate_frames(pack)))
    for actor in actors:
        actor.relight(match_light(actor, pack))
    direction = direct(actors) if direct is not None else None
    wanted = redo.span(request)
    yield StageStarted("animate", len(wanted))
    for t in range(wanted.stop):
        if cancelled():
            return
        if t < wanted.start:
            for actor in actors:
                actor.follow(t)
            continue
        if direction is not None:
            direction(t)
        number = t - wanted.start
        picture = render(pack, actors, t)
        yield FramesDecoded(number, picture[None], tuple((number, sentence) for _, sentence in _notes(actors, t)))
        yield StepDone(number + 1, len(wanted))


def _trimmed(pack: DrivePack, frames: int) -> DrivePack:
    """The pack with pose and camera tracks of just ``frames`` samples."""

    def first(track: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if track is None else track[:frames]

    characters = tuple(
        replace(
            character,
            pose=PoseTrack(
                character.pose.body[:frames], first(character.pose.left_hand), first(character.pose.right_hand)
            ),
        )
        for character in pack.characters
    )
    camera = pack.camera
    if camera is not None:
        camera = replace(
            camera, world_from_camera=camera.world_from_camera[:frames], intrinsics=camera.intrinsics[:frames]
        )
    return replace(pack, frames=frames, characters=characters, camera=camera)


def render(pack: DrivePack, actors: list[Actor], t: int) -> NDArray[np.uint8]:
    """Frame ``t`` (h,w,3): characters far to near over the background."""
    picture = background(pack, t, tuple(actor.character.index for actor in actors))
    scene = Scene(pack, t)
    by_index = {actor.character.index: actor for actor in actors}
    for character in sorted(pack.characters, key=lambda c: -_distance(c, t)):
        actor = by_index.get(character.index)
        if actor is None:
            paint_clay(picture, pack, t, character.index)
        else:
            actor.paint(picture, t, scene)
    return picture


def _distance(character: Character, t: int) -> float:
    depth = character.pose.body[t, 1:14, DEPTH]
    known = np.isfinite(depth)
    return float(depth[known].mean()) if known.any() else 0.0


def _notes(actors: list[Actor], t: int) -> tuple[tuple[int, str], ...]:
    found = []
    for actor in actors:
        prefix = f"{actor.character.name}: " if len(actors) > 1 else ""
        found += [(t, prefix + sentence) for sentence in actor.motion.notes.get(t, [])]
    return tuple(found)
