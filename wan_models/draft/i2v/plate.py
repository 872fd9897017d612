"""The background with materials through the whole shot, from its picture at sample 0."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import numpy as np

from .checks import check_aspect
from .fill import pull
from .frames import FrameMaker
from .motion import StaticScene, color_map, depth_map, from_origin, inside, inverse_depth, mask_map
from .opencv import cv2
from .scale import scale_picture

if TYPE_CHECKING:
    from wan_models.requests import DrivePack, Maps

    from .fill import Picture
    from .motion import Mask, Plane

CACHED_FRAMES = 4
RIM = np.ones((5, 5), np.uint8)


def plate_frames(pack: DrivePack) -> Maps:
    """One background uint8 (h,w,3) a sample, made when asked for: ``look_plate`` moved by what the scene knows.

    Without ``look_plate``, or without any motion to move it by, the pack's own clay plates.
    Raises RequestRefused when look_plate's proportions are not the pack's, or a map is broken.
    """
    movable = len(pack.origin) or (len(pack.depth) and pack.camera is not None)
    if pack.look_plate is None or not movable:
        return pack.plate
    check_aspect(pack.look_plate.shape[1], pack.look_plate.shape[0], pack.width, pack.height, "background picture")
    return PlateFrames(pack, scale_picture(pack.look_plate, pack.width, pack.height))


class PlateFrames(Sequence["Picture"]):
    """See ``plate_frames``. Behind the characters the set's depth is not known: it is carried in from around them."""

    def __init__(self, pack: DrivePack, picture: Picture) -> None:
        self._pack, self._picture = pack, picture
        self._nobody = np.zeros(picture.shape[:2], np.uint8)
        self._maker = FrameMaker(picture, self._clay(0), self._nobody)
        use_depth = len(pack.depth) > 0 and pack.camera is not None
        self._scene = StaticScene(pack, pack.camera) if use_depth and pack.camera is not None else None
        self._mask0 = mask_map(pack, 0)
        self._made: OrderedDict[int, Picture] = OrderedDict()

    def __len__(self) -> int:
        return self._pack.frames

    @overload
    def __getitem__(self, index: int) -> Picture: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Picture]: ...
    def __getitem__(self, index: int | slice) -> Picture | Sequence[Picture]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(index)
        if at not in self._made:
            self._made[at] = self._make(at)
            while len(self._made) > CACHED_FRAMES:
                self._made.popitem(last=False)
        return self._made[at]

    def _make(self, index: int) -> Picture:
        if index == 0 or (self._scene is not None and self._scene.still(index)):
            return self._picture
        if self._scene is None:
            where, known = self._by_origin(index)
            return self._maker.make(where, known, self._clay(index), self._nobody)
        inverse = self._inverse(index)
        where, known = self._by_depth(index, inverse, self._scene)
        return self._maker.make(where, known, self._clay(index), self._nobody, lambda: inverse)

    def _clay(self, index: int) -> Picture:
        """What holes are painted from; without plates an even grey, so that the nearest known colours fill alone."""
        if not len(self._pack.plate):
            return np.full_like(self._picture, 128)
        return color_map(self._pack, self._pack.plate, "plate", index)

    def _inverse(self, index: int) -> Plane:
        """1/depth of the set alone."""
        rim = self._rim(index)
        inverse = inverse_depth(depth_map(self._pack, index))
        return carry_in(inverse, rim) if cv2.hasNonZero(rim) else inverse

    def _rim(self, index: int) -> Mask:
        """The characters, and two pixels around them."""
        rim: Mask = cv2.dilate(mask_map(self._pack, index), RIM)
        return rim

    def _by_depth(self, index: int, inverse: Plane, scene: StaticScene) -> tuple[Plane, Mask]:
        where, seen = scene.positions(index, inverse)
        known = scene.visible(where, seen)
        # sample 0's depth says nothing behind its characters, and ours nothing behind ours: there the plate is trusted
        guess = cv2.remap(self._mask0, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
        cv2.bitwise_or(guess, self._rim(index), dst=guess)
        within = inside(where, self._pack.width, self._pack.height)
        known[(guess != 0) & (within != 0)] = 255
        return where, known

    def _by_origin(self, index: int) -> tuple[Plane, Mask]:
        """Shifts carried in where a character stands now or stood in sample 0."""
        where, known = from_origin(self._pack, index)
        known[mask_map(self._pack, index) != 0] = 0
        height, width = known.shape
        grid = np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))
        shift = where - grid
        unknown = cv2.bitwise_not(known)
        x, y = (carry_in(np.ascontiguousarray(shift[..., axis]), unknown) for axis in (0, 1))
        where = cv2.merge([x, y]) + grid
        guess = cv2.remap(self._mask0, where, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT)
        within = inside(where, width, height)
        near = cv2.bitwise_or(guess, self._rim(index))
        return where, cv2.bitwise_or(known, cv2.compare(cv2.bitwise_and(near, within), 0, cv2.CMP_GT))


def carry_in(field: Plane, holes: Mask) -> Plane:
    """``field`` (h,w) with the non-zero pixels of ``holes`` filled smoothly from around (push-pull)."""
    weight = np.equal(holes, 0).astype(np.float32)
    smooth = pull(field * weight, weight)
    return np.where(holes != 0, smooth, field)
