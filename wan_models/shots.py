"""What every engine that follows a captured shot asks of its drive pack. No torch.

All raise RequestRefused with one sentence.
"""

from __future__ import annotations

from .engine import RequestRefused
from .requests import DrivePack, Request


def given(request: Request) -> DrivePack:
    """The request's drive pack."""
    if request.pack is None:
        problem = f"{request.task} needs a drive pack with the pose track of a character; capture the shot first"
        raise RequestRefused(problem)
    return request.pack


def check_people(pack: DrivePack) -> None:
    """Somebody is in it."""
    if not pack.characters:
        problem = "the shot has no characters; enable Wanstage on at least one armature"
        raise RequestRefused(problem)


def check_fit(request: Request, pack: DrivePack) -> None:
    """It was captured at the job's size, and for as many frames."""
    if (request.width, request.height) != (pack.width, pack.height):
        problem = (
            f"the job is {request.width}x{request.height} but the shot was captured at {pack.width}x{pack.height}; "
            "capture it again at the job's size"
        )
        raise RequestRefused(problem)
    if not 1 <= request.frames <= pack.frames:
        problem = f"the job asks for {request.frames} frames but the shot has {pack.frames}; capture the whole range"
        raise RequestRefused(problem)
