"""The reference picture of a talking shot: which one it is, and how it fills the frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wan_models.draft.i2v.opencv import cv2
from wan_models.engine import RequestRefused
from wan_models.requests import Request, X, Y

from .face import Floats

Picture = NDArray[np.uint8]

GREY = 128  # what lies behind a cut-out person
MIN_SIDE = 16


@dataclass(frozen=True)
class Given:
    """``image`` uint8 (h,w,3 or 4) as it came, ``body`` (20,3) joints in its pixels where known."""

    image: Picture
    body: Floats | None = None


def given(request: Request) -> Given:
    """The request's image (with the joints of the character's reference that it is), else the pack's look, else the
    first reference of a character. Raises RequestRefused."""
    pack = request.pack
    if request.image is not None:
        references = [character.reference for character in pack.characters] if pack is not None else []
        own = next((each for each in references if each is not None and same(request.image, each.image)), None)
        return Given(request.image, own.body if own is not None else None)
    if pack is not None and pack.look is not None:
        return Given(pack.look, body_of_look(request))
    for character in pack.characters if pack is not None else ():
        if character.reference is not None:
            return Given(character.reference.image, character.reference.body)
    problem = (
        "there is no picture of the person who talks: give a reference image, capture the first frame with materials, "
        "or choose a reference for a character"
    )
    raise RequestRefused(problem)


def same(image: Picture, other: Picture) -> bool:
    """Whether two pictures have the same colours, whatever their alpha."""
    return image.shape[:2] == other.shape[:2] and np.array_equal(image[..., :3], other[..., :3])


def body_of_look(request: Request) -> Floats | None:
    """The first character's joints in sample 0, in the look's pixels."""
    pack = request.pack
    if pack is None or pack.look is None or not pack.characters or not len(pack.characters[0].pose.body):
        return None
    body = pack.characters[0].pose.body[0]
    scale = np.array([pack.look.shape[1] / pack.width, pack.look.shape[0] / pack.height, 1], np.float32)
    return np.asarray(body[:, [X, Y, 2]] * scale, np.float32)


def check_picture(image: Picture) -> None:
    """Raise RequestRefused unless it can be drawn from."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4):
        problem = f"the reference image must be uint8 (height, width, 3 or 4), not {image.dtype} {image.shape}"
        raise RequestRefused(problem)
    if min(image.shape[:2]) < MIN_SIDE:
        problem = (
            f"the reference image is {image.shape[1]}x{image.shape[0]}; each side must be at least {MIN_SIDE} pixels, "
            "give a larger picture"
        )
        raise RequestRefused(problem)


def cover(source: Given, width: int, height: int) -> Given:
    """The picture scaled to cover width x height and cut at the centre, on grey where it is transparent; its joints
    with it."""
    image = _flat(source.image)
    high, wide = image.shape[:2]
    scale = max(width / wide, height / high)
    size = max(width, round(wide * scale)), max(height, round(high * scale))
    if size != (wide, high):
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, size, interpolation=how)
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    cut = np.ascontiguousarray(image[top : top + height, left : left + width])
    body = source.body
    if body is not None:
        body = body.copy()
        body[:, :2] = body[:, :2] * (size[0] / wide, size[1] / high) - (left, top)
    return Given(cut, body)


def _flat(image: Picture) -> Picture:
    if image.shape[2] == 3:
        return image
    alpha = image[..., 3:].astype(np.float32) / 255
    return np.rint(image[..., :3] * alpha + GREY * (1 - alpha)).astype(np.uint8)
