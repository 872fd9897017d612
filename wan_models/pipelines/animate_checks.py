"""What ``animate`` and ``replace`` need of a request, said before anything is loaded. No torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wan_models import shots
from wan_models.engine import RequestRefused
from wan_models.requests import (
    BEHIND,
    BODY_POINTS,
    HAND_POINTS,
    MISSING,
    SCORE,
    STATE,
    Character,
    DrivePack,
    Lora,
    Maps,
    Reference,
    Request,
)
from wan_models.rows import ModelRow

from .animate_inputs import AnimateInputs

DRAWN = 0.5  # the score from which the official drawing shows a joint
FACE_SHAPE = (512, 512, 3)


def check(row: ModelRow, request: Request) -> None:
    """Raise RequestRefused, with one sentence, for a request that ``generate`` could not do."""
    pack = shot(request)
    shots.check_fit(request, pack)
    character = driven(pack)
    check_reference(character)
    check_pose(character, request.frames)
    if len(character.face) and character.face[0].shape != FACE_SHAPE:
        msg = f"the face clip of {character.name} has pictures of {character.face[0].shape}; {FACE_SHAPE} is needed"
        raise RequestRefused(msg)
    if request.task == "replace":
        _check_replace(pack, character, request.frames)


def shot(request: Request) -> DrivePack:
    """The request's drive pack. Raises RequestRefused when it has none, or nobody in it."""
    pack = shots.given(request)
    shots.check_people(pack)
    return pack


def driven(pack: DrivePack) -> Character:
    """The first character that has a reference: Animate knows one person. Raises RequestRefused when none has."""
    found = next((each for each in pack.characters if each.reference is not None), None)
    if found is None:
        names = ", ".join(each.name for each in pack.characters)
        msg = f"no character has a reference image ({names}); choose a picture of the person to animate"
        raise RequestRefused(msg)
    return found


def remarks(request: Request) -> tuple[str, ...]:
    """What the user should know before the work begins; the request has passed ``check``."""
    pack = shot(request)
    chosen = driven(pack)
    others = [each.name for each in pack.characters if each is not chosen]
    found = []
    if others:
        found.append(
            f"Animate knows one person: {chosen.name} is driven, {', '.join(others)} "
            f"{'is' if len(others) == 1 else 'are'} not; use one job for each"
        )
    if request.task == "replace" and not has_depth(pack, request.frames):
        found.append(f"the shot has no depth maps, so nothing is kept in front of {chosen.name}; capture it with them")
    if request.task == "animate" and request.animate.relight:
        found.append("relighting is for replacement only: it has no effect on this job")
    return tuple(found)


def has_depth(pack: DrivePack, frames: int) -> bool:
    """Whether every frame has a depth map to tell what is in front."""
    return len(pack.depth) >= frames


def job_loras(row: ModelRow, request: Request) -> tuple[Lora, ...]:
    """The request's LoRAs, and the relighting one when replacement asks for it."""
    if request.task != "replace" or not request.animate.relight:
        return request.loras
    return (*request.loras, Lora(str(row.extras["relighting_lora"])))


def check_reference(character: Character) -> None:
    """Its reference is a picture, and not all transparent. Raises RequestRefused."""
    reference = character.reference or Reference(np.zeros((0, 0, 4), np.uint8))
    image = reference.image
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8 or min(image.shape[:2]) < 1:
        msg = (
            f"the reference of {character.name} has shape {image.shape} of {image.dtype}; "
            "an RGB or RGBA picture of 8 bits a channel is needed"
        )
        raise RequestRefused(msg)
    if image.shape[2] == 4 and not (image[..., 3] > 0).any():
        msg = f"the reference of {character.name} is fully transparent; export it with the person opaque"
        raise RequestRefused(msg)


def check_pose(character: Character, frames: int) -> None:
    """Its tracks have numbers for so many frames, and a joint is seen in one of them. Raises RequestRefused."""
    pose = character.pose
    tracks = [("pose", pose.body, BODY_POINTS)]
    for side, hand in (("left hand", pose.left_hand), ("right hand", pose.right_hand)):
        if hand is not None:
            tracks.append((side, hand, HAND_POINTS))
    for what, track, names in tracks:
        _check_track(character.name, what, track, names, frames)
    if not _drawn(pose.body[:frames]).any():
        msg = (
            f"no joint of {character.name} is seen in any of the {frames} frames; "
            "point the camera at the character, or check the bone map"
        )
        raise RequestRefused(msg)


def _check_track(name: str, what: str, track: NDArray[np.float32], points: tuple[str, ...], frames: int) -> None:
    if track.ndim != 3 or track.shape[1:] != (len(points), 5) or len(track) < frames:
        msg = f"the {what} track of {name} has shape {track.shape}; ({frames}, {len(points)}, 5) is needed"
        raise RequestRefused(msg)
    broken = _used(track[:frames]) & ~np.isfinite(track[:frames, :, : SCORE + 1]).all(axis=2)
    if broken.any():
        frame, joint = (int(each) for each in np.argwhere(broken)[0])
        msg = f"the {what} track of {name} is not a number at frame {frame}, {points[joint]}; capture again"
        raise RequestRefused(msg)


def _used(track: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(T, n): joints that the rig has, before the camera, and that the sender is not without any idea of."""
    return np.asarray(~np.isin(track[..., STATE], (BEHIND, MISSING)) & (track[..., SCORE] != 0.0))


def _drawn(track: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(_used(track) & (track[..., SCORE] >= DRAWN))


def _check_replace(pack: DrivePack, character: Character, frames: int) -> None:
    needs = (
        ("plate", pack.plate, "the pictures that the person is put into", (pack.height, pack.width, 3)),
        ("mask", pack.mask, "where the person is", (pack.height, pack.width)),
        ("depth", pack.depth, "what is in front", (pack.height, pack.width)),
    )
    for name, maps, why, shape in needs:
        if len(maps) or name != "depth":
            _check_maps(name, maps, why, shape, frames)
    if not AnimateInputs(pack, character, frames).has_masks():
        msg = (
            f"the mask of {character.name} (value {character.index}) is empty in all {frames} frames; "
            "capture the character in view, or mark the person to be replaced"
        )
        raise RequestRefused(msg)


def _check_maps(name: str, maps: Maps, why: str, shape: tuple[int, ...], frames: int) -> None:
    if len(maps) < frames:
        has = f"has {len(maps)} of {frames} pictures" if len(maps) else "is missing"
        msg = f"replace needs the {name} track ({why}), but it {has}; capture the shot with it"
        raise RequestRefused(msg)
    if maps[0].shape != shape:
        msg = f"the {name} pictures have shape {maps[0].shape} but the shot needs {shape}; capture again"
        raise RequestRefused(msg)
