"""What the draft i2v cannot do, said in sentences before anything is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wan_models.engine import RequestRefused

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wan_models.requests import DrivePack, Request

ASPECT_TOLERANCE = 0.02
_MAPS = {
    "clay": (np.dtype(np.uint8), (3,)),
    "plate": (np.dtype(np.uint8), (3,)),
    "mask": (np.dtype(np.uint8), ()),
    "depth": (np.dtype(np.float32), ()),
    "origin": (np.dtype(np.uint16), (2,)),
}


def first_frame(request: Request) -> NDArray[np.uint8]:
    """The picture to move, as it came: the request's image, else the pack's look. Raises RequestRefused if neither."""
    if request.image is not None:
        return request.image
    if request.pack is not None and request.pack.look is not None:
        return request.pack.look
    msg = (
        "There is no picture to start from: give an image, or capture the first frame with materials (the pack's look)."
    )
    raise RequestRefused(msg)


def check(request: Request) -> None:
    """Raise RequestRefused, one sentence, for what ``generate`` could not do. Decodes sample 0 of each map at most."""
    if request.task != "i2v":
        msg = f"The draft's i2v was asked for the task {request.task!r}; it does i2v only."
        raise RequestRefused(msg)
    image = first_frame(request)
    _check_picture(image, "picture")
    check_aspect(image.shape[1], image.shape[0], request.width, request.height, "picture")
    if request.pack is not None:
        _check_pack(request, request.pack)


def check_aspect(width: int, height: int, want_width: int, want_height: int, name: str) -> None:
    """Raise RequestRefused when the shapes differ by more than 2 %: stretching would falsify the framing."""
    given, wanted = width / height, want_width / want_height
    if abs(given / wanted - 1) > ASPECT_TOLERANCE:
        msg = (
            f"The {name} is {width} x {height} and the shot {want_width} x {want_height}: their proportions differ by "
            f"{abs(given / wanted - 1):.0%}, and at most 2 % is allowed; render both at the shot's size."
        )
        raise RequestRefused(msg)


def check_map(value: NDArray[Any], pack: DrivePack, name: str, index: int) -> None:
    """Raise RequestRefused unless one decoded map has the type and shape that the pack promises."""
    dtype, tail = _MAPS[name]
    shape = (pack.height, pack.width, *tail)
    if value.dtype != dtype or value.shape != shape:
        msg = (
            f"The {name} map of sample {index} is {value.dtype} {value.shape}, but this pack needs {dtype} {shape}; "
            "capture the shot again."
        )
        raise RequestRefused(msg)


def _check_picture(image: NDArray[np.uint8], name: str) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or 0 in image.shape:
        msg = f"The {name} must be uint8 (height, width, 3 or 4), not {image.dtype} {image.shape}."
        raise RequestRefused(msg)


def _check_pack(request: Request, pack: DrivePack) -> None:
    check_aspect(pack.width, pack.height, request.width, request.height, "drive pack")
    if pack.frames < request.frames:
        msg = (
            f"The drive pack has {pack.frames} samples and the shot asks for {request.frames} frames; "
            "capture the whole frame range, or ask for fewer frames."
        )
        raise RequestRefused(msg)
    for name in _MAPS:
        track = getattr(pack, name)
        if len(track) not in (0, pack.frames):
            msg = f"The {name} track has {len(track)} maps, but the pack has {pack.frames} samples; capture again."
            raise RequestRefused(msg)
        if len(track):
            check_map(track[0], pack, name, 0)
    if not len(pack.origin) and not (len(pack.depth) and pack.camera is not None):
        msg = (
            "The drive pack is empty for i2v: it needs origin maps, or depth and a camera track; "
            "capture it with motion, or send the picture without a pack to hold it still."
        )
        raise RequestRefused(msg)
    if not len(pack.clay) and not len(pack.plate):
        msg = "The drive pack has neither clay renders nor plates to fill what the camera uncovers; capture clay too."
        raise RequestRefused(msg)
