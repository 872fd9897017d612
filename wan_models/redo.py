"""A part of a clip made again: whatever engine makes its frames, they are put into the clip here, one at a time.

Within ``overlap`` frames of each end of the part the new picture comes in by a linear ramp, as SPEC.md, "Redo", has it:
of n frames, frame i's share is min((i + 1) / (k + 1), (n - i) / (k + 1), 1). An end of the part that is an end of the
clip has no ramp. Where one character is made again, this is so within its widened mask; every other pixel keeps its
byte. Colours are matched, if asked for, by mean and spread in CIE Lab at the part's first frame, which both have.

NumPy and OpenCV only. No more than two frames are held.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from .colors import ColorMatch
from .engine import RequestRefused
from .events import Event, FramesDecoded, Warned
from .requests import CameraTrack, Character, DrivePack, Maps, PoseTrack, Redo, Request

Frame: TypeAlias = NDArray[np.uint8]
Where: TypeAlias = NDArray[np.bool_]
Region: TypeAlias = Callable[[int], Where]
"""Frame of the clip -> where it may change."""

WIDEN = 9
"""Pixels by which a character's mask is widened at least: as much as Wan2.2-Animate widens it."""
WIDEN_SHARE = 0.06
"""... and at least by this share of the character's own height: a person of a picture is wider than a rig."""
FEATHER = 6
"""Pixels over which the widened mask's inner edge fades into the kept frame: less than it was widened by."""


def span(request: Request) -> range:
    """The frames of the clip that are to be made."""
    return range(request.frames) if request.redo is None else range(request.redo.first, request.redo.last + 1)


def part(request: Request) -> Redo:
    """The request's redo. Raises RequestRefused when it has none."""
    if request.redo is None:
        problem = f"the {request.task} job makes a whole clip, not a part of one: give redo"
        raise RequestRefused(problem)
    return request.redo


