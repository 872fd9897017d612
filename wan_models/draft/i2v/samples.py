"""A drive pack's samples at the size of the frames to be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wan_models.draft.ahead import Ahead

from .motion import StaticScene, color_map, depth_map, from_origin, inside, inverse_depth, mask_map
from .opencv import cv2
from .parts import View, usable
from .plate import plate_frames
from .scale import scale_picture
from .trust import smeared

if TYPE_CHECKING:
    from wan_models.requests import Character, DrivePack

    from .fill import Box, Picture
    from .motion import Mask, Plane


class Samples:
    """Backward maps, clay and masks of ``pack``, brought to ``width`` x ``height``."""

    def __init__(self, pack: DrivePack, width: int, height: int) -> None:
        self._pack, self._size = pack, (width, height)
        self._plates = Ahead(plate_frames(pack)) if pack.look_plate is not None and len(pack.mask) else None
        self._mask0 = self.mask(0)
        self._scene = StaticScene(pack, pack.camera) if not len(pack.origin) and pack.camera is not None else None

    def motion(self, index: int) -> tuple[Plane, Mask]:
        """Positions in sample 0 (h,w,2) and where they are known."""
        where, known = self._scene.backward(index) if self._scene is not None else from_origin(self._pack, index)
        where, known = scale_motion(where, known, *self._size)
        cv2.bitwise_and(known, inside(where, *self._size), dst=known)
        return where, known

    def doubtful(self, index: int, where: Plane, known: Mask) -> Mask:
        """Known pixels of characters (h,w) that are not worth showing: sample 0 has them smeared."""
        mask, found = self.mask(index), np.zeros_like(known)
        for value in np.flatnonzero(cv2.calcHist([mask], [0], None, [256], [0, 256]).ravel()).tolist():
            if value:
                cv2.bitwise_or(found, smeared(where, known, mask, value), dst=found)
        return found

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

    def view(self, character: Character, index: int, box: Box | None = None) -> View | None:
        """What parts of a character are told apart by, in a part of the picture; None unless its joints are known."""
        body = character.pose.body
        if index >= len(body) or not usable(body[index]) or not (self._mask0 == character.index).any():
            return None
        scale = np.array([self._size[0] / self._pack.width, self._size[1] / self._pack.height], np.float32)
        joints = body[index].astype(np.float32)
        joints[:, :2] *= scale
        camera, depth = self._pack.camera, len(self._pack.depth) > 0
        intrinsics = None
        if camera is not None and not camera.orthographic and depth:
            intrinsics = camera.intrinsics[index] * np.tile(scale, 2)
        rows, columns = box or (slice(0, self._size[1]), slice(0, self._size[0]))
        cut = (rows, columns)
        inverse = self.inverse(index)[cut] if depth else None
        corner = (columns.start, rows.start)
        return View(self.clay(index)[cut], self.mask(index)[cut], inverse, joints, intrinsics, corner)

    def clay(self, index: int) -> Picture:
        """The clay render, or the plate where no clay was captured."""
        name = "clay" if len(self._pack.clay) else "plate"
        return scale_picture(color_map(self._pack, getattr(self._pack, name), name, index), *self._size)

    def plate(self, index: int) -> Picture:
        """The background with materials; only where ``moves_background``."""
        plates = self._plates if self._plates is not None else self._pack.plate
        return scale_picture(plates[index], *self._size)

    @property
    def moves_background(self) -> bool:
        """Whether ``base`` has the look's own colours outside of characters."""
        return self._plates is not None

    def base(self, index: int) -> Picture:
        """What is recoloured into holes: the background with materials where there is one, clay for the characters."""
        clay = self.clay(index)
        if self._plates is None:
            return clay
        nobody = cv2.compare(self.mask(index), 0, cv2.CMP_EQ)
        mixed: Picture = cv2.copyTo(self.plate(index), nobody, clay.copy())
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
