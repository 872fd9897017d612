"""A drive pack's samples at the size of the frames to be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .motion import StaticScene, color_map, depth_map, from_origin, inverse_depth, mask_map
from .opencv import cv2
from .plate import plate_frames
from .scale import scale_picture

if TYPE_CHECKING:
    from wan_models.requests import DrivePack

    from .fill import Picture
    from .motion import Mask, Plane


class Samples:
    """Backward maps, clay and masks of ``pack``, brought to ``width`` x ``height``."""

    def __init__(self, pack: DrivePack, width: int, height: int) -> None:
        self._pack, self._size = pack, (width, height)
        self._plates = plate_frames(pack) if pack.look_plate is not None and len(pack.mask) else None
        self._scene = StaticScene(pack, pack.camera) if not len(pack.origin) and pack.camera is not None else None

    def motion(self, index: int) -> tuple[Plane, Mask]:
        """Positions in sample 0 (h,w,2) and where they are known."""
        where, known = self._scene.backward(index) if self._scene is not None else from_origin(self._pack, index)
        return scale_motion(where, known, *self._size)

    def mask(self, index: int) -> Mask:
        """The characters' mask."""
        mask = mask_map(self._pack, index)
        if mask.shape[::-1] == self._size:
            return mask
        return np.asarray(cv2.resize(mask, self._size, interpolation=cv2.INTER_NEAREST), np.uint8)

    def inverse(self, index: int) -> Plane:
        """1/depth; 0 where nothing is."""
        inverse = inverse_depth(depth_map(self._pack, index))
        if inverse.shape[::-1] == self._size:
            return inverse
        return np.asarray(cv2.resize(inverse, self._size, interpolation=cv2.INTER_NEAREST), np.float32)

    def clay(self, index: int) -> Picture:
        """The clay render, or the plate where no clay was captured."""
        name = "clay" if len(self._pack.clay) else "plate"
        return scale_picture(color_map(self._pack, getattr(self._pack, name), name, index), *self._size)

    def base(self, index: int) -> Picture:
        """What is recoloured into holes: the background with materials where there is one, clay for the characters."""
        clay = self.clay(index)
        if self._plates is None:
            return clay
        nobody = cv2.compare(self.mask(index), 0, cv2.CMP_EQ)
        mixed: Picture = cv2.copyTo(scale_picture(self._plates[index], *self._size), nobody, clay.copy())
        return mixed


def scale_motion(where: Plane, known: Mask, width: int, height: int) -> tuple[Plane, Mask]:
    """A backward map at another size. The *shift* is what is repeated, so that enlarging does not make blocks."""
    have_height, have_width = known.shape
    if (have_height, have_width) == (height, width):
        return where, known
    shift = where - _grid(have_width, have_height)
    shift = cv2.resize(shift, (width, height), interpolation=cv2.INTER_NEAREST)
    shift *= np.array([width / have_width, height / have_height], np.float32)
    shift += _grid(width, height)
    return shift, np.asarray(cv2.resize(known, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def _grid(width: int, height: int) -> Plane:
    across, down = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.dstack([across, down])
