"""Widens person masks the way Wan2.2-Animate's replacement mode was trained: dilated, then filled on a grid.

Source: ``get_mask_body_img`` and ``get_aug_mask`` in ``wan/modules/animate/preprocess/utils.py`` of Wan2.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

Masks: TypeAlias = NDArray[np.uint8]
AnyMasks: TypeAlias = NDArray[np.uint8] | NDArray[np.bool_]


class Augmented(NamedTuple):
    """What :func:`augment_mask_reported` gives."""

    masks: Masks
    """uint8 0 or 1, (T, H, W)."""
    reused: tuple[int, ...]
    """Indices of frames without a usable mask of their own, rising."""


def augment_mask(masks: AnyMasks, iterations: int = 3, kernel: int = 7, w_len: int = 1, h_len: int = 1) -> Masks:
    """The masks alone; see :func:`augment_mask_reported`."""
    return augment_mask_reported(masks, iterations, kernel, w_len, h_len).masks


def augment_mask_reported(
    masks: AnyMasks, iterations: int = 3, kernel: int = 7, w_len: int = 1, h_len: int = 1
) -> Augmented:
    """Each mask dilated ``iterations`` times by ``kernel`` x ``kernel`` pixels, then grid cells with any pixel filled.

    ``masks``: (T, H, W) uint8 or bool, anything but 0 is person; left as it is. The grid cuts the bounding box into
    ``w_len`` x ``h_len`` cells of whole pixels (a rest makes further cells); the box's last column and row are outside
    it, as officially. 1 x 1 fills the box; larger numbers follow the outline. No iterations: the mask as it is.

    Where the official code fails (an empty mask, a box with fewer pixels than cells) the last usable mask before it is
    taken, or the first one after it, and the frame is named in ``reused``. Without iterations an empty mask is no
    failure and stays. Raises ValueError for other arrays or numbers, and if no frame has a usable mask.
    """
    _check(masks, iterations, kernel, w_len, h_len)
    result: Masks = (masks != 0).astype(np.uint8)
    if not result.any():
        msg = "The mask is empty in every frame: mark the person to be replaced in at least one of them."
        raise ValueError(msg)
    if iterations == 0:
        return Augmented(result, ())
    square = np.ones((kernel, kernel), np.uint8)
    usable = []
    for mask in result:
        mask[:] = cv2.dilate(mask, square, iterations=iterations)
        usable.append(_fill_cells(mask, w_len, h_len))
    return Augmented(result, _reuse(result, usable))


def _fill_cells(mask: Masks, w_len: int, h_len: int) -> bool:
    """Fills in place; False for a mask that the grid cannot be laid on."""
    if not mask.any():
        return False
    left, right = _extent(mask.max(0))
    top, bottom = _extent(mask.max(1))
    cell_width, cell_height = (right - left) // w_len, (bottom - top) // h_len
    if cell_width == 0 or cell_height == 0:
        return False
    for x in range(left, right, cell_width):
        for y in range(top, bottom, cell_height):
            cell = mask[y : min(y + cell_height, bottom), x : min(x + cell_width, right)]
            if cell.any():
                cell[:] = 1
    return True


def _extent(line: Masks) -> tuple[int, int]:
    """First and last index that is not 0."""
    indices = np.flatnonzero(line)
    return int(indices[0]), int(indices[-1])


def _reuse(masks: Masks, usable: list[bool]) -> tuple[int, ...]:
    """Gives frames that are not usable another's mask, in place, and returns which they were."""
    if True not in usable:
        msg = "The mask is smaller than the grid in every frame: use fewer cells or a larger mask."
        raise ValueError(msg)
    source = usable.index(True)
    for i, good in enumerate(usable):
        if good:
            source = i
        else:
            masks[i] = masks[source]
    return tuple(i for i, good in enumerate(usable) if not good)


def _check(masks: NDArray[Any], iterations: int, kernel: int, w_len: int, h_len: int) -> None:
    if not isinstance(masks, np.ndarray) or masks.dtype not in (np.uint8, np.bool_):
        msg = f"Masks must be an array of uint8 or bool, not of {getattr(masks, 'dtype', type(masks).__name__)}."
        raise ValueError(msg)
    if masks.ndim != 3 or masks.size == 0:
        msg = f"Masks must be an array (frames, height, width) with no side 0, not {masks.shape}."
        raise ValueError(msg)
    if iterations < 0 or min(kernel, w_len, h_len) < 1:
        msg = (
            "Iterations must be at least 0, kernel and the numbers of cells at least 1, "
            f"not {iterations}, {kernel}, {w_len} and {h_len}."
        )
        raise ValueError(msg)
