"""Picture sizes that the Wan2.2 models take, each by its official rule, float rounding included.

Every function gets the width and height of the picture that sets the aspect, in pixels, and the pixel count to stay
within (``1280 * 720``), and returns (width, height) of what is generated. All raise ValueError with one sentence for
what is no whole number above zero, and where the official code fails too: an aspect or an area that leaves no size.
"""

from __future__ import annotations

import math
import operator
from typing import SupportsIndex, TypeAlias

Size: TypeAlias = tuple[int, int]

ANIMATE_STEP = 16
I2V_LATENT_STEP, I2V_STRIDE = 2, 8  # patch and VAE stride
TI2V_STEP = 32
S2V_STEP, S2V_TRIES = 64, 100


def animate_size(width: SupportsIndex, height: SupportsIndex, area: SupportsIndex) -> Size:
    """Animate: of the reference image, or of the plate in replacement; multiples of 16.

    Source: ``resize_by_area`` in ``wan/modules/animate/preprocess/utils.py``. Its search for the best candidate always
    fails, so what counts is its fallback. Rounding down a float costs a step at times: 480 x 832 within 832 * 480
    gives 464 x 832.
    """
    w, h, most = _whole(width, height, area)
    new_height = math.sqrt(most / (w / h))
    new_width = most / new_height
    return _usable(int(new_width // ANIMATE_STEP * ANIMATE_STEP), int(new_height // ANIMATE_STEP * ANIMATE_STEP), most)


def i2v_size(width: SupportsIndex, height: SupportsIndex, area: SupportsIndex) -> Size:
    """I2V-A14B: of the first frame; multiples of 16. Source: ``WanI2V.generate`` in ``wan/image2video.py``."""
    w, h, most = _whole(width, height, area)
    aspect = h / w
    rows = round(math.sqrt(most * aspect) // I2V_STRIDE // I2V_LATENT_STEP * I2V_LATENT_STEP)
    columns = round(math.sqrt(most / aspect) // I2V_STRIDE // I2V_LATENT_STEP * I2V_LATENT_STEP)
    return _usable(columns * I2V_STRIDE, rows * I2V_STRIDE, most)


def ti2v_size(width: SupportsIndex, height: SupportsIndex, area: SupportsIndex) -> Size:
    """TI2V-5B: of the first frame; multiples of 32. Source: ``best_output_size`` in ``wan/utils/utils.py``.

    Width rounded first or height rounded first, whichever is nearer to the picture's aspect; height first on a tie.
    """
    w, h, most = _whole(width, height, area)
    aspect = w / h
    ideal_width = (most * aspect) ** 0.5
    first_width = int(ideal_width // TI2V_STEP * TI2V_STEP)
    first_height = int(most / ideal_width // TI2V_STEP * TI2V_STEP)
    by_width = first_width, _other_side(first_width, most)
    by_height = _other_side(first_height, most), first_height
    for size in (by_width, by_height):  # the official code fails if either does
        _usable(*size, most)
    return by_width if _off(by_width, aspect) < _off(by_height, aspect) else by_height


def s2v_size(width: SupportsIndex, height: SupportsIndex, area: SupportsIndex) -> Size:
    """S2V-14B: of the reference image; multiples of 64, never enlarged beyond the next one.

    Source: ``get_size_less_than_area`` in ``wan/speech2video.py``: the first of 100 scales, falling, whose size padded
    up to multiples of 64 stays within ``area``.
    """
    w, h, most = _whole(width, height, area)
    largest, smallest = _s2v_scales(w, h, most)
    for i in range(S2V_TRIES):
        scale = largest - (largest - smallest) * i / S2V_TRIES
        new_height, new_width = int(h * scale), int(w * scale)
        padded_width = new_width + -new_width % S2V_STEP
        padded_height = new_height + -new_height % S2V_STEP
        if padded_width * padded_height <= most:
            return _usable(padded_width, padded_height, most)
    raise ValueError(_no_size(most))


def _s2v_scales(width: int, height: int, area: int) -> tuple[float, float]:
    """The largest and smallest scale tried; the quadratic is the official one, as it stands."""
    if width * height <= area:
        return 1.0, 0.1
    pad = S2V_STEP - 1
    a, b, c = width * height, pad * (width + height), pad**2 - area
    inside = b**2 - 2 * a * c
    if inside < 0:
        raise ValueError(_no_size(area))
    return math.sqrt(area / a), (-b + math.sqrt(inside)) / (2 * a)


def _other_side(side: int, area: int) -> int:
    return int(area / side // TI2V_STEP * TI2V_STEP) if side else 0


def _off(size: Size, aspect: float) -> float:
    """How far from the aspect, as a factor of at least 1."""
    own = size[0] / size[1]
    return max(aspect / own, own / aspect)


def _whole(width: SupportsIndex, height: SupportsIndex, area: SupportsIndex) -> tuple[int, int, int]:
    try:
        values = operator.index(width), operator.index(height), operator.index(area)
    except TypeError:
        values = (0, 0, 0)
    if min(values) < 1:
        msg = f"Width, height and area must be whole numbers above 0, not {width}, {height} and {area}."
        raise ValueError(msg)
    return values


def _usable(width: int, height: int, area: int) -> Size:
    if width < 1 or height < 1:
        raise ValueError(_no_size(area))
    return width, height


def _no_size(area: int) -> str:
    return (
        f"No size of at most {area} pixels fits this picture's aspect: choose a larger area or a less narrow picture."
    )