def blend_frames(request: Request) -> int:
    """Over how many frames an end of the part is really blended: one frame at least is all new."""
    redo = part(request)
    ends = _blends_first(redo) + _blends_last(redo, request.frames)
    return min(redo.overlap, (redo.count - 1) // ends) if ends else 0


def shares(request: Request) -> NDArray[np.float32]:
    """(n,) 0..1: the new picture's share in each frame of the part."""
    redo, k = part(request), blend_frames(request)
    found = np.ones(redo.count, np.float32)
    ramp = np.arange(1, redo.count + 1, dtype=np.float32) / np.float32(k + 1)
    if _blends_first(redo):
        found = np.minimum(found, ramp)
    if _blends_last(redo, request.frames):
        found = np.minimum(found, ramp[::-1])
    return found


def _blends_first(redo: Redo) -> bool:
    return redo.first > 0


def _blends_last(redo: Redo, frames: int) -> bool:
    return redo.last < frames - 1


def check(request: Request) -> None:
    """Raise RequestRefused, one sentence, for a redo that nothing could finish; engines say what they cannot make."""
    redo = part(request)
    if not 0 <= redo.first <= redo.last < request.frames:
        problem = (
            f"frames {redo.first} to {redo.last} are no part of a clip of {request.frames} frames (0 to "
            f"{request.frames - 1}): choose a part of it"
        )
        raise RequestRefused(problem)
    missing = sorted(_used(request) - redo.kept.keys())
    if missing:
        problem = f"frame {missing[0]} of the clip is needed beside the part and was not sent: send it as it is"
        raise RequestRefused(problem)
    if redo.character:
        _check_character(request, redo)


def _used(request: Request) -> set[int]:
    """The kept frames that are looked at: beside the part, and those that new ones are mixed with."""
    redo, k = part(request), blend_frames(request)
    wanted = set(span(request)) if redo.character else set()
    if _blends_first(redo):
        wanted |= set(range(redo.first - 1, redo.first + max(k, int(redo.match_color))))
    if _blends_last(redo, request.frames):
        wanted |= set(range(redo.last + 1 - k, redo.last + 2))
    return wanted


def _check_character(request: Request, redo: Redo) -> None:
    pack = request.pack
    if pack is None or len(pack.mask) < request.frames:
        problem = "one character can be made again only with the masks of the shot: capture it with masks"
        raise RequestRefused(problem)
    if redo.character not in {each.index for each in pack.characters}:
        problem = f"no character of the shot has the mask value {redo.character}: capture the scene again"
        raise RequestRefused(problem)


def kept(redo: Redo, frame: int, height: int, width: int) -> Frame:
    """A frame of the clip as it is. Raises RequestRefused when it is not there or of another size."""
    picture = redo.kept.get(frame)
    if picture is None or picture.shape != (height, width, 3):
        have = "missing" if picture is None else f"{picture.shape[1]}x{picture.shape[0]}"
        problem = f"frame {frame} of the clip is {have}, {width}x{height} is needed: send the clip's own frames"
        raise RequestRefused(problem)
    return picture


def frames_before(request: Request, most: int) -> list[Frame]:
    """Up to ``most`` kept frames right before the part, in order, without a gap."""
    redo, found = part(request), list[Frame]()
    for frame in range(redo.first - 1, max(redo.first - 1 - most, -1), -1):
        if frame not in redo.kept:
            break
        found.insert(0, kept(redo, frame, request.height, request.width))
    return found


# ---- one character ----------------------------------------------------------------------------------


def shown(request: Request, frame: int) -> Where:
    """(h,w): where the character is in a frame of the clip, as it was and as it is to be."""
    redo = part(request)
    masks = request.pack.mask if request.pack is not None else ()
    found = np.asarray(masks[frame] == redo.character)
    if len(redo.mask) and redo.first <= frame <= redo.last:
        found = found | (redo.mask[frame - redo.first] == redo.character)
    return np.asarray(found, np.bool_)


class _OfFrames(Sequence[Frame]):
    """A picture for each of the frames ``first`` to ``last`` of a clip, made when asked for: uint8."""

    def __init__(self, request: Request, first: int, last: int) -> None:
        self._request, self._frames = request, range(first, last + 1)

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - a picture, or a list of them for a slice
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        return self._picture(self._frames[index])

    @abstractmethod
    def _picture(self, frame: int) -> Frame: ...


class Shown(_OfFrames):
    """The masks (h,w) of a clip's frames with the part's character as ``shown`` has it, other characters 0."""

    def _picture(self, frame: int) -> Frame:
        return shown(self._request, frame).astype(np.uint8) * np.uint8(part(self._request).character)


class Kept(_OfFrames):
    """The kept frames (h,w,3) of a clip."""

    def _picture(self, frame: int) -> Frame:
        return kept(part(self._request), frame, self._request.height, self._request.width)


def silhouette(request: Request) -> Region:
    """The character's widened mask."""

    def region(frame: int) -> Where:
        return widened(shown(request, frame))

    return region


def widened(mask: Where) -> Where:
    """A mask (h,w) grown by ``WIDEN`` pixels, more for tall ones."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return mask
    radius = max(WIDEN, round(WIDEN_SHARE * int(rows[-1] - rows[0] + 1)))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel), np.bool_)


# ---- finishing --------------------------------------------------------------------------------------


def finished(request: Request, events: Iterator[Event], region: Region | None = None) -> Iterator[Event]:
    """``events`` of the part, its frames numbered from 0, with each frame put into the clip.

    ``region``: where frames may change when one character is made again; None = its widened mask.
    """
    redo = part(request)
    finish = Finish(request, region or silhouette(request))
    if redo.match_color and not _blends_first(redo):
        yield Warned("colours are matched at the frame before the part, and it begins with the clip: they stay as made")
    try:
        for event in events:
            if isinstance(event, FramesDecoded):
                made = [finish(event.first + index, frame) for index, frame in enumerate(event.frames)]
                yield replace(event, frames=np.stack(made))
            else:
                yield event
    finally:
        close = getattr(events, "close", None)
        if close is not None:
            close()


class Finish:
    """Puts new frames into the clip, in order."""

    def __init__(self, request: Request, region: Region) -> None:
        self._request, self._region = request, region
        self._redo, self._shares = part(request), shares(request)
        self._match: ColorMatch | None = None

    def __call__(self, index: int, made: Frame) -> Frame:
        """Frame ``index`` of the part: uint8 (h,w,3)."""
        redo, share = self._redo, float(self._shares[index])
        if redo.match_color and _blends_first(redo):
            made = self._matched(index, made)
        if not redo.character:
            return made if share == 1.0 else mixed(self._old(index), made, share)
        inside = self._region(redo.first + index)
        return mixed(self._old(index), made, share * feathered(inside))

    def _old(self, index: int) -> Frame:
        return kept(self._redo, self._redo.first + index, self._request.height, self._request.width)

    def _matched(self, index: int, made: Frame) -> Frame:
        pixels = made[None].astype(np.float32) / np.float32(255)
        if self._match is None:
            wanted = self._old(index)[None].astype(np.float32) / np.float32(255)
            inside = shown(self._request, self._redo.first + index)[None] if self._redo.character else None
            self._match = ColorMatch(pixels, wanted, inside)
        return np.asarray(np.rint(self._match(pixels)[0] * 255), np.uint8)


def feathered(inside: Where) -> NDArray[np.float32]:
    """(h,w) 0..1: 0 outside, rising to 1 over ``FEATHER`` pixels inwards."""
    away = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(np.minimum(away / np.float32(FEATHER + 1), 1.0), np.float32)


def mixed(old: Frame, new: Frame, share: float | NDArray[np.float32]) -> Frame:
    """``old`` where the share (a number, or (h,w)) is 0, byte for byte, ``new`` where it is 1."""
    weight = np.float32(share) if isinstance(share, float) else share[..., None]
    before = old.astype(np.float32)
    return np.asarray(np.rint(before + weight * (new.astype(np.float32) - before)), np.uint8)


# ---- packs ------------------------------------------------------------------------------------------


def cut_pack(pack: DrivePack, first: int, last: int) -> DrivePack:
    """The samples ``first`` to ``last`` of a pack; its looks stay those of its sample 0."""
    frames = slice(first, last + 1)

    def some(track: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if track is None else track[frames]

    def cut(track: Maps) -> Maps:
        return track[frames] if len(track) else track

    camera = pack.camera
    if camera is not None:
        camera = CameraTrack(camera.world_from_camera[frames], camera.intrinsics[frames], camera.orthographic)
    characters = tuple(_cut_character(each, some, cut) for each in pack.characters)
    maps: dict[str, Any] = {name: cut(getattr(pack, name)) for name in ("clay", "plate", "mask", "depth")}
    # Origin maps tell where sample 0 sees a point: without that sample they mean nothing.
    return replace(pack, frames=last - first + 1, camera=camera, characters=characters, origin=(), **maps)


def _cut_character(
    character: Character,
    some: Callable[[NDArray[Any] | None], NDArray[Any] | None],
    cut: Callable[[Maps], Maps],
) -> Character:
    pose = character.pose
    body = some(pose.body)
    track = PoseTrack(
        pose.body if body is None else body, some(pose.left_hand), some(pose.right_hand), some(pose.face_box)
    )
    return replace(character, pose=track, face=cut(character.face))
