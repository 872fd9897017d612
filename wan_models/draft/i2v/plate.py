"""The background with materials through the whole shot, from its picture at sample 0."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, overload

import numpy as np

from .checks import check_aspect
from .frames import FrameMaker
from .motion import color_map
from .scale import scale_picture
from .setting import DepthSetting, setting_of
from .surfaces import Surfaces

if TYPE_CHECKING:
    from wan_models.requests import DrivePack, Maps

    from .fill import Picture, Surface

CACHED_FRAMES = 4


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
    """See ``plate_frames``."""

    def __init__(self, pack: DrivePack, picture: Picture) -> None:
        self._pack, self._picture = pack, picture
        self._nobody = np.zeros(picture.shape[:2], np.uint8)
        self._maker = FrameMaker(picture, self._clay(0), self._nobody)
        self._setting = setting_of(pack)
        self._surfaces: Surfaces | None = None
        if isinstance(self._setting, DepthSetting) and pack.camera is not None:
            self._surfaces = Surfaces(pack.camera, picture, self._clay(0), self._setting.inverse0)
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
        if index == 0 or self._setting.still(index):
            return self._picture
        where, known, inverse = self._setting.backward(index)
        clay = self._clay(index)
        if inverse is None:
            return self._maker.make(where, known, clay, self._nobody)
        surfaces: dict[int, Surface] = (
            {0: partial(self._surfaces.ratio, index, inverse, clay)} if self._surfaces is not None else {}
        )
        return self._maker.make(where, known, clay, self._nobody, lambda: inverse, surfaces)

    def _clay(self, index: int) -> Picture:
        """What holes are painted from; without plates an even grey, so that the nearest known colours fill alone."""
        if not len(self._pack.plate):
            return np.full_like(self._picture, 128)
        return color_map(self._pack, self._pack.plate, "plate", index)
