"""What no model can do, said in one sentence before any weight is loaded. No torch, and no numpy: a server asks about a
job spec before it queues it, an engine asks again about its request.

What a drive pack must hold is said by the models that take one (``animate_checks.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from wan_models.control.sizes import Size, animate_size, i2v_size, s2v_size, ti2v_size
from wan_models.engine import RequestRefused
from wan_models.rows import Family, ModelRow

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from wan_models.requests import Request

POSITIONS = 1024
"""Tokens a side, and latent frames, that the networks have positions for (``rope_max_seq_len``)."""
MOST_STEPS = 1000
FPS_TOLERANCE = 0.005
"""23.976 passes for 24."""

_PACKED: tuple[Family, ...] = ("animate", "animate2")
_SIZE_RULES: dict[Family, Callable[[int, int, int], Size]] = {
    "t2v": i2v_size,
    "i2v": i2v_size,
    "ti2v": ti2v_size,
    "animate": animate_size,
    "animate2": animate_size,
    "s2v": s2v_size,
}


class Asked(Protocol):
    """What a ``Request`` and the job spec that it is made of have in common; of pictures and sounds only that they are
    there.
    """

    @property
    def task(self) -> str: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def frames(self) -> int: ...
    @property
    def fps(self) -> float: ...
    @property
    def prompt(self) -> str: ...
    @property
    def image(self) -> Any: ...  # noqa: ANN401 - arrays or references
    @property
    def last_image(self) -> Any: ...  # noqa: ANN401
    @property
    def pack(self) -> Any: ...  # noqa: ANN401
    @property
    def sound(self) -> Any: ...  # noqa: ANN401
    @property
    def talk(self) -> Any: ...  # noqa: ANN401
    @property
    def sampler(self) -> Any: ...  # noqa: ANN401
    @property
    def redo(self) -> Any: ...  # noqa: ANN401


def check_asked(row: ModelRow, asked: Asked) -> None:
    """All that numbers, words and the mere presence of pictures and sounds tell. Raises RequestRefused."""
    if asked.redo is not None:
        check_part(row, asked)
        return
    check_request(row, asked)
    if row.family == "s2v":
        check_talk(row, asked)
    elif row.family not in _PACKED:
        _check_given(row, asked)


def check_request(row: ModelRow, request: Asked) -> None:
    """Task, size, length, rate and sampler. Raises RequestRefused."""
    if request.task not in row.tasks:
        problem = f"{row.name} does {' and '.join(row.tasks)}, not {request.task}: choose another model or task"
        raise RequestRefused(problem)
    _check_frames(row, request.frames)
    _check_numbers(row, request)


def check_part(row: ModelRow, asked: Asked) -> None:
    """What making a part of a clip again needs: a model that can go on from its frames. Raises RequestRefused."""
    _check_numbers(row, asked)
    part = asked.redo
    if row.family == "t2v":
        problem = (
            f"{row.name} makes clips of text alone and cannot go on from a frame: make this part with "
            "wan2.2-i2v-a14b or wan2.2-ti2v-5b, or the whole clip again"
        )
        raise RequestRefused(problem)
    if part.character and row.family != "animate":
        problem = (
            f"{row.name} cannot make one character again and leave the rest: make whole frames again, or the character "
            "with wan2.2-animate-14b or the draft"
        )
        raise RequestRefused(problem)
    if row.family in ("i2v", "ti2v") and part.first == 0 and not _has_image(asked):
        problem = (
            f"the part begins with the clip's first frame and {row.name} has no picture to begin from: let the part "
            "begin one frame later, or give a first image"
        )
        raise RequestRefused(problem)
    if row.family in _PACKED and asked.pack is None:
        problem = f"{row.name} follows a captured shot: send its drive pack, or choose wan2.2-i2v-a14b"
        raise RequestRefused(problem)
    if row.family == "s2v":
        check_talk(row, asked)
    if part.last - part.first + 1 > row.max_frames:
        problem = f"{row.name} makes at most {row.max_frames} frames at once: make a shorter part"
        raise RequestRefused(problem)


def _check_numbers(row: ModelRow, request: Asked) -> None:
    """Size, rate, sound and sampler."""
    _check_size(row, request.width, request.height)
    # Animate follows whatever rate the shot was captured at; the others make motion of one rate only.
    if row.family not in _PACKED and not abs(request.fps / row.fps - 1.0) <= FPS_TOLERANCE:
        problem = f"{row.name} makes {row.fps:g} frames a second, not {request.fps:g}: set the job to {row.fps:g}"
        raise RequestRefused(problem)
    if request.sound is not None and row.family != "s2v":
        problem = f"{row.name} does not listen to sound: leave the sound out, or choose a model that does s2v"
        raise RequestRefused(problem)
    _check_sampler(request)


def check_clip(row: ModelRow, request: Request) -> None:
    """What t2v, i2v and ti2v need besides: a text or pictures. Raises RequestRefused."""
    _check_given(row, request)
    for name, each in (("first image", first_image(request)), ("last image", request.last_image)):
        if each is not None:
            check_image(each, name)


def check_talk(row: ModelRow, asked: Asked) -> None:
    """What s2v needs to be there: a sound, a picture of the person, a pose to follow. Raises RequestRefused."""
    people = () if asked.pack is None else asked.pack.characters
    looks = asked.pack is not None and asked.pack.look is not None
    if asked.sound is None:
        problem = "s2v needs a sound that drives the shot: choose a sound strip, a speaker or a file"
        raise RequestRefused(problem)
    if asked.image is None and not looks and all(each.reference is None for each in people):
        problem = "s2v needs a picture of who speaks: choose an image, or capture the shot's look"
        raise RequestRefused(problem)
    if asked.last_image is not None:
        problem = f"{row.name} does not look at a last image: leave it out"
        raise RequestRefused(problem)
    if asked.talk.follow_pose and not people:
        problem = (
            "following the pose needs a drive pack with the pose track of a character: capture the shot, or leave "
            "follow_pose out"
        )
        raise RequestRefused(problem)


def _check_given(row: ModelRow, asked: Asked) -> None:
    has_image = _has_image(asked)
    if asked.task in ("i2v", "flf2v") and not has_image:
        problem = f"{asked.task} needs a first image: choose one, or capture the shot's look"
        raise RequestRefused(problem)
    if asked.task == "flf2v":
        _check_last(row, asked)
    elif asked.last_image is not None:
        problem = f"{row.name} does not look at a last image for {asked.task}: leave it out, or choose flf2v"
        raise RequestRefused(problem)
    if asked.task == "t2v" and asked.image is not None:
        problem = "t2v makes a clip from text alone: leave the image out, or choose i2v"
        raise RequestRefused(problem)
    if (asked.task == "t2v" or not has_image) and not asked.prompt.strip():
        problem = f"{asked.task} needs a prompt where there is no image: describe the shot"
        raise RequestRefused(problem)


def _has_image(asked: Asked) -> bool:
    return asked.image is not None or (asked.pack is not None and asked.pack.look is not None)


def first_image(request: Request) -> NDArray[np.uint8] | None:
    """The request's image, else how the shot's first sample looks with materials."""
    if request.image is not None:
        return request.image
    return request.pack.look if request.pack is not None else None


def check_image(image: NDArray[np.uint8], name: str) -> None:
    """Raise RequestRefused unless ``image`` is uint8 (h, w, 3) with something in it."""
    if str(image.dtype) != "uint8" or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        problem = f"the {name} must be uint8 (height, width, 3), not {image.dtype} {image.shape}: save it as RGB"
        raise RequestRefused(problem)


def nearest_size(row: ModelRow, width: int, height: int) -> Size:
    """A size that the model takes, near to one that it does not. Raises ValueError where no size has that aspect."""
    step, most = row.size_step, row.size_step * POSITIONS
    near_width, near_height = (max(step, min(most, round(side / step) * step)) for side in (width, height))
    if near_width * near_height <= row.area:
        return near_width, near_height
    return _SIZE_RULES[row.family](width, height, row.area)


def _check_size(row: ModelRow, width: int, height: int) -> None:
    step = row.size_step
    fits = min(width, height) >= step and max(width, height) <= step * POSITIONS and width * height <= row.area
    if fits and width % step == 0 and height % step == 0:
        return
    listed = ", ".join(f"{w} x {h}" for w, h in row.sizes)
    problem = (
        f"{row.name} makes multiples of {step} pixels, at most {row.area} in all, not {width} x {height}: ask for "
    )
    try:
        near = "{} x {}".format(*nearest_size(row, width, height))
    except ValueError:
        near = "a less narrow picture"
    problem += f"{near} (made for {listed})"
    raise RequestRefused(problem)


def _check_frames(row: ModelRow, frames: int) -> None:
    if frames < 1:
        problem = f"a clip of {frames} frames is no clip: ask for {row.default_frames}"
        raise RequestRefused(problem)
    if frames > row.max_frames:
        problem = f"{row.name} makes at most {row.max_frames} frames, not {frames}: make several shots"
        raise RequestRefused(problem)
    allowed = [count for count in row.nearest_frames(frames) if 1 <= count <= row.max_frames]
    if frames not in allowed:
        either = " or ".join(str(count) for count in allowed)
        problem = f"{row.name} makes {row.frame_step}n + 1 frames, not {frames}: ask for {either}"
        raise RequestRefused(problem)


def _check_sampler(request: Asked) -> None:
    wish = request.sampler
    if wish.steps is not None and not 1 <= wish.steps <= MOST_STEPS:
        problem = f"a clip takes 1 to {MOST_STEPS} steps, not {wish.steps}: leave it out for the model's own"
        raise RequestRefused(problem)
    if wish.shift is not None and not (math.isfinite(wish.shift) and 0.0 < wish.shift <= 100.0):
        problem = f"the shift must be above 0 and at most 100, not {wish.shift}: leave it out for the model's own"
        raise RequestRefused(problem)
    for name, value in (("guidance", wish.guidance), ("low-noise guidance", wish.guidance_low)):
        if value is not None and not 0.0 <= value <= 100.0:
            problem = f"the {name} must be 0 to 100, not {value}: leave it out for the model's own"
            raise RequestRefused(problem)


def _check_last(row: ModelRow, request: Asked) -> None:
    if request.last_image is None:
        problem = "flf2v needs a last image: choose one, or choose i2v"
        raise RequestRefused(problem)
    least = row.frame_step + 1
    if request.frames < least:
        problem = f"flf2v needs at least {least} frames between its images, not {request.frames}: ask for more"
        raise RequestRefused(problem)
